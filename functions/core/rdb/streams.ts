/**
 * Streams: nodes of entries, then what the stream remembers of itself, then its consumer groups.
 *
 * Source: rdbLoadObject in rdb.c, streamValidateListpackIntegrity in t_stream.c of Redis 8 and of Valkey 9.
 */
import type { Listpack } from './compact.ts';
import type { ValueContext } from './context.ts';
import { held } from './context.ts';
import { corrupt } from './fault.ts';
import type { Dialect } from './format.ts';
import { TYPE } from './format.ts';
import { Hash128, Sum128 } from './hash128.ts';
import type { Input, Parse } from './input.ts';
import { bytesOf, viewOf } from './input.ts';
import { NOWHERE } from './texts.ts';

const ID_BYTES = 16;
const ENTRY_DELETED = 1;
const ENTRY_SAME_FIELDS = 2;
const ITEM_GROUP = 1;
const ITEM_CONSUMER = 2;
const ITEM_PENDING = 3;
const ITEM_OWNER = 4;

/** Milliseconds and sequence as unsigned halves. */
class StreamId {
  msHigh = 0;
  msLow = 0;
  seqHigh = 0;
  seqLow = 0;

  copy(other: StreamId): void {
    this.msHigh = other.msHigh;
    this.msLow = other.msLow;
    this.seqHigh = other.seqHigh;
    this.seqLow = other.seqLow;
  }

  /** Sixteen bytes, big-endian. */
  read(bytes: DataView, at: number): void {
    this.msHigh = bytes.getUint32(at);
    this.msLow = bytes.getUint32(at + 4);
    this.seqHigh = bytes.getUint32(at + 8);
    this.seqLow = bytes.getUint32(at + 12);
  }

  addMs(high: number, low: number): void {
    const sum = this.msLow + (low >>> 0);
    this.msLow = sum >>> 0;
    this.msHigh = (this.msHigh + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
  }

  addSeq(high: number, low: number): void {
    const sum = this.seqLow + (low >>> 0);
    this.seqLow = sum >>> 0;
    this.seqHigh = (this.seqHigh + high + (sum > 0xffff_ffff ? 1 : 0)) >>> 0;
  }

  isAfter(other: StreamId): boolean {
    if (this.msHigh !== other.msHigh) return this.msHigh > other.msHigh;
    if (this.msLow !== other.msLow) return this.msLow > other.msLow;
    if (this.seqHigh !== other.seqHigh) return this.seqHigh > other.seqHigh;
    return this.seqLow > other.seqLow;
  }
}

/** What is known of the entries once all nodes are read. */
interface Entries {
  /** False if a node was too large to be looked into. */
  areAllKnown: boolean;
  live: number;
  /**
   * Of the last one that is live; undefined before the first. Deleted ones do not count: after `XDEL` of the newest,
   * `XSETID` may go back behind it, and ids that stood there are given out again.
   */
  last: StreamId | undefined;
}

export function* readStream(context: ValueContext, type: number, dialect: Dialect): Parse<void> {
  const { input, digest } = context;
  const entries: Entries = { areAllKnown: true, live: 0, last: undefined };
  input.begin('the number of nodes of a stream');
  const nodes = yield* input.length();
  for (let left = nodes; left > 0; left--) yield* readNode(context, entries);

  input.begin('the length of a stream');
  const length = yield* input.length();
  // Redis has written streams whose length disagrees with their entries, and loads them; Valkey 9.1 refuses them.
  const isRefused = dialect === 'valkey' || nodes === 0;
  if (length !== entries.live && isRefused && entries.areAllKnown)
    corrupt(`a length of ${length} for ${entries.live} entries`);
  const last = yield* readId(input, 'the last id of a stream');
  if (entries.last?.isAfter(last) === true) corrupt('the last id of a stream is before its last entry');
  let deleted = new StreamId();
  let added = length;
  if (type !== TYPE.stream1) {
    yield* readId(input, 'the first id of a stream');
    deleted = yield* readId(input, 'the greatest deleted id of a stream');
    const [high, low] = yield* input.wide();
    added = high * 2 ** 32 + low;
  }
  sayId(context, last);
  sayId(context, deleted);
  digest.number(added);
  digest.number(length);

  input.begin('the number of groups of a stream');
  let groups = yield* input.length();
  for (; groups > 0; groups--) yield* readGroup(context, type);
  if (type === TYPE.stream4) yield* readProducers(context);
}

function* readNode(context: ValueContext, entries: Entries): Parse<void> {
  const { input, texts, listpack } = context;
  input.begin('the key of a stream node');
  yield* texts.whole();
  if (texts.end - texts.start !== ID_BYTES) corrupt(`a node key of ${texts.end - texts.start} bytes`);
  const master = new StreamId();
  master.read(texts.bytes, texts.start);
  if (yield* held(context, listpack, 'the entries of a stream node')) sayEntries(context, master, entries);
  else entries.areAllKnown = false;
}

/** The node's counts and the fields of its first entry, then its entries, each with a count of its own parts at the end. */
function sayEntries(context: ValueContext, master: StreamId, entries: Entries): void {
  const { digest, listpack } = context;
  const live = nextCount(context, 'live entries');
  const deleted = nextCount(context, 'deleted entries');
  const masterFields = nextCount(context, 'fields');
  context.masterFields.copyWalk(listpack);
  for (let left = masterFields; left > 0; left--) advance(context);
  if (nextNumber(context) !== 0) corrupt('the first entry of a stream node does not end');
  if (live + deleted === 0) corrupt('a stream node without entries');

  let liveSeen = 0;
  for (let left = live + deleted; left > 0; left--) {
    const flags = nextNumber(context);
    if (flags < 0 || flags > (ENTRY_DELETED | ENTRY_SAME_FIELDS))
      corrupt(`a stream entry with the unknown flags ${flags}`);
    const id = nextId(context, master);
    const isLive = (flags & ENTRY_DELETED) === 0;
    const hasSameFields = (flags & ENTRY_SAME_FIELDS) !== 0;
    const fields = hasSameFields ? masterFields : nextCount(context, 'fields of an entry');
    if (isLive) {
      if (entries.last !== undefined && !id.isAfter(entries.last)) corrupt('stream ids that do not increase');
      entries.last = id;
      liveSeen++;
      sayId(context, id);
      digest.number(fields);
    }
    context.sameFields.copyWalk(context.masterFields);
    for (let left = fields; left > 0; left--) {
      sayNext(context, hasSameFields ? context.sameFields : listpack, isLive);
      sayNext(context, listpack, isLive);
    }
    const parts = hasSameFields ? 3 + fields : 4 + fields * 2;
    if (nextNumber(context) !== parts) corrupt('a stream entry with a wrong count of its parts');
  }
  if (listpack.next()) corrupt('more entries in a stream node than it counts');
  if (liveSeen !== live) corrupt(`${liveSeen} live entries in a stream node that counts ${live}`);
  entries.live += live;
}

function nextId(context: ValueContext, master: StreamId): StreamId {
  const { listpack } = context;
  const id = new StreamId();
  id.copy(master);
  advance(context);
  listpack.asInteger();
  id.addMs(listpack.high, listpack.low);
  advance(context);
  listpack.asInteger();
  id.addSeq(listpack.high, listpack.low);
  return id;
}

function sayNext({ digest }: ValueContext, walk: Listpack, isLive: boolean): void {
  if (!walk.next()) corrupt('a stream node that ends inside an entry');
  if (!isLive) return;
  walk.asText();
  digest.text(walk.bytes, walk.start, walk.end);
}

function nextCount(context: ValueContext, what: string): number {
  const count = nextNumber(context);
  if (count < 0) corrupt(`a count of ${count} ${what}`);
  return count;
}

function nextNumber(context: ValueContext): number {
  advance(context);
  return context.listpack.asNumber();
}

function advance({ listpack }: ValueContext): void {
  if (!listpack.next()) corrupt('a stream node that ends inside an entry');
}

/**
 * A group: its name and position, what is pending, and its consumers. That each pending entry has exactly one
 * consumer is told by comparing sums of hashes, so that nothing has to be remembered.
 */
function* readGroup(context: ValueContext, type: number): Parse<void> {
  const { input, texts, digest } = context;
  input.begin('the name of a group of a stream');
  yield* texts.whole();
  const group = viewOf(bytesOf(texts.bytes, texts.start, texts.end).slice());
  const delivered = yield* readId(input, 'the last delivered id of a group');
  if (type !== TYPE.stream1) yield* input.wide();
  digest.beginElement();
  digest.number(ITEM_GROUP);
  digest.text(group, 0, group.byteLength);
  if (context.seen.add(digest.elementIdentity())) corrupt('the same group is there twice');
  sayId(context, delivered);
  digest.endElement();

  const pending = new IdSum();
  input.begin('the number of pending entries of a group');
  let left = yield* input.length();
  for (; left > 0; left--) {
    input.begin('a pending entry of a group');
    const id = yield* readRawId(input);
    pending.add(id);
    yield* input.take(8);
    input.position += 8;
    const deliveries = yield* input.length();
    digest.beginElement();
    digest.number(ITEM_PENDING);
    digest.text(group, 0, group.byteLength);
    sayId(context, id);
    digest.number(deliveries);
    digest.endElement();
  }

  const owned = new IdSum();
  input.begin('the number of consumers of a group');
  let consumers = yield* input.length();
  for (; consumers > 0; consumers--) yield* readConsumer(context, type, group, owned);
  if (owned.count !== pending.count || !owned.sum.equals(pending.sum)) {
    corrupt('the pending entries of a group are not those of its consumers');
  }
}

function* readConsumer(context: ValueContext, type: number, group: DataView, owned: IdSum): Parse<void> {
  const { input, texts, digest } = context;
  input.begin('the name of a consumer');
  yield* texts.whole();
  const consumer = viewOf(bytesOf(texts.bytes, texts.start, texts.end).slice());
  digest.beginElement();
  digest.number(ITEM_CONSUMER);
  digest.text(group, 0, group.byteLength);
  digest.text(consumer, 0, consumer.byteLength);
  if (context.seen.add(digest.elementIdentity())) corrupt('the same consumer is there twice');
  digest.endElement();

  const times = type === TYPE.stream1 || type === TYPE.stream2 ? 8 : 16;
  yield* input.take(times);
  input.position += times;
  owned.startOver();
  input.begin('the number of pending entries of a consumer');
  let left = yield* input.length();
  for (; left > 0; left--) {
    input.begin('a pending entry of a consumer');
    const id = yield* readRawId(input);
    owned.add(id);
    digest.beginElement();
    digest.number(ITEM_OWNER);
    digest.text(group, 0, group.byteLength);
    digest.text(consumer, 0, consumer.byteLength);
    sayId(context, id);
    digest.endElement();
  }
}

/** Duplicate suppression of producers (Redis 8.6): how long and how much, then each producer's recent message ids. */
function* readProducers({ input, texts }: ValueContext): Parse<void> {
  input.begin('the producers of a stream');
  yield* input.length();
  yield* input.length();
  let producers = yield* input.length();
  for (; producers > 0; producers--) {
    input.begin('a producer of a stream');
    yield* texts.pass(NOWHERE);
    let messages = yield* input.length();
    for (; messages > 0; messages--) {
      input.begin('a message id of a producer');
      yield* texts.pass(NOWHERE);
      yield* input.wide();
      yield* input.wide();
    }
  }
  yield* input.wide();
  yield* input.wide();
}

/** Ids in increasing order, summed up so that two rows of them can be compared. */
class IdSum {
  count = 0;
  readonly sum = new Sum128();
  private readonly hash = new Hash128();
  private before: StreamId | undefined;

  add(id: StreamId): void {
    if (this.before !== undefined && !id.isAfter(this.before))
      corrupt('pending entries that do not increase');
    this.before = id;
    this.hash.reset();
    this.hash.block(id.msLow, id.msHigh, id.seqLow, id.seqHigh);
    this.hash.finish();
    this.sum.add(this.hash);
    this.count++;
  }

  /** Another row of ids follows. */
  startOver(): void {
    this.before = undefined;
  }
}

function* readId(input: Input, what: string): Parse<StreamId> {
  input.begin(what);
  const id = new StreamId();
  [id.msHigh, id.msLow] = yield* input.wide();
  [id.seqHigh, id.seqLow] = yield* input.wide();
  return id;
}

function* readRawId(input: Input): Parse<StreamId> {
  yield* input.take(ID_BYTES);
  const id = new StreamId();
  id.read(input.view, input.position);
  input.position += ID_BYTES;
  return id;
}

function sayId({ digest }: ValueContext, id: StreamId): void {
  digest.id(id.msHigh, id.msLow, id.seqHigh, id.seqLow);
}
