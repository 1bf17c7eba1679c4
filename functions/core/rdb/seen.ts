/** Room for two thirds as many hashes; small, because it is cleared for every small collection. */
const FIRST_SLOTS = 64;
/** A larger table, of one large collection, is given back afterwards. */
const KEPT_SLOTS_MAX = 64 * 1024;
/** Up to here in large steps, because with each everything is put in again; then in smaller ones, for memory. */
const LARGE_STEPS_UP_TO_SLOTS = 16 * 1024;
const WORDS_PER_SLOT = 4;

const { imul } = Math;

export type Identity = { readonly a: number; readonly b: number; readonly c: number; readonly d: number };

/**
 * Remembers identities of 128 bits to notice a second one; up to 96 bytes for each. It holds `limit` of them and no more:
 * what comes later is not noticed, and not remembered either.
 */
export class Seen {
  private readonly limit: number;
  private words = new Int32Array(FIRST_SLOTS * WORDS_PER_SLOT);
  /** Of the words, those in use: a power of two. */
  private size = FIRST_SLOTS * WORDS_PER_SLOT;
  private used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** What is remembered, but for one: four words each, of which the first is odd. */
  identities(except?: Identity): Int32Array {
    return usedSlots(this.words.subarray(0, this.size), except);
  }

  /** Remembers nothing any more, as if there were too many already. */
  stop(): void {
    this.forget();
    this.used = this.limit;
  }

  isFull(): boolean {
    return this.used >= this.limit;
  }

  forget(): void {
    if (this.used === 0) return;
    this.used = 0;
    if (this.words.length > KEPT_SLOTS_MAX * WORDS_PER_SLOT)
      this.words = new Int32Array(FIRST_SLOTS * WORDS_PER_SLOT);
    else this.words.fill(0, 0, this.size);
    this.size = FIRST_SLOTS * WORDS_PER_SLOT;
  }

  /** True if this identity was added before. */
  add(identity: Identity): boolean {
    if (this.used >= this.limit) return false;
    if (this.used * WORDS_PER_SLOT * 3 >= this.size * 2) this.grow();
    return this.insert(identity.a | 1, identity.b, identity.c, identity.d);
  }

  /** The lowest bit of `a` marks a slot as used. */
  private insert(a: number, b: number, c: number, d: number): boolean {
    const { words } = this;
    const mask = this.size - WORDS_PER_SLOT;
    let at = (spread(a, b, c, d) << 2) & mask;
    for (; words[at] !== 0; at = (at + WORDS_PER_SLOT) & mask) {
      if (words[at] === a && words[at + 1] === b && words[at + 2] === c && words[at + 3] === d) return true;
    }
    words[at] = a;
    words[at + 1] = b;
    words[at + 2] = c;
    words[at + 3] = d;
    this.used++;
    return false;
  }

  private grow(): void {
    const old = this.words.slice(0, this.size);
    this.size *= this.size < LARGE_STEPS_UP_TO_SLOTS * WORDS_PER_SLOT ? 4 : 2;
    if (this.words.length < this.size) this.words = new Int32Array(this.size);
    else this.words.fill(0, 0, this.size);
    this.used = 0;
    for (let at = 0; at < old.length; at += WORDS_PER_SLOT) {
      const a = old[at] as number;
      if (a !== 0) this.insert(a, old[at + 1] as number, old[at + 2] as number, old[at + 3] as number);
    }
  }
}

/** Identities are different, but not evenly spread. */
function spread(a: number, b: number, c: number, d: number): number {
  let mixed = imul(imul(a ^ b, 0x85eb_ca6b) ^ c ^ imul(d, 0xc2b2_ae35), 0x27d4_eb2f);
  mixed = imul(mixed ^ (mixed >>> 15), 0x9e37_79b1);
  return mixed ^ (mixed >>> 16);
}

/** Of a table of slots of four words, those that are used: their first word is not zero. */
export function usedSlots(words: Int32Array, except?: Identity): Int32Array {
  const used = new Int32Array(words.length);
  let end = 0;
  for (let at = 0; at < words.length; at += WORDS_PER_SLOT) {
    if (words[at] === 0) continue;
    for (let i = 0; i < WORDS_PER_SLOT; i++) used[end + i] = words[at + i] as number; // inside the table
    const isExcepted =
      except !== undefined &&
      used[end] === (except.a | 1) &&
      used[end + 1] === except.b &&
      used[end + 2] === except.c &&
      used[end + 3] === except.d;
    if (!isExcepted) end += WORDS_PER_SLOT;
  }
  return used.slice(0, end);
}

/** The identities of such slots. */
export function* identitiesOf(words: Int32Array): Generator<Identity> {
  for (let at = 0; at < words.length; at += WORDS_PER_SLOT) {
    const [a = 0, b = 0, c = 0, d = 0] = words.subarray(at, at + WORDS_PER_SLOT);
    yield { a, b, c, d };
  }
}
