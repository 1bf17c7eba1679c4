/** What the plans select, what nobody selects, and how the service looks after those instances by itself. */
import pLimit from 'p-limit';
import type { Inspection } from '../../functions/core/compose.ts';
import type { Account, Plan } from '../../functions/core/config.ts';
import { describe } from '../../functions/core/errors.ts';
import {
  selectInstances,
  type Selected,
  type Selection,
  type SourceFor,
} from '../../functions/core/source/select.ts';
import type { BackupPolicies, BackupPolicy, Instance, Source } from '../../functions/core/source/source.ts';
import { findUncovered, type SelectedPlan } from '../../functions/orchestrator/rehearse.ts';
import { attempt, bad, failed, note, ok, type Check } from './check.ts';

/** Requests for single instances at a time. */
const INSTANCES_AT_ONCE = 8;
const SELECTING_LIMIT_MS = 10_000;
/** For all instances together; who is left by then is told in one sentence. */
const LOOKING_LIMIT_MS = 8_000;

/** Each list is read once, however many plans need it. */
export async function selectAll(
  plans: readonly Plan[],
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<{ readonly selections: readonly SelectedPlan[]; readonly checks: readonly Check[] }> {
  const selections: SelectedPlan[] = [];
  const checks = await attempt(
    'selection',
    plans.map(({ name }) => name).join(', '),
    signal,
    async (limited) => {
      const found: Check[] = [];
      for (const plan of plans) {
        const selection = await selectInstances(plan, sourceFor, limited);
        selections.push({ plan, selection });
        found.push(...checkSelection(plan, selection));
      }
      return found;
    },
    SELECTING_LIMIT_MS,
  );
  return { selections, checks };
}

function checkSelection(plan: Plan, selection: Selection): readonly Check[] {
  const { problems, unmatched, missing, selected } = selection;
  return [
    ...problems.map((error) => failed('selection', plan.name, error)),
    ...unmatched.map((target) =>
      bad(
        'error',
        'selection',
        plan.name,
        `a target takes no instance: ${target}`,
        'correct the target in plans.yaml, take it out, or say that it is optional',
      ),
    ),
    ...missing.map(({ region, id, reason }) =>
      bad(
        'error',
        'selection',
        plan.name,
        `there is no instance ${id} in ${region === '*' ? 'any region' : region}${reason === undefined ? '' : `: ${reason}`}`,
        'take it out of plans.yaml, or correct its id',
      ),
    ),
    ...(selected.length > 0 ? [ok('selection', plan.name, `${selected.length} instances`)] : []),
  ];
}

const NAMED_UNCOVERED = 5;

/** What no plan covers is no trouble of a run, and the first thing that is missed afterwards. */
export async function checkCoverage(
  selections: readonly SelectedPlan[],
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const found = await attempt('coverage', '', signal, async (limited) => {
    const coverage = await findUncovered(selections, undefined, sourceFor, limited);
    if (coverage === undefined) return [];
    const { uncovered, unlisted } = coverage;
    const [first] = unlisted;
    // What cannot be backed up at all, or is left out on purpose, is somebody's decision.
    const forgotten = uncovered.filter(({ reason }) => reason === undefined);
    const named = forgotten
      .slice(0, NAMED_UNCOVERED)
      .map(({ instanceId, name }) => `${instanceId} ${name}`.trim());
    const more = forgotten.length > named.length ? ` and ${forgotten.length - named.length} more` : '';
    return [
      forgotten.length === 0
        ? ok('coverage', '', 'every instance that can be backed up is in a plan, or left out by one')
        : bad(
            'warn',
            'coverage',
            '',
            `${forgotten.length} ${forgotten.length === 1 ? 'instance is' : 'instances are'} in no plan: ${named.join(', ')}${more}`,
            'see `tairlift plan`; add them to a plan, or exclude them by name',
          ),
      ...(first === undefined
        ? []
        : [
            bad(
              'warn',
              'coverage',
              '',
              `could not be looked at everywhere: ${first.message}${unlisted.length > 1 ? ` (and ${unlisted.length - 1} more)` : ''}`,
              first.hint ?? 'see `tairlift plan`',
            ),
          ]),
    ];
  });
  // It took too long, or failed as a whole: a run does not need it.
  return found.map((check) => (check.status === 'error' ? { ...check, status: 'warn' } : check));
}

export async function checkInstances(
  selections: readonly SelectedPlan[],
  inspection: Inspection,
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const selected = new Map<string, Selected>();
  for (const { selection } of selections)
    for (const one of selection.selected) selected.set(`${one.instance.region}/${one.instance.id}`, one);
  const policies = new Map<string, BackupPolicies>();
  const policiesFor = (account: Account | undefined): BackupPolicies => {
    const name = JSON.stringify(account ?? null);
    const known = policies.get(name) ?? inspection.policiesFor(account);
    policies.set(name, known);
    return known;
  };
  const late = AbortSignal.timeout(LOOKING_LIMIT_MS);
  const limited = AbortSignal.any([signal, late]);
  const limit = pLimit(INSTANCES_AT_ONCE);
  let skipped = 0;
  const each = await limit.map([...selected.values()], async ({ instance, account, server }) => {
    if (late.aborted) {
      skipped++;
      return [];
    }
    return server === undefined
      ? checkInstance(instance, policiesFor(account), limited, signal)
      : checkServer(instance, sourceFor({ server }), signal);
  });
  return [
    ...each.flat(),
    ...(skipped === 0
      ? []
      : [
          note(
            'instance',
            '',
            `${skipped} more were not looked at one by one: the time for that was over`,
            'look at fewer with --plan',
          ),
        ]),
  ];
}

async function checkInstance(
  instance: Instance,
  policies: BackupPolicies,
  limited: AbortSignal,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const subject = `${instance.region} ${instance.id}`;
  const { shards, architecture, status, noBackup } = instance;
  if (noBackup !== undefined) return [note('instance', subject, `${noBackup}: every run skips it`)];
  const checks: Check[] = [];
  if (shards < 1)
    checks.push(
      bad(
        'error',
        'instance',
        subject,
        'its number of shards is unknown, so no backup of it could be proven to be whole',
        'allow kvstore:DescribeInstanceAttribute and kvstore:DescribeLogicInstanceTopology',
      ),
    );
  if (status !== 'Normal')
    checks.push(
      bad(
        'warn',
        'instance',
        subject,
        `is ${status} now; a run waits until it is Normal, as long as backup.timeoutMinutes allows`,
        'see its events in the console',
      ),
    );
  const what = `${architecture}, ${shards} ${shards === 1 ? 'shard' : 'shards'}`;
  try {
    const policy = await policies.backupPolicy(instance, limited);
    checks.unshift(ok('instance', subject, `${what}; ${ownBackups(policy)}`));
    if (policy.runsOnPrimary)
      checks.push(
        bad(
          'warn',
          'flashback',
          subject,
          'data flashback is on: its backups are made on the primary, which costs memory and time where clients feel it',
          'run its plan when it is least busy, or let backup.adoptWithinHours take the backups that are made anyway',
        ),
      );
  } catch (error) {
    signal.throwIfAborted();
    // A run does not need to know it.
    checks.unshift(ok('instance', subject, what), {
      ...failed('flashback', subject, error, 'warn'),
      says: `it is not known whether its backups are made on the primary: ${describe(error)}`,
    });
  }
  return checks;
}

/** It tells no schedule; but whether its backup could be begun now is known without taking a snapshot. */
async function checkServer(
  instance: Instance,
  source: Source,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const subject = `${instance.region} ${instance.id}`;
  return attempt('instance', subject, signal, async (limited) => {
    const pull = await source.pull?.(instance, limited);
    const files = pull?.shards.length ?? instance.shards;
    return [
      ok(
        'instance',
        subject,
        `a server of your own, ${files} ${files === 1 ? 'file' : 'files'}; whether it lets itself be replicated shows when it is backed up`,
      ),
    ];
  });
}

function ownBackups({ window, days }: BackupPolicy): string {
  if (window === '') return 'the service does not tell when it makes backups by itself';
  const when =
    days.length === 0 || days.length === 7 ? 'daily' : days.map((day) => day.slice(0, 3)).join(' ');
  return `backed up by the service ${when} ${window.replaceAll('Z', '')} UTC`;
}
