/** From the targets of a plan to instances: each instance once, whatever matched nothing by name. */
import type { Account, Target } from '../config.ts';
import { BackupError, asBackupError } from '../errors.ts';
import type { Instance, Source } from './source.ts';

export interface Selected {
  readonly instance: Instance;
  /** The role to assume in the account that owns it, when that is another one. */
  readonly account?: Account;
}

export interface Selection {
  /** In the order of region and id. Those with `noBackup` are among them: they are to be reported as skipped. */
  readonly selected: readonly Selected[];
  /** Instances that a target lists by id and that do not exist. */
  readonly missing: readonly { readonly region: string; readonly id: string }[];
  /** Targets that matched no instance, as a person would describe them. */
  readonly unmatched: readonly string[];
  /** Targets whose instances could not be listed. What the others selected is complete. */
  readonly problems: readonly BackupError[];
}

/** The source through which the instances of an account are reached; without one, the function's own account. */
export type SourceFor = (account: Account | undefined) => Source;

/**
 * Lists what the targets of a plan name: instances by id, by tags, by a pattern over their names, or all of a region.
 * An instance that two targets match is taken by the first. A target that cannot be listed does not stop the others.
 * @throws only when the signal aborts
 */
export async function selectInstances(
  targets: readonly Target[],
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<Selection> {
  const selected = new Map<string, Selected>();
  const missing = new Map<string, { readonly region: string; readonly id: string }>();
  const unmatched: string[] = [];
  const problems: BackupError[] = [];

  for (const target of targets) {
    let matches: readonly Instance[];
    try {
      matches = await listTarget(target, sourceFor(target.account), signal);
    } catch (error) {
      signal.throwIfAborted();
      problems.push(unlisted(target, error));
      continue;
    }
    if (matches.length === 0) unmatched.push(describeTarget(target));
    for (const instance of matches) {
      const place = `${instance.region}/${instance.id}`;
      if (!selected.has(place))
        selected.set(place, {
          instance,
          ...(target.account === undefined ? {} : { account: target.account }),
        });
    }
    const found = new Set(matches.map((instance) => instance.id));
    for (const id of target.instances ?? [])
      if (!found.has(id)) missing.set(`${target.region}/${id}`, { region: target.region, id });
  }

  return {
    selected: [...selected.entries()].sort(byPlace).map(([, entry]) => entry),
    missing: [...missing.entries()].filter(([place]) => !selected.has(place)).map(([, entry]) => entry),
    unmatched,
    problems,
  };
}

/** `cn-hangzhou, tags backup=nightly`, for messages. */
export function describeTarget(target: Target): string {
  const parts = [target.region];
  if (target.instances !== undefined) parts.push(`instances ${target.instances.join(' ')}`);
  if (target.tags !== undefined)
    parts.push(
      `tags ${Object.entries(target.tags)
        .map(([key, value]) => `${key}=${value}`)
        .join(' ')}`,
    );
  if (target.name !== undefined) parts.push(`name ${target.name}`);
  if (target.account !== undefined) parts.push(`through ${target.account.roleArn}`);
  return parts.join(', ');
}

/** Does a name match a pattern in which `*` stands for any characters and `?` for one? Case matters. */
export function matchesPattern(name: string, pattern: string): boolean {
  const expression = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, String.raw`\$&`)
    .replaceAll(/\*+/g, '[^]*')
    .replaceAll('?', '[^]');
  return new RegExp(`^${expression}$`, 'u').test(name);
}

async function listTarget(target: Target, source: Source, signal: AbortSignal): Promise<readonly Instance[]> {
  const { region, instances: ids, tags, name } = target;
  const query = { region, ...(ids === undefined ? {} : { ids }), ...(tags === undefined ? {} : { tags }) };
  const matches: Instance[] = [];
  for await (const instance of source.listInstances(query, signal))
    if (name === undefined || matchesPattern(instance.name, name)) matches.push(instance);
  return matches;
}

function unlisted(target: Target, thrown: unknown): BackupError {
  const error = asBackupError(thrown);
  return new BackupError(error.code, `list the instances of ${describeTarget(target)}`, {
    retryable: error.retryable,
    details: error.details,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: error,
  });
}

function byPlace([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}
