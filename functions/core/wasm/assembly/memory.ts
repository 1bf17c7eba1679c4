/** What lies in the memory beside the slots. */

/** Larger blocks would push what was copied out of the cache before it is read. */
const COPY_BLOCK: i32 = 256 * 1024;

const block = memory.data(COPY_BLOCK, 64);

/** Where bytes are put that do not lie in this memory. Holds nothing between two calls. */
export function copyBlock(): usize {
  return block;
}

export function copyBlockBytes(): usize {
  return COPY_BLOCK;
}
