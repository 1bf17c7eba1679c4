import { corrupt, unsupported } from './fault.ts';
import { HELD_BYTES_MAX, INLINE_BYTES_MAX } from './format.ts';
import type { Input, Parse } from './input.ts';
import { viewOf } from './input.ts';
import { checkExpansion, decompress, decompressInPieces } from './lzf.ts';
import { INTEGER_TEXT_BYTES_MAX, writeInteger } from './numbers.ts';

/** Takes texts, each whole or in announced pieces. Bytes are only lent: they change as soon as the call returns. */
export interface TextSink {
  text(bytes: DataView, start: number, end: number): void;
  /** A long text: its length, then pieces that add up to it, then its end. */
  beginText(length: number): void;
  piece(bytes: DataView, start: number, end: number): void;
  endText(): void;
}

/** A sink for what is checked and counted, but not looked at. */
export const NOWHERE: TextSink = {
  text() {},
  beginText() {},
  piece() {},
  endText() {},
};

/** Larger decompressed texts get a buffer of their own, so that no large one is kept. */
const KEPT_SCRATCH_BYTES_MAX = INLINE_BYTES_MAX;

/**
 * Reads strings: plain, as integers of 8 to 32 bits that stand for decimal text, or compressed. After `take` and
 * `whole` the text is `bytes[start, end)`, until the next one is read.
 *
 * Source: rdbGenericLoadStringObject in rdb.c.
 */
export class Texts {
  bytes: DataView;
  start = 0;
  end = 0;

  private readonly input: Input;
  private readonly heldBytesMax: number;
  private readonly digits = new Uint8Array(INTEGER_TEXT_BYTES_MAX);
  private readonly digitsView = viewOf(this.digits);
  private readonly scratch = new Uint8Array(KEPT_SCRATCH_BYTES_MAX);
  private readonly scratchView = viewOf(this.scratch);
  private length = 0;
  /** Bytes in the file if compressed, else 0. */
  private compressed = 0;

  constructor(input: Input, heldBytesMax = HELD_BYTES_MAX) {
    this.input = input;
    this.bytes = input.view;
    this.heldBytesMax = heldBytesMax;
  }

  /** Reads the next text if all of it is before the reader and it is not long; else says false and reads nothing. */
  take(): boolean {
    const { input } = this;
    const { bytes, position } = input;
    const left = input.end - position;
    if (left < 2) return left === 1 && bytes[position] === 0 && this.takePlain(1, 0);
    const first = bytes[position] as number;
    if (first < 0x40) return this.takePlain(1, first);
    if (first < 0x80) return this.takePlain(2, ((first & 63) << 8) | (bytes[position + 1] as number));
    if (first === 0xc0) return this.takeInteger(1);
    if (first === 0xc1) return this.takeInteger(2);
    if (first === 0xc2) return this.takeInteger(4);
    if (first === 0xc3) return this.takeCompressed();
    if (first !== 0x80 || left < 5) return false;
    const length = input.view.getUint32(position + 1);
    return length <= INLINE_BYTES_MAX && this.takePlain(5, length);
  }

  /** Reads a text that is needed in one piece; one that is too large to hold is a fault, if it is there at all. */
  *whole(): Parse<void> {
    if (yield* this.wholeUnlessTooLarge()) return;
    yield* this.passRest(NOWHERE);
    unsupported(
      `${this.length} bytes in one piece are more than the ${this.heldBytesMax} that are held for checking`,
    );
  }

  /** Reads a text in one piece; of one that is too large says false, and `passRest` must be called. */
  *wholeUnlessTooLarge(): Parse<boolean> {
    if (this.take() || !(yield* this.header())) return true;
    if (this.length > this.heldBytesMax) return false;
    const size = this.compressed === 0 ? this.length : this.compressed;
    if (this.input.lacks(size)) yield size;
    if (this.compressed === 0) this.takePlain(0, this.length);
    else this.inflate(this.length, this.compressed);
    return true;
  }

  /** Hands a text of any size over to the sink; returns its length. */
  *pass(sink: TextSink): Parse<number> {
    const isWhole = this.take() || !(yield* this.header());
    if (!isWhole) return yield* this.passRest(sink);
    sink.text(this.bytes, this.start, this.end);
    return this.end - this.start;
  }

  /** Hands the text whose header was just read over to the sink in pieces; returns its length. */
  *passRest(sink: TextSink): Parse<number> {
    const { input, length, compressed } = this;
    sink.beginText(length);
    if (compressed > 0) {
      yield* decompressInPieces(input, compressed, length, (bytes, start, end) =>
        sink.piece(bytes, start, end),
      );
    } else {
      for (let left = length; left > 0;) {
        if (input.lacks(1)) yield 1;
        const size = Math.min(left, input.end - input.position);
        sink.piece(input.view, input.position, input.position + size);
        input.position += size;
        left -= size;
      }
    }
    sink.endText();
    return length;
  }

  private takePlain(header: number, length: number): boolean {
    const { input } = this;
    const start = input.position + header;
    const end = start + length;
    if (end > input.end) return false;
    this.bytes = input.view;
    this.start = start;
    this.end = end;
    input.position = end;
    return true;
  }

  private takeInteger(size: 1 | 2 | 4): boolean {
    const { input, digits } = this;
    if (input.lacks(1 + size)) return false;
    const { bytes, position } = input;
    const lowest = bytes[position + 1] as number;
    const value =
      size === 1
        ? (lowest << 24) >> 24
        : size === 2
          ? ((lowest | ((bytes[position + 2] as number) << 8)) << 16) >> 16
          : input.view.getInt32(position + 1, true);
    input.position = position + 1 + size;
    this.start = writeInteger(value < 0 ? -1 : 0, value, digits);
    this.bytes = this.digitsView;
    this.end = digits.length;
    return true;
  }

  /** Small compressed texts have lengths of one or two bytes each; anything else is left to the general way. */
  private takeCompressed(): boolean {
    const { input } = this;
    const { bytes } = input;
    let at = input.position + 1;
    if (input.lacks(5)) return false;
    let compressed = bytes[at++] as number;
    if (compressed >= 0x80) return false;
    if (compressed >= 0x40) compressed = ((compressed & 63) << 8) | (bytes[at++] as number);
    let length = bytes[at++] as number;
    if (length >= 0x80) return false;
    if (length >= 0x40) length = ((length & 63) << 8) | (bytes[at++] as number);
    if (at + compressed > input.end) return false;
    checkExpansion(compressed, length);
    input.position = at;
    this.inflate(length, compressed);
    return true;
  }

  private inflate(length: number, compressed: number): void {
    const { input } = this;
    const isSmall = length <= this.scratch.length;
    const to = isSmall ? this.scratch : new Uint8Array(length);
    decompress(input.bytes, input.position, input.position + compressed, to, length);
    input.position += compressed;
    this.bytes = isSmall ? this.scratchView : viewOf(to);
    this.start = 0;
    this.end = length;
  }

  /** Reads what stands before a text of `length` bytes; an integer it reads whole, and says false. */
  private *header(): Parse<boolean> {
    const { input } = this;
    if (input.lacks(1)) yield 1;
    const first = input.bytes[input.position] as number;
    this.compressed = 0;
    if (first < 0xc0) {
      this.length = yield* input.length();
      return true;
    }
    if (first === 0xc3) {
      input.position++;
      this.compressed = yield* input.length();
      this.length = yield* input.length();
      checkExpansion(this.compressed, this.length);
      return true;
    }
    if (first > 0xc3) corrupt(`a string that starts with 0x${first.toString(16)}`);
    const size = first === 0xc0 ? 1 : first === 0xc1 ? 2 : 4;
    if (input.lacks(1 + size)) yield 1 + size;
    this.takeInteger(size);
    return false;
  }
}
