/** What lies in the memory beside the slots: first what the compiler lays out, then these tables, by size. */

const COPY_BLOCK: usize = 256 * 1024;
const WINDOW_BLOCK: usize = 1024 * 1024;
export const KEY_SLOT: usize = 16;
const EVEN_KEY_SLOTS: usize = 512 * 1024;
const ODD_KEY_SLOTS: usize = 256 * 1024;
const ELEMENT_SLOTS: usize = 1024 * 1024;
const ELEMENT_SLOT: usize = 24;
const EXPANDED: usize = 1024 * 1024 + 64;
/** Some loops read a little past the end of what they look at. */
const SLACK: usize = 64;

const copied: usize = (__heap_base + 63) & ~63;
const window: usize = copied + COPY_BLOCK + SLACK;
export const expanded: usize = window + WINDOW_BLOCK + SLACK;
export const evenKeyTable: usize = expanded + EXPANDED;
export const oddKeyTable: usize = evenKeyTable + EVEN_KEY_SLOTS * KEY_SLOT;
export const elementTable: usize = oddKeyTable + ODD_KEY_SLOTS * KEY_SLOT;
const tablesEnd: usize = elementTable + ELEMENT_SLOTS * ELEMENT_SLOT;

/** Where bytes are put that do not lie in this memory. Holds nothing between two calls. */
export function copyBlock(): usize {
  return copied;
}

export function copyBlockBytes(): usize {
  return COPY_BLOCK;
}

/** Where the fast loop gets keys that do not lie in this memory. */
export function windowBlock(): usize {
  return window;
}

export function windowBlockBytes(): usize {
  return WINDOW_BLOCK;
}

/** How much of the memory is used by this module. */
export function ownBytes(): usize {
  return tablesEnd;
}
