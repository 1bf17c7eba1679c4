/** How much of a function's memory is used for parts. */
import { BackupError } from '../core/errors.ts';
import { FREE_BYTES_MAX } from '../core/wasm/loops.ts';

const USUAL_LANES = 8;
const MAX_LANES = 16;
/** What the runtime, the bundle and the buffers of the connections take, measured generously. */
const BASE_MEMORY_MB = 128;
/** Of the rest, for the slots: four of 8 MiB with 256 MB, eight with 384 MB, twelve with 512 MB. */
const SLOT_SHARE = 1 / 4;

/**
 * So that a lane need not wait until the end of its part has left, there is one slot more for every two lanes; not for
 * the first four, with which a small function stays small.
 */
const LANES_PER_SPARE_SLOT = 2;
const LANES_WITHOUT_SPARE_SLOT = 4;
/** … if there is room: all slots together stay below this share. */
const ALL_SLOTS_SHARE = 0.4;

/**
 * How many parts of this size may arrive at the same time, and how many may be in memory. Throws when not even one fits:
 * the function would be killed half-way. However much memory there is, WebAssembly addresses 4 GiB of it.
 */
export function lanesFor(
  partBytes: number,
  memoryMb: number | undefined,
): { readonly lanes: number; readonly slots: number } {
  const addressed = Math.floor(FREE_BYTES_MAX / partBytes);
  if (addressed === 0) {
    throw new BackupError('CONFIG_INVALID', `hold a part of ${partBytes} bytes: 4 GiB can be addressed`, {
      hint: 'such parts are those of a file of more than 42 TB, which an uploader cannot store',
    });
  }
  const within = (lanes: number, slots: number): { lanes: number; slots: number } => ({
    lanes: Math.min(lanes, addressed),
    slots: Math.min(slots, addressed),
  });
  const withSpare = (lanes: number): number =>
    lanes + Math.ceil(Math.max(0, lanes - LANES_WITHOUT_SPARE_SLOT) / LANES_PER_SPARE_SLOT);
  if (memoryMb === undefined) return within(USUAL_LANES, withSpare(USUAL_LANES));
  const partMb = partBytes / 1024 ** 2;
  const spareMb = memoryMb - BASE_MEMORY_MB;
  if (partMb > Math.max(spareMb, memoryMb / 4)) {
    throw new BackupError(
      'CONFIG_INVALID',
      `hold a part of ${partMb} MiB in a function with ${memoryMb} MB of memory`,
      { hint: `give the uploader at least ${Math.ceil((BASE_MEMORY_MB + 2 * partMb) / 64) * 64} MB` },
    );
  }
  const lanes = Math.min(MAX_LANES, Math.max(1, Math.floor((spareMb * SLOT_SHARE) / partMb)));
  const most = Math.floor((spareMb * ALL_SLOTS_SHARE) / partMb);
  return within(lanes, Math.max(lanes, Math.min(withSpare(lanes), most)));
}
