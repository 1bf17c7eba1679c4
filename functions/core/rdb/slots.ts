/**
 * Cluster slots: CRC-16/XMODEM of the key, or of what stands between its first `{` and the next `}` if that is not
 * empty, modulo 16384.
 *
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
export const SLOT_COUNT = 16_384;
const OPEN = 0x7b;
const CLOSE = 0x7d;

const CRC16 = Uint16Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 8;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021;
  return crc;
});

export function slotOf(bytes: DataView, start: number, end: number): number {
  let crc = 0;
  for (let at = start; at < end; at++) {
    const byte = bytes.getUint8(at);
    if (byte === OPEN) return slotOfTagged(bytes, start, at, end);
    crc = ((crc << 8) & 0xffff) ^ (CRC16[(crc >>> 8) ^ byte] as number);
  }
  return crc & (SLOT_COUNT - 1);
}

/** Of a key whose first `{` is at `open`. */
function slotOfTagged(bytes: DataView, start: number, open: number, end: number): number {
  let close = open + 1;
  while (close < end && bytes.getUint8(close) !== CLOSE) close++;
  const hasTag = close < end && close > open + 1;
  const to = hasTag ? close : end;
  let crc = 0;
  for (let at = hasTag ? open + 1 : start; at < to; at++) {
    crc = ((crc << 8) & 0xffff) ^ (CRC16[(crc >>> 8) ^ bytes.getUint8(at)] as number);
  }
  return crc & (SLOT_COUNT - 1);
}

/** Reads what `SlotSet.report` writes, `0-5460,5470`; undefined when it is nothing of the kind. */
export function parseSlots(ranges: string): SlotSet | undefined {
  const slots = new SlotSet();
  if (ranges === '') return slots;
  for (const range of ranges.split(',')) {
    const [, from = '', to = from] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(range) ?? [];
    const first = Number(from);
    const last = Number(to);
    if (from === '' || first > last || last >= SLOT_COUNT) return undefined;
    for (let slot = first; slot <= last; slot++) slots.add(slot);
  }
  return slots;
}

/** The slots that were seen. */
export class SlotSet {
  private readonly has = new Uint8Array(SLOT_COUNT);
  private count = 0;

  /** Once all slots were seen, as soon happens without a cluster, keys need not be looked at. */
  isFull(): boolean {
    return this.count === SLOT_COUNT;
  }

  add(slot: number): void {
    if (this.has[slot] === 1) return;
    this.has[slot] = 1;
    this.count++;
  }

  with(slot: number): this {
    this.add(slot);
    return this;
  }

  /** In ascending order. */
  *slots(): Iterable<number> {
    for (let slot = 0; slot < SLOT_COUNT; slot++) if (this.has[slot] === 1) yield slot;
  }

  holds(slot: number): boolean {
    return this.has[slot] === 1;
  }

  /** The slots for which it holds. */
  where(holds: (slot: number) => boolean): SlotSet {
    const chosen = new SlotSet();
    for (let slot = 0; slot < SLOT_COUNT; slot++) if (this.has[slot] === 1 && holds(slot)) chosen.add(slot);
    return chosen;
  }

  /** Adds slots: a byte for each, 1 if it is one of them. */
  addAll(slots: Uint8Array): void {
    if (this.isFull()) return;
    for (let slot = 0; slot < SLOT_COUNT; slot++) if (slots[slot] === 1) this.add(slot);
  }

  /** A byte for each slot, 1 if it was seen. */
  all(): Uint8Array {
    return this.has;
  }

  /** How many, and which, as `0-5460,5470`. */
  report(): { seen: number; ranges: string } {
    const ranges: string[] = [];
    for (let slot = 0; slot < SLOT_COUNT; slot++) {
      if (this.has[slot] === 0) continue;
      const first = slot;
      while (slot + 1 < SLOT_COUNT && this.has[slot + 1] === 1) slot++;
      ranges.push(first === slot ? String(first) : `${first}-${slot}`);
    }
    return { seen: this.count, ranges: ranges.join(',') };
  }
}
