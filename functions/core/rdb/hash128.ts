/**
 * The hash of the digest: MurmurHash3_x64_128 with seed 0 over a row of blocks of sixteen bytes, and a sum of such
 * hashes. What a row consists of is defined in digest.ts. The loops are WebAssembly; a row is collected here, and
 * its state kept here, so that any number of rows can be open at once.
 */
import { forEachPiece, sharedLoops, type Loops } from '../wasm/loops.ts';
import { bytesOf } from './input.ts';

const BLOCK_BYTES = 16;
/** In front of a text in a row: its length, and a word of the caller's. */
const TEXT_HEAD_BYTES = 8;
/** From this length on, a text is represented by its own hash. */
export const LONG_TEXT_BYTES = 1024;
const IS_LONG = 2 ** 31;
/** More than the longest text that is not long. */
const ROW_BYTES = 2048;

/** Four words of 32 bits. `finish` leaves the hash in `a` to `d`, lowest first; the row may go on after it. */
export class Hash128 {
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  /** Bytes of the row so far. */
  rowBytes = 0;
  private readonly loops: Loops;
  /** What is not hashed yet. */
  private readonly row = new Uint8Array(ROW_BYTES);
  private readonly rowView = new DataView(this.row.buffer);
  private pendingBytes = 0;
  /** Of what is hashed. */
  private readonly lanes = new Int32Array(4);
  /** Of a text in pieces. */
  private textLength = 0;
  private textTag = 0;
  private textAt = 0;
  private readonly longText: Uint8Array;

  constructor(loops: Loops = sharedLoops()) {
    this.loops = loops;
    this.longText = new Uint8Array(loops.run.textStateBytes());
  }

  reset(): void {
    this.lanes.fill(0);
    this.pendingBytes = 0;
    this.rowBytes = 0;
  }

  /** Sixteen bytes as four little-endian words. */
  block(word1: number, word2: number, word3: number, word4: number): void {
    this.makeRoom(BLOCK_BYTES);
    const { rowView, pendingBytes } = this;
    rowView.setInt32(pendingBytes, word1, true);
    rowView.setInt32(pendingBytes + 4, word2, true);
    rowView.setInt32(pendingBytes + 8, word3, true);
    rowView.setInt32(pendingBytes + 12, word4, true);
    this.advance(BLOCK_BYTES);
  }

  /** @param tag a word beside the length, in the same block */
  text(bytes: DataView, start: number, end: number, tag = 0): void {
    const length = end - start;
    this.beginText(length, tag);
    if (length < LONG_TEXT_BYTES && length > 0) {
      const { row, textAt } = this;
      for (let i = 0; i < length; i++) row[textAt + i] = bytes.getUint8(start + i);
    } else {
      this.piece(bytes, start, end);
    }
    this.endText();
  }

  beginText(length: number, tag = 0): void {
    this.textLength = length;
    this.textTag = tag;
    if (length >= LONG_TEXT_BYTES) {
      const { bytes, run } = this.loops;
      run.textBegin();
      this.longText.set(bytes.subarray(run.textState(), run.textState() + this.longText.length));
      return;
    }
    this.makeRoom(sizeInRow(length));
    this.rowView.setInt32(this.pendingBytes, length, true);
    this.rowView.setInt32(this.pendingBytes + 4, tag, true);
    this.textAt = this.pendingBytes + TEXT_HEAD_BYTES;
  }

  piece(bytes: DataView, start: number, end: number): void {
    const piece = bytesOf(bytes, start, end);
    if (this.textLength < LONG_TEXT_BYTES) {
      this.row.set(piece, this.textAt);
      this.textAt += piece.length;
      return;
    }
    const { loops, longText } = this;
    loops.bytes.set(longText, loops.run.textState());
    forEachPiece(loops, piece, loops.run.textPiece);
    longText.set(loops.bytes.subarray(loops.run.textState(), loops.run.textState() + longText.length));
  }

  endText(): void {
    const { textLength, loops, longText } = this;
    if (textLength < LONG_TEXT_BYTES) {
      const end = this.pendingBytes + sizeInRow(textLength);
      this.row.fill(0, this.pendingBytes + TEXT_HEAD_BYTES + textLength, end);
      this.advance(sizeInRow(textLength));
      return;
    }
    loops.bytes.set(longText, loops.run.textState());
    const hash = loops.run.textEnd();
    this.block(
      (textLength % IS_LONG) + IS_LONG,
      this.textTag,
      Number(BigInt.asIntN(32, hash)),
      Number(BigInt.asIntN(32, hash >> 32n)),
    );
  }

  finish(): void {
    this.putIn();
    const { loops, rowBytes } = this;
    loops.run.hashFinish(rowBytes);
    this.takeFrom(loops.run.hashResult());
  }

  /**
   * Leaves in `a` to `d` what tells this row, as far as it goes, from every other of the same length; it is not evenly
   * spread, as a hash would be.
   */
  identify(): void {
    this.putIn();
    const { lanes } = this;
    this.a = wordOf(lanes, 0);
    this.b = wordOf(lanes, 1);
    this.c = wordOf(lanes, 2);
    this.d = wordOf(lanes, 3);
  }

  /** Puts the lanes of the row so far there, for others to go on with it. */
  lendLanes(words: Int32Array, at: number): void {
    this.putIn();
    words.set(this.lanes, at);
  }

  /** Takes the lanes back, after the row has got so many bytes more. */
  takeLanes(words: Int32Array, at: number, moreBytes: number): void {
    for (let i = 0; i < 4; i++) this.lanes[i] = wordOf(words, at + i);
    this.rowBytes += moreBytes;
  }

  /** Hashes what is pending; the lanes are in the loops' memory afterwards as well. */
  private putIn(): void {
    const { loops, lanes, row, pendingBytes } = this;
    const { run, words, copyBlock } = loops;
    const at = run.hashLanes() / 4;
    for (let i = 0; i < 4; i++) words[at + i] = wordOf(lanes, i);
    if (pendingBytes === 0) return;
    copyBlock.set(pendingBytes === ROW_BYTES ? row : row.subarray(0, pendingBytes));
    run.hashBlocks(copyBlock.byteOffset, pendingBytes);
    for (let i = 0; i < 4; i++) lanes[i] = wordOf(words, at + i);
    this.pendingBytes = 0;
  }

  private takeFrom(address: number): void {
    const { words } = this.loops;
    const at = address / 4;
    this.a = wordOf(words, at);
    this.b = wordOf(words, at + 1);
    this.c = wordOf(words, at + 2);
    this.d = wordOf(words, at + 3);
  }

  private makeRoom(bytes: number): void {
    if (this.pendingBytes + bytes > ROW_BYTES) this.putIn();
  }

  private advance(bytes: number): void {
    this.pendingBytes += bytes;
    this.rowBytes += bytes;
  }
}

function sizeInRow(textBytes: number): number {
  return (TEXT_HEAD_BYTES + textBytes + BLOCK_BYTES - 1) & -BLOCK_BYTES;
}

/** A sum of hashes modulo 2^128, word `a` lowest: the order in which they are added does not matter. */
export class Sum128 {
  a = 0;
  b = 0;
  c = 0;
  d = 0;

  reset(): void {
    this.a = 0;
    this.b = 0;
    this.c = 0;
    this.d = 0;
  }

  add(hash: { readonly a: number; readonly b: number; readonly c: number; readonly d: number }): void {
    this.a = (this.a + hash.a) | 0;
    let carry = this.a >>> 0 < hash.a >>> 0 ? 1 : 0;
    const b = (this.b + hash.b) | 0;
    this.b = (b + carry) | 0;
    carry = b >>> 0 < hash.b >>> 0 || (carry === 1 && b === -1) ? 1 : 0;
    const c = (this.c + hash.c) | 0;
    this.c = (c + carry) | 0;
    carry = c >>> 0 < hash.c >>> 0 || (carry === 1 && c === -1) ? 1 : 0;
    this.d = (this.d + hash.d + carry) | 0;
  }

  equals(other: Sum128): boolean {
    return this.a === other.a && this.b === other.b && this.c === other.c && this.d === other.d;
  }

  /** Highest digit first. */
  toHex(): string {
    return [this.d, this.c, this.b, this.a]
      .map((word) => (word >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }
}

// The indices are those of whole hashes; the cast spares the hot ways a check.
function wordOf(words: Int32Array, index: number): number {
  return words[index] as number;
}
