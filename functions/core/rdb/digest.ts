/**
 * What a data set holds, counted and digested: by the scanner from a file, or from a live server's answers. Both
 * say the same things in the same order, so equal contents give equal numbers whatever the encoding.
 *
 * **The digest, exactly.** H is MurmurHash3_x64_128 with seed 0. Everything that is hashed is a row of 16-byte
 * blocks, all numbers in it little-endian:
 *
 * - `text(t, w)`: the length of t in 4 bytes, the word w in 4 bytes, the bytes of t, zeros up to a whole block. If t has
 *   1024 bytes or more: its length modulo 2^31 plus 2^31, w, and the XXH64 of t with seed 0: one block;
 * - `text(t)`: text(t, 0);
 * - `block(w, x, y, z)`: four 32-bit words;
 * - `id(i)`: a stream id, milliseconds and sequence as two 64-bit words, low half first: one block;
 * - `number(n)`: block(low half, high half, 0, 0).
 *
 * The digest is the sum modulo 2^128 of H over the row of each key, as 32 hexadecimal digits (of the two words that
 * H yields, the first is the lower). The row of a key is `text(key, database)`; then, unless it is a string that does not
 * expire, `block(0, type, expiry low, expiry high)`; then its ordered part; and if it has elements without order,
 * `block` of the sum modulo 2^128 of their H and `number(how many)`. Type is 0 string, 1 list, 2 set, 3 zset, 4 hash,
 * 5 stream, 6 module, plus 256 if the key expires; the expiry is in milliseconds since 1970, 0 for none.
 *
 * | type | ordered part | elements, each hashed alone |
 * |---|---|---|
 * | string | text(value) | |
 * | list | text of each element | |
 * | set | | text(member) |
 * | zset | | text(member), block(score as a double: low, high, 0, 0), with -0 as 0 |
 * | hash | | text(field), text(value), and if the field expires number(ms) |
 * | stream | for each entry id(entry), number(fields), text(field), text(value) …; then id(last), id(greatest deleted), number(ever added), number(length) | group: number(1), text(group), id(last delivered); consumer: number(2), text(group), text(consumer); pending: number(3), text(group), id(entry), number(deliveries); owner: number(4), text(group), text(consumer), id(entry) |
 * | module | block(module id low, high, 0, 0), then of each part block(opcode, low, high, 0) (1 and 2: integer, 3: float in low, 4: double), a string as block(5, 0, 0, 0), text(it) | |
 *
 * A compact value that was too large to be looked into stands in the ordered part as text(the value as it is stored);
 * a server cannot say the same, so such a data set can be compared with another file, but not with a server.
 *
 * Equal digests tell that nothing was lost or altered by accident. The hash has no key and is not a cryptographic one:
 * whoever may write to the source can make different contents of equal digest, as they can write any contents at all.
 *
 * Left out, because a live server cannot say it exactly: clocks of consumers and deliveries, how much a group has
 * read, producers of a stream, idle times and access frequencies. Streams of RDB 9 and older do not know deleted and
 * ever added; they count as id 0-0 and their length, which is what a server makes of them.
 */
import type { TakenElements, TakenKeys } from './fast-keys.ts';
import { Hash128, Sum128 } from './hash128.ts';
import { sharedLoops, type Loops } from '../wasm/loops.ts';
import type { ContentSummary, DatabaseCount, LogicalType } from './report.ts';
import type { TextSink } from './texts.ts';

/** Hears of the contents, key by key, in the order in which they are stored. Between calls nothing is kept of bytes. */
export interface RdbContents extends TextSink {
  /** `low` and `high` are halves of the expiry in milliseconds, 0 and meaningless if the key does not expire. */
  beginKey(database: number, type: LogicalType, key: Lent, expires: boolean, low: number, high: number): void;
  /** What is said until `endElement` belongs to one element without order; outside of elements order counts. */
  beginElement(): void;
  endElement(): void;
  /** Of the zset member just said. */
  score(value: number): void;
  /** Of the hash field just said, in milliseconds. */
  fieldExpiry(low: number, high: number): void;
  id(msHigh: number, msLow: number, seqHigh: number, seqLow: number): void;
  number(value: number): void;
  block(word1: number, word2: number, word3: number, word4: number): void;
  /** What is said next of this key is a compact value as it is stored, because it was too large to be looked into. */
  unchecked?(): void;
  endKey(): void;
}

/** Text that is valid until the call returns. */
export interface Lent {
  readonly bytes: DataView;
  readonly start: number;
  readonly end: number;
}

export const LOGICAL_TYPES: readonly LogicalType[] = [
  'string',
  'list',
  'set',
  'zset',
  'hash',
  'stream',
  'module',
];

const STRING = 0;
const HAS_EXPIRY = 256;
const TWO_32 = 2 ** 32;

export interface ContentDigestOptions {
  /**
   * Leaves out keys and hash fields that expire before this instant (milliseconds since 1970), and hashes of which
   * nothing remains: a server drops them while it loads, or soon after.
   */
  readonly expiredBefore?: number;
  /** Hears everything as well. */
  readonly next?: RdbContents;
  /** Texts that lie in their memory are hashed where they are. */
  readonly loops?: Loops;
}

/** Plain data, for JSON. */
export interface DigestState {
  readonly sum: readonly [number, number, number, number];
  readonly databases: readonly (readonly [database: number, keys: number, expires: number])[];
  readonly types: readonly number[];
  readonly unchecked: number;
}

export class ContentDigest implements RdbContents {
  /** Whether `keyIdentity` is wanted. */
  identifiesKeys = false;
  private readonly expiredBefore: number;
  private readonly next: RdbContents | undefined;

  private readonly ofKey: Hash128;
  private readonly ofElement: Hash128;
  /** Where the next words go: the key's row, or the current element's. */
  private row: Hash128;
  private readonly elements = new Sum128();
  private elementCount = 0;
  private droppedCount = 0;
  private isElementDropped = false;

  private database = 0;
  private expires = false;
  private isKeyDropped = false;
  private isKeyUnchecked = false;
  private type = 0;

  private uncheckedKeys = 0;
  private readonly sum = new Sum128();
  private readonly counts = new Map<number, { keys: number; expires: number }>();
  private readonly typeCounts: number[] = LOGICAL_TYPES.map(() => 0);
  private countsOfDatabase = { keys: 0, expires: 0 };
  private countedDatabase = -1;

  private readonly score64 = new Float64Array(1);
  private readonly score32 = new Int32Array(this.score64.buffer);

  constructor(options: ContentDigestOptions = {}) {
    this.expiredBefore = options.expiredBefore ?? -Infinity;
    this.next = options.next;
    const loops = options.loops ?? sharedLoops();
    this.ofKey = new Hash128(loops);
    this.ofElement = new Hash128(loops);
    this.row = this.ofKey;
  }

  beginKey(
    database: number,
    type: LogicalType,
    key: Lent,
    expires: boolean,
    low: number,
    high: number,
  ): void {
    this.database = database;
    this.expires = expires;
    this.isKeyDropped = expires && high * TWO_32 + (low >>> 0) < this.expiredBefore;
    if (type !== LOGICAL_TYPES[this.type]) this.type = LOGICAL_TYPES.indexOf(type);
    this.isKeyUnchecked = false;
    this.elementCount = 0;
    this.droppedCount = 0;
    this.elements.reset();
    const { ofKey } = this;
    this.row = ofKey;
    ofKey.reset();
    ofKey.text(key.bytes, key.start, key.end, database);
    if (this.identifiesKeys) ofKey.identify();
    if (expires || this.type !== STRING) {
      ofKey.block(0, expires ? this.type | HAS_EXPIRY : this.type, expires ? low : 0, expires ? high : 0);
    }
    this.next?.beginKey(database, type, key, expires, low, high);
  }

  /** After `beginKey`, if `identifiesKeys`, and only until the next call: what tells database and key from all others. */
  keyIdentity(): Hash128 {
    return this.ofKey;
  }

  /** Adds keys of one database that were hashed elsewhere. */
  addTaken(database: number, { keys, expires, keysByType, sum }: TakenKeys): void {
    this.sum.add(sum);
    const counts = this.countsOf(database);
    counts.keys += keys;
    counts.expires += expires;
    for (const [type, ofType] of keysByType.entries())
      this.typeCounts[type] = (this.typeCounts[type] ?? 0) + ofType;
  }

  /** Adds elements of the current key that were hashed elsewhere. */
  addTakenElements({ count, sum }: TakenElements): void {
    if (count === 0) return;
    this.elements.add(sum);
    this.elementCount += count;
  }

  /** The row of the current key, while no element is open. */
  keyRow(): Hash128 {
    return this.ofKey;
  }

  beginElement(): void {
    this.row = this.ofElement;
    this.row.reset();
    this.isElementDropped = false;
    this.next?.beginElement();
  }

  text(bytes: DataView, start: number, end: number): void {
    this.row.text(bytes, start, end);
    this.next?.text(bytes, start, end);
  }

  beginText(length: number): void {
    this.row.beginText(length);
    this.next?.beginText(length);
  }

  piece(bytes: DataView, start: number, end: number): void {
    this.row.piece(bytes, start, end);
    this.next?.piece(bytes, start, end);
  }

  endText(): void {
    this.row.endText();
    this.next?.endText();
  }

  score(value: number): void {
    this.score64[0] = value === 0 ? 0 : value;
    this.row.block(this.score32[0] as number, this.score32[1] as number, 0, 0);
    this.next?.score(value);
  }

  fieldExpiry(low: number, high: number): void {
    this.row.block(low, high, 0, 0);
    this.isElementDropped = high * TWO_32 + (low >>> 0) < this.expiredBefore;
    this.next?.fieldExpiry(low, high);
  }

  id(msHigh: number, msLow: number, seqHigh: number, seqLow: number): void {
    this.row.block(msLow, msHigh, seqLow, seqHigh);
    this.next?.id(msHigh, msLow, seqHigh, seqLow);
  }

  number(value: number): void {
    this.row.block(value, Math.floor(value / TWO_32), 0, 0);
    this.next?.number(value);
  }

  block(word1: number, word2: number, word3: number, word4: number): void {
    this.row.block(word1, word2, word3, word4);
    this.next?.block(word1, word2, word3, word4);
  }

  unchecked(): void {
    this.isKeyUnchecked = true;
    this.next?.unchecked?.();
  }

  endElement(): void {
    if (this.isElementDropped) {
      this.droppedCount++;
    } else {
      this.ofElement.finish();
      this.elements.add(this.ofElement);
      this.elementCount++;
    }
    this.row = this.ofKey;
    this.next?.endElement();
  }

  endKey(): void {
    this.next?.endKey();
    const isEmptied = this.elementCount === 0 && this.droppedCount > 0;
    if (this.isKeyDropped || isEmptied) return;
    const { ofKey, elements } = this;
    if (this.elementCount > 0) {
      ofKey.block(elements.a, elements.b, elements.c, elements.d);
      ofKey.block(this.elementCount, Math.floor(this.elementCount / TWO_32), 0, 0);
    }
    ofKey.finish();
    this.sum.add(ofKey);
    this.count();
    if (this.isKeyUnchecked) this.uncheckedKeys++;
  }

  /** What the keys that have ended amount to, to go on from there. */
  save(): DigestState {
    const { a, b, c, d } = this.sum;
    return {
      sum: [a, b, c, d],
      databases: [...this.counts].map(([database, { keys, expires }]) => [database, keys, expires]),
      types: [...this.typeCounts],
      unchecked: this.uncheckedKeys,
    };
  }

  restore({ sum: [a, b, c, d], databases, types, unchecked }: DigestState): void {
    this.sum.add({ a, b, c, d });
    for (const [database, keys, expires] of databases) this.counts.set(database, { keys, expires });
    for (const [type, count] of types.entries()) this.typeCounts[type] = count;
    this.uncheckedKeys = unchecked;
  }

  /** What was said so far of the current element: after its first text this tells members and fields apart. */
  elementIdentity(): Hash128 {
    this.ofElement.identify();
    return this.ofElement;
  }

  summary(): ContentSummary {
    const databases: Record<string, DatabaseCount> = {};
    let keys = 0;
    let expires = 0;
    for (const [database, counts] of [...this.counts].sort(([a], [b]) => a - b)) {
      databases[database] = { ...counts };
      keys += counts.keys;
      expires += counts.expires;
    }
    const types: Partial<Record<LogicalType, number>> = {};
    for (const [index, type] of LOGICAL_TYPES.entries()) {
      const count = this.typeCounts[index] ?? 0;
      if (count > 0) types[type] = count;
    }
    const summary = { keys, expires, databases, types, digest: this.sum.toHex() };
    return this.uncheckedKeys === 0 ? summary : { ...summary, unchecked: this.uncheckedKeys };
  }

  private count(): void {
    const counts = this.countsOf(this.database);
    counts.keys++;
    if (this.expires) counts.expires++;
    this.typeCounts[this.type] = (this.typeCounts[this.type] ?? 0) + 1;
  }

  private countsOf(database: number): { keys: number; expires: number } {
    if (database !== this.countedDatabase) {
      this.countedDatabase = database;
      this.countsOfDatabase = this.counts.get(database) ?? { keys: 0, expires: 0 };
      this.counts.set(database, this.countsOfDatabase);
    }
    return this.countsOfDatabase;
  }
}

/** The contents of several servers or files together, as of the shards of a cluster. */
export function mergeSummaries(summaries: readonly ContentSummary[]): ContentSummary {
  const databases: Record<string, { keys: number; expires: number }> = {};
  const types: Partial<Record<LogicalType, number>> = {};
  let digest = 0n;
  const unchecked = summaries.reduce((sum, { unchecked: more = 0 }) => sum + more, 0);
  for (const summary of summaries) {
    for (const [database, { keys, expires }] of Object.entries(summary.databases)) {
      const counts = (databases[database] ??= { keys: 0, expires: 0 });
      counts.keys += keys;
      counts.expires += expires;
    }
    for (const type of LOGICAL_TYPES) {
      const count = summary.types[type];
      if (count !== undefined) types[type] = (types[type] ?? 0) + count;
    }
    digest = BigInt.asUintN(128, digest + BigInt(`0x${summary.digest}`));
  }
  return {
    keys: summaries.reduce((sum, { keys }) => sum + keys, 0),
    expires: summaries.reduce((sum, { expires }) => sum + expires, 0),
    databases,
    types,
    digest: digest.toString(16).padStart(32, '0'),
    ...(unchecked === 0 ? {} : { unchecked }),
  };
}
