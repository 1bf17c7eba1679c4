/**
 * MurmurHash3_x86_128 with seed 0 over data that comes in blocks of sixteen bytes, and a sum of such hashes.
 *
 * Source: Austin Appleby's MurmurHash3.cpp (SMHasher); the test checks it against SMHasher's verification value.
 */

// Kept at hand: inside a VM context, where tests run, a look-up of the global is slow.
const { imul } = Math;

const C1 = 0x239b_961b;
const C2 = 0xab0e_9789;
const C3 = 0x38b3_4ae5;
const C4 = 0xa1e3_8b93;

/** Four lanes of 32 bits. `finish` leaves the hash in `a` to `d`; hashing can go on after it. */
export class Hash128 {
  a = 0;
  b = 0;
  c = 0;
  d = 0;
  // Typed, because words in a typed array are read and written as they are; as fields they would be tagged each time.
  private readonly lanes = new Int32Array(4);
  /** Bytes so far, modulo 2^32, always a multiple of sixteen. */
  hashedBytes = 0;
  /** Of a text in pieces, what does not fill a block yet. */
  private readonly rest = new Uint8Array(16);
  private readonly restView = new DataView(this.rest.buffer);
  private restBytes = 0;

  reset(): void {
    const { lanes } = this;
    lanes[0] = 0;
    lanes[1] = 0;
    lanes[2] = 0;
    lanes[3] = 0;
    this.hashedBytes = 0;
  }

  /** Sixteen bytes as four little-endian words. */
  block(word1: number, word2: number, word3: number, word4: number): void {
    hashBlock(this.lanes, word1, word2, word3, word4);
    this.hashedBytes = (this.hashedBytes + 16) | 0;
  }

  /** A text: its length in four bytes, its bytes, and zeros up to a whole block. */
  text(bytes: DataView, start: number, end: number): void {
    const { lanes } = this;
    const length = end - start;
    if (length < 12) {
      hashBlock(
        lanes,
        length,
        wordOf(bytes, start, end),
        length > 4 ? wordOf(bytes, start + 4, end) : 0,
        length > 8 ? wordOf(bytes, start + 8, end) : 0,
      );
      this.hashedBytes = (this.hashedBytes + 16) | 0;
      return;
    }
    hashBlock(
      lanes,
      length,
      bytes.getInt32(start, true),
      bytes.getInt32(start + 4, true),
      bytes.getInt32(start + 8, true),
    );
    const at = this.wholeBlocks(bytes, start + 12, end);
    if (at < end) {
      hashBlock(
        lanes,
        wordOf(bytes, at, end),
        at + 4 < end ? wordOf(bytes, at + 4, end) : 0,
        at + 8 < end ? wordOf(bytes, at + 8, end) : 0,
        at + 12 < end ? wordOf(bytes, at + 12, end) : 0,
      );
      this.hashedBytes = (this.hashedBytes + 16) | 0;
    }
    this.hashedBytes = (this.hashedBytes + 16) | 0;
  }

  beginText(length: number): void {
    this.restView.setUint32(0, length % 2 ** 32, true);
    this.restBytes = 4;
  }

  piece(bytes: DataView, start: number, end: number): void {
    let at = start;
    if (this.restBytes > 0) {
      while (this.restBytes < 16 && at < end) this.rest[this.restBytes++] = bytes.getUint8(at++);
      if (this.restBytes < 16) return;
      this.flush();
    }
    at = this.wholeBlocks(bytes, at, end);
    while (at < end) this.rest[this.restBytes++] = bytes.getUint8(at++);
  }

  endText(): void {
    if (this.restBytes === 0) return;
    this.rest.fill(0, this.restBytes);
    this.flush();
  }

  finish(): void {
    const { hashedBytes: count, lanes } = this;
    let h1 = (lanes[0] as number) ^ count;
    let h2 = (lanes[1] as number) ^ count;
    let h3 = (lanes[2] as number) ^ count;
    let h4 = (lanes[3] as number) ^ count;
    h1 = (h1 + h2 + h3 + h4) | 0;
    h2 = mixed((h2 + h1) | 0);
    h3 = mixed((h3 + h1) | 0);
    h4 = mixed((h4 + h1) | 0);
    h1 = mixed(h1);
    h1 = (h1 + h2 + h3 + h4) | 0;
    this.a = h1;
    this.b = (h2 + h1) | 0;
    this.c = (h3 + h1) | 0;
    this.d = (h4 + h1) | 0;
  }

  /** Hashes as many whole blocks as there are and returns where the rest starts. */
  private wholeBlocks(bytes: DataView, start: number, end: number): number {
    const { lanes } = this;
    let at = start;
    for (; at + 16 <= end; at += 16) {
      hashBlock(
        lanes,
        bytes.getInt32(at, true),
        bytes.getInt32(at + 4, true),
        bytes.getInt32(at + 8, true),
        bytes.getInt32(at + 12, true),
      );
    }
    this.hashedBytes = (this.hashedBytes + at - start) | 0;
    return at;
  }

  private flush(): void {
    this.restBytes = 0;
    this.wholeBlocks(this.restView, 0, 16);
  }
}

function hashBlock(lanes: Int32Array, word1: number, word2: number, word3: number, word4: number): void {
  // The casts: an array of four has these four.
  let h1 = lanes[0] as number;
  let h2 = lanes[1] as number;
  let h3 = lanes[2] as number;
  let h4 = lanes[3] as number;
  let k = imul(word1, C1);
  h1 ^= imul((k << 15) | (k >>> 17), C2);
  h1 = (((h1 << 19) | (h1 >>> 13)) + h2) | 0;
  h1 = (imul(h1, 5) + 0x561c_cd1b) | 0;
  k = imul(word2, C2);
  h2 ^= imul((k << 16) | (k >>> 16), C3);
  h2 = (((h2 << 17) | (h2 >>> 15)) + h3) | 0;
  h2 = (imul(h2, 5) + 0x0bca_a747) | 0;
  k = imul(word3, C3);
  h3 ^= imul((k << 17) | (k >>> 15), C4);
  h3 = (((h3 << 15) | (h3 >>> 17)) + h4) | 0;
  h3 = (imul(h3, 5) + 0x96cd_1c35) | 0;
  k = imul(word4, C4);
  h4 ^= imul((k << 18) | (k >>> 14), C1);
  h4 = (((h4 << 13) | (h4 >>> 19)) + h1) | 0;
  h4 = (imul(h4, 5) + 0x32ac_3b17) | 0;
  lanes[0] = h1;
  lanes[1] = h2;
  lanes[2] = h3;
  lanes[3] = h4;
}

/** A sum of hashes modulo 2^128, lane `a` lowest: the order in which they are added does not matter. */
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
      .map((lane) => (lane >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }
}

/** The word at `at`, with zeros for what lies past `end`. What stands there is mostly read with it, and masked away. */
function wordOf(bytes: DataView, at: number, end: number): number {
  const size = end - at;
  if (size >= 4) return bytes.getInt32(at, true);
  if (at + 4 <= bytes.byteLength) return bytes.getInt32(at, true) & ((1 << (size * 8)) - 1);
  let word = 0;
  for (let i = end - 1; i >= at; i--) word = (word << 8) | bytes.getUint8(i);
  return word;
}

function mixed(lane: number): number {
  let h = imul(lane ^ (lane >>> 16), 0x85eb_ca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
