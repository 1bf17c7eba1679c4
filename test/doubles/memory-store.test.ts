import { testObjectStore } from '../contracts/object-store.ts';
import { testUploadTarget } from '../contracts/upload-target.ts';
import { createMemoryStore } from './memory-store.ts';

const open = async (): Promise<{
  store: ReturnType<typeof createMemoryStore>;
  close: () => Promise<void>;
}> => ({
  store: createMemoryStore(),
  close: async () => undefined,
});

testObjectStore('the store in memory', open);
testUploadTarget('the store in memory', open);
