/**
 * A dry run: what a plan would take, and by which rule; what it skips or leaves out, and why; and which instances no
 * plan covers. The same function answers the event's `dryRun`, `tairlift backup --dry-run` and `tairlift plan`, and it
 * selects as the run does. Reads the source only, writes nothing.
 */
import { toInstant, type Clock } from '../core/clock.ts';
import type { Account, Plan } from '../core/config.ts';
import { toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import { rememberLists } from '../core/source/remember-lists.ts';
import { selectInstances, type Selection, type SourceFor } from '../core/source/select.ts';
import { byPlace, nameOf, notFound, problemsOf, restrict, skipped } from './run-selection.ts';
import { summarize, type InstanceResult, type Summary, type UncoveredInstance } from './summary.ts';

export interface Rehearsal {
  readonly runId: string;
  readonly plan: Plan;
  /** All there are, that one among them: an instance is covered when any of them takes it. */
  readonly plans: readonly Plan[];
  /** As the event names them; then nothing is said about what is not covered. */
  readonly instances?: readonly string[];
}

/** What no plan covers, as far as it could be listed. */
export interface Coverage {
  readonly uncovered: readonly UncoveredInstance[];
  /** What could not be listed, so that `uncovered` is not all of it. Nothing of this keeps a run from going well. */
  readonly unlisted: readonly ErrorRecord[];
}

/** @throws only when the signal aborts */
export async function rehearse(
  { runId, plan, plans, instances }: Rehearsal,
  sourceFor: SourceFor,
  clock: Clock,
  signal: AbortSignal,
): Promise<Summary> {
  const startedAtMs = clock.now();
  const remembered = rememberLists(sourceFor);
  const selection = await selectInstances(plan, remembered, signal);
  const others = instances === undefined ? plans.filter(({ name }) => name !== plan.name) : [];
  const selections = [{ plan, selection }, ...(await selectAll(others, remembered, signal))];
  const coverage =
    instances === undefined ? await findUncovered(selections, plan.name, remembered, signal) : undefined;
  return report(
    { runId, plan, selection: restrict(selection, plan, instances) },
    startedAtMs,
    clock,
    coverage,
  );
}

/** All plans at once, and what none of them covers. Each list is read once, however many plans need it. */
export async function rehearseAll(
  plans: readonly Plan[],
  runIdOf: (plan: Plan) => string,
  sourceFor: SourceFor,
  clock: Clock,
  signal: AbortSignal,
): Promise<Partial<Coverage> & { readonly plans: readonly Summary[] }> {
  const startedAtMs = clock.now();
  const remembered = rememberLists(sourceFor);
  const selections = await selectAll(plans, remembered, signal);
  const coverage = await findUncovered(selections, undefined, remembered, signal);
  return {
    plans: selections.map(({ plan, selection }) =>
      report({ runId: runIdOf(plan), plan, selection }, startedAtMs, clock),
    ),
    ...coverage,
  };
}

export interface SelectedPlan {
  readonly plan: Plan;
  readonly selection: Selection;
}

async function selectAll(
  plans: readonly Plan[],
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<readonly SelectedPlan[]> {
  const selections: SelectedPlan[] = [];
  for (const plan of plans)
    selections.push({ plan, selection: await selectInstances(plan, sourceFor, signal) });
  return selections;
}

function report(
  { runId, plan, selection }: SelectedPlan & { readonly runId: string },
  startedAtMs: number,
  clock: Clock,
  coverage?: Coverage,
): Summary {
  const results = selection.selected.map(({ instance, rule }): InstanceResult => ({
    ...(skipped(instance) ?? { ...nameOf(instance), status: 'selected' }),
    name: instance.name,
    rule,
  }));
  return summarize({
    runId,
    plan: plan.name,
    dryRun: true,
    startedAt: toInstant(startedAtMs),
    finishedAt: toInstant(clock.now()),
    problems: problemsOf(selection, plan),
    results: [...results, ...selection.missing.map(notFound)].sort(byPlace),
    leftOut: selection.leftOut.map(({ instance, rule, exclusion }) => ({
      ...nameOf(instance),
      name: instance.name,
      rule,
      reason: exclusion,
    })),
    idle: selection.idle,
    ...coverage,
  });
}

/**
 * Every instance of every account that the plans name, and of the caller's own, in all of its regions, that no plan
 * takes. One that a plan leaves out and no other takes is not covered either, and is told with the exclusion. Undefined
 * when there is no account to look at.
 * @param reported the plan whose own problems are told in its summary
 */
export async function findUncovered(
  selections: readonly SelectedPlan[],
  reported: string | undefined,
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<Coverage | undefined> {
  const accounts = accountsOf(selections);
  if (accounts.length === 0) return undefined;
  const covered = new Set<string>();
  const leftOut = new Map<string, string[]>();
  for (const { plan, selection } of selections) {
    for (const { instance } of selection.selected) covered.add(keyOf(instance));
    for (const { instance, exclusion } of selection.leftOut) {
      const before = leftOut.get(keyOf(instance)) ?? [];
      leftOut.set(keyOf(instance), [...before, `left out of ${plan.name} by ${exclusion}`]);
    }
  }

  const uncovered = new Map<string, UncoveredInstance>();
  const unlisted: ErrorRecord[] = [];
  for (const account of accounts) {
    const everywhere = { region: '*' as const, ...(account === undefined ? {} : { account }) };
    const inventory = await selectInstances({ targets: [everywhere] }, sourceFor, signal);
    unlisted.push(...inventory.problems.map(toErrorRecord));
    for (const { instance } of inventory.selected) {
      if (covered.has(keyOf(instance))) continue;
      const reasons = [
        ...(leftOut.get(keyOf(instance)) ?? []),
        ...(instance.noBackup === undefined ? [] : [instance.noBackup]),
      ].join('; ');
      uncovered.set(keyOf(instance), {
        ...nameOf(instance),
        name: instance.name,
        ...(account === undefined ? {} : { account: account.roleArn }),
        ...(reasons === '' ? {} : { reason: reasons }),
      });
    }
  }
  // What another plan could not list may be what it covers.
  for (const { plan, selection } of selections) {
    if (reported === undefined || plan.name === reported) continue;
    for (const problem of selection.problems.map(toErrorRecord))
      if (!unlisted.some(({ message }) => message === problem.message))
        unlisted.push({ ...problem, message: `plan ${plan.name}: ${problem.message}` });
  }
  return { uncovered: [...uncovered.values()].sort(byPlace), unlisted };
}

/** The caller's own, and each that a target names; none when all that is protected are servers of one's own. */
function accountsOf(selections: readonly SelectedPlan[]): readonly (Account | undefined)[] {
  const targets = selections.flatMap(({ plan }) => plan.targets);
  if (targets.every(({ server }) => server !== undefined)) return [];
  const named = new Map<string, Account>();
  for (const { account } of targets)
    if (account !== undefined) named.set(`${account.roleArn} ${account.externalId ?? ''}`, account);
  return [undefined, ...named.values()];
}

function keyOf({ region, id }: { readonly region: string; readonly id: string }): string {
  return `${region}/${id}`;
}
