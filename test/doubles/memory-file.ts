/** A file in memory as a source. Reads take as long as they are told, so that parts end in any order. */
import { BackupError } from '../../functions/core/errors.ts';
import type { ByteSource } from '../../functions/core/transfer/byte-source.ts';
import { throwIfStopped } from '../../functions/core/transfer/retry.ts';

export function createMemoryFile(
  file: Buffer,
  options: { readonly crc64?: string; readonly before?: (start: number) => Promise<void> } = {},
): ByteSource {
  return {
    name: 'a.rdb of r-1',
    bytes: file.length,
    ...(options.crc64 === undefined ? {} : { crc64: options.crc64 }),
    read: async (start, into, signal) => {
      await options.before?.(start);
      throwIfStopped(signal);
      if (start + into.length > file.length) throw new BackupError('INTERNAL', 'read beyond the end');
      into.set(file.subarray(start, start + into.length));
    },
  };
}
