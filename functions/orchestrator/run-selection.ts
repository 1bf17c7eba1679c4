/** What the plan selects, as a run and a dry run of it report: what is asked for, what is missing, what went wrong. */
import type { Plan } from '../core/config.ts';
import { BackupError, toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import { covers, type Missing, type Selection } from '../core/source/select.ts';
import type { Instance } from '../core/source/source.ts';
import type { InstanceResult, SkippedResult } from './summary.ts';

export interface Place {
  readonly region: string;
  readonly id: string;
}

/**
 * Only what the event names, when it names any; what it names and the plan does not take is missing. Targets that
 * matched nothing, and lists that failed, matter to such a run only as far as something it names was not found.
 */
export function restrict(
  selection: Selection,
  plan: Plan,
  instances: readonly string[] | undefined,
): Selection {
  if (instances === undefined) return selection;
  const named = new Set(instances);
  const selected = selection.selected.filter(({ instance }) => named.has(instance.id));
  const found = new Set(selected.map(({ instance }) => instance.id));
  const absent = instances.filter((id) => !found.has(id));
  return {
    selected,
    leftOut: selection.leftOut.filter(({ instance }) => named.has(instance.id)),
    missing: absent.map(
      (id) => selection.missing.find((one) => one.id === id) ?? whyAbsent(id, selection, plan),
    ),
    unmatched: [],
    idle: [],
    problems: absent.length === 0 ? [] : selection.problems,
  };
}

function whyAbsent(id: string, { leftOut, problems }: Selection, { name, targets }: Plan): Missing {
  const left = leftOut.find(({ instance }) => instance.id === id);
  if (left !== undefined)
    return { region: left.instance.region, id, reason: `plan ${name} leaves it out by ${left.exclusion}` };
  const regions = new Set(targets.flatMap(({ region }) => region));
  return {
    region: regions.has('*') ? '*' : [...regions].join(','),
    id,
    reason:
      problems.length > 0
        ? `it is not among what plan ${name} could list`
        : `no target of plan ${name} matches it`,
  };
}

/** Everything that is wrong beside the instances: what could not be listed, and targets that took nothing. */
export function problemsOf(selection: Selection, plan: Plan): readonly ErrorRecord[] {
  const { selected, missing, unmatched, problems } = selection;
  const records = [
    ...problems.map(toErrorRecord),
    ...unmatched.map((target) => nothingSelected(plan, `no instance is taken by ${target}`)),
  ];
  if (selected.length + missing.length + records.length > 0) return records;
  // Each target may match nothing, but a run of no instance at all protects nobody.
  return [nothingSelected(plan, 'no instance is taken by any target, though each is optional')];
}

function nothingSelected({ name }: Plan, what: string): ErrorRecord {
  return toErrorRecord(
    new BackupError('NOTHING_SELECTED', `select the instances of ${name}: ${what}`, {
      hint: 'check regions, tags, names and exclusions in plans.yaml, and whether the role sees the instances; `optional: true` if the target may be empty',
    }),
  );
}

export function nameOf({ region, id }: Place): { readonly region: string; readonly instanceId: string } {
  return { region, instanceId: id };
}

export function skipped(instance: Instance): SkippedResult | undefined {
  if (instance.noBackup === undefined) return undefined;
  return { ...nameOf(instance), status: 'skipped', reason: instance.noBackup };
}

export function notFound(missing: Missing): InstanceResult {
  const where = missing.region === '*' ? 'any region' : missing.region.split(',').join(' or ');
  const error = new BackupError(
    'INSTANCE_NOT_FOUND',
    `find ${missing.id} in ${where}: ${missing.reason ?? 'no such instance'}`,
    {
      details: { ...nameOf(missing) },
      hint: 'correct its id in plans.yaml or in the event, or take it out',
    },
  );
  return { ...nameOf(missing), status: 'failed', error: toErrorRecord(error) };
}

/** Of one instance: a result for what was missing has all the regions in which it was looked for. */
export function isSame(a: Where, b: Where): boolean {
  return (
    a.instanceId === b.instanceId &&
    (a.region === b.region || covers(a.region, b.region) || covers(b.region, a.region))
  );
}

interface Where {
  readonly region: string;
  readonly instanceId: string;
}

export function byPlace(a: Where, b: Where): number {
  return `${a.region}/${a.instanceId}` < `${b.region}/${b.instanceId}` ? -1 : 1;
}
