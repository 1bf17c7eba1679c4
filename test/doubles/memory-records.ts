/** Write-once records in memory. */
import type { Records } from '../../functions/core/source/obtain-backup.ts';

export interface MemoryRecords extends Records {
  readonly all: Map<string, unknown>;
}

export function createMemoryRecords(): MemoryRecords {
  const all = new Map<string, unknown>();
  return {
    all,
    read: async (name, signal) => {
      signal.throwIfAborted();
      return all.get(name);
    },
    write: async (name, value, signal) => {
      signal.throwIfAborted();
      if (!all.has(name)) all.set(name, structuredClone(value));
      return all.get(name);
    },
  };
}
