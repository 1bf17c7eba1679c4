/** What doctor finds, and how it looks: each trouble becomes a check that says so, and nothing is waited for too long. */
import { asBackupError, describe } from '../../functions/core/errors.ts';

/** `note`: worth knowing. `warn`: a run works, and somebody may wish that it had not. `error`: a run would fail. */
export type CheckStatus = 'ok' | 'note' | 'warn' | 'error';

export interface Check {
  /** What is looked at: `bucket`, `versioning`, `instance`, … */
  readonly check: string;
  /** Of which bucket, account, plan or instance. */
  readonly subject: string;
  readonly status: CheckStatus;
  readonly says: string;
  /** What a person should do now. */
  readonly todo?: string;
}

/** Longer than any service takes to answer, and shorter than anybody waits for a doctor. */
const LOOK_LIMIT_MS = 8_000;

/**
 * What it finds, or the error that kept it from looking; an error too when it takes too long, for then a run would not
 * fare better. Throws only when the signal aborts.
 */
export async function attempt(
  check: string,
  subject: string,
  signal: AbortSignal,
  look: (signal: AbortSignal) => Promise<readonly Check[]>,
  limitMs = LOOK_LIMIT_MS,
): Promise<readonly Check[]> {
  const limit = AbortSignal.timeout(limitMs);
  const either = AbortSignal.any([signal, limit]);
  let stop = (): void => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    stop = (): void => reject(new Error('stopped'));
    either.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([look(either), late]);
  } catch (error) {
    signal.throwIfAborted();
    if (!limit.aborted) return [failed(check, subject, error)];
    return [
      bad(
        'error',
        check,
        subject,
        `no answer within ${limitMs / 1000} s`,
        'see what the checks of `endpoint` say; try again when the service is busy',
      ),
    ];
  } finally {
    either.removeEventListener('abort', stop);
  }
}

export function failed(
  check: string,
  subject: string,
  thrown: unknown,
  status: CheckStatus = 'error',
): Check {
  const error = asBackupError(thrown);
  return {
    check,
    subject,
    status,
    says: `${error.code}: ${describe(error)}`,
    ...(error.hint === undefined ? {} : { todo: error.hint }),
  };
}

export function ok(check: string, subject: string, says: string): Check {
  return { check, subject, status: 'ok', says };
}

export function note(check: string, subject: string, says: string, todo?: string): Check {
  return { check, subject, status: 'note', says, ...(todo === undefined ? {} : { todo }) };
}

export function bad(
  status: 'warn' | 'error',
  check: string,
  subject: string,
  says: string,
  todo: string,
): Check {
  return { check, subject, status, says, todo };
}

export function distinct<T>(items: readonly T[]): readonly T[] {
  return [...new Map(items.map((item) => [JSON.stringify(item), item])).values()];
}
