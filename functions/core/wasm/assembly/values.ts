/**
 * Values of the types that real files are made of. Each reader gets where the value starts and where the window ends,
 * puts the value into the key's row, and returns where it ends; 0 if it is left to the slow reader.
 *
 * Source: rdbLoadObject in rdb.c of Redis 8 and of Valkey 9.
 */
import {
  END,
  ENTRY,
  announcedEntries,
  entryAt,
  entryBytes,
  entryText,
  integer,
  isInteger,
  knowsCount,
  nextEntry,
  nextInListpack,
  openListpack,
  openZiplist,
} from './compact';
import { beginElement, beginElements, endElement, endElements, isRepeated } from './elements';
import { lane1, lane2, rowBlock, rowText } from './row';
import { readScore, score } from './scores';
import { ELEMENTS_MAX, elementAdd } from './seen';
import { readStream } from './streams';
import { readLength, readText, sayInteger, textAt, textBytes, wide } from './texts';

export const TYPE_STRING: u32 = 0;
export const TYPE_LIST: u32 = 1;
export const TYPE_SET: u32 = 2;
export const TYPE_HASH: u32 = 4;
export const TYPE_ZSET: u32 = 5;
const TYPE_LIST_ZIPLIST: u32 = 10;
const TYPE_SET_INTSET: u32 = 11;
const TYPE_ZSET_ZIPLIST: u32 = 12;
const TYPE_HASH_ZIPLIST: u32 = 13;
const TYPE_LIST_QUICKLIST: u32 = 14;
const TYPE_STREAM1: u32 = 15;
const TYPE_HASH_LISTPACK: u32 = 16;
const TYPE_ZSET_LISTPACK: u32 = 17;
export const TYPE_LIST_QUICKLIST2: u32 = 18;
const TYPE_STREAM2: u32 = 19;
const TYPE_SET_LISTPACK: u32 = 20;
const TYPE_STREAM3: u32 = 21;

const NODE_PLAIN: u64 = 1;
const NODE_PACKED: u64 = 2;

const STRING: u32 = 0;
const LIST: u32 = 1;
const SET: u32 = 2;
const ZSET: u32 = 3;
const HASH: u32 = 4;
const STREAM: u32 = 5;
export const UNKNOWN: u32 = 255;

/** What a client calls a value of this type. */
export function logicalType(type: u32): u32 {
  switch (type) {
    case TYPE_STRING:
      return STRING;
    case TYPE_LIST:
    case TYPE_LIST_ZIPLIST:
    case TYPE_LIST_QUICKLIST:
    case TYPE_LIST_QUICKLIST2:
      return LIST;
    case TYPE_SET:
    case TYPE_SET_INTSET:
    case TYPE_SET_LISTPACK:
      return SET;
    case TYPE_ZSET:
    case TYPE_ZSET_ZIPLIST:
    case TYPE_ZSET_LISTPACK:
      return ZSET;
    case TYPE_HASH:
    case TYPE_HASH_ZIPLIST:
    case TYPE_HASH_LISTPACK:
      return HASH;
    case TYPE_STREAM1:
    case TYPE_STREAM2:
    case TYPE_STREAM3:
      return STREAM;
    default:
      return UNKNOWN;
  }
}

/**
 * @param heldMax compact values of more bytes are not looked into
 * @param isStrict whether streams are refused that only Redis loads
 */
export function readValue(type: u32, at: usize, end: usize, heldMax: usize, isStrict: bool): usize {
  switch (type) {
    case TYPE_STRING:
      return sayOne(at, end);
    case TYPE_LIST:
      return readList(at, end);
    case TYPE_SET:
      return readSet(at, end);
    case TYPE_HASH:
      return readHash(at, end);
    case TYPE_ZSET:
      return readZset(at, end);
    case TYPE_LIST_QUICKLIST2:
      return readQuicklist2(at, end, heldMax);
    case TYPE_LIST_QUICKLIST:
      return readQuicklist(at, end, heldMax);
    case TYPE_STREAM1:
    case TYPE_STREAM2:
    case TYPE_STREAM3:
      return readStream(at, end, heldMax, type == TYPE_STREAM1 ? 1 : type == TYPE_STREAM2 ? 2 : 3, isStrict);
    default:
      return readCompact(type, at, end, heldMax);
  }
}

/** Reads a text into the row. */
export function sayOne(at: usize, end: usize): usize {
  const next = readText(at, end);
  if (next != 0) rowText(textAt, textBytes, 0);
  return next;
}

function readList(at: usize, end: usize): usize {
  let next = readLength(at, end);
  if (next == 0 || wide == 0) return 0;
  for (let left = wide; left > 0 && next != 0; left--) next = sayOne(next, end);
  return next;
}

function readSet(at: usize, end: usize): usize {
  return readElements(TYPE_SET, at, end);
}

function readHash(at: usize, end: usize): usize {
  return readElements(TYPE_HASH, at, end);
}

function readZset(at: usize, end: usize): usize {
  return readElements(TYPE_ZSET, at, end);
}

function readElements(type: u32, at: usize, end: usize): usize {
  let next = readLength(at, end);
  if (next == 0 || wide == 0) return 0;
  const count = wide;
  beginElements(<u32>min<u64>(count, ELEMENTS_MAX));
  for (let left = count; left > 0 && next != 0; left--) next = readElement(type, next, end);
  endElements();
  return next;
}

/** A member of a set, a field and its value, or a member and its score. */
export function readElement(type: u32, at: usize, end: usize): usize {
  beginElement();
  let next = sayOne(at, end);
  if (next == 0) return 0;
  const identity1 = lane1;
  const identity2 = lane2;
  if (type == TYPE_HASH) {
    next = sayOne(next, end);
    if (next == 0) return 0;
  } else if (type == TYPE_ZSET) {
    const value = load<f64>(next);
    next += 8;
    if (next > end || isNaN(value)) return 0;
    sayScore(value);
  }
  // Only of an element that is whole: one that is not will be read again.
  if (elementAdd(identity1, identity2)) return 0;
  endElement();
  return next;
}

function sayScore(value: f64): void {
  // Of the two zeros there is one only.
  rowBlock(value == 0 ? 0 : reinterpret<u64>(value), 0);
}

function readQuicklist2(at: usize, end: usize, heldMax: usize): usize {
  let next = readLength(at, end);
  if (next == 0 || wide == 0) return 0;
  let isEmpty = true;
  for (let left = wide; left > 0; left--) {
    next = readNode(next, end, heldMax);
    if (next == 0) return 0;
    if (!isNodeEmpty) isEmpty = false;
  }
  return isEmpty ? 0 : next;
}

/** Of the node that was read last. */
export let isNodeEmpty: bool = false;

/** A node of a list: a listpack, or one element. */
export function readNode(at: usize, end: usize, heldMax: usize): usize {
  let next = readLength(at, end);
  if (next == 0) return 0;
  const container = wide;
  next = readText(next, end);
  if (next == 0) return 0;
  if (container == NODE_PLAIN) {
    isNodeEmpty = false;
    if (textBytes == 0) return 0;
    rowText(textAt, textBytes, 0);
    return next;
  }
  if (container != NODE_PACKED || textBytes > heldMax || !openListpack(textAt, textBytes)) return 0;
  let answer = nextInListpack();
  isNodeEmpty = answer != ENTRY;
  for (; answer == ENTRY; answer = nextInListpack()) sayEntry();
  return answer == END ? next : 0;
}

function readQuicklist(at: usize, end: usize, heldMax: usize): usize {
  let next = readLength(at, end);
  if (next == 0 || wide == 0) return 0;
  let isEmpty = true;
  for (let left = wide; left > 0; left--) {
    next = readText(next, end);
    if (next == 0 || textBytes > heldMax || !openZiplist(textAt, textBytes)) return 0;
    let answer = nextEntry();
    if (answer == ENTRY) isEmpty = false;
    for (; answer == ENTRY; answer = nextEntry()) sayEntry();
    if (answer != END) return 0;
  }
  return isEmpty ? 0 : next;
}

function sayEntry(): void {
  entryText();
  rowText(textAt, textBytes, 0);
}

/** A value that is one piece of memory. */
function readCompact(type: u32, at: usize, end: usize, heldMax: usize): usize {
  const next = readText(at, end);
  if (next == 0 || textBytes > heldMax) return 0;
  if (type == TYPE_SET_INTSET) return sayIntset(textAt, textBytes) ? next : 0;
  const isZiplist = type <= TYPE_HASH_ZIPLIST;
  const isOpen = isZiplist ? openZiplist(textAt, textBytes) : openListpack(textAt, textBytes);
  if (!isOpen || !knowsCount()) return 0;
  let isSaid = false;
  switch (type) {
    case TYPE_LIST_ZIPLIST:
      isSaid = sayList();
      break;
    case TYPE_SET_LISTPACK:
      isSaid = saySet();
      break;
    case TYPE_HASH_LISTPACK:
    case TYPE_HASH_ZIPLIST:
      isSaid = sayHash();
      break;
    case TYPE_ZSET_LISTPACK:
    case TYPE_ZSET_ZIPLIST:
      isSaid = sayZset();
      break;
    default:
      break;
  }
  return isSaid ? next : 0;
}

function sayList(): bool {
  let answer = nextEntry();
  if (answer != ENTRY) return false;
  for (; answer == ENTRY; answer = nextEntry()) sayEntry();
  return answer == END;
}

function saySet(): bool {
  let answer = nextEntry();
  if (answer != ENTRY) return false;
  beginElements(announcedEntries());
  for (; answer == ENTRY; answer = nextEntry()) {
    beginElement();
    sayEntry();
    if (isRepeated()) return false;
    endElement();
  }
  endElements();
  return answer == END;
}

function sayHash(): bool {
  let answer = nextEntry();
  if (answer != ENTRY) return false;
  beginElements(announcedEntries());
  for (; answer == ENTRY; answer = nextEntry()) {
    beginElement();
    sayEntry();
    if (isRepeated() || nextEntry() != ENTRY) return false;
    sayEntry();
    endElement();
  }
  endElements();
  return answer == END;
}

function sayZset(): bool {
  let answer = nextEntry();
  if (answer != ENTRY) return false;
  beginElements(announcedEntries());
  for (; answer == ENTRY; answer = nextEntry()) {
    beginElement();
    sayEntry();
    if (isRepeated() || nextEntry() != ENTRY) return false;
    if (isInteger) {
      sayScore(<f64>integer);
    } else {
      if (!readScore(entryAt, entryBytes)) return false;
      sayScore(score);
    }
    endElement();
  }
  endElements();
  return answer == END;
}

/** Bytes per integer, how many, and the integers: sorted, and each is there once. */
function sayIntset(at: usize, bytes: usize): bool {
  if (bytes <= 8) return false;
  const width = load<u32>(at);
  const count = load<u32>(at, 4);
  if (width != 2 && width != 4 && width != 8) return false;
  if (count == 0 || <u64>8 + <u64>count * width != bytes) return false;
  beginElements(0);
  let before: i64 = 0;
  const end = at + bytes;
  for (let next = at + 8; next < end; next += width) {
    const value = width == 2 ? <i64>load<i16>(next) : width == 4 ? <i64>load<i32>(next) : load<i64>(next);
    if (next > at + 8 && value <= before) return false;
    before = value;
    beginElement();
    sayInteger(value);
    rowText(textAt, textBytes, 0);
    endElement();
  }
  endElements();
  return true;
}
