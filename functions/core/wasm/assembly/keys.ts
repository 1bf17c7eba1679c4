/**
 * The fast loop over the keys of a file. It takes as many whole keys as it can, and stops in front of the first one
 * that it cannot take: one that is not whole in the window, of a type that it does not know, among the biggest, or with
 * anything in it that is not as it should be. What that is, is for the slow reader to find out: so everything that
 * a reader has to explain is in one place, and nothing is taken here that the slow reader would not take.
 */
import { leading, beginRow, finishRow, hash1, hash2, lane1, lane2, rowBlock, rowText } from './row';
import { firstLane, mixed, secondLane } from './murmur';
import { comparesKeys, keyAdd } from './seen';
import { addSlot, hasAllSlots, slotOf } from './slots';
import { readLength, readText, textAt, textBytes } from './texts';
import { TYPE_STRING, UNKNOWN, logicalType, readValue } from './values';

const IDLE: u32 = 248;
const FREQUENCY: u32 = 249;
const EXPIRE_MS: u32 = 252;
const EXPIRE_SECONDS: u32 = 253;
const HAS_EXPIRY: u64 = 256;

/** A type, and two texts with a length of one byte each. */
const SMALL_TEXT_MAX: usize = 63;
const SMALL_KEY_MAX: usize = 9 + 1 + 2 * (1 + 63);

/**
 * What was taken by the last call: the sum of the hashes of all keys in two words of 64 bits; then in words of 32
 * bits how many keys there were, how many of them expire, and for each type how many keys and how many bytes.
 */
const TYPES: usize = 7;
const SUM: usize = 0;
const KEYS: usize = 16;
const EXPIRES: usize = 20;
const BY_TYPE: usize = 24;
const taken = memory.data(24 + 7 * 8, 16);

export function keysTaken(): usize {
  return taken;
}

/**
 * Takes keys from `from` on, where a key or what stands in front of one begins, up to `end` at most; returns where
 * it stopped.
 * @param biggestFrom keys with more bytes are not taken
 * @param heldMax keys with compact values of more bytes are not taken
 * @param isStrict whether streams are refused that only Redis loads
 */
export function takeKeys(
  from: usize,
  end: usize,
  database: u32,
  biggestFrom: u32,
  heldMax: u32,
  isStrict: bool,
): usize {
  memory.fill(taken, 0, BY_TYPE + TYPES * 8);
  let at = from;
  while (at < end) {
    if (!comparesKeys() && (database != 0 || hasAllSlots())) at = takeSmallStrings(at, end, database, biggestFrom);
    const next = takeKey(at, end, database, biggestFrom, heldMax, isStrict);
    if (next == 0) return at;
    at = next;
  }
  return at;
}

/** One key, with what stands in front of it. Nothing of it is counted unless it is taken. */
function takeKey(
  from: usize,
  end: usize,
  database: u32,
  biggestFrom: u32,
  heldMax: usize,
  isStrict: bool,
): usize {
  let at = from;
  let expires = false;
  let expiry: i64 = 0;
  let code: u32 = 0;
  for (;;) {
    if (at >= end) return 0;
    code = load<u8>(at);
    at += 1;
    if (code < IDLE) break;
    if (code == EXPIRE_MS) {
      expires = true;
      expiry = load<i64>(at);
      at += 8;
    } else if (code == EXPIRE_SECONDS) {
      expires = true;
      expiry = <i64>load<i32>(at) * 1000;
      at += 4;
    } else if (code == FREQUENCY) {
      at += 1;
    } else if (code == IDLE) {
      at = readLength(at, end);
      if (at == 0) return 0;
    } else {
      return 0;
    }
  }
  const type = logicalType(code);
  if (type == UNKNOWN) return 0;
  const start = at;
  at = readText(at, end);
  if (at == 0 || textBytes > heldMax) return 0;
  beginRow();
  rowText(textAt, textBytes, database);
  const identity1 = lane1;
  const identity2 = lane2;
  const hasSlot = database == 0 && !hasAllSlots();
  const slot = hasSlot ? slotOf(textAt, textBytes) : 0;
  if (expires || type != TYPE_STRING) rowBlock((<u64>type | (expires ? HAS_EXPIRY : 0)) << 32, expiry);
  at = readValue(code, at, end, heldMax, isStrict);
  if (at == 0 || at - start > biggestFrom) return 0;
  if (keyAdd(identity1, identity2)) return 0;
  if (hasSlot) addSlot(slot);
  finishRow();
  count(type, 1, <u32>(at - start), expires ? 1 : 0);
  addHash(hash1, hash2);
  return at;
}

/**
 * The same for string keys that are small, one after the other, once keys need neither be compared nor have their
 * slots looked at. A file of tiny keys has nothing else.
 */
function takeSmallStrings(from: usize, end: usize, database: u32, biggestFrom: u32): usize {
  const tag = <u64>database << 32;
  let at = from;
  let keys: u32 = 0;
  let expiring: u32 = 0;
  let bytes: u32 = 0;
  let sum1: u64 = 0;
  let sum2: u64 = 0;
  while (at + SMALL_KEY_MAX <= end) {
    let start = at + 1;
    let code = <u32>load<u8>(at);
    let expiry: u64 = 0;
    let expires = false;
    if (code == EXPIRE_MS) {
      expires = true;
      expiry = load<u64>(at, 1);
      code = load<u8>(at, 9);
      start = at + 10;
    }
    const keyBytes = <usize>load<u8>(start);
    if (code != TYPE_STRING || keyBytes > SMALL_TEXT_MAX) break;
    const key = start + 1;
    const value = key + keyBytes;
    const first = <u32>load<u8>(value);
    let valueAt = value + 1;
    let valueBytes: usize = first;
    let next = valueAt + first;
    if (first > SMALL_TEXT_MAX) {
      next = readText(value, end);
      if (first < 0xc0 || first > 0xc2 || next == 0) break;
      valueAt = textAt;
      valueBytes = textBytes;
    }
    if (next - start > biggestFrom) break;

    let h1 = firstLane(0, 0, tag | keyBytes);
    let h2: u64 = 0;
    let rowBytes: u64 = 32;
    if (keyBytes <= 8) {
      h2 = secondLane(h1, h2, leading(load<u64>(key), keyBytes));
    } else {
      h2 = secondLane(h1, h2, load<u64>(key));
      for (let part = key + 8; part < value; part += 16) {
        const left = value - part;
        h1 = firstLane(h1, h2, left < 8 ? leading(load<u64>(part), left) : load<u64>(part));
        h2 = secondLane(h1, h2, left > 8 ? (left < 16 ? leading(load<u64>(part, 8), left - 8) : load<u64>(part, 8)) : 0);
        rowBytes += 16;
      }
    }
    if (expires) {
      h1 = firstLane(h1, h2, HAS_EXPIRY << 32);
      h2 = secondLane(h1, h2, expiry);
      rowBytes += 16;
      expiring += 1;
    }
    h1 = firstLane(h1, h2, valueBytes);
    if (valueBytes <= 8) {
      h2 = secondLane(h1, h2, leading(load<u64>(valueAt), valueBytes));
    } else {
      h2 = secondLane(h1, h2, load<u64>(valueAt));
      const valueEnd = valueAt + valueBytes;
      for (let part = valueAt + 8; part < valueEnd; part += 16) {
        const left = valueEnd - part;
        h1 = firstLane(h1, h2, left < 8 ? leading(load<u64>(part), left) : load<u64>(part));
        h2 = secondLane(h1, h2, left > 8 ? (left < 16 ? leading(load<u64>(part, 8), left - 8) : load<u64>(part, 8)) : 0);
        rowBytes += 16;
      }
    }
    h1 ^= rowBytes;
    h2 ^= rowBytes;
    h1 += h2;
    h2 += h1;
    h1 = mixed(h1);
    h2 = mixed(h2);
    h1 += h2;
    h2 += h1;
    sum1 += h1;
    sum2 += h2 + <u64>(sum1 < h1);
    keys += 1;
    bytes += <u32>(next - start);
    at = next;
  }
  if (keys > 0) {
    count(TYPE_STRING, keys, bytes, expiring);
    addHash(sum1, sum2);
  }
  return at;
}

function count(type: u32, keys: u32, bytes: u32, expires: u32): void {
  const ofType = taken + BY_TYPE + (<usize>type << 3);
  store<u32>(taken, load<u32>(taken, KEYS) + keys, KEYS);
  store<u32>(taken, load<u32>(taken, EXPIRES) + expires, EXPIRES);
  store<u32>(ofType, load<u32>(ofType) + keys);
  store<u32>(ofType, load<u32>(ofType, 4) + bytes, 4);
}

function addHash(first: u64, second: u64): void {
  const sum1 = load<u64>(taken, SUM) + first;
  store<u64>(taken, sum1, SUM);
  store<u64>(taken, load<u64>(taken, SUM + 8) + second + <u64>(sum1 < first), SUM + 8);
}
