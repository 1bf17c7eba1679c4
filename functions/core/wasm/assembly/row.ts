/** The row of blocks that is being hashed now: a key's, or an element's. See digest.ts for what a row consists of. */
import { firstLane, mixed, secondLane } from './murmur';
import { textHash } from './xxh64';

/** From this length on, a text is represented by its own hash. */
const LONG_TEXT: usize = 1024;
const IS_LONG: u64 = 0x80000000;

/** Sixteen bytes of ones and sixteen of zeros: what is n bytes before their border keeps the first n of a block. */
const masks = memory.data<u64>([~(<u64>0), ~(<u64>0), 0, 0]);

/** The lanes after what the row holds so far: what tells it from every other row of the same length. */
export let lane1: u64 = 0;
export let lane2: u64 = 0;
let rowBytes: u64 = 0;
/** The hash of the row, after `finishRow`. */
export let hash1: u64 = 0;
export let hash2: u64 = 0;

let keptLane1: u64 = 0;
let keptLane2: u64 = 0;
let keptBytes: u64 = 0;

export function beginRow(): void {
  lane1 = 0;
  lane2 = 0;
  rowBytes = 0;
}

/** Puts the row aside, so that others can be hashed before it goes on. */
export function keepRow(): void {
  keptLane1 = lane1;
  keptLane2 = lane2;
  keptBytes = rowBytes;
}

/** Goes on with a row whose lanes lie there; counts its bytes from here on. */
export function loadRow(at: usize): void {
  lane1 = load<u64>(at);
  lane2 = load<u64>(at, 8);
  rowBytes = 0;
}

/** Puts the lanes back there, and returns how many bytes the row has got since `loadRow`. */
export function storeRow(at: usize): u64 {
  store<u64>(at, lane1);
  store<u64>(at, lane2, 8);
  return rowBytes;
}

export function resumeRow(): void {
  lane1 = keptLane1;
  lane2 = keptLane2;
  rowBytes = keptBytes;
}

export function rowBlock(word1: u64, word2: u64): void {
  lane1 = firstLane(lane1, lane2, word1);
  lane2 = secondLane(lane1, lane2, word2);
  rowBytes += 16;
}

/** Reads up to fifteen bytes past the text, and masks them away. */
export function rowText(from: usize, bytes: usize, tag: u32): void {
  const head = <u64>bytes | (<u64>tag << 32);
  if (bytes >= LONG_TEXT) return rowBlock(head | IS_LONG, textHash(from, bytes));
  let h1 = lane1;
  let h2 = lane2;
  h1 = firstLane(h1, h2, head);
  if (bytes <= 8) {
    lane1 = h1;
    lane2 = secondLane(h1, h2, load<u64>(from) & load<u64>(masks + 16 - bytes));
    rowBytes += 16;
    return;
  }
  h2 = secondLane(h1, h2, load<u64>(from));
  let at = from + 8;
  const end = from + bytes;
  for (; at + 16 <= end; at += 16) {
    h1 = firstLane(h1, h2, load<u64>(at));
    h2 = secondLane(h1, h2, load<u64>(at, 8));
  }
  const left = end - at;
  if (left > 0) {
    const mask = masks + 16 - left;
    h1 = firstLane(h1, h2, load<u64>(at) & load<u64>(mask));
    h2 = secondLane(h1, h2, load<u64>(at, 8) & load<u64>(mask, 8));
  }
  lane1 = h1;
  lane2 = h2;
  rowBytes += (8 + bytes + 15) & ~15;
}

export function finishRow(): void {
  const h1 = lane1 ^ rowBytes;
  const h2 = lane2 ^ rowBytes;
  const first = mixed(h1 + h2);
  const second = mixed(h1 + h2 + h2);
  hash1 = first + second;
  hash2 = first + second + second;
}

/** The first `bytes` of a word, up to eight; zeros in the place of the others. */
// @ts-ignore: decorator
@inline
export function leading(word: u64, bytes: usize): u64 {
  return bytes == 0 ? 0 : word & (~(<u64>0) >> (64 - (<u64>bytes << 3)));
}
