/**
 * The orchestrator's signs of life: a small write-once object in the run's folder when an invocation begins, and then
 * every five minutes while it works or waits. Who asks whether a run is dead compares the newest object of its folder
 * with one of its own, so that only the bucket's clock counts.
 */
import { randomBytes } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { BackupError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { runFolder } from '../core/repository/keys.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';

export const SIGN_EVERY_MS = 5 * 60_000;

/** Three signs that did not come, and a minute for the slowest of writes. */
export const DEAD_AFTER_MS = 3 * SIGN_EVERY_MS + 60_000;

/** The record `alive-<seconds>-<some>.json`; its content is for people who watch. */
export interface LifeSign {
  /** ISO 8601, UTC, by the orchestrator's clock. */
  readonly at: string;
  readonly doing: string;
}

export interface LifeSigns {
  /** What the next signs say, such as `waits for run …`. */
  say(doing: string): void;
  /** Leaves one now. Returns the bucket's time of it, in milliseconds since 1970. */
  leave(signal: AbortSignal): Promise<number>;
  /** Leaves one at once and then again and again. What cannot be written is logged. Resolves with the signal. */
  keepLeaving(signal: AbortSignal): Promise<void>;
}

export function createLifeSigns(
  store: ObjectStore,
  prefix: string,
  runId: string,
  clock: Clock,
  log: Log,
): LifeSigns {
  let doing = 'works';

  async function leave(signal: AbortSignal): Promise<number> {
    const at = new Date(clock.now());
    const sign: LifeSign = { at: at.toISOString(), doing };
    const name = `alive-${Math.floor(at.getTime() / 1000)}-${randomBytes(4).toString('hex')}`;
    const key = `${runFolder(prefix, runId)}${name}.json`;
    await store.create(key, Buffer.from(`${JSON.stringify(sign)}\n`), 'application/json', signal);
    const head = await store.head(key, signal);
    if (head !== undefined) return Date.parse(head.lastModifiedAt);
    throw new BackupError('SERVICE_ERROR', `look at ${store.name}/${key}: it was written and is not there`, {
      retryable: true,
    });
  }

  async function keepLeaving(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await leave(signal);
      } catch (error) {
        if (!signal.aborted) log.warn('a sign of life could not be written', { runId, error });
      }
      try {
        await clock.sleep(SIGN_EVERY_MS, signal);
      } catch (error) {
        if (!signal.aborted) throw error;
      }
    }
  }

  return { say: (text) => void (doing = text), leave, keepLeaving };
}
