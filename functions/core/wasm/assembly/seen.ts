/** Tells what is there twice: keys of a file, and members and fields within a value. */
import { KEY_SLOT, elementTable, evenKeyTable, oddKeyTable } from './memory';
import { hashLanes } from './murmur';

/** Keys that are compared with each other; the ones after that are not. */
const KEYS_MAX: u32 = 256 * 1024;
/** Members and fields of one value that are compared with each other; the ones after that are not. */
export const ELEMENTS_MAX: u32 = 512 * 1024;

/** Few files have so many keys: the table grows with them, each time into the other of two places. */
const FIRST_SLOTS: u32 = 4096;
const LAST_SLOTS: u32 = 512 * 1024;

let keys: u32 = 0;
let table: usize = evenKeyTable;
let slots: u32 = FIRST_SLOTS;
/** Slots with another generation are free: so nothing has to be cleared between two values. */
let generation: u64 = 0;
let elementMask: u32 = 0;
let elements: u32 = 0;

export function keysForget(): void {
  if (keys > 0) memory.fill(table, 0, <usize>slots * KEY_SLOT);
  keys = 0;
  table = evenKeyTable;
  slots = FIRST_SLOTS;
}

/** Compares no more keys, as if there were too many already. */
export function keysStop(): void {
  keysForget();
  keys = KEYS_MAX;
}

/** The first so many keys are compared with each other. */
export function comparesKeys(): bool {
  return keys < KEYS_MAX;
}

/** Where the keys are: of each two words of 64 bits, the lowest bit of the first set; free slots are zero. */
export function keysTable(): usize {
  return table;
}

export function keysTableBytes(): usize {
  return <usize>slots * KEY_SLOT;
}

/** True if this identity of a key was added before. */
export function keyAdd(lane1: u64, lane2: u64): bool {
  if (keys >= KEYS_MAX) return false;
  if (keys * 2 >= slots) grow();
  return insert(lane1 | 1, lane2);
}

function insert(first: u64, second: u64): bool {
  const mask = slots - 1;
  let slot = spread(first, second) & mask;
  let at = table + (<usize>slot << 4);
  for (let there = load<u64>(at); there != 0; there = load<u64>(at)) {
    if (there == first && load<u64>(at, 8) == second) return true;
    slot = (slot + 1) & mask;
    at = table + (<usize>slot << 4);
  }
  store<u64>(at, first);
  store<u64>(at, second, 8);
  keys += 1;
  return false;
}

function grow(): void {
  const old = table;
  const bytes = <usize>slots * KEY_SLOT;
  table = old == evenKeyTable ? oddKeyTable : evenKeyTable;
  slots = slots * 4 < LAST_SLOTS ? slots * 4 : LAST_SLOTS;
  keys = 0;
  for (let at = old; at < old + bytes; at += KEY_SLOT) {
    if (load<u64>(at) != 0) insert(load<u64>(at), load<u64>(at, 8));
  }
  memory.fill(old, 0, bytes);
}

/** Forgets the elements of the value before. Of this one no more than `expected` may be added. */
export function elementsBegin(expected: u32): void {
  const count = expected < ELEMENTS_MAX ? expected : ELEMENTS_MAX;
  generation += 1;
  elements = 0;
  elementMask = count <= 8 ? 15 : (1 << (33 - clz<u32>(count - 1))) - 1;
}

/** True if this identity of an element was added before. */
export function elementAdd(lane1: u64, lane2: u64): bool {
  if (elements >= ELEMENTS_MAX) return false;
  let slot = spread(lane1, lane2) & elementMask;
  let at = elementTable + <usize>slot * 24;
  for (; load<u64>(at, 16) == generation; at = elementTable + <usize>slot * 24) {
    if (load<u64>(at) == lane1 && load<u64>(at, 8) == lane2) return true;
    slot = (slot + 1) & elementMask;
  }
  store<u64>(at, lane1);
  store<u64>(at, lane2, 8);
  store<u64>(at, generation, 16);
  elements += 1;
  return false;
}

/** Identities are different, but not evenly spread. */
// @ts-ignore: decorator
@inline
function spread(lane1: u64, lane2: u64): u32 {
  const mixed = (lane1 ^ rotl<u64>(lane2, 32)) * 0x9e3779b185ebca87;
  return <u32>(((mixed ^ (mixed >> 32)) * 0xc2b2ae3d27d4eb4f) >> 40);
}

/** The same for the identity that was put where `hashLanes` says. */
export function keyAddRow(): bool {
  return keyAdd(load<u64>(hashLanes()), load<u64>(hashLanes(), 8));
}

export function elementAddRow(): bool {
  return elementAdd(load<u64>(hashLanes()), load<u64>(hashLanes(), 8));
}
