/**
 * Signs of life: an uploader that is killed (no memory, a lost host) says nothing, and not every platform tells. So it
 * leaves a small record when it begins and then again and again while it works; when they stop, so has it.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';

export interface Rhythm {
  readonly firstMs: number;
  /** Each interval is longer than the one before, up to this one. */
  readonly maxMs: number;
}

/** The orchestrator takes silence for death after several times the longest interval (`SILENCE_MS`). */
const RHYTHM: Rhythm = { firstMs: 30_000, maxMs: 60_000 };
const GROWTH = 1.25;

export interface Heartbeat {
  /** Ends it: nothing is written any more when this resolves. Never rejects. */
  stop(): Promise<void>;
}

/**
 * Beats once at once, then in rhythm, one beat after the other, until it is stopped. It keeps no process alive.
 * @param beat leaves one sign of life; must not reject
 */
export function startHeartbeat(
  beat: (signal: AbortSignal) => Promise<void>,
  rhythm: Rhythm = RHYTHM,
): Heartbeat {
  const stopping = new AbortController();
  const stopped = keepBeating(beat, rhythm, stopping.signal);
  return {
    stop: async () => {
      stopping.abort();
      await stopped;
    },
  };
}

async function keepBeating(
  beat: (signal: AbortSignal) => Promise<void>,
  { firstMs, maxMs }: Rhythm,
  signal: AbortSignal,
): Promise<void> {
  for (let everyMs = firstMs; !signal.aborted; everyMs = Math.min(maxMs, everyMs * GROWTH)) {
    await beat(signal);
    await pause(everyMs, signal);
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleepFor(ms, undefined, { signal, ref: false });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
