/**
 * When the instances of a run may start their backups. A backup forks the server, and copy-on-write costs a busy
 * instance memory and latency: so starts are spread out (`rate.startsPerMinute`) and confined to a window
 * (`backup.window`); beyond `rate.maxErrors`, and when another run has taken the plan's lock, there are none any more.
 *
 * With `startsPerMinute`, each start takes the next of the run's numbered records `start-<n>`: whoever creates it may
 * start, and the one after it is due an interval later. So the rate holds for all invocations of the run together,
 * handed over, killed or delivered twice. Only a killed one's number may be wasted.
 */
import { randomUUID } from 'node:crypto';
import { toInstant, type Clock } from '../core/clock.ts';
import { BackupError } from '../core/errors.ts';
import type { Records, Turn } from '../core/source/obtain-backup.ts';
import type { WindowSpan } from '../core/window.ts';
import type { Lock, PlanLock } from './plan-lock.ts';
import type { Slots } from './slots.ts';

export interface TurnParts {
  /** The run's own records. */
  readonly records: Records;
  /** Keys of the run's folder that are known to be there. */
  readonly present: ReadonlySet<string>;
  readonly window?: WindowSpan;
  readonly startsPerMinute?: number;
  readonly lock: PlanLock;
  /** An instance that waits for the window does not hold one. */
  readonly slots: Slots;
  /** How many instances have failed, once they are too many to start another one. */
  readonly tooManyFailures: () => number | undefined;
  readonly clock: Clock;
  /** From 0 up to, not including, 1. */
  readonly random: () => number;
}

/** Two starts are this share of the interval apart, at least and at most; on average it is the interval. */
const LEAST_SHARE = 0.5;
const MOST_SHARE = 1.5;

/** The record `start-<n>`. */
interface Start {
  readonly at: string;
  readonly instance: string;
  readonly by: string;
}

/** @returns the turn of an instance, by its id */
export function createTurns(parts: TurnParts): (instanceId: string) => Turn {
  const { records, present, window, startsPerMinute, lock, slots, tooManyFailures, clock, random } = parts;
  let last: { readonly number: number; readonly atMs: number } | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  async function confirm(instance: string, attempt: number, signal: AbortSignal): Promise<void> {
    const failures = tooManyFailures();
    // A first request that was refused has begun it: it is under way.
    if (failures !== undefined && attempt === 1) throw notStarted(instance, tooMany(failures));
    if (window !== undefined && clock.now() >= window.closesAtMs)
      throw notStarted(instance, {
        why: `the window of the plan closed at ${toInstant(window.closesAtMs)}`,
        hint: 'make backup.window longer, or let more start in it: rate.concurrency, rate.startsPerMinute',
      });
    const other = await lock.lost(signal);
    if (other !== undefined) throw notStarted(instance, lockedOut(other));
  }

  async function untilOpen(signal: AbortSignal): Promise<boolean> {
    if (window === undefined || clock.now() >= window.opensAtMs) return false;
    slots.leave();
    try {
      await clock.sleep(window.opensAtMs - clock.now(), signal);
    } finally {
      await slots.take();
    }
    return true;
  }

  /** One after the other: the next one's time depends on this one's. */
  async function takeNumber(instance: string, perMinute: number, signal: AbortSignal): Promise<boolean> {
    const mine = queue.then(async () => nextNumber(instance, perMinute, signal));
    queue = mine.catch(() => undefined);
    return mine;
  }

  async function nextNumber(instance: string, perMinute: number, signal: AbortSignal): Promise<boolean> {
    last ??= await lastStart(signal);
    const by = randomUUID();
    for (let waited = false; ;) {
      const share = LEAST_SHARE + random() * (MOST_SHARE - LEAST_SHARE);
      const dueInMs = last.number === 0 ? 0 : last.atMs + (share * 60_000) / perMinute - clock.now();
      if (dueInMs > 0) {
        await clock.sleep(dueInMs, signal);
        waited = true;
      }
      const mine: Start = { at: new Date(clock.now()).toISOString(), instance, by };
      const taken = (await records.write(`start-${last.number + 1}`, mine, signal)) as Start; // written here only
      last = { number: last.number + 1, atMs: Date.parse(taken.at) };
      if (taken.by === by) return waited;
    }
  }

  async function lastStart(signal: AbortSignal): Promise<{ readonly number: number; readonly atMs: number }> {
    const numbers = [...present].map((key) => Number(/^start-(\d+)\.json$/.exec(key)?.[1] ?? 0));
    const number = Math.max(0, ...numbers);
    if (number === 0) return { number, atMs: 0 };
    return { number, atMs: Date.parse(((await records.read(`start-${number}`, signal)) as Start).at) };
  }

  return (instance) => ({
    mayWait: window !== undefined || startsPerMinute !== undefined,
    open: async (signal) => {
      await untilOpen(signal);
      return window?.opensAtMs ?? 0;
    },
    confirm: async (attempt, signal) => confirm(instance, attempt, signal),
    async come(attempt, signal) {
      const hasWaited = await untilOpen(signal);
      // No number is spent on what may not start.
      await confirm(instance, attempt, signal);
      const isSpread = startsPerMinute !== undefined && (await takeNumber(instance, startsPerMinute, signal));
      return hasWaited || isSpread ? 'waited' : 'at once';
    },
  });
}

interface Obstacle {
  readonly why: string;
  readonly hint: string;
}

export function notStarted(instance: string, { why, hint }: Obstacle): BackupError {
  return new BackupError('NOT_STARTED', `back up ${instance}: not started: ${why}`, { hint });
}

export function tooMany(failures: number): Obstacle {
  return {
    why: `${failures} others have failed`,
    hint: 'repair what failed, then invoke the run again with "retryFailed": true',
  };
}

export function lockedOut({ runId }: Lock): Obstacle {
  return {
    why: `run ${runId} holds the lock of the plan`,
    hint: 'look at that run first; then invoke this one again with "retryFailed": true',
  };
}
