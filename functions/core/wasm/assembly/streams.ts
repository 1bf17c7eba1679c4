/**
 * Streams: nodes of entries, then what the stream remembers of itself, then its consumer groups.
 *
 * Source: rdbLoadObject in rdb.c, streamValidateListpackIntegrity in t_stream.c of Redis 8 and of Valkey 9.
 */
import {
  END,
  ENTRY,
  bookmark,
  entryText,
  goTo,
  integer,
  isInteger,
  nextAgain,
  nextInListpack,
  openListpack,
} from './compact';
import { beginElement, beginElements, endElement, endElements, isRepeated } from './elements';
import { beginRow, finishRow, hash1, hash2, rowBlock, rowText } from './row';
import { readLength, readText, readWide, textAt, textBytes, wide } from './texts';

const ENTRY_DELETED: i64 = 1;
const ENTRY_SAME_FIELDS: i64 = 2;
const ITEM_GROUP: u64 = 1;
const ITEM_CONSUMER: u64 = 2;
const ITEM_PENDING: u64 = 3;
const ITEM_OWNER: u64 = 4;

/** Groups and consumers with longer names, and streams with more of them, are left to the slow reader. */
const NAME_MAX: usize = 1024;
const NAMES_MAX: u32 = 4096;
const groupName = memory.data(1024 + 64, 16);
const consumerName = memory.data(1024 + 64, 16);
let groupBytes: usize = 0;
let consumerBytes: usize = 0;
let names: u32 = 0;

/** Of the entries so far: how many are live, and the last one of them. */
let live: u64 = 0;
let lastMs: u64 = 0;
let lastSeq: u64 = 0;
/** The id that was read last. */
let ms: u64 = 0;
let seq: u64 = 0;
let number: i64 = 0;

/** Of pending entries: how many, and the sum of the hashes of their ids. */
let pending: u64 = 0;
let pending1: u64 = 0;
let pending2: u64 = 0;

/** @param version 1 to 3, as the types 15, 19 and 21 */
export function readStream(at: usize, end: usize, heldMax: usize, version: u32, isStrict: bool): usize {
  let next = readLength(at, end);
  if (next == 0) return 0;
  const nodes = wide;
  live = 0;
  for (let left = nodes; left > 0; left--) {
    next = readNode(next, end, heldMax);
    if (next == 0) return 0;
  }
  next = readLength(next, end);
  if (next == 0) return 0;
  const length = wide;
  if (length != live && (isStrict || nodes == 0)) return 0;
  next = readId(next, end);
  if (next == 0 || (live > 0 && isAfter(lastMs, lastSeq, ms, seq))) return 0;
  rowBlock(ms, seq);
  let added = length;
  if (version == 1) {
    rowBlock(0, 0);
  } else {
    next = readId(next, end);
    if (next == 0) return 0;
    next = readId(next, end);
    if (next == 0) return 0;
    rowBlock(ms, seq);
    next = readWide(next, end);
    // The slow reader counts in doubles.
    if (next == 0 || wide > 0x1fffffffffffff) return 0;
    added = wide;
  }
  rowBlock(added, 0);
  rowBlock(length, 0);
  return readGroups(next, end, version);
}

function readNode(at: usize, end: usize, heldMax: usize): usize {
  let next = readText(at, end);
  if (next == 0 || textBytes != 16) return 0;
  const masterMs = bswap<u64>(load<u64>(textAt));
  const masterSeq = bswap<u64>(load<u64>(textAt, 8));
  next = readText(next, end);
  if (next == 0 || textBytes > heldMax || !openListpack(textAt, textBytes)) return 0;
  return sayEntries(masterMs, masterSeq) ? next : 0;
}

/** The node's counts and the fields of its first entry, then its entries, each with a count of its own parts at the end. */
function sayEntries(masterMs: u64, masterSeq: u64): bool {
  if (!nextCount()) return false;
  const announced = number;
  if (!nextCount()) return false;
  const deleted = number;
  if (!nextCount()) return false;
  const masterFields = number;
  const mark = bookmark();
  for (let left = masterFields; left > 0; left--) if (nextInListpack() != ENTRY) return false;
  if (!nextCount() || number != 0 || announced + deleted == 0) return false;
  let seen: i64 = 0;
  for (let left = announced + deleted; left > 0; left--) {
    if (!nextCount() || number > (ENTRY_DELETED | ENTRY_SAME_FIELDS)) return false;
    const isLive = (number & ENTRY_DELETED) == 0;
    const hasSameFields = (number & ENTRY_SAME_FIELDS) != 0;
    if (!nextInteger()) return false;
    const entryMs = masterMs + <u64>integer;
    if (!nextInteger()) return false;
    const entrySeq = masterSeq + <u64>integer;
    if (!hasSameFields && !nextCount()) return false;
    const fields = hasSameFields ? masterFields : number;
    if (isLive) {
      if (live + <u64>seen > 0 && !isAfter(entryMs, entrySeq, lastMs, lastSeq)) return false;
      lastMs = entryMs;
      lastSeq = entrySeq;
      seen += 1;
      rowBlock(entryMs, entrySeq);
      rowBlock(<u64>fields, 0);
    }
    if (!(hasSameFields ? saySameFields(mark, fields, isLive) : sayFields(fields * 2, isLive))) return false;
    if (!nextCount() || number != (hasSameFields ? 3 + fields : 4 + fields * 2)) return false;
  }
  if (nextInListpack() != END || seen != announced) return false;
  live += <u64>announced;
  return true;
}

function sayFields(parts: i64, isLive: bool): bool {
  for (let left = parts; left > 0; left--) {
    if (nextInListpack() != ENTRY) return false;
    if (isLive) sayEntry();
  }
  return true;
}

/** Fields of the node's first entry, and values of this one. */
function saySameFields(mark: usize, fields: i64, isLive: bool): bool {
  if (!isLive) return sayFields(fields, false);
  let field = mark;
  for (let left = fields; left > 0; left--) {
    const value = bookmark();
    goTo(field);
    if (nextAgain() != ENTRY) return false;
    sayEntry();
    field = bookmark();
    goTo(value);
    if (nextInListpack() != ENTRY) return false;
    sayEntry();
  }
  return true;
}

function sayEntry(): void {
  entryText();
  rowText(textAt, textBytes, 0);
}

function readGroups(at: usize, end: usize, version: u32): usize {
  let next = readLength(at, end);
  if (next == 0) return 0;
  const groups = wide;
  beginElements(NAMES_MAX);
  names = 0;
  for (let left = groups; left > 0; left--) {
    next = readGroup(next, end, version);
    if (next == 0) return 0;
  }
  endElements();
  return next;
}

/** A group: its name and position, what is pending, and its consumers. Each pending entry has exactly one of those. */
function readGroup(at: usize, end: usize, version: u32): usize {
  let next = readText(at, end);
  if (next == 0 || textBytes > NAME_MAX || ++names > NAMES_MAX) return 0;
  groupBytes = textBytes;
  memory.copy(groupName, textAt, groupBytes);
  next = readId(next, end);
  if (next == 0) return 0;
  const deliveredMs = ms;
  const deliveredSeq = seq;
  if (version > 1) {
    next = readWide(next, end);
    if (next == 0) return 0;
  }
  beginElement();
  rowBlock(ITEM_GROUP, 0);
  rowText(groupName, groupBytes, 0);
  if (isRepeated()) return 0;
  rowBlock(deliveredMs, deliveredSeq);
  endElement();

  pending = 0;
  pending1 = 0;
  pending2 = 0;
  next = readPending(next, end);
  if (next == 0) return 0;
  next = readLength(next, end);
  if (next == 0) return 0;
  for (let left = wide; left > 0; left--) {
    next = readConsumer(next, end, version);
    if (next == 0) return 0;
  }
  return pending == 0 && pending1 == 0 && pending2 == 0 ? next : 0;
}

function readPending(at: usize, end: usize): usize {
  let next = readLength(at, end);
  if (next == 0) return 0;
  let isFirst = true;
  for (let left = wide; left > 0; left--) {
    if (<u64>next + 24 > end) return 0;
    if (!nextId(next, isFirst)) return 0;
    isFirst = false;
    addId();
    pending += 1;
    pending2 += hash2 + <u64>(pending1 + hash1 < hash1);
    pending1 += hash1;
    next = readLength(next + 24, end);
    if (next == 0) return 0;
    beginElement();
    rowBlock(ITEM_PENDING, 0);
    rowText(groupName, groupBytes, 0);
    rowBlock(ms, seq);
    rowBlock(wide, 0);
    endElement();
  }
  return next;
}

function readConsumer(at: usize, end: usize, version: u32): usize {
  let next = readText(at, end);
  if (next == 0 || textBytes > NAME_MAX || ++names > NAMES_MAX) return 0;
  consumerBytes = textBytes;
  memory.copy(consumerName, textAt, consumerBytes);
  beginElement();
  rowBlock(ITEM_CONSUMER, 0);
  rowText(groupName, groupBytes, 0);
  rowText(consumerName, consumerBytes, 0);
  if (isRepeated()) return 0;
  endElement();

  next += version < 3 ? 8 : 16;
  if (next > end) return 0;
  next = readLength(next, end);
  if (next == 0) return 0;
  let isFirst = true;
  for (let left = wide; left > 0; left--) {
    if (<u64>next + 16 > end) return 0;
    if (!nextId(next, isFirst)) return 0;
    isFirst = false;
    addId();
    pending -= 1;
    pending2 -= hash2 + <u64>(pending1 < hash1);
    pending1 -= hash1;
    next += 16;
    beginElement();
    rowBlock(ITEM_OWNER, 0);
    rowText(groupName, groupBytes, 0);
    rowText(consumerName, consumerBytes, 0);
    rowBlock(ms, seq);
    endElement();
  }
  return next;
}

/** Sixteen bytes, big-endian; false if it does not come after the one before. */
function nextId(at: usize, isFirst: bool): bool {
  const beforeMs = ms;
  const beforeSeq = seq;
  ms = bswap<u64>(load<u64>(at));
  seq = bswap<u64>(load<u64>(at, 8));
  return isFirst || isAfter(ms, seq, beforeMs, beforeSeq);
}

/** Hashes the id. No row is being hashed meanwhile. */
function addId(): void {
  beginRow();
  rowBlock(ms, seq);
  finishRow();
}

function readId(at: usize, end: usize): usize {
  let next = readWide(at, end);
  if (next == 0) return 0;
  ms = wide;
  next = readWide(next, end);
  seq = wide;
  return next;
}

function isAfter(ms: u64, seq: u64, otherMs: u64, otherSeq: u64): bool {
  return ms > otherMs || (ms == otherMs && seq > otherSeq);
}

function nextInteger(): bool {
  return nextInListpack() == ENTRY && isInteger;
}

/** A number that cannot be negative, and is not too large to be a count. */
function nextCount(): bool {
  if (!nextInteger() || integer < 0 || integer > 0xffffffff) return false;
  number = integer;
  return true;
}
