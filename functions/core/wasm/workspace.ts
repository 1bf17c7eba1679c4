import { crc64Pair, type Crc64Pair } from '../crc64.ts';
import { createLoops, type Loops } from './loops.ts';

/** The memory in which parts travel, and the loops that read them there: one instance of WebAssembly. */
export interface Workspace {
  /** Buffers inside the memory. They cost nothing until they are touched, and stay valid: the memory never grows. */
  readonly slots: readonly Buffer[];
  readonly loops: Loops;
  /**
   * Both checksums over bytes that are handed over in order; any number may be open at once. Bytes in the workspace are
   * read where they lie, others are copied first.
   */
  checksums(): Crc64Pair;
  /** The loops with the tables of the fast loop over keys, for one reader at a time; undefined while another has them. */
  lendTables(): Loops | undefined;
  /** Safe at any time when nobody reads: also for a reader that was given up without an end. */
  returnTables(): void;
}

/** Each slot begins on a page of its own. */
const PAGE_BYTES = 4096;

/** Throws `CONFIG_INVALID` if the slots together are more than WebAssembly can address. */
export function createWorkspace(slotCount: number, slotBytes: number): Workspace {
  const stride = Math.ceil(slotBytes / PAGE_BYTES) * PAGE_BYTES;
  const { loops, freeFrom } = createLoops(slotCount * stride);
  const slots = Array.from({ length: slotCount }, (_, slot) =>
    Buffer.from(loops.memory, freeFrom + slot * stride, slotBytes),
  );
  let areLent = false;
  return {
    slots,
    loops,
    checksums: () => crc64Pair(loops),
    lendTables: () => {
      if (areLent) return undefined;
      areLent = true;
      return loops;
    },
    returnTables: () => {
      areLent = false;
    },
  };
}
