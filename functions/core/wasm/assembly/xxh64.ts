/**
 * XXH64 with seed 0, of a text in one piece or in several.
 *
 * Source: the specification in https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md
 */

const P1: u64 = 0x9e3779b185ebca87;
const P2: u64 = 0xc2b2ae3d27d4eb4f;
const P3: u64 = 0x165667b19e3779f9;
const P4: u64 = 0x85ebca77c2b2ae63;
const P5: u64 = 0x27d4eb2f165667c5;
const STRIPE: usize = 32;

/** Four lanes, the bytes so far, and the last of them that do not fill a stripe. */
const STATE_BYTES: usize = 4 * 8 + 8 + 32;
const LENGTH: usize = 32;
const REST: usize = 40;
const state = memory.data(<i32>STATE_BYTES, 16);

/** The text that is being hashed; whoever hashes another one first puts its state here. */
export function textState(): usize {
  return state;
}

export function textStateBytes(): usize {
  return STATE_BYTES;
}

export function textBegin(): void {
  store<u64>(state, P1 + P2);
  store<u64>(state, P2, 8);
  store<u64>(state, 0, 16);
  store<u64>(state, 0 - P1, 24);
  store<u64>(state, 0, LENGTH);
}

export function textPiece(from: usize, bytes: usize): void {
  let at = from;
  let left = bytes;
  const length = load<u64>(state, LENGTH);
  store<u64>(state, length + bytes, LENGTH);
  const rest = <usize>length & (STRIPE - 1);
  if (rest > 0) {
    const missing = min(STRIPE - rest, left);
    memory.copy(state + REST + rest, at, missing);
    at += missing;
    left -= missing;
    if (rest + missing < STRIPE) return;
    stripes(state + REST, STRIPE);
  }
  const whole = left & ~(STRIPE - 1);
  stripes(at, whole);
  memory.copy(state + REST, at + whole, left - whole);
}

export function textEnd(): u64 {
  const length = load<u64>(state, LENGTH);
  let hash: u64 = P5;
  if (length >= STRIPE) {
    const a = load<u64>(state);
    const b = load<u64>(state, 8);
    const c = load<u64>(state, 16);
    const d = load<u64>(state, 24);
    hash = rotl<u64>(a, 1) + rotl<u64>(b, 7) + rotl<u64>(c, 12) + rotl<u64>(d, 18);
    hash = merged(hash, a);
    hash = merged(hash, b);
    hash = merged(hash, c);
    hash = merged(hash, d);
  }
  hash += length;
  let at = state + REST;
  const end = at + (<usize>length & (STRIPE - 1));
  for (; at + 8 <= end; at += 8) hash = rotl<u64>(hash ^ round(0, load<u64>(at)), 27) * P1 + P4;
  if (at + 4 <= end) {
    hash = rotl<u64>(hash ^ (<u64>load<u32>(at) * P1), 23) * P2 + P3;
    at += 4;
  }
  for (; at < end; at++) hash = rotl<u64>(hash ^ (<u64>load<u8>(at) * P5), 11) * P1;
  hash = (hash ^ (hash >> 33)) * P2;
  hash = (hash ^ (hash >> 29)) * P3;
  return hash ^ (hash >> 32);
}

/** Of a text in one piece. */
export function textHash(from: usize, bytes: usize): u64 {
  textBegin();
  textPiece(from, bytes);
  return textEnd();
}

function stripes(from: usize, bytes: usize): void {
  let a = load<u64>(state);
  let b = load<u64>(state, 8);
  let c = load<u64>(state, 16);
  let d = load<u64>(state, 24);
  const end = from + bytes;
  for (let at = from; at < end; at += STRIPE) {
    a = round(a, load<u64>(at));
    b = round(b, load<u64>(at, 8));
    c = round(c, load<u64>(at, 16));
    d = round(d, load<u64>(at, 24));
  }
  store<u64>(state, a);
  store<u64>(state, b, 8);
  store<u64>(state, c, 16);
  store<u64>(state, d, 24);
}

// @ts-ignore: decorator
@inline
function round(lane: u64, word: u64): u64 {
  return rotl<u64>(lane + word * P2, 31) * P1;
}

// @ts-ignore: decorator
@inline
function merged(hash: u64, lane: u64): u64 {
  return (hash ^ round(0, lane)) * P1 + P4;
}
