/** Time that passes only while everybody waits: hours of polling in milliseconds, always in the same order. */
import type { Clock } from '../../functions/core/clock.ts';

export interface VirtualClock extends Clock {
  /** Skips time without waking anybody before the next wait. */
  skip(ms: number): void;
}

interface Sleeper {
  readonly at: number;
  readonly order: number;
  readonly wake: () => void;
}

/** @param startAt ISO 8601 */
export function createVirtualClock(startAt = '2026-11-20T18:00:00Z'): VirtualClock {
  let now = Date.parse(startAt);
  let order = 0;
  const sleepers = new Set<Sleeper>();

  /** Runs when nothing else is left to do but to wait: doubles answer in microtasks. */
  function pump(): void {
    const next = [...sleepers].sort((a, b) => a.at - b.at || a.order - b.order)[0];
    if (next === undefined) return;
    sleepers.delete(next);
    now = Math.max(now, next.at);
    next.wake();
    if (sleepers.size > 0) setImmediate(pump);
  }

  return {
    now: () => now,
    skip: (ms) => {
      now += ms;
    },
    sleep: async (ms, signal) => {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const stop = (): void => {
          sleepers.delete(sleeper);
          reject(signal.reason as Error);
        };
        const sleeper: Sleeper = {
          at: now + ms,
          order: order++,
          wake: () => {
            signal.removeEventListener('abort', stop);
            resolve();
          },
        };
        sleepers.add(sleeper);
        signal.addEventListener('abort', stop, { once: true });
        setImmediate(pump);
      });
    },
  };
}
