/** How the orchestrator sets an uploader to work, whatever runs it. */
import { createHash } from 'node:crypto';
import { BackupError } from './errors.ts';
import type { UploadRequest } from './upload-request.ts';

/** What a platform says about an invocation: not its result, which is in the bucket, but whether one can still come. */
export type InvocationState =
  /** Queued, running, or about to be tried again by the platform. */
  | 'alive'
  /** Ended, in whatever way: what is not in the bucket by now will never be. */
  | 'ended'
  /** The platform does not know it, or does not tell. */
  | 'unknown';

export interface Invoker {
  /**
   * Hands the request over and returns as soon as somebody has it; the upload goes on by itself and leaves its outcome
   * in the bucket. Invoking the same attempt again is harmless: where the platform can, it is recognised and not
   * started a second time (`accepted-before`); elsewhere the uploader finds its own work done.
   * @throws BackupError `INVOKE_FAILED` when nobody took it, `PERMISSION_DENIED`, `THROTTLED`
   */
  invoke(request: UploadRequest, signal: AbortSignal): Promise<'accepted' | 'accepted-before'>;

  /** What became of the invocation of this attempt. Throws only what `invoke` throws. */
  state(request: UploadRequest, signal: AbortSignal): Promise<InvocationState>;

  /**
   * The error in which an invocation ended, as far as the platform has kept it. Left out where none keeps any. Throws
   * only when the signal aborts.
   */
  errorOf?(request: UploadRequest, signal: AbortSignal): Promise<string | undefined>;
}

/** Functions of an account on a platform that runs them. */
export interface FunctionClient {
  /**
   * Queues one asynchronous invocation. The task id makes it recognisable: while the platform remembers the id, a
   * second start with it changes nothing.
   */
  start(
    functionName: string,
    event: Buffer,
    taskId: string,
    signal: AbortSignal,
  ): Promise<'accepted' | 'accepted-before'>;

  /** What became of a task. */
  stateOf(functionName: string, taskId: string, signal: AbortSignal): Promise<InvocationState>;

  /** What it said when it failed; undefined when that is not known. Throws only when the signal aborts. */
  errorOf?(functionName: string, taskId: string, signal: AbortSignal): Promise<string | undefined>;

  /** Runs the function and returns what it returns. Throws `INVOKE_FAILED` with the function's own error message. */
  call(functionName: string, event: Buffer, signal: AbortSignal): Promise<Buffer>;
}

/** Asynchronous events are limited to 128 KB by Function Compute. */
export const MAX_ASYNC_EVENT_BYTES = 128 * 1024;

/** Invokes a deployed uploader. */
export function createFunctionInvoker(functions: FunctionClient, uploader: string): Invoker {
  return {
    async invoke(request, signal) {
      return functions.start(uploader, encodeEvent(request), uploadTaskId(request), signal);
    },
    state: async (request, signal) => functions.stateOf(uploader, uploadTaskId(request), signal),
    errorOf: async (request, signal) => functions.errorOf?.(uploader, uploadTaskId(request), signal),
  };
}

/** @throws BackupError `INVOKE_FAILED` when the event is larger than the platform takes */
export function encodeEvent(event: unknown): Buffer {
  const bytes = Buffer.from(JSON.stringify(event));
  if (bytes.length > MAX_ASYNC_EVENT_BYTES)
    throw new BackupError(
      'INVOKE_FAILED',
      `encode an event of ${bytes.length} bytes: at most ${MAX_ASYNC_EVENT_BYTES} can be sent`,
    );
  return bytes;
}

export function uploadTaskId({ runId, instance, attempt }: UploadRequest): string {
  return toTaskId(`${runId}-${instance.id}-${attempt}`);
}

const MAX_TASK_ID_LENGTH = 128;

/**
 * A text as the platform takes it for a task id: a letter or `_` first, then letters, digits, `_` and `-`, at most 128.
 * Different texts stay different: what has to be changed or cut gets a digest of the whole.
 * https://help.aliyun.com/zh/functioncompute/fc/user-guide/asynchronous-task-deduplication
 */
export function toTaskId(text: string): string {
  const plain = `t-${text}`;
  if (plain.length <= MAX_TASK_ID_LENGTH && /^[\w-]+$/.test(plain)) return plain;
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 16);
  return `${plain.replaceAll(/[^\w-]/g, '_').slice(0, MAX_TASK_ID_LENGTH - digest.length - 1)}-${digest}`;
}
