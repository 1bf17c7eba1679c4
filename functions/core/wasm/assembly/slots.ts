/**
 * Cluster slots: CRC-16/XMODEM of the key, or of what stands between its first `{` and the next `}` if that is not
 * empty, modulo 16384.
 *
 * Source: https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags
 */
const SLOTS: u32 = 16384;
const OPEN: u32 = 0x7b;
const CLOSE: u32 = 0x7d;

const seen = memory.data(16384, 64);
const table = memory.data(512, 64);
let hasTable = false;
let count: u32 = 0;

/** A byte for each slot, 1 if a key of it was seen. */
export function slotsSeen(): usize {
  return seen;
}

export function slotsCount(): u32 {
  return SLOTS;
}

export function slotsForget(): void {
  memory.fill(seen, 0, SLOTS);
  count = 0;
}

/** Once all were seen, as soon happens without a cluster, keys need not be looked at. */
export function hasAllSlots(): bool {
  return count == SLOTS;
}

export function addSlot(slot: u32): void {
  const at = seen + slot;
  count += 1 - load<u8>(at);
  store<u8>(at, 1);
}

export function slotOf(from: usize, bytes: usize): u32 {
  if (!hasTable) fillTable();
  const end = from + bytes;
  let crc: u32 = 0;
  for (let at = from; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == OPEN) return slotOfTagged(from, at, end);
    crc = step(crc, byte);
  }
  return crc & (SLOTS - 1);
}

/** Of a key whose first `{` is at `open`. */
function slotOfTagged(from: usize, open: usize, end: usize): u32 {
  let close = open + 1;
  while (close < end && load<u8>(close) != CLOSE) close++;
  const hasTag = close < end && close > open + 1;
  const last = hasTag ? close : end;
  let crc: u32 = 0;
  for (let at = hasTag ? open + 1 : from; at < last; at++) crc = step(crc, load<u8>(at));
  return crc & (SLOTS - 1);
}

// @ts-ignore: decorator
@inline
function step(crc: u32, byte: u32): u32 {
  return ((crc << 8) & 0xffff) ^ load<u16>(table + ((((crc >> 8) ^ byte) & 0xff) << 1));
}

function fillTable(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : crc << 1;
    store<u16>(table + (byte << 1), crc);
  }
  hasTable = true;
}
