/** In the place of `scanner.ts` in the uploader that verifies nothing: it counts bytes. */
import type { RdbScanner } from '../../../functions/core/rdb/scanner.ts';

export function createRdbScanner(): RdbScanner {
  let bytes = 0;
  return {
    write: (chunk) => void (bytes += chunk.length),
    hasFailed: () => false,
    checkpoint: () => undefined,
    end: () => ({
      // With this verdict a file counts as checksummed, not as read.
      verdict: 'unverifiable',
      bytes,
      fingerprint: {
        version: 0,
        dialect: 'redis',
        aux: {},
        keys: 0,
        expires: 0,
        databases: {},
        types: {},
        modules: {},
        functions: 0,
        biggest: [],
        slots: { seen: 0, ranges: '' },
        digest: '0'.repeat(32),
      },
    }),
  };
}
