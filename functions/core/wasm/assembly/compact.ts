/**
 * Walks over the compact encodings, entry by entry, with the checks that a server makes of them. What is not in order
 * is left to the slow reader, which says what it is.
 *
 * Source: listpack.c, ziplist.c and intset.c of Redis, and their own integrity checks.
 */
import { sayInteger, sayText } from './texts';

const COUNT_UNKNOWN: u32 = 0xffffffff;
const TERMINATOR: u32 = 0xff;

/** Answers of `nextEntry`. */
export const ENTRY: i32 = 1;
export const END: i32 = 0;
export const WRONG: i32 = -1;

/** The entry: an integer, or a text. */
export let isInteger: bool = false;
export let integer: i64 = 0;
export let entryAt: usize = 0;
export let entryBytes: usize = 0;

let cursor: usize = 0;
let limit: usize = 0;
let count: u32 = 0;
let announced: u32 = 0;
let isZiplist: bool = false;
let first: usize = 0;
let previous: usize = 0;
let lastEntry: usize = 0;

/** How many entries the header announces, if it says so; there are never more. */
export function announcedEntries(): u32 {
  return announced;
}

export function knowsCount(): bool {
  return announced != COUNT_UNKNOWN;
}

/** Where the walk over a listpack is, to go on from there another time. */
export function bookmark(): usize {
  return cursor;
}

export function goTo(mark: usize): void {
  cursor = mark;
}

export function openListpack(at: usize, bytes: usize): bool {
  isZiplist = false;
  if (bytes < 7 || load<u32>(at) != bytes || load<u8>(at + bytes - 1) != TERMINATOR) return false;
  announced = announcedAt(at + 4);
  cursor = at + 6;
  limit = at + bytes - 1;
  count = 0;
  return true;
}

export function openZiplist(at: usize, bytes: usize): bool {
  isZiplist = true;
  if (bytes < 11 || load<u32>(at) != bytes || load<u8>(at + bytes - 1) != TERMINATOR) return false;
  announced = announcedAt(at + 8);
  first = at;
  cursor = at + 10;
  limit = at + bytes - 1;
  count = 0;
  previous = 0;
  lastEntry = cursor;
  return true;
}

/** Sixteen bits; if all of them are set, there are too many entries to count. */
function announcedAt(at: usize): u32 {
  const count = <u32>load<u16>(at);
  return count == 0xffff ? COUNT_UNKNOWN : count;
}

export function nextEntry(): i32 {
  return isZiplist ? nextInZiplist() : nextInListpack();
}

/** Makes the entry the text that was read last. */
export function entryText(): void {
  if (isInteger) sayInteger(integer);
  else sayText(entryAt, entryBytes);
}

export function nextInListpack(): i32 {
  const at = cursor;
  if (at == limit) return announced == COUNT_UNKNOWN || announced == count ? END : WRONG;
  const byte = <u32>load<u8>(at);
  let bytes: u64 = 1;
  if (byte < 0x80) {
    isInteger = true;
    integer = byte;
  } else if (byte < 0xc0) {
    isInteger = false;
    entryAt = at + 1;
    entryBytes = byte & 63;
    bytes = 1 + entryBytes;
  } else if (byte < 0xe0) {
    isInteger = true;
    integer = <i64>(<i32>((((byte & 31) << 8) | load<u8>(at, 1)) << 19) >> 19);
    bytes = 2;
  } else if (byte < 0xf0) {
    isInteger = false;
    entryAt = at + 2;
    entryBytes = ((byte & 15) << 8) | load<u8>(at, 1);
    bytes = 2 + entryBytes;
  } else if (byte == 0xf0) {
    isInteger = false;
    entryAt = at + 5;
    entryBytes = load<u32>(at, 1);
    bytes = 5 + <u64>entryBytes;
  } else {
    isInteger = true;
    if (byte == 0xf1) {
      integer = load<i16>(at, 1);
      bytes = 3;
    } else if (byte == 0xf2) {
      integer = (<i32>(load<u32>(at, 1) << 8)) >> 8;
      bytes = 4;
    } else if (byte == 0xf3) {
      integer = load<i32>(at, 1);
      bytes = 5;
    } else if (byte == 0xf4) {
      integer = load<i64>(at, 1);
      bytes = 9;
    } else {
      return WRONG;
    }
  }
  // The back-length, of at least one byte, has to be inside as well.
  if (<u64>at + bytes + 1 > limit) return WRONG;
  cursor = pastBackLength(at + <usize>bytes, <u32>bytes);
  count += 1;
  return cursor == 0 || count > announced ? WRONG : ENTRY;
}

/** The next entry of a listpack, in a place that the walk has passed already. */
export function nextAgain(): i32 {
  const counted = count;
  const answer = nextInListpack();
  count = counted;
  return answer;
}

/** Most significant seven bits first; every byte but the first is marked by its high bit. 0 if it is wrong. */
function pastBackLength(at: usize, bytes: u32): usize {
  if (bytes <= 127) return load<u8>(at) == bytes ? at + 1 : 0;
  const size: usize = bytes < 16383 ? 2 : bytes < 2097151 ? 3 : bytes < 268435455 ? 4 : 5;
  if (at + size > limit) return 0;
  let rest = bytes;
  for (let i = size; i > 0; i--) {
    if (load<u8>(at + i - 1) != ((rest & 127) | (i == 1 ? 0 : 128))) return 0;
    rest >>= 7;
  }
  return at + size;
}

function nextInZiplist(): i32 {
  const at = cursor;
  if (at == limit) {
    if (load<u32>(first, 4) != lastEntry - first) return WRONG;
    return announced == COUNT_UNKNOWN || announced == count ? END : WRONG;
  }
  lastEntry = at;
  const before = <u32>load<u8>(at);
  if (before == TERMINATOR) return WRONG;
  let encoding = at + 1;
  let announcedPrevious: usize = before;
  if (before == 0xfe) {
    announcedPrevious = load<u32>(at, 1);
    encoding = at + 5;
  }
  if (announcedPrevious != previous || encoding >= limit) return WRONG;
  const byte = <u32>load<u8>(encoding);
  let end: u64 = 0;
  if (byte < 0xc0) {
    isInteger = false;
    if (byte < 0x40) {
      entryAt = encoding + 1;
      entryBytes = byte;
    } else if (byte < 0x80) {
      entryAt = encoding + 2;
      entryBytes = ((byte & 63) << 8) | load<u8>(encoding, 1);
    } else {
      entryAt = encoding + 5;
      entryBytes = bswap<u32>(load<u32>(encoding, 1));
    }
    end = <u64>entryAt + entryBytes;
  } else {
    isInteger = true;
    if (byte == 0xc0) {
      integer = load<i16>(encoding, 1);
      end = encoding + 3;
    } else if (byte == 0xd0) {
      integer = load<i32>(encoding, 1);
      end = encoding + 5;
    } else if (byte == 0xe0) {
      integer = load<i64>(encoding, 1);
      end = encoding + 9;
    } else if (byte == 0xf0) {
      integer = (<i32>(load<u32>(encoding, 1) << 8)) >> 8;
      end = encoding + 4;
    } else if (byte == 0xfe) {
      integer = load<i8>(encoding, 1);
      end = encoding + 2;
    } else if (byte >= 0xf1 && byte <= 0xfd) {
      integer = byte - 0xf1;
      end = encoding + 1;
    } else {
      return WRONG;
    }
  }
  if (end > limit) return WRONG;
  cursor = <usize>end;
  previous = cursor - at;
  count += 1;
  return count > announced ? WRONG : ENTRY;
}
