/**
 * The one retry policy: an error says whether it may pass (`retryable`), the policy says how often and how long,
 * and the wait between two attempts doubles with full jitter, so that many lanes that fail together do not come
 * back together. A wait that the service asks for (`details.retryAfterMs`) is honoured.
 */
import { setTimeout as sleepFor } from 'node:timers/promises';
import { BackupError, asBackupError } from '../errors.ts';

export interface RetryPolicy {
  /** Attempts in all, the first one included. */
  readonly attempts: number;
  /** Upper bound of the first wait; each next bound is twice as long. */
  readonly firstDelayMs: number;
  readonly maxDelayMs: number;
  /** No wait starts that would end later than this after the first failure: an attempt may take hours before it fails. */
  readonly totalMs: number;
}

/** Outlasts a throttling window or a fail-over of the service: about half a minute of waiting, at most five. */
export const PATIENT: RetryPolicy = {
  attempts: 9,
  firstDelayMs: 200,
  maxDelayMs: 15_000,
  totalMs: 5 * 60_000,
};

/** Time and chance, so that tests decide both. */
export interface RetryClock {
  now(): number;
  /** Rejects as soon as the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
  /** From 0 up to, not including, 1. */
  random(): number;
}

export const systemClock: RetryClock = {
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    await sleepFor(ms, undefined, { signal });
  },
  random: Math.random,
};

/**
 * Calls `attempt` until it succeeds, fails for good, or the policy is used up; then its last error is thrown as it
 * is. An abort of the signal ends it with the signal's reason, also in the middle of a wait.
 */
export async function retry<T>(
  attempt: (number: number) => Promise<T>,
  policy: RetryPolicy,
  signal: AbortSignal,
  clock: RetryClock = systemClock,
): Promise<T> {
  const patience = createPatience(policy, signal, clock);
  for (let number = 1; ; number++) {
    throwIfStopped(signal);
    try {
      return await attempt(number);
    } catch (error) {
      await patience.outlast(error);
    }
  }
}

/** A retry budget for loops that keep what an attempt achieved. */
export interface Patience {
  /** Waits before the next attempt, or throws: the error when it is final or the budget is used up, else the abort. */
  outlast(error: unknown): Promise<void>;
  /** Something was achieved: the budget starts afresh. */
  refill(): void;
}

export function createPatience(
  policy: RetryPolicy,
  signal: AbortSignal,
  clock: RetryClock = systemClock,
): Patience {
  let failures = 0;
  let firstFailedAt = 0;

  async function outlast(thrown: unknown): Promise<void> {
    throwIfStopped(signal);
    const error = asBackupError(thrown);
    if (failures++ === 0) firstFailedAt = clock.now();
    if (!error.retryable || failures >= policy.attempts) throw error;
    const bound = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (failures - 1));
    const asked = error.details['retryAfterMs'];
    const delayMs = Math.max(clock.random() * bound, typeof asked === 'number' ? asked : 0);
    if (clock.now() + delayMs - firstFailedAt > policy.totalMs) throw error;
    try {
      await clock.sleep(delayMs, signal);
    } catch (interrupted) {
      throwIfStopped(signal);
      throw interrupted;
    }
  }

  function refill(): void {
    failures = 0;
  }

  return { outlast, refill };
}

/** Why the signal was aborted, as an error of ours: the reason when it is one (`DEADLINE_NEAR`), else `INTERRUPTED`. */
export function stopReason(signal: AbortSignal): BackupError {
  const reason: unknown = signal.reason;
  if (reason instanceof BackupError) return reason;
  // Nothing is wrong with the work: whoever goes on with it may well succeed.
  return new BackupError('INTERRUPTED', 'stop as asked', { retryable: true, cause: reason });
}

export function throwIfStopped(signal: AbortSignal): void {
  if (signal.aborted) throw stopReason(signal);
}
