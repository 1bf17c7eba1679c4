/**
 * Values that are larger than a window, or lie across two of them: the slow reader reads what stands in front of their
 * elements, and the element on the border; here whole elements in between are taken, as many as there are.
 */
import { beginCount, storeSum } from './elements';
import { hashLanes } from './murmur';
import { loadRow, storeRow } from './row';
import {
  TYPE_LIST,
  TYPE_LIST_QUICKLIST2,
  isNodeEmpty,
  readElement,
  readNode,
  sayOne,
} from './values';

/**
 * What was taken by the last call. Of elements without order: the sum of their hashes, in two words of 64 bits. Then,
 * in words of 32 bits, how many elements or nodes; of a list, how many bytes its row has got, and how many of
 * its nodes were not empty.
 */
const COUNT: usize = 16;
const ROW_BYTES: usize = 20;
const FULL_NODES: usize = 24;
const taken = memory.data(32, 16);

export function elementsTaken(): usize {
  return taken;
}

/**
 * Takes up to `left` elements of a set, hash or sorted set, as `type` says, or elements or nodes of a list, from `from` on; returns where
 * it stopped. The row of a list is where `hashLanes` says.
 */
export function takeElements(type: u32, from: usize, end: usize, left: u32, heldMax: u32): usize {
  const isList = type == TYPE_LIST || type == TYPE_LIST_QUICKLIST2;
  if (isList) loadRow(hashLanes());
  else beginCount();
  let at = from;
  let count: u32 = 0;
  let fullNodes: u32 = 0;
  let rowBytes: u64 = 0;
  while (count < left && at < end) {
    let next: usize = 0;
    if (type == TYPE_LIST) next = sayOne(at, end);
    else if (type == TYPE_LIST_QUICKLIST2) next = readNode(at, end, heldMax);
    else next = readElement(type, at, end);
    if (next == 0) break;
    if (isList) {
      // Only what was taken to its end stays in the row.
      rowBytes = storeRow(hashLanes());
      if (!isNodeEmpty) fullNodes += 1;
    }
    at = next;
    count += 1;
  }
  if (!isList) storeSum(taken);
  store<u32>(taken, count, COUNT);
  store<u32>(taken, <u32>rowBytes, ROW_BYTES);
  store<u32>(taken, fullNodes, FULL_NODES);
  return at;
}
