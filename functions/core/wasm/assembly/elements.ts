/** Elements without order, of the key that is being read: each is hashed alone, and their hashes are added up. */
import { beginRow, finishRow, hash1, hash2, keepRow, lane1, lane2, resumeRow, rowBlock } from './row';
import { elementAdd, elementsBegin } from './seen';

let sum1: u64 = 0;
let sum2: u64 = 0;
let count: u64 = 0;

/** @param compared at most so many of them are compared with each other */
export function beginElements(compared: u32): void {
  keepRow();
  elementsBegin(compared);
  sum1 = 0;
  sum2 = 0;
  count = 0;
}

export function beginElement(): void {
  beginRow();
}

/** True if what was said of the element so far was said of one before it. */
export function isRepeated(): bool {
  return elementAdd(lane1, lane2);
}

export function endElement(): void {
  finishRow();
  sum1 += hash1;
  sum2 += hash2 + <u64>(sum1 < hash1);
  count += 1;
}

/** For a value that is read in several goes: only what is added from here on is counted. */
export function beginCount(): void {
  sum1 = 0;
  sum2 = 0;
  count = 0;
}

/** Puts the sum of the hashes of the elements there: two words of 64 bits. */
export function storeSum(at: usize): void {
  store<u64>(at, sum1);
  store<u64>(at, sum2, 8);
}

/** The key's row goes on with what the elements add up to. */
export function endElements(): void {
  resumeRow();
  if (count == 0) return;
  rowBlock(sum1, sum2);
  rowBlock(count, 0);
}
