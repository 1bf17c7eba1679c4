import { corrupt } from './fault.ts';

/**
 * A piece of the reader that pauses where bytes are missing: it yields how many bytes it needs in one piece from the
 * current position, and is resumed once they are there. Ordinary, whole items are read without pausing.
 */
export type Parse<Result> = Generator<number, Result, void>;

/** A carry buffer larger than this is given back once it has been read. */
const KEPT_CARRY_BYTES_MAX = 1024 * 1024;

/**
 * The window on the file through which everything is read. Mostly it is the current chunk itself; what straddles
 * chunks is put together in a carry buffer, which only ever holds the item being read.
 */
export class Input {
  bytes: Uint8Array = new Uint8Array(0);
  /** The same bytes, for what is more than one of them: a word through a view is one load, from bytes it is four. */
  view = viewOf(this.bytes);
  position = 0;
  end = 0;
  /** What is being read, for the report of a problem, and where in the file it starts. */
  doing = 'the header';
  startedAt = 0;

  private windowStartsAt = 0;
  private carry: Uint8Array = new Uint8Array(0);
  private carryView = viewOf(this.carry);
  private isCarry = false;
  private chunk: Uint8Array = new Uint8Array(0);
  private chunkView = viewOf(this.chunk);
  /** Bytes of the chunk that are in the carry buffer. */
  private taken = 0;

  /** The first chunk begins there in the file. */
  startAt(offset: number): void {
    this.windowStartsAt = offset;
  }

  /** Gives the next chunk to read; what is left of the previous one was kept by `reach`. */
  supply(chunk: Uint8Array): void {
    // A Buffer is made a plain Uint8Array, so that the hot loops see one kind of object only.
    this.chunk = new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    this.chunkView = viewOf(this.chunk);
    this.taken = 0;
    if (this.position === this.end) this.readFromChunk(0);
  }

  /** Puts `wanted` bytes in one piece before the reader, or keeps the rest and says false: the chunk is used up. */
  reach(wanted: number): boolean {
    for (;;) {
      const unread = this.end - this.position;
      if (unread >= wanted) return true;
      if (!this.isCarry) {
        this.keep(unread);
        return false;
      }
      if (unread <= this.taken) {
        this.readFromChunk(this.taken - unread);
        continue;
      }
      const missing = Math.min(wanted - unread, this.chunk.length - this.taken);
      if (missing === 0) return false;
      this.append(missing, wanted);
    }
  }

  /** Whether what is before the reader is the chunk itself; goes back to it as soon as nothing else has to be read. */
  isInChunk(): boolean {
    const unread = this.end - this.position;
    if (this.isCarry && unread <= this.taken) this.readFromChunk(this.taken - unread);
    return !this.isCarry;
  }

  /** The position in the file. */
  offset(): number {
    return this.windowStartsAt + this.position;
  }

  /** Names what is read next. */
  begin(doing: string): void {
    this.doing = doing;
    this.startedAt = this.windowStartsAt + this.position;
  }

  isUsedUp(): boolean {
    return this.position === this.end;
  }

  lacks(count: number): boolean {
    return this.end - this.position < count;
  }

  /** The next byte, which must be there. */
  byte(): number {
    // Inside the window by the caller's check; the cast spares the hot loops a second one.
    return this.bytes[this.position++] as number;
  }

  int32LittleEndian(): number {
    const { view, position } = this;
    this.position += 4;
    return view.getInt32(position, true);
  }

  uint32BigEndian(): number {
    const { view, position } = this;
    this.position += 4;
    return view.getUint32(position);
  }

  *take(count: number): Parse<void> {
    if (this.lacks(count)) yield count;
  }

  /** A length or count. */
  *length(): Parse<number> {
    if (this.lacks(1)) yield 1;
    const size = lengthSizeOf(this.bytes[this.position] as number);
    if (this.lacks(size)) yield size;
    const first = this.byte();
    if (size === 1) return first;
    if (size === 2) return ((first & 63) << 8) | this.byte();
    const high = size === 9 ? this.uint32BigEndian() : 0;
    const length = high * 2 ** 32 + this.uint32BigEndian();
    if (!Number.isSafeInteger(length)) corrupt(`a length of about ${length} is larger than any file`);
    return length;
  }

  /** A 64-bit value in a length's clothes, as halves: module integers and stream ids use all 64 bits. */
  *wide(): Parse<readonly [high: number, low: number]> {
    if (this.lacks(1)) yield 1;
    const size = lengthSizeOf(this.bytes[this.position] as number);
    if (size < 9) return [0, yield* this.length()];
    if (this.lacks(size)) yield size;
    this.position++;
    const high = this.uint32BigEndian();
    return [high, this.uint32BigEndian()];
  }

  private readFromChunk(position: number): void {
    this.windowStartsAt = this.offset() - position;
    this.bytes = this.chunk;
    this.view = this.chunkView;
    this.position = position;
    this.end = this.chunk.length;
    this.isCarry = false;
    if (this.carry.length > KEPT_CARRY_BYTES_MAX) this.setCarry(new Uint8Array(0));
  }

  /** Moves the unread end of the chunk into the carry buffer: the chunk belongs to the caller again. */
  private keep(unread: number): void {
    const rest = this.bytes.subarray(this.position, this.end);
    this.windowStartsAt = this.offset();
    if (this.carry.length < unread) this.setCarry(new Uint8Array(Math.max(unread, 256)));
    this.carry.set(rest);
    this.bytes = this.carry;
    this.view = this.carryView;
    this.position = 0;
    this.end = unread;
    this.isCarry = true;
    this.taken = this.chunk.length;
  }

  /** Grows with what has arrived, never with what is merely wanted: a wrong length costs no memory. */
  private append(count: number, wanted: number): void {
    const unread = this.end - this.position;
    const size = unread + count;
    this.windowStartsAt = this.offset();
    if (this.carry.length < size) {
      const larger = new Uint8Array(Math.max(size, 256, Math.min(wanted, size * 2)));
      larger.set(this.carry.subarray(this.position, this.end));
      this.setCarry(larger);
    } else if (this.position > 0) {
      this.carry.copyWithin(0, this.position, this.end);
    }
    this.carry.set(this.chunk.subarray(this.taken, this.taken + count), unread);
    this.bytes = this.carry;
    this.view = this.carryView;
    this.position = 0;
    this.end = size;
    this.taken += count;
  }

  private setCarry(carry: Uint8Array): void {
    this.carry = carry;
    this.carryView = viewOf(carry);
  }
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The bytes of a part of a view, not copied. */
export function bytesOf(view: DataView, start: number, end: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + start, end - start);
}

/** How many bytes a length takes, from its first byte. */
function lengthSizeOf(first: number): 1 | 2 | 5 | 9 {
  if (first < 0x40) return 1;
  if (first < 0x80) return 2;
  if (first === 0x80) return 5;
  if (first === 0x81) return 9;
  return corrupt(`0x${first.toString(16)} where a length must be`);
}
