/** What a run relies on, looked at one by one. Each trouble becomes a check that says so; nothing here changes anything. */
import pLimit from 'p-limit';
import type { Inspection } from '../functions/core/compose.ts';
import type { Account, Destination, Plan } from '../functions/core/config.ts';
import { asBackupError, describe } from '../functions/core/errors.ts';
import {
  endsUploadsAfterDays,
  expiresAfterDays,
  type BucketRule,
} from '../functions/core/repository/bucket-settings.ts';
import { backupsPrefix } from '../functions/core/repository/keys.ts';
import { selectInstances, type Selected, type SourceFor } from '../functions/core/source/select.ts';
import type { BackupPolicies, BackupPolicy, Instance, Source } from '../functions/core/source/source.ts';

/** `note`: worth knowing. `warn`: a run works, and somebody may wish that it had not. `error`: a run would fail. */
export type CheckStatus = 'ok' | 'note' | 'warn' | 'error';

export interface Check {
  /** What is looked at: `bucket`, `versioning`, `instance`, … */
  readonly check: string;
  /** Of which bucket, account, plan or instance. */
  readonly subject: string;
  readonly status: CheckStatus;
  readonly says: string;
  /** What a person should do now. */
  readonly todo?: string;
}

export interface Surroundings {
  readonly inspection: Inspection;
  readonly sourceFor: SourceFor;
  /** Name of the uploader function, where one is set. */
  readonly uploader?: string;
}

/** In the order in which a run meets them. Without credentials nothing else is asked. Throws only when the signal aborts. */
export async function checkAll(
  plans: readonly Plan[],
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { inspection } = surroundings;
  const credentials = await attempt('credentials', '', signal, async () => {
    await inspection.findCredentials();
    return [ok('credentials', '', 'are there')];
  });
  if (credentials.some(({ status }) => status === 'error')) return credentials;
  const checks = [...credentials];
  for (const destination of distinct(plans.map((plan) => plan.destination)))
    checks.push(...(await checkBucket(destination, inspection, signal)));
  checks.push(...(await checkUploader(surroundings, signal)));
  for (const account of distinct(
    plans.flatMap(({ targets }) => targets.flatMap(({ account }) => account ?? [])),
  ))
    checks.push(
      ...(await attempt('account', account.roleArn, signal, async () => {
        await inspection.assumeRole(account);
        return [ok('account', account.roleArn, 'its role can be assumed')];
      })),
    );
  checks.push(...(await checkInstances(plans, surroundings, signal)));
  return checks;
}

async function checkBucket(
  destination: Destination,
  inspection: Inspection,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { bucket, region, prefix } = destination;
  const subject = `oss://${bucket}/${prefix}`;
  return attempt('bucket', subject, signal, async () => {
    const { region: found, versioning, rules, denied } = await inspection.bucketSettings(destination, signal);
    return [
      ...(found === undefined ? [] : [checkRegion(subject, found, region)]),
      ...(versioning === undefined ? [] : [checkVersioning(subject, versioning)]),
      ...(rules === undefined ? [] : checkRules(subject, backupsPrefix(prefix), rules)),
      // A run does not need to know it; whoever looks before the first run does.
      ...denied.map((error): Check => ({ ...failed('bucket', subject, error), status: 'warn' })),
    ];
  });
}

function checkRegion(subject: string, found: string, region: string): Check {
  if (found === region) return ok('bucket', subject, `can be reached, in ${region}`);
  return {
    check: 'bucket',
    subject,
    status: 'error',
    says: `is in ${found}, the plan says ${region}`,
    todo: `set destination.region to ${found}`,
  };
}

function checkVersioning(subject: string, versioning: string): Check {
  if (versioning === 'Disabled')
    return ok('versioning', subject, 'is off: what is stored cannot be replaced');
  return {
    check: 'versioning',
    subject,
    status: 'error',
    says: `is ${versioning.toLowerCase()}: OSS then ignores that a write must not replace anything`,
    todo: 'take a bucket without versioning; a retention policy (WORM) protects backups better, and versioning can only be suspended, which does not help',
  };
}

function checkRules(subject: string, prefix: string, rules: readonly BucketRule[]): readonly Check[] {
  const days = endsUploadsAfterDays(rules, prefix);
  const expiry = expiresAfterDays(rules, prefix);
  const ends: Check =
    days === undefined
      ? {
          check: 'lifecycle',
          subject,
          status: 'warn',
          says: 'no rule ends unfinished multipart uploads: what a killed upload leaves is paid for until somebody finds it',
          todo: `add a lifecycle rule for ${prefix} with AbortMultipartUpload after 3 days`,
        }
      : ok('lifecycle', subject, `unfinished uploads are ended after ${days} d`);
  if (expiry === undefined) return [ends];
  return [
    ends,
    {
      check: 'lifecycle',
      subject,
      status: 'warn',
      says: `a rule deletes backups after ${expiry} d, by age alone: also the last good one, and files before their manifest`,
      todo: `take the expiration out of the rule that covers ${prefix}`,
    },
  ];
}

async function checkUploader(
  { inspection, uploader }: Surroundings,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  if (uploader === undefined)
    return [note('uploader', '', 'TAIRLIFT_UPLOADER is not set: the command line uploads by itself')];
  if (uploader.includes('/'))
    return [note('uploader', uploader, 'a function of the older generation, which is not looked at')];
  return attempt('uploader', uploader, signal, async () => {
    const { memoryMb, timeoutSeconds } = await inspection.describeFunction(uploader, signal);
    return [ok('uploader', uploader, `is deployed, with ${memoryMb} MB and ${timeoutSeconds} s`)];
  });
}

/** Requests for single instances at a time. */
const INSTANCES_AT_ONCE = 4;

async function checkInstances(
  plans: readonly Plan[],
  { inspection, sourceFor }: Surroundings,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const checks: Check[] = [];
  const selected = new Map<string, Selected>();
  for (const plan of plans) {
    const selection = await selectInstances(plan, sourceFor, signal);
    for (const error of selection.problems) checks.push(failed('selection', plan.name, error));
    for (const target of selection.unmatched)
      checks.push({
        check: 'selection',
        subject: plan.name,
        status: 'error',
        says: `a target takes no instance: ${target}`,
        todo: 'correct the target in plans.yaml, take it out, or say that it is optional',
      });
    for (const { region, id, reason } of selection.missing)
      checks.push({
        check: 'selection',
        subject: plan.name,
        status: 'error',
        says: `there is no instance ${id} in ${region === '*' ? 'any region' : region}${reason === undefined ? '' : `: ${reason}`}`,
        todo: 'take it out of plans.yaml, or correct its id',
      });
    if (selection.selected.length > 0)
      checks.push(ok('selection', plan.name, `${selection.selected.length} instances`));
    for (const one of selection.selected) selected.set(`${one.instance.region}/${one.instance.id}`, one);
  }
  const policies = new Map<string, BackupPolicies>();
  const policiesFor = (account: Account | undefined): BackupPolicies => {
    const name = JSON.stringify(account ?? null);
    const known = policies.get(name) ?? inspection.policiesFor(account);
    policies.set(name, known);
    return known;
  };
  const limit = pLimit(INSTANCES_AT_ONCE);
  const each = await limit.map([...selected.values()], async ({ instance, account, server }) =>
    server === undefined
      ? checkInstance(instance, policiesFor(account), signal)
      : checkServer(instance, sourceFor({ server }), signal),
  );
  return [...checks, ...each.flat()];
}

async function checkInstance(
  instance: Instance,
  policies: BackupPolicies,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const subject = `${instance.region} ${instance.id}`;
  const { shards, architecture, status, noBackup } = instance;
  if (noBackup !== undefined) return [note('instance', subject, `${noBackup}: every run skips it`)];
  const checks: Check[] = [];
  const add = (check: string, of: CheckStatus, says: string, todo: string): void =>
    void checks.push({ check, subject, status: of, says, todo });
  if (shards < 1)
    add(
      'instance',
      'error',
      'its number of shards is unknown, so no backup of it could be proven to be whole',
      'allow kvstore:DescribeInstanceAttribute and kvstore:DescribeLogicInstanceTopology',
    );
  if (status !== 'Normal')
    add(
      'instance',
      'warn',
      `is ${status} now; a run waits until it is Normal, as long as backup.timeoutMinutes allows`,
      'see its events in the console',
    );
  const what = `${architecture}, ${shards} ${shards === 1 ? 'shard' : 'shards'}`;
  try {
    const policy = await policies.backupPolicy(instance, signal);
    checks.unshift(ok('instance', subject, `${what}; ${ownBackups(policy)}`));
    if (policy.runsOnPrimary)
      add(
        'flashback',
        'warn',
        'data flashback is on: its backups are made on the primary, which costs memory and time where clients feel it',
        'run its plan when it is least busy, or let backup.adoptWithinHours take the backups that are made anyway',
      );
  } catch (error) {
    signal.throwIfAborted();
    // A run does not need to know it.
    checks.unshift(ok('instance', subject, what), {
      ...failed('flashback', subject, error),
      status: 'warn',
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
  return attempt('instance', subject, signal, async () => {
    const pull = await source.pull?.(instance, signal);
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

/** What it finds, or the error that kept it from looking. Throws only when the signal aborts. */
async function attempt(
  check: string,
  subject: string,
  signal: AbortSignal,
  look: () => Promise<readonly Check[]>,
): Promise<readonly Check[]> {
  try {
    return await look();
  } catch (error) {
    signal.throwIfAborted();
    return [failed(check, subject, error)];
  }
}

function failed(check: string, subject: string, thrown: unknown): Check {
  const error = asBackupError(thrown);
  return {
    check,
    subject,
    status: 'error',
    says: `${error.code}: ${describe(error)}`,
    ...(error.hint === undefined ? {} : { todo: error.hint }),
  };
}

function ok(check: string, subject: string, says: string): Check {
  return { check, subject, status: 'ok', says };
}

function note(check: string, subject: string, says: string): Check {
  return { check, subject, status: 'note', says };
}

function distinct<T>(items: readonly T[]): readonly T[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}
