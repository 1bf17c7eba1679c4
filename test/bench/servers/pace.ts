/** How an object store holds a connection back: so many bytes a second, and some time before each answer. */
export interface Shape {
  readonly bytesPerSecond: number;
  readonly latencyMs: number;
}

export interface Pace {
  /** A new body begins: time that nothing was sent in is not saved up. */
  begin(): void;
  /** After `bytes` were moved: how many milliseconds to wait before the next ones. */
  spend(bytes: number): number;
}

/** Timers are late by a millisecond or more; so much is caught up with afterwards, and no more. */
const CATCH_UP_MS = 50;

export function createPace({ bytesPerSecond }: Shape): Pace {
  let dueAt = 0;
  return {
    begin: () => (dueAt = performance.now()),
    spend: (bytes) => {
      const now = performance.now();
      dueAt = Math.max(dueAt, now - CATCH_UP_MS) + (bytes / bytesPerSecond) * 1000;
      return Math.max(0, dueAt - now);
    },
  };
}
