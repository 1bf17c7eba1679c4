/**
 * CRC-64 in its two reflected variants: XZ (what OSS reports as `x-oss-hash-crc64ecma`) and Jones (the trailer
 * of an RDB file). Checksums are unsigned 64-bit bigints. The loops are WebAssembly (see wasm/assembly/crc64.ts).
 *
 * Source: the CRC catalogue's entries CRC-64/XZ (check value 995dc9bbdf1939fa) and CRC-64/REDIS
 * (check value e9c6d914c4b8d9ca).
 */
import { forEachPiece, sharedLoops, type Loops } from './wasm/loops.ts';

/** The polynomials with their bits reversed, as reflected CRCs use them. */
const XZ_POLYNOMIAL = 0xc96c_5795_d787_0f42n;
const JONES_POLYNOMIAL = 0x95ac_9329_ac4b_c9b5n;

/** As the loops name them. */
const XZ = 1;
const JONES = 2;

/** Smaller pieces are collected until there are so many bytes. */
const COLLECTED_BYTES = 4096;

/** A running checksum over bytes that are handed over in order. */
export interface Crc64 {
  /** Takes `bytes[start, end)` into account; the array is not kept. */
  update(bytes: Uint8Array, start?: number, end?: number): void;
  /** The checksum of everything so far. Reading it changes nothing; more bytes may follow. */
  value(): bigint;
}

/** CRC-64/XZ, OSS's checksum. */
export function crc64Xz(): Crc64 {
  const sum = new Sums(sharedLoops(), XZ);
  return { update: (bytes, start, end) => sum.update(bytes.subarray(start, end)), value: () => sum.xz() };
}

/** CRC-64/Jones, the checksum at the end of an RDB file. Over a whole file with its trailer it is zero. */
export function crc64Jones(loops: Loops = sharedLoops()): Crc64 {
  const sum = new Sums(loops, JONES);
  return { update: (bytes, start, end) => sum.update(bytes.subarray(start, end)), value: () => sum.jones() };
}

/** Both checksums of the same bytes. */
export interface Crc64Pair {
  /** Takes `bytes` into account; the array is not kept. */
  update(bytes: Uint8Array): void;
  /** CRC-64/XZ of everything so far. */
  xz(): bigint;
  /** CRC-64/Jones from zero of everything so far. */
  jones(): bigint;
  /** Begins anew. To be preferred to another pair: each has some hundred kilobytes. */
  reset(): void;
}

/** Bytes that lie in the memory of `loops` are read where they are, others are copied there first. */
export function crc64Pair(loops: Loops = sharedLoops()): Crc64Pair {
  return new Sums(loops, XZ | JONES);
}

/**
 * The CRC-64/XZ of two pieces of data laid end to end, from the checksums of each.
 * @param lengthOfSecond bytes in the second piece, an integer from 0 to 2^53 - 1
 */
export function combineCrc64Xz(first: bigint, second: bigint, lengthOfSecond: number): bigint {
  return multiply(shiftBy(lengthOfSecond, XZ_POLYNOMIAL), first, XZ_POLYNOMIAL) ^ second;
}

/** The same for CRC-64/Jones from zero. */
export function combineCrc64Jones(first: bigint, second: bigint, lengthOfSecond: number): bigint {
  return multiply(shiftBy(lengthOfSecond, JONES_POLYNOMIAL), first, JONES_POLYNOMIAL) ^ second;
}

/**
 * One or both sums. What the loops have to know to go on is kept here and put into their memory for each call, so
 * that any number of sums can be open at once, and one that is given up leaves nothing behind.
 */
class Sums implements Crc64Pair {
  private readonly loops: Loops;
  private readonly which: number;
  private readonly windows: readonly { readonly which: number; readonly kept: Uint8Array }[];
  private readonly collected = new Uint8Array(COLLECTED_BYTES);
  private collectedBytes = 0;
  /** Bytes that are in the windows. */
  private foldedBytes = 0;

  constructor(loops: Loops, which: number) {
    this.loops = loops;
    this.which = which;
    const windowBytes = loops.run.crcWindowBytes();
    this.windows = [XZ, JONES]
      .filter((one) => (which & one) !== 0)
      .map((one) => ({ which: one, kept: new Uint8Array(windowBytes) }));
  }

  update(bytes: Uint8Array): void {
    if (bytes.length + this.collectedBytes <= COLLECTED_BYTES) {
      this.collected.set(bytes, this.collectedBytes);
      this.collectedBytes += bytes.length;
      return;
    }
    this.putWindows();
    this.fold(this.collected.subarray(0, this.collectedBytes));
    this.fold(bytes);
    this.collectedBytes = 0;
    this.keepWindows();
  }

  xz(): bigint {
    return this.value(XZ) ^ 0xffff_ffff_ffff_ffffn;
  }

  jones(): bigint {
    return this.value(JONES);
  }

  reset(): void {
    this.collectedBytes = 0;
    this.foldedBytes = 0;
    for (const { kept } of this.windows) kept.fill(0);
  }

  private value(which: number): bigint {
    const { loops, collectedBytes } = this;
    this.putWindows();
    if (collectedBytes > 0) {
      this.fold(this.collected.subarray(0, collectedBytes));
      this.collectedBytes = 0;
      this.keepWindows();
    }
    return BigInt.asUintN(64, loops.run.crcLookUp(which, this.foldedBytes));
  }

  private fold(bytes: Uint8Array): void {
    forEachPiece(this.loops, bytes, (address, size) => {
      this.loops.run.crcFold(this.which, address, size, Math.min(this.foldedBytes, 8));
      this.foldedBytes += size;
    });
  }

  private putWindows(): void {
    const { bytes, run } = this.loops;
    for (const { which, kept } of this.windows) bytes.set(kept, run.crcWindow(which));
  }

  private keepWindows(): void {
    const { bytes, run } = this.loops;
    for (const { which, kept } of this.windows) {
      const window = run.crcWindow(which);
      kept.set(bytes.subarray(window, window + kept.length));
    }
  }
}

/** Of the lengths that were asked for last: all parts of a file but the last one are equally long. */
const shifts = new Map<bigint, { readonly bytes: number; readonly power: bigint }>();

function shiftBy(bytes: number, polynomial: bigint): bigint {
  let shift = shifts.get(polynomial);
  if (shift?.bytes !== bytes) {
    shift = { bytes, power: powerOfX(BigInt(bytes) * 8n, polynomial) };
    shifts.set(polynomial, shift);
  }
  return shift.power;
}

/** Product of two reflected polynomials modulo a third; x^0 is the highest bit. */
function multiply(a: bigint, b: bigint, polynomial: bigint): bigint {
  let product = 0n;
  let factor = b;
  for (let bit = 63n; bit >= 0n; bit--) {
    if (((a >> bit) & 1n) === 1n) product ^= factor;
    factor = (factor & 1n) === 1n ? (factor >> 1n) ^ polynomial : factor >> 1n;
  }
  return product;
}

function powerOfX(exponent: bigint, polynomial: bigint): bigint {
  let result = 1n << 63n;
  let base = 1n << 62n;
  for (let rest = exponent; rest > 0n; rest >>= 1n) {
    if ((rest & 1n) === 1n) result = multiply(result, base, polynomial);
    base = multiply(base, base, polynomial);
  }
  return result;
}
