/**
 * The emulator's time. It runs with the machine's clock, or so many times as fast, plus whatever a test has skipped.
 */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** What the clocks of those show who call: they have skipped nothing. */
  callersNow(): number;
  /** Jumps forward by `ms`; everything that was to happen in between happens now, in order. */
  advance(ms: number): void;
  /** Resolves when `ms` have passed, by waiting or by `advance`; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

/** A world in a hurry: everybody in it, services and functions, has to be, from the same moment on. */
export interface Hurry {
  /** How many times as fast as the machine's time. */
  readonly rate: number;
  /** When it begins, by the machine's clock; milliseconds since 1970. */
  readonly sinceMs: number;
}

export function createClock({ rate, sinceMs }: Hurry = { rate: 1, sinceMs: 0 }): Clock {
  let skipped = 0;
  const sleepers = new Set<Sleeper>();
  const callersNow = (): number => sinceMs + (Date.now() - sinceMs) * rate;
  const now = (): number => Math.floor(callersNow()) + skipped;

  function advance(ms: number): void {
    if (!(ms >= 0)) throw new RangeError(`advance the clock by ${ms} ms: only forward`);
    skipped += ms;
    const due = [...sleepers].filter((sleeper) => sleeper.at <= now()).sort((a, b) => a.at - b.at);
    for (const sleeper of due) sleeper.wake();
  }

  async function sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (ms <= 0) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        sleepers.delete(sleeper);
        signal?.removeEventListener('abort', stop);
        settle();
      };
      const sleeper: Sleeper = { at: now() + ms, wake: () => finish(resolve) };
      const stop = (): void => finish(() => reject(signal?.reason as Error));
      const timer = setTimeout(sleeper.wake, Math.min(ms / rate, 2 ** 31 - 1));
      sleepers.add(sleeper);
      signal?.addEventListener('abort', stop, { once: true });
    });
  }

  return { now, callersNow, advance, sleep };
}
