/** The emulator's time. It runs with the machine's clock, plus whatever a test has skipped. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Jumps forward by `ms`; everything that was to happen in between happens now, in order. */
  advance(ms: number): void;
  /** Resolves when `ms` have passed, by waiting or by `advance`; rejects with the signal's reason when it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

export function createClock(): Clock {
  let skipped = 0;
  const sleepers = new Set<Sleeper>();
  const now = (): number => Date.now() + skipped;

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
      const timer = setTimeout(sleeper.wake, Math.min(ms, 2 ** 31 - 1));
      sleepers.add(sleeper);
      signal?.addEventListener('abort', stop, { once: true });
    });
  }

  return { now, advance, sleep };
}
