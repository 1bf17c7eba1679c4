/**
 * MurmurHash3_x86_128 with seed 0 over data that comes in blocks of sixteen bytes, and a sum of such hashes.
 *
 * Source: Austin Appleby's MurmurHash3.cpp (SMHasher); the test checks it against SMHasher's verification value.
 */
import { wordAt } from './input.ts';

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
  private h1 = 0;
  private h2 = 0;
  private h3 = 0;
  private h4 = 0;
  /** Bytes so far, modulo 2^32, always a multiple of sixteen. */
  private count = 0;
  private readonly rest = new Uint8Array(16);
  private restBytes = 0;

  reset(): void {
    this.h1 = 0;
    this.h2 = 0;
    this.h3 = 0;
    this.h4 = 0;
    this.count = 0;
  }

  /** Sixteen bytes as four little-endian words. */
  block(word1: number, word2: number, word3: number, word4: number): void {
    let { h1, h2, h3, h4 } = this;
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
    this.h1 = h1;
    this.h2 = h2;
    this.h3 = h3;
    this.h4 = h4;
    this.count = (this.count + 16) | 0;
  }

  /** A text: its length in four bytes, its bytes, and zeros up to a whole block. */
  text(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start;
    if (length < 12) {
      this.block(
        length,
        partialWord(bytes, start, end),
        partialWord(bytes, start + 4, end),
        partialWord(bytes, start + 8, end),
      );
      return;
    }
    this.block(length, wordAt(bytes, start), wordAt(bytes, start + 4), wordAt(bytes, start + 8));
    let at = start + 12;
    for (; at + 16 <= end; at += 16) {
      this.block(wordAt(bytes, at), wordAt(bytes, at + 4), wordAt(bytes, at + 8), wordAt(bytes, at + 12));
    }
    if (at < end) {
      this.block(
        partialWord(bytes, at, end),
        partialWord(bytes, at + 4, end),
        partialWord(bytes, at + 8, end),
        partialWord(bytes, at + 12, end),
      );
    }
  }

  beginText(length: number): void {
    const { rest } = this;
    rest[0] = length;
    rest[1] = length >>> 8;
    rest[2] = length >>> 16;
    rest[3] = length >>> 24;
    this.restBytes = 4;
  }

  piece(bytes: Uint8Array, start: number, end: number): void {
    let at = start;
    if (this.restBytes > 0) {
      while (this.restBytes < 16 && at < end) this.rest[this.restBytes++] = bytes[at++] as number;
      if (this.restBytes < 16) return;
      this.flush();
    }
    for (; at + 16 <= end; at += 16) {
      this.block(wordAt(bytes, at), wordAt(bytes, at + 4), wordAt(bytes, at + 8), wordAt(bytes, at + 12));
    }
    while (at < end) this.rest[this.restBytes++] = bytes[at++] as number;
  }

  endText(): void {
    if (this.restBytes === 0) return;
    this.rest.fill(0, this.restBytes);
    this.flush();
  }

  finish(): void {
    const { count } = this;
    let h1 = this.h1 ^ count;
    let h2 = this.h2 ^ count;
    let h3 = this.h3 ^ count;
    let h4 = this.h4 ^ count;
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

  private flush(): void {
    const { rest } = this;
    this.block(wordAt(rest, 0), wordAt(rest, 4), wordAt(rest, 8), wordAt(rest, 12));
    this.restBytes = 0;
  }
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
    const a = (this.a + hash.a) | 0;
    const carryA = a >>> 0 < hash.a >>> 0 ? 1 : 0;
    const b = (this.b >>> 0) + (hash.b >>> 0) + carryA;
    const c = (this.c >>> 0) + (hash.c >>> 0) + (b > 0xffff_ffff ? 1 : 0);
    this.d = (this.d + hash.d + (c > 0xffff_ffff ? 1 : 0)) | 0;
    this.a = a;
    this.b = b | 0;
    this.c = c | 0;
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

/** Up to four bytes, missing ones as zeros. */
function partialWord(bytes: Uint8Array, at: number, end: number): number {
  if (at + 4 <= end) return wordAt(bytes, at);
  let word = 0;
  for (let i = end - 1; i >= at; i--) word = (word << 8) | (bytes[i] as number);
  return word;
}

function mixed(lane: number): number {
  let h = imul(lane ^ (lane >>> 16), 0x85eb_ca6b);
  h = imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
