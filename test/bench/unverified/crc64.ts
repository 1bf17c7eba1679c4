/** In the place of `crc64.ts` in the uploader that verifies nothing: what is summed on the way comes to zero, for nothing. */
import type { Crc64Pair } from '../../../functions/core/crc64.ts';

// Small objects are still compared, as ever.
export { combineCrc64Jones, combineCrc64Xz, crc64Jones, crc64Xz } from '../../../functions/core/crc64.ts';

export function crc64Pair(): Crc64Pair {
  return { update: () => undefined, xz: () => 0n, jones: () => 0n, reset: () => undefined };
}
