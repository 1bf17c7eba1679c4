/**
 * Values of every type but streams and modules, taken apart and checked, and told to the digest element by element.
 *
 * Source: rdbLoadObject in rdb.c of Redis 8 and of Valkey 9.
 */
import type { Entries } from './compact.ts';
import type { ValueContext } from './context.ts';
import { held } from './context.ts';
import type { FastKeys } from './fast-keys.ts';
import { corrupt } from './fault.ts';
import type { Dialect } from './format.ts';
import { TYPE } from './format.ts';
import type { Input, Parse } from './input.ts';
import { readModule } from './modules.ts';
import { readScore } from './numbers.ts';
import { readStream } from './streams.ts';

/** Field expiries are unsigned 48-bit milliseconds. */
const FIELD_EXPIRY_MS_MAX = 2 ** 48 - 1;

/** Reads the value after the key. The type is one that `logicalTypeOf` knows, and not a string. */
export function* readValue(context: ValueContext, type: number, dialect: Dialect): Parse<void> {
  context.seen.forget();
  const compact = COMPACT[type];
  if (compact !== undefined) return yield* readCompact(context, compact);
  switch (type) {
    case TYPE.list:
      return yield* readList(context);
    case TYPE.set:
      return yield* readSet(context);
    case TYPE.zsetText:
    case TYPE.zset:
      return yield* readSortedSet(context, type === TYPE.zset);
    case TYPE.hash:
      return yield* readHash(context);
    case TYPE.hashWithExpiry22:
      return yield* dialect === 'valkey' ? readValkeyHash(context) : readHashWithExpiry(context, false);
    case TYPE.hashWithExpiry:
      return yield* readHashWithExpiry(context, true);
    case TYPE.listQuicklist:
      return yield* readQuicklist(context);
    case TYPE.listQuicklist2:
      return yield* readQuicklist2(context);
    case TYPE.hashListpackExpiry:
      context.input.begin('the smallest field expiry of a hash');
      yield* context.input.take(8);
      context.input.position += 8;
      return yield* readCompact(context, HASH_LISTPACK_EXPIRY);
    case TYPE.module:
      return yield* readModule(context);
    default:
      return yield* readStream(context, type, dialect);
  }
}

/**
 * The same without a generator, for a compact value that is whole before the reader, as most are; else says false and
 * reads nothing.
 */
export function takeCompactValue(context: ValueContext, type: number): boolean {
  const compact = COMPACT[type];
  if (compact === undefined) return false;
  const { input, texts, seen } = context;
  input.begin(compact.what);
  if (!texts.take()) return false;
  seen.forget();
  compact.say(context, context[compact.walk].open(texts.bytes, texts.start, texts.end));
  return true;
}

/** A value that is one piece of memory: which walk leads through it, and what is said on the way. */
interface Compact {
  readonly walk: 'listpack' | 'ziplist' | 'intset' | 'zipmap';
  readonly what: string;
  readonly say: (context: ValueContext, entries: Entries) => void;
}

const HASH_LISTPACK_EXPIRY: Compact = {
  walk: 'listpack',
  what: 'the listpack of a hash with field expiries',
  say: sayHashWithExpiry,
};

/** By type. */
const COMPACT: readonly (Compact | undefined)[] = Object.assign(
  Array<Compact | undefined>(256).fill(undefined),
  {
    [TYPE.listZiplist]: { walk: 'ziplist', what: 'a ziplist of a list', say: sayList },
    [TYPE.setIntset]: { walk: 'intset', what: 'the integers of a set', say: sayIntset },
    [TYPE.setListpack]: { walk: 'listpack', what: 'the listpack of a set', say: saySet },
    [TYPE.zsetZiplist]: { walk: 'ziplist', what: 'the ziplist of a sorted set', say: saySortedSet },
    [TYPE.zsetListpack]: { walk: 'listpack', what: 'the listpack of a sorted set', say: saySortedSet },
    [TYPE.hashZipmap]: { walk: 'zipmap', what: 'the zipmap of a hash', say: sayHash },
    [TYPE.hashZiplist]: { walk: 'ziplist', what: 'the ziplist of a hash', say: sayHash },
    [TYPE.hashListpack]: { walk: 'listpack', what: 'the listpack of a hash', say: sayHash },
    [TYPE.hashListpackExpiryPreview]: HASH_LISTPACK_EXPIRY,
  } satisfies Record<number, Compact>,
);

/** Of a value that is too large to be looked into there is nothing to say. */
function* readCompact(context: ValueContext, { walk, what, say }: Compact): Parse<void> {
  const entries = yield* held(context, context[walk], what);
  if (entries !== undefined) say(context, entries);
}

function* readList(context: ValueContext): Parse<void> {
  const { input, texts, digest, fast } = context;
  let left = yield* count(input, 'a list');
  for (; (left -= takeElements(context, fast, TYPE.list, left).count) > 0; left--) {
    input.begin('an element of a list');
    if (texts.take()) digest.text(texts.bytes, texts.start, texts.end);
    else yield* texts.pass(digest);
  }
}

function* readSet(context: ValueContext): Parse<void> {
  const { input, texts, digest, fast } = context;
  let left = yield* count(input, 'a set');
  fast?.beginElements(left);
  for (; (left -= takeElements(context, fast, TYPE.set, left).count) > 0; left--) {
    input.begin('a member of a set');
    digest.beginElement();
    if (texts.take()) digest.text(texts.bytes, texts.start, texts.end);
    else yield* texts.pass(digest);
    refuseRepetition(context, fast);
    digest.endElement();
  }
}

function* readHash(context: ValueContext): Parse<void> {
  const { input, texts, digest, fast } = context;
  let left = yield* count(input, 'a hash');
  fast?.beginElements(left);
  for (; (left -= takeElements(context, fast, TYPE.hash, left).count) > 0; left--) {
    input.begin('a field of a hash');
    digest.beginElement();
    if (texts.take()) digest.text(texts.bytes, texts.start, texts.end);
    else yield* texts.pass(digest);
    refuseRepetition(context, fast);
    if (texts.take()) digest.text(texts.bytes, texts.start, texts.end);
    else yield* texts.pass(digest);
    digest.endElement();
  }
}

const SCORE_NAN = 253;
const SCORE_INFINITE = 254;
const SCORE_MINUS_INFINITE = 255;

function* readSortedSet(context: ValueContext, hasBinaryScores: boolean): Parse<void> {
  const { input, texts, digest } = context;
  const fast = hasBinaryScores ? context.fast : undefined;
  let left = yield* count(input, 'a sorted set');
  fast?.beginElements(left);
  for (; (left -= takeElements(context, fast, TYPE.zset, left).count) > 0; left--) {
    input.begin('a member of a sorted set');
    digest.beginElement();
    if (texts.take()) digest.text(texts.bytes, texts.start, texts.end);
    else yield* texts.pass(digest);
    refuseRepetition(context, fast);
    input.begin('a score of a sorted set');
    if (hasBinaryScores) {
      if (input.lacks(8)) yield 8;
      digest.score(takeDouble(input));
    } else {
      digest.score(yield* readTextScore(input));
    }
    digest.endElement();
  }
}

function takeDouble(input: Input): number {
  const score = input.view.getFloat64(input.position, true);
  input.position += 8;
  if (Number.isNaN(score)) corrupt('a score that is not a number');
  return score;
}

function* readTextScore(input: Input): Parse<number> {
  yield* input.take(1);
  const length = input.byte();
  if (length === SCORE_NAN) corrupt('a score that is not a number');
  if (length === SCORE_INFINITE) return Infinity;
  if (length === SCORE_MINUS_INFINITE) return -Infinity;
  yield* input.take(length);
  input.position += length;
  return scoreOf(input.view, input.position - length, input.position);
}

/** Fields, values and absolute expiries, -1 for none. */
function* readValkeyHash(context: ValueContext): Parse<void> {
  const { input, texts, digest } = context;
  let left = yield* count(input, 'a hash with field expiries');
  for (; left > 0; left--) {
    input.begin('a field of a hash with field expiries');
    digest.beginElement();
    yield* texts.pass(digest);
    refuseRepetition(context);
    yield* texts.pass(digest);
    yield* input.take(8);
    const low = input.int32LittleEndian();
    const high = input.int32LittleEndian();
    if (high < 0 && !(high === -1 && low === -1)) corrupt('a field expiry below zero');
    if (high >= 0) digest.fieldExpiry(low, high);
    digest.endElement();
  }
}

/** Expiries, fields and values; an expiry of 0 is none, others count from one below the smallest if that is given. */
function* readHashWithExpiry(context: ValueContext, hasSmallest: boolean): Parse<void> {
  const { input, texts, digest } = context;
  let base = 0;
  if (hasSmallest) {
    input.begin('the smallest field expiry of a hash');
    yield* input.take(8);
    const low = input.int32LittleEndian() >>> 0;
    base = input.int32LittleEndian() * 2 ** 32 + low - 1;
    if (base > FIELD_EXPIRY_MS_MAX) corrupt('a field expiry that does not fit 48 bits');
  }
  let left = yield* count(input, 'a hash with field expiries');
  for (; left > 0; left--) {
    input.begin('a field of a hash with field expiries');
    const offset = yield* input.length();
    digest.beginElement();
    yield* texts.pass(digest);
    refuseRepetition(context);
    yield* texts.pass(digest);
    if (offset > 0) sayFieldExpiry(context, base + offset);
    digest.endElement();
  }
}

/** Some servers have saved empty nodes, and all skip them; a list of nothing else is refused. */
function* readQuicklist(context: ValueContext): Parse<void> {
  let isEmpty = true;
  let left = yield* count(context.input, 'the nodes of a list');
  for (; left > 0; left--) {
    const entries = yield* held(context, context.ziplist, 'a ziplist of a list');
    if (entries === undefined || sayEach(context, entries)) isEmpty = false;
  }
  if (isEmpty) refuseEmpty();
}

const NODE_PLAIN = 1;
const NODE_PACKED = 2;

function* readQuicklist2(context: ValueContext): Parse<void> {
  const { input, fast } = context;
  let isEmpty = true;
  let left = yield* count(input, 'the nodes of a list');
  for (; left > 0; left--) {
    const taken = takeElements(context, fast, TYPE.listQuicklist2, left);
    if (taken.fullNodes > 0) isEmpty = false;
    left -= taken.count;
    if (left === 0) break;
    input.begin('a node of a list');
    const container = yield* input.length();
    if (container === NODE_PACKED) {
      const entries = yield* held(context, context.listpack, 'a listpack of a list');
      if (entries === undefined || sayEach(context, entries)) isEmpty = false;
    } else if (container === NODE_PLAIN) {
      const length = yield* context.texts.pass(context.digest);
      if (length === 0) corrupt('a list node without content');
      isEmpty = false;
    } else {
      corrupt(`a list node of the unknown kind ${container}`);
    }
  }
  if (isEmpty) refuseEmpty();
}

/** A count of things of which a saved key has at least one. */
function* count(input: Input, what: string): Parse<number> {
  input.begin(`the length of ${what}`);
  const length = yield* input.length();
  if (length === 0) refuseEmpty();
  return length;
}

function sayList(context: ValueContext, entries: Entries): void {
  if (!sayEach(context, entries)) refuseEmpty();
}

/** Returns whether there was anything. */
function sayEach({ digest }: ValueContext, entries: Entries): boolean {
  let isEmpty = true;
  while (entries.next()) {
    isEmpty = false;
    entries.asText();
    digest.text(entries.bytes, entries.start, entries.end);
  }
  return !isEmpty;
}

/** The walk checks that they increase, and so that none is there twice. */
function sayIntset({ digest }: ValueContext, entries: Entries): void {
  if (!entries.next()) refuseEmpty();
  do {
    entries.asText();
    digest.beginElement();
    digest.text(entries.bytes, entries.start, entries.end);
    digest.endElement();
  } while (entries.next());
}

function saySet(context: ValueContext, entries: Entries): void {
  const { digest } = context;
  if (!entries.next()) refuseEmpty();
  do {
    entries.asText();
    digest.beginElement();
    digest.text(entries.bytes, entries.start, entries.end);
    refuseRepetition(context);
    digest.endElement();
  } while (entries.next());
}

function sayHash(context: ValueContext, entries: Entries): void {
  const { digest } = context;
  if (!entries.next()) refuseEmpty();
  do {
    entries.asText();
    digest.beginElement();
    digest.text(entries.bytes, entries.start, entries.end);
    refuseRepetition(context);
    if (!entries.next()) corrupt('a field without a value');
    entries.asText();
    digest.text(entries.bytes, entries.start, entries.end);
    digest.endElement();
  } while (entries.next());
}

function saySortedSet(context: ValueContext, entries: Entries): void {
  const { digest } = context;
  if (!entries.next()) refuseEmpty();
  do {
    entries.asText();
    digest.beginElement();
    digest.text(entries.bytes, entries.start, entries.end);
    refuseRepetition(context);
    if (!entries.next()) corrupt('a member without a score');
    entries.asText();
    digest.score(scoreOf(entries.bytes, entries.start, entries.end));
    digest.endElement();
  } while (entries.next());
}

/** Triples of field, value and expiry, soonest first, 0 for none and then last. */
function sayHashWithExpiry(context: ValueContext, entries: Entries): void {
  const { digest } = context;
  if (!entries.next()) refuseEmpty();
  let last = 0;
  let isPastExpiries = false;
  do {
    entries.asText();
    digest.beginElement();
    digest.text(entries.bytes, entries.start, entries.end);
    refuseRepetition(context);
    if (!entries.next()) corrupt('a field without a value');
    entries.asText();
    digest.text(entries.bytes, entries.start, entries.end);
    if (!entries.next()) corrupt('a field without an expiry');
    const expiry = entries.asNumber();
    if (expiry === 0) {
      isPastExpiries = true;
    } else {
      if (isPastExpiries || expiry < last) corrupt('field expiries that are not in order');
      sayFieldExpiry(context, expiry);
      last = expiry;
    }
    digest.endElement();
  } while (entries.next());
}

function sayFieldExpiry({ digest }: ValueContext, expiry: number): void {
  if (expiry < 0 || expiry > FIELD_EXPIRY_MS_MAX) corrupt(`a field expiry of ${expiry} ms`);
  digest.fieldExpiry(expiry | 0, Math.floor(expiry / 2 ** 32));
}

function refuseEmpty(): never {
  corrupt('a key without any element, which no server saves');
}

/** @param fast with which the reader of the value began; what it takes is compared as well */
function refuseRepetition({ digest, seen }: ValueContext, fast?: FastKeys): void {
  const identity = digest.elementIdentity();
  const isThere = fast === undefined ? seen.add(identity) : fast.addElement(identity);
  if (isThere) corrupt('the same element is there twice');
}

const NOTHING_TAKEN = { count: 0, fullNodes: 0 };

/**
 * Has the fast loop take as many elements of a large value as are whole before the reader.
 * @param fast with which the reader of the value began: it may come later, but not in the middle of a value
 */
function takeElements(
  { input, digest, heldBytesMax }: ValueContext,
  fast: FastKeys | undefined,
  type: number,
  left: number,
): { readonly count: number; readonly fullNodes: number } {
  if (fast === undefined || !input.isInChunk()) return NOTHING_TAKEN;
  const isInOrder = type === TYPE.list || type === TYPE.listQuicklist2;
  const row = isInOrder ? digest.keyRow() : undefined;
  let [count, fullNodes] = [0, 0];
  input.position = fast.takeElements(
    type,
    left,
    input.bytes,
    input.position,
    input.end,
    heldBytesMax,
    row,
    (taken) => {
      count += taken.count;
      fullNodes += taken.fullNodes;
      digest.addTakenElements(isInOrder ? { ...taken, count: 0 } : taken);
    },
  );
  return { count, fullNodes };
}

function scoreOf(bytes: DataView, start: number, end: number): number {
  return readScore(bytes, start, end) ?? corrupt('a score that is not a number');
}
