/**
 * Shortens data without changing its CRC, so that only the last few dozen kilobytes of it have to be looked up.
 *
 * A CRC is the remainder of the data, read as one long polynomial, modulo the CRC's own. Let X be x^128, by which
 * words of sixteen bytes weigh more than the ones behind them. For certain distances d1 < … < d7
 *
 *     X^d7 + X^(d7-d1) + X^(d7-d2) + … + X^(d7-d7) = 0 (modulo the polynomial)
 *
 * and so a word may be taken away from the front if it is XORed onto the words at these seven distances behind it:
 * the remainder stays the same. Such distances exist for any polynomial of this degree among the first few thousand;
 * they are found by search and easily checked, as the test does. For each sixteen bytes that takes eight loads, seven
 * XORs, one store, and no table, which is what WebAssembly's SIMD is good at.
 */
export interface Fold {
  /** What `fold` leaves is shorter than this and sixteen bytes more. */
  readonly windowBytes: number;
  /**
   * Shortens `left`, of which the first `leftBytes` count, and `bytes` behind it to something with the same CRC from
   * the same start, zero. Writes that to `left` and returns how long it is.
   */
  fold(left: Uint8Array, leftBytes: number, bytes: Uint8Array): number;
}

/** What is used of a global whose values the types of Node leave out. */
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => { readonly buffer: ArrayBuffer };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Record<string, unknown> };
};

const WORD_BYTES = 16;
const PAGE_BYTES = 65_536;
/** So much at a time: little enough to stay in the cache. */
const PIECE_BYTES = 256 * 1024;

/**
 * @param distances in words of sixteen bytes, ascending, as above. Compiles a module, once for the process: its memory
 *   holds nothing between two calls of `fold`.
 */
export function createFold(distances: readonly number[]): Fold {
  const longest = distances.at(-1) ?? 0;
  const windowBytes = longest * WORD_BYTES;
  // In front of the data stand zeros, words of no weight, for the first words to look back at.
  const dataAt = windowBytes;
  const capacity = 2 * windowBytes + PIECE_BYTES;
  const pages = Math.ceil((dataAt + capacity) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const module = new WebAssembly.Module(moduleBytes(distances));
  const { exports } = new WebAssembly.Instance(module, { m: { m: memory } });
  // The module below exports both with these parameters.
  const gather = exports['gather'] as (from: number, to: number) => void;
  const spread = exports['spread'] as (from: number, to: number, reach: number) => void;
  const data = new Uint8Array(memory.buffer, dataAt, capacity);

  function fold(left: Uint8Array, leftBytes: number, bytes: Uint8Array): number {
    data.set(left.subarray(0, leftBytes));
    let size = leftBytes;
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(bytes.length, at + capacity - size);
      data.set(bytes.subarray(at, end), size);
      size = shorten(size + end - at);
      at = end;
    }
    left.set(data.subarray(0, size));
    return size;
  }

  /** Shortens the first `size` bytes of the data and moves what is left to the front. */
  function shorten(size: number): number {
    const gone = size - (size % WORD_BYTES) - windowBytes;
    if (gone <= 0) return size;
    // Words that go away take up what falls on them from before; those that stay, only what falls from words that go.
    gather(0, gone);
    for (const distance of distances) {
      const reach = distance * WORD_BYTES;
      spread(dataAt + gone - reach, dataAt + gone, reach);
    }
    data.copyWithin(0, gone, size);
    return size - gone;
  }

  return { windowBytes, fold };
}

/**
 * A module of two functions over the words of a memory that it imports; `word[p]` is the one at address p:
 *
 *     gather(from, to):        for p from `from` to `to`: word[p + D7] ^= word[p + D7 - D1] ^ … ^ word[p + D7 - D7]
 *     spread(from, to, reach): for p from `from` to `to`: word[p + reach] ^= word[p]
 *
 * with the distances D in bytes: as constants they cost nothing, because each load adds one to its address anyway.
 *
 * Source: https://webassembly.github.io/spec/core/binary/
 */
function moduleBytes(distances: readonly number[]): Uint8Array<ArrayBuffer> {
  const reaches = distances.map((distance) => distance * WORD_BYTES);
  const longest = reaches.at(-1) ?? 0;
  const gather = forEachWord([
    ...POINTER,
    ...POINTER,
    ...load(longest),
    ...reaches.flatMap((reach) => [...POINTER, ...load(longest - reach), ...XOR]),
    ...store(longest),
  ]);
  const ahead = [...POINTER, ...REACH, ...ADD];
  const spread = forEachWord([...ahead, ...ahead, ...load(0), ...POINTER, ...load(0), ...XOR, ...store(0)]);
  return Uint8Array.from([
    ...MAGIC_AND_VERSION,
    ...section(1, [signature(2), signature(3)]),
    ...section(2, [[...text('m'), ...text('m'), 0x02, 0x00, 0x01]]),
    ...section(3, [[0], [1]]),
    ...section(7, [
      [...text('gather'), 0x00, 0],
      [...text('spread'), 0x00, 1],
    ]),
    ...section(10, [sized(gather), sized(spread)]),
  ]);
}

const MAGIC_AND_VERSION = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00];

const POINTER = [0x20, 0]; // local.get 0
const END = [0x20, 1]; // local.get 1
const REACH = [0x20, 2]; // local.get 2
const ADD = [0x6a]; // i32.add
const XOR = [0xfd, 0x51]; // v128.xor

function load(offset: number): number[] {
  return [0xfd, 0x00, 0x00, ...leb128(offset)]; // v128.load, of any alignment
}

function store(offset: number): number[] {
  return [0xfd, 0x0b, 0x00, ...leb128(offset)]; // v128.store, of any alignment
}

/** A function without locals that runs the body while its pointer is below its end, word by word. */
function forEachWord(body: readonly number[]): number[] {
  const start = [0x02, 0x40, 0x03, 0x40, ...POINTER, ...END, 0x4f, 0x0d, 0x01]; // block, loop, br_if 1 (i32.ge_u)
  const next = [...POINTER, 0x41, WORD_BYTES, ...ADD, 0x21, 0, 0x0c, 0x00]; // local.set 0 (… i32.const 16 …), br 0
  return [0x00, ...start, ...body, ...next, 0x0b, 0x0b, 0x0b]; // end of loop, block, function
}

function signature(parameters: number): number[] {
  const i32 = 0x7f;
  return [0x60, parameters, ...Array<number>(parameters).fill(i32), 0];
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return [id, ...sized([...leb128(entries.length), ...entries.flat()])];
}

function sized(bytes: readonly number[]): number[] {
  return [...leb128(bytes.length), ...bytes];
}

function text(name: string): number[] {
  return sized([...Buffer.from(name)]);
}

function leb128(value: number): number[] {
  return value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb128(value >>> 7)];
}
