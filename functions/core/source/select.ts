/** From the targets of a plan to instances: each instance once, with the rule that took it or left it out. */
import pLimit from 'p-limit';
import type { Account, Exclusion, Plan, Target } from '../config.ts';
import { BackupError, asBackupError } from '../errors.ts';
import type { RedisServer } from '../redis/server.ts';
import type { Instance, Source } from './source.ts';

export interface Selected {
  readonly instance: Instance;
  /** The role to assume in the account that owns it, when that is another one. */
  readonly account?: Account;
  /** How it is reached, when it is a server of one's own. */
  readonly server?: RedisServer;
  /** The target that took it, by its place in the plan: `targets[1]: cn-shanghai, tags backup=nightly`. */
  readonly rule: string;
}

/** An instance that a target matches, that an exclusion leaves out, and that no other target takes. */
export interface LeftOut {
  readonly instance: Instance;
  readonly account?: Account;
  readonly rule: string;
  /** The exclusion, by its place in the plan: `targets[1].exclude: name cache-*`, or `exclude: …` of the plan itself. */
  readonly exclusion: string;
}

/** An instance that a target lists by id and that does not exist there. */
export interface Missing {
  /** As the target says it: a region, several with commas, or `*`. */
  readonly region: string;
  readonly id: string;
  /** Why it is not taken, when it is not for want of the instance. */
  readonly reason?: string;
}

export interface Selection {
  /** In the order of region and id. Those with `noBackup` are among them: they are to be reported as skipped. */
  readonly selected: readonly Selected[];
  /** In the order of region and id. */
  readonly leftOut: readonly LeftOut[];
  readonly missing: readonly Missing[];
  /** Targets that took no instance and are not optional, as a person would describe them, with the reason. */
  readonly unmatched: readonly string[];
  /** Optional targets that took nothing, or not all that they name; the same words. No problem, but worth telling. */
  readonly idle: readonly string[];
  /** Targets, or regions of them, whose instances could not be listed. What the others selected is complete. */
  readonly problems: readonly BackupError[];
}

/** How instances are reached: in an account, the functions' own when none is named; or it is the one server. */
export interface Reach {
  readonly account?: Account | undefined;
  readonly server?: RedisServer | undefined;
}

/** Hand on the whole of what you are asked for: who drops a part of it reaches other instances. */
export type SourceFor = (reach: Reach) => Source;

/** The part of a plan that selects. */
export type Selecting = Pick<Plan, 'targets' | 'exclude'>;

/** Lists read at the same time. The quota of the API is shared by all of an account's tools and is not published. */
const LISTS_AT_ONCE = 6;

/**
 * Lists what the targets of a plan name: instances by id, by what they have in common, or all of their regions. An
 * instance that two targets match is taken by the first that does not leave it out. A target that cannot be listed, or
 * one region of it, does not stop the others.
 * @throws only when the signal aborts
 */
export async function selectInstances(
  { targets, exclude = [] }: Selecting,
  sourceFor: SourceFor,
  signal: AbortSignal,
): Promise<Selection> {
  const limit = pLimit(LISTS_AT_ONCE);
  const judged = await Promise.all(
    targets.map(async (target, index) =>
      judge(target, `targets[${index}]`, exclude, await listTarget(target, sourceFor, limit, signal)),
    ),
  );
  signal.throwIfAborted();

  const selected = firstOfEach(judged.flatMap(({ taken }) => taken));
  const leftOut = firstOfEach(judged.flatMap(({ left }) => left));
  for (const place of selected.keys()) leftOut.delete(place);
  return {
    selected: inOrder(selected),
    leftOut: inOrder(leftOut),
    missing: nowhere(
      judged.flatMap(({ missing }) => missing),
      inOrder(selected),
    ),
    unmatched: judged.flatMap(({ unmatched }) => unmatched),
    idle: judged.flatMap(({ idle }) => idle),
    problems: judged.flatMap(({ problems }) => problems),
  };
}

/** Is this region among those of something `Missing`? */
export function covers(regions: string, region: string): boolean {
  return regions === '*' || regions.split(',').includes(region);
}

/** `cn-hangzhou, tags backup=nightly`, for messages. */
export function describeTarget(target: Target): string {
  const { region, instances, account, server } = target;
  if (server !== undefined) return `${server.id} at ${server.url}`;
  return [
    region === '*' ? 'all regions' : region.join(' '),
    ...(instances === undefined ? [] : [`instances ${instances.join(' ')}`]),
    ...describeTraits(target),
    ...(account === undefined ? [] : [`through ${account.roleArn}`]),
  ].join(', ');
}

/** Does a name match a pattern in which `*` stands for any characters and `?` for one? Case matters. */
export function matchesPattern(name: string, pattern: string): boolean {
  const expression = pattern
    .replaceAll(/[\\^$.|+()[\]{}]/g, String.raw`\$&`)
    .replaceAll(/\*+/g, '[^]*')
    .replaceAll('?', '[^]');
  return new RegExp(`^${expression}$`, 'u').test(name);
}

interface Judged {
  readonly taken: readonly Selected[];
  readonly left: readonly LeftOut[];
  readonly missing: readonly Missing[];
  /** The target itself, when it has to take something and takes nothing. */
  readonly unmatched: readonly string[];
  /** The same of an optional one, or what of it is not there. */
  readonly idle: readonly string[];
  readonly problems: readonly BackupError[];
}

/** What one target makes of what was listed for it. */
function judge(
  target: Target,
  where: string,
  excluded: readonly Exclusion[],
  { found, failures }: Listed,
): Judged {
  const rule = `${where}: ${describeTarget(target)}`;
  const exclusions = [
    ...(target.exclude ?? []).map((exclusion) => ({ where: `${where}.exclude`, ...exclusion })),
    ...excluded.map((exclusion) => ({ where: 'exclude', ...exclusion })),
  ];
  const taken: Selected[] = [];
  const left: LeftOut[] = [];
  const matches = found.filter((instance) => isLike(instance, target));
  for (const instance of matches) {
    const one = { instance, rule, ...(target.account === undefined ? {} : { account: target.account }) };
    const exclusion = exclusionOf(instance, exclusions);
    if (exclusion === undefined)
      taken.push({ ...one, ...(target.server === undefined ? {} : { server: target.server }) });
    else left.push({ ...one, exclusion });
  }
  const problems = toProblems(target, failures);
  const judged = { taken, left, problems, missing: [], unmatched: [], idle: [] };
  // What could not be listed may hold what seems to be missing: nothing is said about it but that.
  if (failures.length > 0) return judged;
  const absent = (target.instances ?? []).filter((id) => !matches.some((instance) => instance.id === id));
  if (target.optional === true && absent.length > 0)
    return { ...judged, idle: [`${rule} (not there: ${absent.join(' ')})`] };
  if (absent.length > 0) {
    const region = target.region === '*' ? '*' : target.region.join(',');
    return { ...judged, missing: absent.map((id) => ({ region, id })) };
  }
  if (taken.length > 0) return judged;
  return { ...judged, [target.optional === true ? 'idle' : 'unmatched']: [`${rule}${whyNone(left)}`] };
}

/** An instance that several targets match counts as what the first of them makes of it. */
function firstOfEach<T extends { readonly instance: Instance }>(entries: readonly T[]): Map<string, T> {
  const first = new Map<string, T>();
  for (const entry of entries)
    if (!first.has(placeOf(entry.instance))) first.set(placeOf(entry.instance), entry);
  return first;
}

function inOrder<T>(byPlace: ReadonlyMap<string, T>): readonly T[] {
  return [...byPlace.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry);
}

/** What is missing wherever it was looked for, each id once for a place. */
function nowhere(missing: readonly Missing[], selected: readonly Selected[]): readonly Missing[] {
  const once = [...new Map(missing.map((one) => [`${one.region}/${one.id}`, one])).values()];
  return once.filter(
    (one) =>
      !selected.some(({ instance }) => instance.id === one.id && covers(one.region, instance.region)) &&
      !once.some((other) => other !== one && other.id === one.id && covers(other.region, one.region)),
  );
}

interface Listed {
  readonly found: readonly Instance[];
  readonly failures: readonly Failure[];
}

interface Failure {
  /** Undefined when not even the regions could be listed. */
  readonly region?: string;
  readonly error: BackupError;
}

type Limit = ReturnType<typeof pLimit>;

async function listTarget(
  target: Target,
  sourceFor: SourceFor,
  limit: Limit,
  signal: AbortSignal,
): Promise<Listed> {
  let source: Source;
  let regions: readonly string[];
  try {
    source = sourceFor(target);
    regions = target.region === '*' ? await limit(async () => source.listRegions(signal)) : target.region;
  } catch (error) {
    return { found: [], failures: [{ error: asBackupError(error) }] };
  }
  const found: Instance[] = [];
  const failures: Failure[] = [];
  const listRegion = async (region: string): Promise<void> => {
    try {
      signal.throwIfAborted();
      for await (const instance of source.listInstances(toQuery(region, target), signal))
        found.push(instance);
    } catch (error) {
      failures.push({ region, error: asBackupError(error) });
    }
  };
  await Promise.all(regions.map(async (region) => limit(async () => listRegion(region))));
  return { found: found.sort((a, b) => (placeOf(a) < placeOf(b) ? -1 : 1)), failures };
}

/**
 * What the API can filter by. Versions are compared here: it takes only one, and only those that were there when its
 * page was written. Names as well: its search finds pieces of names and of ids.
 */
function toQuery(
  region: string,
  { instances, tags, resourceGroup }: Target,
): Parameters<Source['listInstances']>[0] {
  return {
    region,
    ...(instances === undefined ? {} : { ids: instances }),
    ...(tags === undefined ? {} : { tags }),
    ...(resourceGroup === undefined ? {} : { resourceGroup }),
  };
}

function isLike(instance: Instance, { name, engineVersions }: Target): boolean {
  return (
    (name === undefined || hasName(instance, name)) &&
    (engineVersions === undefined || hasVersion(instance, engineVersions))
  );
}

function hasName({ name }: Instance, patterns: readonly string[]): boolean {
  return patterns.some((pattern) => matchesPattern(name, pattern));
}

/** All of them, as a target means it: an exclusion that says more leaves out less. */
function hasTags(instance: Instance, tags: Readonly<Record<string, string>>): boolean {
  return Object.entries(tags).every(([key, value]) => instance.tags[key] === value);
}

/** `7` is all of 7, `7.0` is 7.0 and what is below it. */
function hasVersion({ engineVersion }: Instance, versions: readonly string[]): boolean {
  return versions.some((version) => engineVersion === version || engineVersion.startsWith(`${version}.`));
}

/** The first exclusion that leaves the instance out, and by what; undefined when none does. */
function exclusionOf(
  instance: Instance,
  exclusions: readonly (Exclusion & { readonly where: string })[],
): string | undefined {
  for (const { where, instances, tags, name, resourceGroup, engineVersions } of exclusions) {
    const met = [
      instances?.includes(instance.id) === true ? [`instances ${instance.id}`] : [],
      tags !== undefined && hasTags(instance, tags) ? describeTraits({ tags }) : [],
      name !== undefined && hasName(instance, name) ? describeTraits({ name }) : [],
      resourceGroup !== undefined && instance.resourceGroup === resourceGroup
        ? describeTraits({ resourceGroup })
        : [],
      engineVersions !== undefined && hasVersion(instance, engineVersions)
        ? describeTraits({ engineVersions })
        : [],
    ].flat();
    if (met.length > 0) return `${where}: ${met.join(', ')}`;
  }
  return undefined;
}

function describeTraits({ tags, name, resourceGroup, engineVersions }: Exclusion): readonly string[] {
  return [
    ...(tags === undefined
      ? []
      : [
          `tags ${Object.entries(tags)
            .map(([key, value]) => `${key}=${value}`)
            .join(' ')}`,
        ]),
    ...(name === undefined ? [] : [`name ${name.join(' ')}`]),
    ...(resourceGroup === undefined ? [] : [`resource group ${resourceGroup}`]),
    ...(engineVersions === undefined ? [] : [`version ${engineVersions.join(' ')}`]),
  ];
}

/** ` (all 3 that match are left out: 2 by exclude: name cache-*, 1 by …)`; nothing when nothing matched at all. */
function whyNone(left: readonly LeftOut[]): string {
  if (left.length === 0) return '';
  const counts = new Map<string, number>();
  for (const { exclusion } of left) counts.set(exclusion, (counts.get(exclusion) ?? 0) + 1);
  const by = [...counts].map(([exclusion, count]) => `${count} by ${exclusion}`);
  return ` (all ${left.length} that match are left out: ${by.join(', ')})`;
}

/** One problem for all regions that failed alike, so that a role without rights is not reported thirty times. */
function toProblems(target: Target, failures: readonly Failure[]): readonly BackupError[] {
  const alike = new Map<string, Failure[]>();
  for (const failure of failures) {
    const { code, retryable } = failure.error;
    alike.set(`${code} ${retryable}`, [...(alike.get(`${code} ${retryable}`) ?? []), failure]);
  }
  return [...alike.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const regions = group.flatMap(({ region }) => region ?? []).sort();
    const what = describeTarget(regions.length === 0 ? target : { ...target, region: regions });
    const { code, retryable, details, hint } = first.error;
    return new BackupError(code, `list the instances of ${what}`, {
      retryable,
      details,
      ...(hint === undefined ? {} : { hint }),
      cause: first.error,
    });
  });
}

function placeOf({ region, id }: Instance): string {
  return `${region}/${id}`;
}
