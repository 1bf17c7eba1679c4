/**
 * MurmurHash3_x64_128 with seed 0 over rows of whole blocks of sixteen bytes.
 *
 * Source: Austin Appleby's MurmurHash3.cpp (SMHasher).
 */

const C1: u64 = 0x87c37b91114253d5;
const C2: u64 = 0x4cf5ad432745937f;

/** The two lanes of the row that is being hashed; whoever hashes another one first puts its lanes here. */
const lanes = memory.data(16, 16);
const result = memory.data(16, 16);

/** Two words of 64 bits. */
export function hashLanes(): usize {
  return lanes;
}

/** Where `hashFinish` leaves the hash: two words of 64 bits. */
export function hashResult(): usize {
  return result;
}

/** Goes on with `bytes`, whole blocks, at `from`. */
export function hashBlocks(from: usize, bytes: usize): void {
  let h1 = load<u64>(lanes);
  let h2 = load<u64>(lanes, 8);
  const end = from + bytes;
  for (let at = from; at < end; at += 16) {
    h1 = firstLane(h1, h2, load<u64>(at));
    h2 = secondLane(h1, h2, load<u64>(at, 8));
  }
  store<u64>(lanes, h1);
  store<u64>(lanes, h2, 8);
}

/** The hash of the row, which is `bytes` long in all. The row may go on afterwards. */
export function hashFinish(bytes: f64): void {
  const length = <u64>bytes;
  const h1 = load<u64>(lanes) ^ length;
  const h2 = load<u64>(lanes, 8) ^ length;
  const first = mixed(h1 + h2);
  const second = mixed(h1 + h2 + h2);
  store<u64>(result, first + second);
  store<u64>(result, first + second + second, 8);
}

// @ts-ignore: decorator
@inline
export function firstLane(h1: u64, h2: u64, k1: u64): u64 {
  return (rotl<u64>(h1 ^ (rotl<u64>(k1 * C1, 31) * C2), 27) + h2) * 5 + 0x52dce729;
}

/** @param h1 the first lane as it is after the same block */
// @ts-ignore: decorator
@inline
export function secondLane(h1: u64, h2: u64, k2: u64): u64 {
  return (rotl<u64>(h2 ^ (rotl<u64>(k2 * C2, 33) * C1), 31) + h1) * 5 + 0x38495ab5;
}

// @ts-ignore: decorator
@inline
export function mixed(lane: u64): u64 {
  let k = lane;
  k = (k ^ (k >> 33)) * 0xff51afd7ed558ccd;
  k = (k ^ (k >> 33)) * 0xc4ceb9fe1a85ec53;
  return k ^ (k >> 33);
}
