/**
 * The fast loop over keys, from the reader's side: see wasm/assembly/keys.ts. It works on what it is lent of one
 * instance of the loops, and on nothing else there.
 */
import { addressIn, type Loops } from '../wasm/loops.ts';
import type { Hash128 } from './hash128.ts';
import { usedSlots, type Identity } from './seen.ts';

/** Smaller windows are not worth a call. */
const WINDOW_BYTES_MIN = 32;
/** In the words that `keysTaken` points at. */
const KEYS = 4;
const EXPIRES = 5;
const BY_TYPE = 6;
const TYPES = 7;
const WORDS = BY_TYPE + TYPES * 2;
/** As the loop names it: for a limit that is no limit. */
const WORD_MAX = 2 ** 32 - 1;

/** What a call of `take` has taken, in words of 32 bits without a sign. */
export interface TakenKeys {
  readonly keys: number;
  readonly expires: number;
  /** By the position of the type in `LOGICAL_TYPES`. */
  readonly keysByType: readonly number[];
  readonly bytesByType: readonly number[];
  /** Of the hashes of all keys. */
  readonly sum: Identity;
}

/** What a call of `takeElements` has taken. */
export interface TakenElements {
  readonly count: number;
  /** Of the nodes of a list: how many were not empty. */
  readonly fullNodes: number;
  /** Of the hashes of all elements, if they are without order. */
  readonly sum: Identity;
}

export interface KeyLimits {
  /** Keys with more bytes are not taken. */
  readonly biggestFrom: number;
  /** Nor are those with compact values of more bytes. */
  readonly heldBytesMax: number;
  /** Nor streams that only Redis loads. */
  readonly isStrict: boolean;
}

export class FastKeys {
  private readonly loops: Loops;
  private readonly windowBlock: Uint8Array;
  private readonly taken: Uint32Array;
  /** What lies in the window block: from here to there of these bytes. */
  private copied: Uint8Array | undefined;
  private copiedFrom = 0;
  private copiedTo = 0;

  /** Takes hold of the tables of `loops`, which must not be in use. */
  constructor(loops: Loops) {
    const { run, memory } = loops;
    this.loops = loops;
    this.windowBlock = new Uint8Array(memory, run.windowBlock(), run.windowBlockBytes());
    this.taken = new Uint32Array(memory, run.keysTaken(), WORDS);
    run.keysForget();
    run.slotsForget();
  }

  /** Elements of another value follow, no more than `expected`. */
  beginElements(expected: number): void {
    this.loops.run.elementsBegin(Math.min(expected, WORD_MAX));
  }

  /** True if this element was added, or taken, before. */
  addElement({ a, b, c, d }: Identity): boolean {
    const { words, run } = this.loops;
    words.set([a, b, c, d], run.hashLanes() / 4);
    return run.elementAddRow() !== 0;
  }

  /**
   * Takes up to `left` elements or nodes of a value of `type` from `bytes[start, end)`, into the row if they are in order.
   * Calls `onTaken` with what it took, never with nothing, and returns where it stopped.
   */
  takeElements(
    type: number,
    left: number,
    bytes: Uint8Array,
    start: number,
    end: number,
    heldBytesMax: number,
    row: Hash128 | undefined,
    onTaken: (taken: TakenElements) => void,
  ): number {
    const { run, words } = this.loops;
    const result = run.elementsTaken() / 4;
    const lanes = run.hashLanes() / 4;
    let rest = left;
    return this.go(bytes, start, end, (from, to) => {
      if (rest === 0) return from;
      row?.lendLanes(words, lanes);
      const next =
        run.takeElements(type, from, to, Math.min(rest, WORD_MAX), Math.min(heldBytesMax, WORD_MAX)) >>> 0;
      if (next === from) return from;
      const [a = 0, b = 0, c = 0, d = 0, count = 0, rowBytes = 0, fullNodes = 0] = words.subarray(
        result,
        result + 7,
      );
      row?.takeLanes(words, lanes, rowBytes);
      rest -= count;
      onTaken({ count, fullNodes, sum: { a, b, c, d } });
      return next;
    });
  }

  /**
   * Takes keys from `bytes[start, end)`; a key, or what stands in front of one, begins at `start`. Calls `onTaken` with
   * what it took, never with nothing, and returns where it stopped.
   */
  take(
    bytes: Uint8Array,
    start: number,
    end: number,
    database: number,
    limits: KeyLimits,
    onTaken: (taken: TakenKeys) => void,
  ): number {
    return this.go(bytes, start, end, (from, to) => this.run(from, to, database, limits, onTaken));
  }

  /** Runs a loop over `bytes[start, end)`, where they are or copied block by block; returns where it stopped. */
  private go(
    bytes: Uint8Array,
    start: number,
    end: number,
    loop: (from: number, end: number) => number,
  ): number {
    if (end - start < WINDOW_BYTES_MIN) return start;
    const address = addressIn(this.loops, bytes);
    if (address >= 0) return loop(address + start, address + end) - address;
    let at = start;
    for (;;) {
      if (bytes !== this.copied || at < this.copiedFrom || at >= this.copiedTo) this.copy(bytes, at, end);
      const shift = this.windowBlock.byteOffset - this.copiedFrom;
      const next = loop(at + shift, this.copiedTo + shift) - shift;
      if (next === at && (this.copiedTo === end || at === this.copiedFrom)) return at;
      // What it stopped at may only have been cut by the end of the block.
      const left = this.copiedTo - next;
      if (this.copiedTo < end && left < this.windowBlock.length / 2) this.copied = undefined;
      else if (next === at || left > 0) return next;
      at = next;
      if (at === end) return at;
    }
  }

  /** True if this key was added, or taken, before. */
  add(identity: Identity): boolean {
    const { words, run } = this.loops;
    words.set([identity.a, identity.b, identity.c, identity.d], run.hashLanes() / 4);
    return run.keyAddRow() !== 0;
  }

  /** Compares no more keys. */
  stopComparing(): void {
    this.loops.run.keysStop();
  }

  /** Whether keys are still compared with each other. */
  comparesKeys(): boolean {
    return this.loops.run.comparesKeys() !== 0;
  }

  /** A byte for each cluster slot, 1 if a key of it was taken. */
  slots(): Uint8Array {
    const { run, bytes } = this.loops;
    return bytes.subarray(run.slotsSeen(), run.slotsSeen() + run.slotsCount());
  }

  /** The keys that are compared with each other, but for one: four words each, of which the first is odd. */
  identities(except?: Identity): Int32Array {
    const { run, words } = this.loops;
    return usedSlots(
      words.subarray(run.keysTable() / 4, (run.keysTable() + run.keysTableBytes()) / 4),
      except,
    );
  }

  private copy(bytes: Uint8Array, at: number, end: number): void {
    this.copied = bytes;
    this.copiedFrom = at;
    this.copiedTo = Math.min(end, at + this.windowBlock.length);
    this.windowBlock.set(bytes.subarray(at, this.copiedTo));
  }

  private run(
    from: number,
    end: number,
    database: number,
    { biggestFrom, heldBytesMax, isStrict }: KeyLimits,
    onTaken: (taken: TakenKeys) => void,
  ): number {
    const next = this.loops.run.takeKeys(
      from,
      end,
      database,
      Math.min(biggestFrom, WORD_MAX),
      Math.min(heldBytesMax, WORD_MAX),
      isStrict ? 1 : 0,
    );
    // As any address it comes with a sign.
    const stopped = next >>> 0;
    if (stopped > from) onTaken(this.result());
    return stopped;
  }

  private result(): TakenKeys {
    const words = this.taken;
    const at = (index: number): number => words[index] ?? 0;
    const types = Array.from({ length: TYPES }, (_, type) => BY_TYPE + 2 * type);
    return {
      keys: at(KEYS),
      expires: at(EXPIRES),
      keysByType: types.map((index) => at(index)),
      bytesByType: types.map((index) => at(index + 1)),
      sum: { a: at(0), b: at(1), c: at(2), d: at(3) },
    };
  }
}
