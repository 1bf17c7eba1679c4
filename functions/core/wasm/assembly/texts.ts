/**
 * Lengths and texts as they stand in a file. Every reader gets where it starts and where the window ends, and returns
 * where the thing ends; 0 if it is not whole in the window, or is anything that the slow reader has to judge. What is
 * read of a length past the end of the window does no harm: the thing then ends past it as well.
 */
import { decompress, scratch } from './lzf';

/** The text that was read last. */
export let textAt: usize = 0;
export let textBytes: usize = 0;
/** The number that was read last. */
export let wide: u64 = 0;

/** Texts of integers end here. */
const DIGITS_END: usize = 24;
const digits = memory.data(48, 16);
/** A copy of three bytes yields at most 264, so nothing expands further than this. */
const EXPANSION_MAX: u64 = 88;
/** Longer compressed texts are left to the slow reader. */
export const EXPANDED_MAX: usize = 1024 * 1024;

/** A length or count of up to 32 bits, into `wide`. */
export function readLength(at: usize, end: usize): usize {
  const first = <u32>load<u8>(at);
  let next = at + 1;
  if (first < 0x40) {
    wide = first;
  } else if (first < 0x80) {
    wide = ((first & 63) << 8) | load<u8>(at, 1);
    next = at + 2;
  } else if (first == 0x80) {
    wide = bswap<u32>(load<u32>(at, 1));
    next = at + 5;
  } else {
    return 0;
  }
  return next > end ? 0 : next;
}

/** A number of up to 64 bits, written as a length is. */
export function readWide(at: usize, end: usize): usize {
  if (load<u8>(at) != 0x81) return readLength(at, end);
  wide = bswap<u64>(load<u64>(at, 1));
  return at + 9 > end ? 0 : at + 9;
}

export function readText(at: usize, end: usize): usize {
  const first = <u32>load<u8>(at);
  let bytes: usize = first;
  let body = at + 1;
  if (first >= 0x40) {
    if (first < 0x80) {
      bytes = ((first & 63) << 8) | load<u8>(at, 1);
      body = at + 2;
    } else if (first == 0x80) {
      bytes = bswap<u32>(load<u32>(at, 1));
      body = at + 5;
    } else {
      return readEncoded(first, at, end);
    }
  }
  if (<u64>body + bytes > end) return 0;
  textAt = body;
  textBytes = bytes;
  return body + bytes;
}

function readEncoded(first: u32, at: usize, end: usize): usize {
  if (first == 0xc3) return readCompressed(at, end);
  let next: usize = 0;
  let value: i32 = 0;
  if (first == 0xc0) {
    next = at + 2;
    value = load<i8>(at, 1);
  } else if (first == 0xc1) {
    next = at + 3;
    value = load<i16>(at, 1);
  } else if (first == 0xc2) {
    next = at + 5;
    value = load<i32>(at, 1);
  }
  if (next > end || next == 0) return 0;
  sayInteger(value);
  return next;
}

function readCompressed(at: usize, end: usize): usize {
  let next = readLength(at + 1, end);
  if (next == 0) return 0;
  const compressed = wide;
  next = readLength(next, end);
  if (next == 0) return 0;
  const bytes = wide;
  if (bytes == 0 || bytes > compressed * EXPANSION_MAX || bytes > EXPANDED_MAX) return 0;
  if (next + compressed > end) return 0;
  if (!decompress(next, next + <usize>compressed, <usize>bytes)) return 0;
  textAt = scratch();
  textBytes = <usize>bytes;
  return next + <usize>compressed;
}

/** Makes the decimal digits of an integer the text that was read last. */
export function sayInteger(value: i64): void {
  const isNegative = value < 0;
  let rest: u64 = isNegative ? 0 - value : value;
  let at = digits + DIGITS_END;
  while (rest > 0xffffffff) {
    const quotient = rest / 100;
    at -= 2;
    pair(at, <u32>(rest - quotient * 100));
    rest = quotient;
  }
  let small = <u32>rest;
  while (small > 99) {
    const quotient = small / 100;
    at -= 2;
    pair(at, small - quotient * 100);
    small = quotient;
  }
  if (small > 9) {
    at -= 2;
    pair(at, small);
  } else {
    at -= 1;
    store<u8>(at, 48 + small);
  }
  if (isNegative) {
    at -= 1;
    store<u8>(at, 45);
  }
  textAt = at;
  textBytes = digits + DIGITS_END - at;
}

// @ts-ignore: decorator
@inline
function pair(at: usize, value: u32): void {
  const tenth = value / 10;
  store<u16>(at, (48 + tenth) | ((48 + value - tenth * 10) << 8));
}

/** Makes a text that lies elsewhere the one that was read last. */
export function sayText(at: usize, bytes: usize): void {
  textAt = at;
  textBytes = bytes;
}
