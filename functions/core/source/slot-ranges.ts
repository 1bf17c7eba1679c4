/** Sets of cluster slots, written as `0-5460,5470`. */

const SLOTS = 16_384;

/** The first slot of `seen` that is not within the others; undefined when all are. */
export function firstSlotOutside(seen: string, within: string): number | undefined {
  const allowed = new Uint8Array(SLOTS);
  for (const [first, last] of rangesOf(within)) allowed.fill(1, first, last + 1);
  for (const [first, last] of rangesOf(seen))
    for (let slot = first; slot <= last; slot++) if (allowed[slot] !== 1) return slot;
  return undefined;
}

function rangesOf(text: string): readonly (readonly [number, number])[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part) => {
      const [first = '', last = first] = part.split('-');
      return [Number(first), Number(last)] as const;
    });
}
