import { testByteSource } from '../contracts/byte-source.ts';
import { createMemoryFile } from './memory-file.ts';
import { plainFile } from './plain-scanner.ts';

testByteSource('a file in memory', async () => {
  const file = plainFile(1_234_567);
  return { source: createMemoryFile(file), file, close: async () => undefined };
});
