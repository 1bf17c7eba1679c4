/**
 * CRC-64 by folding: data is shortened without changing its CRC, so that only its last few kilobytes have to be
 * looked up in tables.
 *
 * A CRC is the remainder of the data, read as one long polynomial, modulo the CRC's own. For certain distances
 * d1 < … < d7, in bytes,
 *
 *     x^(8 d7) = x^(8 (d7 - d1)) + x^(8 (d7 - d2)) + … + x^(8 (d7 - d7))   (modulo the polynomial)
 *
 * and so a byte may be taken away from the front if it is XORed onto the bytes at these seven distances behind it: the
 * remainder stays the same. Such distances exist for any polynomial of this degree among the first few thousand; they
 * are found by search and easily checked, as the test does. For each sixteen bytes that takes eight loads, seven XORs
 * and one store, which is what SIMD is good at; and since all distances are longer than any vector, any number of
 * bytes goes through together. The data itself is only read.
 *
 * What is written is `folded[p] = data[p] ^ folded[p - d1] ^ … ^ folded[p - d7]`, of which the last WINDOW bytes have
 * to be known to go on. Both polynomials keep such a row, and take each vector of data in one pass.
 */

/** Distances of CRC-64/XZ. */
const X1: usize = 2504;
const X2: usize = 2957;
const X3: usize = 3806;
const X4: usize = 3944;
const X5: usize = 4254;
const X6: usize = 4396;
const X7: usize = 4931;
/** Distances of CRC-64/Jones. */
const J1: usize = 2655;
const J2: usize = 3618;
const J3: usize = 3952;
const J4: usize = 4199;
const J5: usize = 4406;
const J6: usize = 4690;
const J7: usize = 4714;

const XZ: u32 = 1;
const JONES: u32 = 2;
const XZ_POLYNOMIAL: u64 = 0xc96c5795d7870f42;
const JONES_POLYNOMIAL: u64 = 0x95ac9329ac4bc9b5;

/** At least the longest distance, and whole vectors. */
const WINDOW: usize = 4992;
/** So much is written behind the window before the window moves back to the front. */
const ROOM: usize = 16384;

const xzRow = memory.data(<i32>(WINDOW + ROOM), 64);
const jonesRow = memory.data(<i32>(WINDOW + ROOM), 64);
/** Zeros, and behind them a window; written anew for each look-up. */
const unfolding = memory.data(<i32>(2 * WINDOW), 64);
const xzTables = memory.data(8 * 256 * 8, 64);
const jonesTables = memory.data(8 * 256 * 8, 64);
let hasTables = false;

export function crcWindowBytes(): usize {
  return WINDOW;
}

/** Where the window of the sums that go on next has to be put, and is found after `crcFold`. */
export function crcWindow(which: u32): usize {
  return which == XZ ? xzRow : jonesRow;
}

/**
 * Takes `bytes` at `from` into account, in the sums that `which` names.
 * @param before bytes that the sums have seen already; from eight on it does not matter how many
 */
export function crcFold(which: u32, from: usize, bytes: usize, before: u32): void {
  let at = from;
  const end = from + bytes;
  let size: usize = 0;
  // XZ starts with all ones, which is the same as inverting the first eight bytes.
  for (; before < 8 && at < end; before++, at++, size++) {
    foldByte(which, size, load<u8>(at), 0xff);
  }
  while (at + 16 <= end) {
    if (size + 16 > ROOM) {
      moveToFront(which, size);
      size = 0;
    }
    const vectors = min((end - at) >> 4, (ROOM - size) >> 4);
    if (which == XZ) foldXz(size, at, vectors);
    else if (which == JONES) foldJones(size, at, vectors);
    else foldBoth(size, at, vectors);
    size += vectors << 4;
    at += vectors << 4;
  }
  if (size + 16 > ROOM) {
    moveToFront(which, size);
    size = 0;
  }
  for (; at < end; at++, size++) foldByte(which, size, load<u8>(at), 0);
  moveToFront(which, size);
}

/**
 * The checksum, without a mask at its end, of everything that led to the window.
 * @param before how many bytes that was
 */
export function crcLookUp(which: u32, before: f64): u64 {
  if (!hasTables) {
    fillTables(xzTables, XZ_POLYNOMIAL);
    fillTables(jonesTables, JONES_POLYNOMIAL);
    hasTables = true;
  }
  const isXz = which == XZ;
  const used = before < <f64>WINDOW ? <usize>before : WINDOW;
  unfold(isXz, isXz ? xzRow : jonesRow);
  // Of the first eight bytes, those that were not there to be inverted.
  const start: u64 = isXz && used < 8 ? ~(<u64>0) << (used << 3) : 0;
  return lookUp(isXz ? xzTables : jonesTables, start, unfolding + 2 * WINDOW - used, unfolding + 2 * WINDOW);
}

function moveToFront(which: u32, size: usize): void {
  if (which & XZ) memory.copy(xzRow, xzRow + size, WINDOW);
  if (which & JONES) memory.copy(jonesRow, jonesRow + size, WINDOW);
}

// @ts-ignore: decorator
@inline
function xzVector(row: usize, vector: v128): void {
  const a = v128.xor(v128.load(row, WINDOW - X1), v128.load(row, WINDOW - X2));
  const b = v128.xor(v128.load(row, WINDOW - X3), v128.load(row, WINDOW - X4));
  const c = v128.xor(v128.load(row, WINDOW - X5), v128.load(row, WINDOW - X6));
  const d = v128.xor(v128.load(row, WINDOW - X7), vector);
  v128.store(row, v128.xor(v128.xor(a, b), v128.xor(c, d)), WINDOW);
}

// @ts-ignore: decorator
@inline
function jonesVector(row: usize, vector: v128): void {
  const a = v128.xor(v128.load(row, WINDOW - J1), v128.load(row, WINDOW - J2));
  const b = v128.xor(v128.load(row, WINDOW - J3), v128.load(row, WINDOW - J4));
  const c = v128.xor(v128.load(row, WINDOW - J5), v128.load(row, WINDOW - J6));
  const d = v128.xor(v128.load(row, WINDOW - J7), vector);
  v128.store(row, v128.xor(v128.xor(a, b), v128.xor(c, d)), WINDOW);
}

function foldXz(size: usize, from: usize, vectors: usize): void {
  const end = from + (vectors << 4);
  for (let row = xzRow + size, at = from; at < end; at += 16, row += 16) xzVector(row, v128.load(at));
}

function foldJones(size: usize, from: usize, vectors: usize): void {
  const end = from + (vectors << 4);
  for (let row = jonesRow + size, at = from; at < end; at += 16, row += 16) jonesVector(row, v128.load(at));
}

function foldBoth(size: usize, from: usize, vectors: usize): void {
  let at = from;
  let offset = size;
  const end = from + (vectors << 4);
  for (; at + 32 <= end; at += 32, offset += 32) {
    const first = v128.load(at);
    xzVector(xzRow + offset, first);
    jonesVector(jonesRow + offset, first);
    const second = v128.load(at, 16);
    xzVector(xzRow + offset + 16, second);
    jonesVector(jonesRow + offset + 16, second);
  }
  if (at < end) {
    const last = v128.load(at);
    xzVector(xzRow + offset, last);
    jonesVector(jonesRow + offset, last);
  }
}

function foldByte(which: u32, size: usize, byte: u32, mask: u32): void {
  if (which & XZ) {
    const row = xzRow + size + WINDOW;
    const before =
      load<u8>(row - X1) ^
      load<u8>(row - X2) ^
      load<u8>(row - X3) ^
      load<u8>(row - X4) ^
      load<u8>(row - X5) ^
      load<u8>(row - X6) ^
      load<u8>(row - X7);
    store<u8>(row, byte ^ mask ^ before);
  }
  if (which & JONES) {
    const row = jonesRow + size + WINDOW;
    const before =
      load<u8>(row - J1) ^
      load<u8>(row - J2) ^
      load<u8>(row - J3) ^
      load<u8>(row - J4) ^
      load<u8>(row - J5) ^
      load<u8>(row - J6) ^
      load<u8>(row - J7);
    store<u8>(row, byte ^ before);
  }
}

/** Takes out of the window again what its bytes got from each other: what is left has the CRC of the data. */
function unfold(isXz: bool, row: usize): void {
  const window = unfolding + WINDOW;
  memory.copy(window, row, WINDOW);
  // From the end, so that what is read is as it was.
  for (let at = window + WINDOW - 16; at >= window; at -= 16) {
    const vector = isXz
      ? v128.xor(
          v128.xor(
            v128.xor(v128.load(at - X1), v128.load(at - X2)),
            v128.xor(v128.load(at - X3), v128.load(at - X4)),
          ),
          v128.xor(v128.xor(v128.load(at - X5), v128.load(at - X6)), v128.load(at - X7)),
        )
      : v128.xor(
          v128.xor(
            v128.xor(v128.load(at - J1), v128.load(at - J2)),
            v128.xor(v128.load(at - J3), v128.load(at - J4)),
          ),
          v128.xor(v128.xor(v128.load(at - J5), v128.load(at - J6)), v128.load(at - J7)),
        );
    v128.store(at, v128.xor(v128.load(at), vector));
  }
}

function lookUp(tables: usize, start: u64, from: usize, end: usize): u64 {
  let crc = start;
  let at = from;
  for (; at + 8 <= end; at += 8) {
    crc ^= load<u64>(at);
    crc =
      entry(tables, 7, crc) ^
      entry(tables, 6, crc >> 8) ^
      entry(tables, 5, crc >> 16) ^
      entry(tables, 4, crc >> 24) ^
      entry(tables, 3, crc >> 32) ^
      entry(tables, 2, crc >> 40) ^
      entry(tables, 1, crc >> 48) ^
      entry(tables, 0, crc >> 56);
  }
  for (; at < end; at++) crc = (crc >> 8) ^ entry(tables, 0, crc ^ load<u8>(at));
  return crc;
}

// @ts-ignore: decorator
@inline
function entry(tables: usize, table: usize, byte: u64): u64 {
  return load<u64>(tables + (table << 11) + ((<usize>byte & 0xff) << 3));
}

/** Eight tables: the k-th moves a byte over k zeros more. */
function fillTables(tables: usize, polynomial: u64): void {
  for (let byte: usize = 0; byte < 256; byte++) {
    let crc: u64 = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ polynomial : crc >> 1;
    store<u64>(tables + (byte << 3), crc);
  }
  for (let table: usize = 1; table < 8; table++) {
    for (let byte: usize = 0; byte < 256; byte++) {
      const crc = load<u64>(tables + ((table - 1) << 11) + (byte << 3));
      store<u64>(tables + (table << 11) + (byte << 3), (crc >> 8) ^ entry(tables, 0, crc));
    }
  }
}
