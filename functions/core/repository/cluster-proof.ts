/**
 * What the files of a cluster's backup prove together. A cluster's backup is one thing, all shards of one moment; that
 * there are as many files as shards says little about it. What does is in the files: each key belongs to one of 16384
 * slots, and each slot to one shard. So a slot with keys in two files cannot be: either slots moved between the shards
 * while the backup was made, or one of the files is not of this backup.
 */
import { SLOT_COUNT, SlotSet, parseSlots } from '../rdb/slots.ts';

/** One shard's file, as the manifest describes it. */
export interface ShardContents {
  readonly shard: number;
  readonly name: string;
  readonly rdb: {
    readonly keys: number;
    /** Of database 0; without `ranges` when they were not kept, which is so for anything but clusters. */
    readonly slots: { readonly ranges?: string | undefined; readonly owned?: string | undefined };
    readonly digest: string;
    /** When the file's writer says that it began, ISO 8601 UTC. */
    readonly createdAt?: string | undefined;
  };
}

export interface ClusterProof {
  /**
   * `owned`: each file has keys only in slots that the source says are its shard's, and the shards have all 16384
   * between them. `disjoint`: the source does not say whose a slot is; no slot has keys in two files.
   */
  readonly slots: 'owned' | 'disjoint';
  /** How many different slots hold keys. */
  readonly slotsSeen: number;
  /** Shards without a key in database 0. Legal, and worth a look where others hold many. */
  readonly emptyShards: number[];
}

export interface ClusterFinding {
  /** Why these files cannot be one backup, as sentences for the operator; empty when nothing speaks against it. */
  readonly problems: readonly string[];
  readonly proof: ClusterProof;
}

/** When the backup was made, as the source says. */
export interface MadeBetween {
  readonly startedAt: string;
  readonly endedAt: string;
}

/** Judges the files of a cluster; all of them, in any order. Pure; never throws. */
export function proveCluster(files: readonly ShardContents[], made: MadeBetween): ClusterFinding {
  const unread: string[] = [];
  const shards = files.map((file): Shard => {
    const read = (ranges: string, what: string): SlotSet => {
      const slots = parseSlots(ranges);
      if (slots === undefined) unread.push(`the slots that ${nameOf(file)} ${what} cannot be read`);
      return slots ?? new SlotSet();
    };
    const { ranges, owned } = file.rdb.slots;
    if (ranges === undefined) unread.push(`the slots of ${nameOf(file)} are not known`);
    return {
      file,
      holds: read(ranges ?? '', 'holds'),
      ...(owned === undefined ? {} : { owns: read(owned, 'may hold') }),
    };
  });
  const seen = new SlotSet();
  for (const { holds } of shards) seen.addAll(holds.all());
  return {
    problems: [
      ...unread,
      ...sharedSlots(shards),
      ...foreignSlots(shards),
      ...uncoveredSlots(shards),
      ...strayFiles(shards, made),
    ],
    proof: {
      slots: shards.every(({ owns }) => owns !== undefined) ? 'owned' : 'disjoint',
      slotsSeen: seen.report().seen,
      emptyShards: shards.filter(({ holds }) => holds.report().seen === 0).map(({ file }) => file.shard),
    },
  };
}

interface Shard {
  readonly file: ShardContents;
  readonly holds: SlotSet;
  /** Absent when the source does not say. */
  readonly owns?: SlotSet;
}

/** More than these say the same thing again. */
const MAX_PAIRS = 5;

/** Each file against the first one that holds the slot: of hundreds of shards, all pairs would be too many. */
function sharedSlots(shards: readonly Shard[]): readonly string[] {
  const firstOf = new Map<number, Shard>();
  const twinOf = new Map<string, Shard>();
  const problems: string[] = [];
  for (const one of shards) {
    const { keys, digest } = one.file.rdb;
    const twin = keys > 0 ? twinOf.get(digest) : undefined;
    twinOf.set(digest, twin ?? one);
    if (twin !== undefined)
      problems.push(
        `${nameOf(twin.file)} and ${nameOf(one.file)} hold the very same keys: one shard is there twice`,
      );
    const shared = new Map<Shard, SlotSet>();
    for (const slot of one.holds.slots()) {
      const first = firstOf.get(slot);
      if (first === undefined) firstOf.set(slot, one);
      else shared.set(first, (shared.get(first) ?? new SlotSet()).with(slot));
    }
    for (const [first, both] of shared)
      if (first !== twin)
        problems.push(
          `${countOf(both)} keys both in ${nameOf(first.file)} and in ${nameOf(one.file)}: slots were moved between the shards while the backup was made, or one of the files is of another backup`,
        );
  }
  if (problems.length <= MAX_PAIRS) return problems;
  return [
    ...problems.slice(0, MAX_PAIRS),
    `and so it is with ${problems.length - MAX_PAIRS} more ${problems.length - MAX_PAIRS === 1 ? 'pair' : 'pairs'} of files`,
  ];
}

function foreignSlots(shards: readonly Shard[]): readonly string[] {
  return shards.flatMap(({ file, holds, owns }) => {
    const foreign = owns === undefined ? undefined : holds.where((slot) => !owns.holds(slot));
    if (foreign === undefined || foreign.report().seen === 0) return [];
    return [`${countOf(foreign)} keys in ${nameOf(file)}, whose shard does not own ${them(foreign)}`];
  });
}

/** Where the source tells the owners of all slots, a slot that is nobody's is a shard that was not backed up. */
function uncoveredSlots(shards: readonly Shard[]): readonly string[] {
  const covered = new SlotSet();
  for (const { owns } of shards) {
    if (owns === undefined) return [];
    covered.addAll(owns.all());
  }
  const missing = everySlot().where((slot) => !covered.holds(slot));
  return missing.report().seen === 0 ? [] : [`${named(missing)} of none of the shards: a shard is missing`];
}

/** A file's own clock and the service's may differ by this much, and a shard's snapshot may be tried again. */
const STRAY_MARGIN_MS = 3600_000;

/**
 * Files that were not written when the backup was made, while others were: the very case of one shard's file of last
 * week. Only against each other, because nobody promises that the field means what it says; where it does for one file
 * of a service's instance, it does for all. Servers of one's own that tell what they own have clocks of their own, too,
 * and what is pulled from them is of now.
 */
function strayFiles(shards: readonly Shard[], { startedAt, endedAt }: MadeBetween): readonly string[] {
  const isWithin = (createdAt: string): boolean =>
    Date.parse(createdAt) >= Date.parse(startedAt) - STRAY_MARGIN_MS &&
    Date.parse(createdAt) <= Date.parse(endedAt) + STRAY_MARGIN_MS;
  const dated = shards.flatMap(({ file, owns }) => {
    const { createdAt } = file.rdb;
    return createdAt === undefined || owns !== undefined ? [] : [{ file, createdAt }];
  });
  const strays = dated.filter(({ createdAt }) => !isWithin(createdAt));
  if (strays.length === dated.length) return [];
  return strays.map(
    ({ file, createdAt }) =>
      `${nameOf(file)} was written at ${createdAt}, and the backup was made from ${startedAt} to ${endedAt}: it is of another backup`,
  );
}

function everySlot(): SlotSet {
  const slots = new SlotSet();
  for (let slot = 0; slot < SLOT_COUNT; slot++) slots.add(slot);
  return slots;
}

function nameOf({ shard, name }: ShardContents): string {
  return `${name} (shard ${shard})`;
}

function countOf(slots: SlotSet): string {
  const { seen, ranges } = slots.report();
  return seen === 1 ? `slot ${ranges} has` : `${seen} slots (${shortened(ranges)}) have`;
}

function named(slots: SlotSet): string {
  const { seen, ranges } = slots.report();
  return seen === 1 ? `slot ${ranges} is` : `${seen} slots (${shortened(ranges)}) are`;
}

function them(slots: SlotSet): string {
  return slots.report().seen === 1 ? 'it' : 'them';
}

const RANGES_SHOWN = 80;

/** Thousands of single slots would be a page. */
function shortened(ranges: string): string {
  if (ranges.length <= RANGES_SHOWN) return ranges;
  return `${ranges.slice(0, ranges.lastIndexOf(',', RANGES_SHOWN))}, …`;
}
