/** What was asked of the emulator, in order: the witness that tests and the demo call. Holds no secrets. */
import type { ServiceName } from './faults.ts';

export interface JournalEntry {
  readonly at: number;
  readonly service: ServiceName;
  readonly action: string;
  readonly target: string;
  /** HTTP status that was sent; 0 when the connection was broken instead. */
  status: number;
  /** The service's error code, when it answered with an error. */
  code?: string;
  /** Bytes of the request's and of the answer's body. */
  received: number;
  sent: number;
  /** Which fault spoiled it, if one did. */
  fault?: string;
  /** Who called: an access key's owner or a role session, by ARN. */
  caller?: string;
  readonly range?: string;
}

export interface Journal {
  add(entry: JournalEntry): void;
  entries(filter?: Partial<Pick<JournalEntry, 'service' | 'action' | 'target'>>): readonly JournalEntry[];
  clear(): void;
}

/** Older entries are dropped beyond this many, so that an emulator left running does not grow without end. */
const MAX_ENTRIES = 200_000;

export function createJournal(): Journal {
  let all: JournalEntry[] = [];
  return {
    add(entry) {
      all.push(entry);
      if (all.length > MAX_ENTRIES) all = all.slice(MAX_ENTRIES / 2);
    },
    entries: (filter = {}) =>
      all.filter(
        (entry) =>
          (filter.service === undefined || entry.service === filter.service) &&
          (filter.action === undefined || entry.action === filter.action) &&
          (filter.target === undefined || entry.target === filter.target),
      ),
    clear() {
      all = [];
    },
  };
}
