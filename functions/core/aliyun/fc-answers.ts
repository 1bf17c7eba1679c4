/** What both generations of Function Compute mean by their states and errors. */
import { denialOf } from '../denials.ts';
import { BackupError, redact } from '../errors.ts';
import type { InvocationState } from '../invoker.ts';
import { retry, type RetryClock, type RetryPolicy } from '../transfer/retry.ts';
import { isThrottling, type CallFailure } from './openapi.ts';

interface Where {
  readonly accountId: string;
  readonly region: string;
}

/** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/error-codes */
export function toInvokeError(
  failure: CallFailure,
  functionName: string,
  action: string,
  where: Where,
): BackupError {
  const attempt = `invoke ${functionName} in ${where.region}`;
  if (failure.kind !== 'refused')
    return new BackupError('INVOKE_FAILED', redact(`${attempt}: ${failure.reason}`), { retryable: true });
  const { status, code, message, requestId } = failure;
  const details = {
    function: functionName,
    status,
    serviceCode: code,
    ...(requestId === '' ? {} : { requestId }),
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
  };
  const text = redact(`${attempt}: ${code} ${message}`);
  // More invocations at once than the account or the function may have.
  if (isThrottling(failure)) return new BackupError('THROTTLED', text, { retryable: true, details });
  if (status === 404)
    return new BackupError('INVOKE_FAILED', text, {
      details,
      hint: `deploy the function ${functionName}, or correct TAIRLIFT_UPLOADER`,
    });
  if (status === 401 || status === 403) {
    const resource = `acs:fc:${where.region}:${where.accountId}:functions/${functionName}`;
    const { hint, details: lack } = denialOf({ action, resource });
    return new BackupError('PERMISSION_DENIED', text, { details: { ...details, ...lack }, hint });
  }
  return new BackupError('INVOKE_FAILED', text, { retryable: status >= 500, details });
}

/** Enough for the error of one function; a task's may carry a stack. */
const MAX_TASK_ERROR_LENGTH = 2_000;

/** What a failed task says: a text of the platform's, with the function's own error in it as JSON, or without. */
export function toTaskError(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const [, own] = /"errorMessage"\s*:\s*("(?:[^"\\]|\\.)*")/.exec(text) ?? [];
  const message = own === undefined ? text : String(JSON.parse(own));
  return redact(message.slice(0, MAX_TASK_ERROR_LENGTH));
}

/** The body of a failed invocation is `{errorMessage, errorType, stackTrace}`, or a text of the platform's. */
export function functionFailed(functionName: string, errorType: string, body: Buffer): BackupError {
  const text = body.toString('utf8');
  let message = text;
  try {
    const { errorMessage } = JSON.parse(text) as { readonly errorMessage?: unknown };
    if (typeof errorMessage === 'string') message = errorMessage;
  } catch {
    // Not JSON: the text itself is all there is.
  }
  return new BackupError('INVOKE_FAILED', redact(`run ${functionName}: ${message.slice(0, 16_384)}`), {
    details: { function: functionName, errorType },
  });
}

const ENDED = new Set<unknown>(['Succeeded', 'Failed', 'Stopped', 'Expired', 'Invalid']);
const ALIVE = new Set<unknown>(['Enqueued', 'Running', 'Retrying', 'Stopping']);

/** @param status of an asynchronous task, as the service writes it */
export function toInvocationState(status: unknown): InvocationState {
  return ENDED.has(status) ? 'ended' : ALIVE.has(status) ? 'alive' : 'unknown';
}

/** Whoever asks will ask again: this only keeps one lost answer from looking like a platform that does not tell. */
const STATE_POLICY: RetryPolicy = { attempts: 3, firstDelayMs: 500, maxDelayMs: 5_000, totalMs: 60_000 };

/** Not every account has asynchronous tasks, and not every role may look at them: then nothing is known. */
export async function stateOrUnknown(
  look: () => Promise<InvocationState>,
  toError: (thrown: unknown) => BackupError,
  signal: AbortSignal,
  clock: RetryClock,
): Promise<InvocationState> {
  const attempt = async (): Promise<InvocationState> => {
    try {
      return await look();
    } catch (error) {
      throw error instanceof BackupError ? error : toError(error);
    }
  };
  try {
    return await retry(attempt, STATE_POLICY, signal, clock);
  } catch (error) {
    if (signal.aborted) throw error;
    return 'unknown';
  }
}
