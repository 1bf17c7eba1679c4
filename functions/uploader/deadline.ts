/** The platform kills an invocation at its time-out, without a word. Work ends before that, in order. */
import { BackupError } from '../core/errors.ts';

/** Enough to abort uploads and to write the outcome, even on a slow connection. */
export const DEADLINE_MARGIN_MS = 30_000;

export interface Deadline {
  /** Aborts with DEADLINE_NEAR when the margin begins. */
  readonly signal: AbortSignal;
  /** The work is done; the timer must not outlive it. */
  clear(): void;
}

/** Call it at entry. A function with less than a minute keeps half of its time as the margin. */
export function startDeadline(timeoutSeconds: number): Deadline {
  const timeoutMs = timeoutSeconds * 1000;
  const marginMs = Math.min(DEADLINE_MARGIN_MS, timeoutMs / 2);
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(
      new BackupError('DEADLINE_NEAR', `finish within ${timeoutSeconds} s: ${marginMs / 1000} s are left`, {
        retryable: true,
        hint: 'give the uploader a longer time-out, at most 24 hours, or more memory, which brings more lanes',
      }),
    );
  }, timeoutMs - marginMs);
  timer.unref();
  return { signal: controller.signal, clear: () => clearTimeout(timer) };
}
