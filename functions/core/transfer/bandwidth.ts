/** Keeps a transfer below a rate, whatever the number of its lanes: they all spend from the same allowance. */
import { setMaxListeners } from 'node:events';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { systemClock, type RetryClock } from './retry.ts';

export interface Bandwidth {
  /** Call it for bytes that have come; wait for the promise, if there is one, before more are read. Never rejects. */
  spend(bytes: number): Promise<void> | undefined;
}

export const UNLIMITED: Bandwidth = { spend: () => undefined };

/** What may be used at once after a pause. */
const BURST_MS = 250;
/** Shorter waits are put off until they have added up. */
const SHORTEST_WAIT_MS = 5;

/**
 * @param bytesPerSecond above 0; as much as there is if undefined
 * @param signal ends all waiting
 */
export function limitBandwidth(
  bytesPerSecond: number | undefined,
  signal: AbortSignal,
  clock: Pick<RetryClock, 'now'> = systemClock,
): Bandwidth {
  if (bytesPerSecond === undefined) return UNLIMITED;
  // All lanes of all files may wait at once, each for the same end: no leak.
  setMaxListeners(0, signal);
  /** When everything spent so far is paid for, at that rate. */
  let paidAtMs = clock.now();
  return {
    spend: (bytes) => {
      const now = clock.now();
      paidAtMs = Math.max(paidAtMs, now - BURST_MS) + (bytes / bytesPerSecond) * 1000;
      const waitMs = paidAtMs - now;
      return waitMs < SHORTEST_WAIT_MS ? undefined : pause(waitMs, signal);
    },
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, { signal, ref: false });
  } catch (error) {
    // Whoever reads finds out by itself that it is to stop.
    if (!signal.aborted) throw error;
  }
}
