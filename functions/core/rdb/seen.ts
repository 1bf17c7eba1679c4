/** Sixteen bytes per element; half of the slots stay free. */
const FIRST_SLOTS = 256;

/**
 * Remembers 128-bit hashes to notice a second one. It holds `limit` of them and no more: what comes later is not
 * noticed, and not remembered either.
 */
export class Seen {
  private readonly limit: number;
  private slots = new Int32Array(FIRST_SLOTS * 4);
  private used = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  forget(): void {
    if (this.used === 0) return;
    // A large table is given back rather than cleared for every small collection that follows.
    if (this.slots.length > FIRST_SLOTS * 4) this.slots = new Int32Array(FIRST_SLOTS * 4);
    else this.slots.fill(0);
    this.used = 0;
  }

  /** True if this hash was added before. */
  add(hash: { readonly a: number; readonly b: number; readonly c: number; readonly d: number }): boolean {
    if (this.used >= this.limit) return false;
    if (this.used * 8 >= this.slots.length) this.grow();
    return this.insert(hash.a | 1, hash.b, hash.c, hash.d);
  }

  /** The lowest bit of `a` marks a slot as used. */
  private insert(a: number, b: number, c: number, d: number): boolean {
    const { slots } = this;
    const mask = slots.length - 4;
    let at = (b << 2) & mask;
    for (; slots[at] !== 0; at = (at + 4) & mask) {
      if (slots[at] === a && slots[at + 1] === b && slots[at + 2] === c && slots[at + 3] === d) return true;
    }
    slots[at] = a;
    slots[at + 1] = b;
    slots[at + 2] = c;
    slots[at + 3] = d;
    this.used++;
    return false;
  }

  private grow(): void {
    const old = this.slots;
    this.slots = new Int32Array(old.length * 2);
    this.used = 0;
    for (let at = 0; at < old.length; at += 4) {
      const a = old[at] as number;
      if (a !== 0) this.insert(a, old[at + 1] as number, old[at + 2] as number, old[at + 3] as number);
    }
  }
}
