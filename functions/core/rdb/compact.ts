/**
 * The compact encodings: several entries in one piece of memory, stored in the file as it was. Each is walked entry
 * by entry, and everything about it is checked on the way: a server that believes a wrong length in one of these
 * reads past its end.
 *
 * Source: ziplist.c, listpack.c, intset.c and zipmap.c of Redis, and their own integrity checks.
 */
import { corrupt } from './fault.ts';
import { viewOf } from './input.ts';
import { INTEGER_TEXT_BYTES_MAX, parseInteger, writeInteger } from './numbers.ts';

/** In 16-bit entry counts: too many to count, walk them. */
const COUNT_UNKNOWN = 0xffff;
const END = 0xff;
const NOTHING = viewOf(new Uint8Array(0));

/** A walk over the entries of one compact value. An entry is valid until the next call of `next`. */
export abstract class Entries {
  bytes: DataView = NOTHING;
  /** Text of the current entry, once `asText` was called. */
  start = 0;
  end = 0;

  protected at = 0;
  protected first = 0;
  /** Where the entries end: at the terminator, if there is one. */
  protected limit = 0;
  protected count = 0;
  protected announced = 0;
  /** What the walk goes over; `bytes` may point at a number's digits instead. */
  protected held: DataView = NOTHING;
  protected isInteger = false;
  /** Halves of the current entry, once `asInteger` was called or if it is stored as an integer. */
  high = 0;
  low = 0;
  private readonly digits = new Uint8Array(INTEGER_TEXT_BYTES_MAX);
  private readonly digitsView = viewOf(this.digits);

  /** Starts a walk over `held[start, end)`; checks the header. */
  abstract open(held: DataView, start: number, end: number): this;
  /** Goes to the next entry; false after the last one, once the totals are checked. */
  abstract next(): boolean;

  /** Makes the current entry text, whatever it is stored as. */
  asText(): void {
    if (!this.isInteger) return;
    this.start = writeInteger(this.high, this.low, this.digits);
    this.bytes = this.digitsView;
    this.end = this.digits.length;
  }

  /** Makes the current entry a signed 64-bit integer in `high` and `low`; text that reads as one is one. */
  asInteger(): void {
    if (this.isInteger) return;
    const value = parseInteger(this.bytes, this.start, this.end);
    if (value === undefined) corrupt(`entry ${this.count - 1} must be an integer`);
    this.high = Math.floor(value / 2 ** 32);
    this.low = value | 0;
  }

  /** The current entry as an integer that a double holds exactly. */
  asNumber(): number {
    this.asInteger();
    const value = this.high * 2 ** 32 + (this.low >>> 0);
    if (!Number.isSafeInteger(value)) corrupt(`entry ${this.count - 1} must be a smaller integer`);
    return value;
  }

  protected integer(high: number, low: number): void {
    this.isInteger = true;
    this.high = high;
    this.low = low;
  }

  protected smallInteger(value: number): void {
    this.isInteger = true;
    this.high = value < 0 ? -1 : 0;
    this.low = value;
  }

  protected string(start: number, length: number): void {
    if (start + length > this.limit) corrupt(`entry ${this.count} reaches past the end`);
    this.isInteger = false;
    this.bytes = this.held;
    this.start = start;
    this.end = start + length;
  }

  /** Makes sure that `size` bytes of the current entry are inside. */
  protected inside(size: number): void {
    if (this.at + size > this.limit) corrupt(`entry ${this.count} reaches past the end`);
  }

  protected checkCount(): void {
    if (this.announced !== COUNT_UNKNOWN && this.announced !== this.count) {
      corrupt(`${this.count} entries where the header says ${this.announced}`);
    }
  }

  protected openHeader(held: DataView, start: number, end: number, headerBytes: number): void {
    const size = end - start;
    if (size < headerBytes + 1) corrupt(`${size} bytes are too few for its header`);
    const total = held.getInt32(start, true) >>> 0;
    if (total !== size) corrupt(`${size} bytes where the header says ${total}`);
    if (held.getUint8(end - 1) !== END) corrupt('the terminator is missing');
    this.held = held;
    this.bytes = held;
    this.first = start;
    this.at = start + headerBytes;
    this.limit = end - 1;
    this.count = 0;
    this.announced = held.getUint16(start + headerBytes - 2, true);
  }

  protected byteAt(at: number): number {
    // The caller has checked that `at` is inside.
    return this.held.getUint8(at);
  }
}

/** Header: bytes (4), entries (2). Entry: encoding and text or integer, then its own size, readable backwards. */
export class Listpack extends Entries {
  open(held: DataView, start: number, end: number): this {
    this.openHeader(held, start, end, 6);
    return this;
  }

  /** Goes on where another walk is, on its own. */
  copyWalk(other: Listpack): void {
    this.held = other.held;
    this.at = other.at;
    this.limit = other.limit;
    this.count = other.count;
    this.announced = other.announced;
  }

  next(): boolean {
    if (this.at === this.limit) {
      this.checkCount();
      return false;
    }
    const { at, held } = this;
    const size = this.entry(held, at, this.byteAt(at));
    this.inside(size + 1);
    this.at = at + size + this.checkBackLength(held, at + size, size);
    this.count++;
    return true;
  }

  /** Reads the entry and returns its size without the back-length. */
  private entry(held: DataView, at: number, first: number): number {
    if (first < 0x80) {
      this.smallInteger(first);
      return 1;
    }
    if (first < 0xc0) {
      const length = first & 63;
      this.string(at + 1, length);
      return 1 + length;
    }
    if (first < 0xe0) {
      this.inside(2);
      this.smallInteger(((((first & 31) << 8) | this.byteAt(at + 1)) << 19) >> 19);
      return 2;
    }
    if (first < 0xf0) {
      this.inside(2);
      const length = ((first & 15) << 8) | this.byteAt(at + 1);
      this.string(at + 2, length);
      return 2 + length;
    }
    return this.largeEntry(held, at, first);
  }

  private largeEntry(held: DataView, at: number, first: number): number {
    switch (first) {
      case 0xf0: {
        this.inside(5);
        const length = held.getInt32(at + 1, true) >>> 0;
        this.string(at + 5, length);
        return 5 + length;
      }
      case 0xf1:
        this.inside(3);
        this.smallInteger(((this.byteAt(at + 1) | (this.byteAt(at + 2) << 8)) << 16) >> 16);
        return 3;
      case 0xf2:
        this.inside(4);
        this.smallInteger(
          ((this.byteAt(at + 1) | (this.byteAt(at + 2) << 8) | (this.byteAt(at + 3) << 16)) << 8) >> 8,
        );
        return 4;
      case 0xf3:
        this.inside(5);
        this.smallInteger(held.getInt32(at + 1, true));
        return 5;
      case 0xf4:
        this.inside(9);
        this.integer(held.getInt32(at + 5, true), held.getInt32(at + 1, true));
        return 9;
      default:
        return corrupt(`entry ${this.count} has the unknown encoding 0x${first.toString(16)}`);
    }
  }

  /** Most significant seven bits first; every byte but the first is marked by its high bit. Returns its size. */
  private checkBackLength(held: DataView, at: number, size: number): number {
    if (size <= 127) {
      if (held.getUint8(at) !== size) corrupt(`entry ${this.count} has a wrong back-length`);
      return 1;
    }
    const bytes = size < 16_383 ? 2 : size < 2_097_151 ? 3 : size < 268_435_455 ? 4 : 5;
    if (at + bytes > this.limit) corrupt(`entry ${this.count} reaches past the end`);
    let rest = size;
    for (let i = bytes - 1; i >= 0; i--) {
      const expected = (rest & 127) | (i === 0 ? 0 : 128);
      if (held.getUint8(at + i) !== expected) corrupt(`entry ${this.count} has a wrong back-length`);
      rest = Math.floor(rest / 128);
    }
    return bytes;
  }
}

/** Header: bytes (4), offset of the last entry (4), entries (2). Entry: size of the one before, encoding, content. */
export class Ziplist extends Entries {
  private previous = 0;
  private lastEntry = 0;

  open(held: DataView, start: number, end: number): this {
    this.openHeader(held, start, end, 10);
    this.previous = 0;
    this.lastEntry = this.at;
    return this;
  }

  next(): boolean {
    const { at, held } = this;
    if (at === this.limit) {
      const tail = held.getInt32(this.first + 4, true) >>> 0;
      if (tail !== this.lastEntry - this.first) corrupt(`the header puts the last entry at ${tail}`);
      this.checkCount();
      return false;
    }
    this.lastEntry = at;
    const first = this.byteAt(at);
    if (first === END) corrupt(`a terminator before entry ${this.count}`);
    let previous = first;
    let encoding = at + 1;
    if (first === 0xfe) {
      this.inside(5);
      previous = held.getInt32(at + 1, true) >>> 0;
      encoding = at + 5;
    }
    if (previous !== this.previous) corrupt(`entry ${this.count} gives a wrong size for the one before it`);
    if (encoding >= this.limit) corrupt(`entry ${this.count} reaches past the end`);
    this.at = encoding;
    this.at = this.entry(held, encoding, this.byteAt(encoding));
    this.previous = this.at - at;
    this.count++;
    return true;
  }

  /** Reads the entry and returns where it ends. */
  private entry(held: DataView, at: number, first: number): number {
    if (first < 0x40) {
      this.string(at + 1, first);
      return at + 1 + first;
    }
    if (first < 0x80) {
      this.inside(2);
      const length = ((first & 63) << 8) | this.byteAt(at + 1);
      this.string(at + 2, length);
      return at + 2 + length;
    }
    if (first < 0xc0) {
      this.inside(5);
      const length =
        ((this.byteAt(at + 1) << 24) |
          (this.byteAt(at + 2) << 16) |
          (this.byteAt(at + 3) << 8) |
          this.byteAt(at + 4)) >>>
        0;
      this.string(at + 5, length);
      return at + 5 + length;
    }
    switch (first) {
      case 0xc0:
        this.inside(3);
        this.smallInteger(((this.byteAt(at + 1) | (this.byteAt(at + 2) << 8)) << 16) >> 16);
        return at + 3;
      case 0xd0:
        this.inside(5);
        this.smallInteger(held.getInt32(at + 1, true));
        return at + 5;
      case 0xe0:
        this.inside(9);
        this.integer(held.getInt32(at + 5, true), held.getInt32(at + 1, true));
        return at + 9;
      case 0xf0:
        this.inside(4);
        this.smallInteger(
          ((this.byteAt(at + 1) | (this.byteAt(at + 2) << 8) | (this.byteAt(at + 3) << 16)) << 8) >> 8,
        );
        return at + 4;
      case 0xfe:
        this.inside(2);
        this.smallInteger((this.byteAt(at + 1) << 24) >> 24);
        return at + 2;
      default:
        if (first < 0xf1 || first > 0xfd) {
          corrupt(`entry ${this.count} has the unknown encoding 0x${first.toString(16)}`);
        }
        this.smallInteger(first - 0xf1);
        return at + 1;
    }
  }
}

/** Header: bytes per integer (4), integers (4). They are sorted, and each is there once. */
export class Intset extends Entries {
  private width = 0;
  private lastHigh = 0;
  private lastLow = 0;

  open(held: DataView, start: number, end: number): this {
    const size = end - start;
    if (size < 8) corrupt(`${size} bytes are too few for its header`);
    this.width = held.getInt32(start, true);
    if (this.width !== 2 && this.width !== 4 && this.width !== 8) corrupt(`integers of ${this.width} bytes`);
    this.announced = held.getInt32(start + 4, true) >>> 0;
    if (size !== 8 + this.announced * this.width) {
      corrupt(`${size} bytes where ${this.announced} integers of ${this.width} bytes are announced`);
    }
    this.held = held;
    this.at = start + 8;
    this.limit = end;
    this.count = 0;
    return this;
  }

  next(): boolean {
    if (this.at === this.limit) return false;
    const { held, at, width, lastHigh, lastLow } = this;
    const low =
      width === 2 ? ((this.byteAt(at) | (this.byteAt(at + 1) << 8)) << 16) >> 16 : held.getInt32(at, true);
    const high = width === 8 ? held.getInt32(at + 4, true) : low >> 31;
    if (this.count > 0 && (high < lastHigh || (high === lastHigh && low >>> 0 <= lastLow >>> 0))) {
      corrupt(`integer ${this.count} is not greater than the one before it`);
    }
    this.lastHigh = high;
    this.lastLow = low;
    this.integer(high, low);
    this.at = at + width;
    this.count++;
    return true;
  }
}

/** Entries (1), then fields and values in turn: length, and for a value unused bytes (1), text, the unused bytes. */
export class Zipmap extends Entries {
  open(held: DataView, start: number, end: number): this {
    if (end - start < 2) corrupt(`${end - start} bytes are too few for its header`);
    if (held.getUint8(end - 1) !== END) corrupt('the terminator is missing');
    const announced = held.getUint8(start);
    this.announced = announced === 0xfe ? COUNT_UNKNOWN : announced * 2;
    this.held = held;
    this.at = start + 1;
    this.limit = end - 1;
    this.count = 0;
    return this;
  }

  next(): boolean {
    if (this.at === this.limit) {
      this.checkCount();
      return false;
    }
    const first = this.byteAt(this.at);
    let length = first;
    let text = this.at + 1;
    if (first === 0xfe) {
      this.inside(5);
      length = this.held.getInt32(this.at + 1, true) >>> 0;
      text = this.at + 5;
      if (length < 0xfe) corrupt(`entry ${this.count} has a long length for ${length} bytes`);
    } else if (first === END) {
      corrupt(`a terminator before entry ${this.count}`);
    }
    let unused = 0;
    if (this.count % 2 === 1) {
      if (text >= this.limit) corrupt(`entry ${this.count} reaches past the end`);
      unused = this.byteAt(text++);
    }
    this.string(text, length);
    this.at = text + length + unused;
    if (this.at > this.limit) corrupt(`entry ${this.count} reaches past the end`);
    this.count++;
    return true;
  }
}
