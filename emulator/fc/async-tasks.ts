/**
 * Asynchronous invocations: accepted at once, run at least once, tried again when the code fails.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/retry-policy
 * https://www.alibabacloud.com/help/en/functioncompute/task-deduplication
 */
import type { Clock } from '../clock.ts';
import { ServiceError } from '../http.ts';
import type { FunctionSpec } from '../world.ts';
import { newRequestId, type Invoker } from './invoker.ts';

type TaskStatus =
  | 'Enqueued'
  | 'Running'
  | 'Retrying'
  | 'Succeeded'
  | 'Failed'
  | 'Stopping'
  | 'Stopped'
  | 'Expired';

export interface AsyncTask {
  readonly functionName: string;
  /** As the caller gave it; the request id when it gave none. */
  readonly taskId: string;
  readonly requestId: string;
  readonly status: TaskStatus;
  /** Runs of the code, retries included, scripted duplicates not. */
  readonly attempts: number;
  readonly event: Buffer;
  readonly enqueuedAt: number;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly instanceId?: string;
  readonly durationMs?: number;
  /** The highest of all attempts. */
  readonly peakRssMb?: number;
  /** The last attempt's answer. */
  readonly returnPayload?: string;
  readonly errorMessage?: string;
}

interface Submission {
  readonly functionName: string;
  readonly event: Buffer;
  readonly taskId?: string;
  /** On the emulator's clock, before the first attempt. */
  readonly delayMs?: number;
}

/** A second delivery of the same event, as at-least-once delivery allows: at the same time, or after the first has ended. */
export type DuplicateDelivery = 'during' | 'after';

export interface AsyncTasks {
  /** Accepts an event. Throws a 409 when the function has had a task of this id within the last seven days. */
  submit(submission: Submission): AsyncTask;
  find(functionName: string, taskId: string): AsyncTask | undefined;
  /** In the order in which they were accepted. */
  list(functionName: string): readonly AsyncTask[];
  /** Takes a task out of the queue or ends its run. False when it had ended already. */
  stopTask(functionName: string, taskId: string): boolean;
  /** The next event that is accepted for the function is delivered twice. */
  duplicateNext(functionName: string, when: DuplicateDelivery): void;
  /** Deliveries under way or waiting. */
  pending(): readonly Promise<void>[];
  /** Ends all deliveries; accepts no more. */
  stop(): Promise<void>;
}

export interface AsyncOptions {
  /** How long to wait before attempt 2, 3, …; on the emulator's clock. */
  readonly retryDelayMs: (failedAttempts: number) => number;
  /** An event that could not be run for this long is dropped as Expired. */
  readonly maxEventAgeMs: number;
  /** Hears of tasks that have failed for good or were too old, not of those that were stopped. */
  readonly onGivenUp?: (task: AsyncTask, spec: FunctionSpec) => void;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
interface Entry {
  readonly task: Mutable<AsyncTask>;
  readonly ending: AbortController;
  readonly delayMs: number;
}

const DEFAULT_RETRIES = 3;
const REMEMBERED_MS = 7 * 24 * 3600 * 1000;
const MAX_TASKS = 20_000;
const TASK_ID = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;

export function createAsyncTasks(
  clock: Clock,
  invoker: Invoker,
  specOf: (functionName: string) => FunctionSpec,
  options: AsyncOptions,
): AsyncTasks {
  const entries = new Map<string, Entry>();
  const deliveries = new Set<Promise<void>>();
  const duplicates = new Map<string, DuplicateDelivery[]>();
  let stopped = false;

  function submit({ functionName, event, taskId, delayMs = 0 }: Submission): AsyncTask {
    if (stopped) throw new ServiceError(503, 'ServiceUnavailable', 'The emulator is stopping.');
    if (taskId !== undefined && !TASK_ID.test(taskId))
      throw new ServiceError(400, 'InvalidArgument', `The task id '${taskId}' is not valid.`);
    forgetOldTasks();
    const requestId = newRequestId();
    const id = taskId ?? requestId;
    if (entries.has(keyOf(functionName, id)))
      throw new ServiceError(
        409,
        'StatefulAsyncInvocationAlreadyExists',
        `The stateful async invocation '${id}' already exists.`,
      );
    const entry: Entry = {
      task: {
        functionName,
        taskId: id,
        requestId,
        status: 'Enqueued',
        attempts: 0,
        event,
        enqueuedAt: clock.now(),
      },
      ending: new AbortController(),
      delayMs,
    };
    entries.set(keyOf(functionName, id), entry);
    start(entry, duplicates.get(functionName)?.shift());
    return entry.task;
  }

  function forgetOldTasks(): void {
    for (const [key, { task }] of entries) {
      const old = task.endedAt !== undefined && clock.now() - task.endedAt > REMEMBERED_MS;
      const surplus = entries.size >= MAX_TASKS && task.endedAt !== undefined;
      if (!old && !surplus) break;
      entries.delete(key);
    }
  }

  function start(entry: Entry, duplicate: DuplicateDelivery | undefined): void {
    const first = track(deliver(entry));
    if (duplicate === 'during') void track(deliverAgain(entry));
    if (duplicate === 'after') void track(first.then(async () => deliverAgain(entry)));
  }

  async function track(delivery: Promise<void>): Promise<void> {
    deliveries.add(delivery);
    try {
      await delivery;
    } finally {
      deliveries.delete(delivery);
    }
  }

  /** Runs the event until the code succeeds or the attempts are used up. */
  async function deliver({ task, ending, delayMs }: Entry): Promise<void> {
    const finish = (status: TaskStatus, spec?: FunctionSpec): void => {
      task.status = ending.signal.aborted ? 'Stopped' : status;
      task.endedAt = clock.now();
      if (spec !== undefined && !ending.signal.aborted) options.onGivenUp?.(task, spec);
    };
    try {
      await clock.sleep(delayMs, ending.signal);
      const dueAt = clock.now();
      for (;;) {
        const spec = specOf(task.functionName);
        if (clock.now() - dueAt > maxAgeMs(spec)) return finish('Expired', spec);
        const succeeded = await attempt(task, spec, ending.signal);
        if (succeeded) return finish('Succeeded');
        const retries = spec.maxAsyncRetryAttempts ?? DEFAULT_RETRIES;
        if (ending.signal.aborted || task.attempts > retries) return finish('Failed', spec);
        task.status = 'Retrying';
        await clock.sleep(options.retryDelayMs(task.attempts), ending.signal);
      }
    } catch (error) {
      if (!ending.signal.aborted)
        task.errorMessage = error instanceof Error ? error.message : 'unknown error';
      finish('Failed');
    }
  }

  function maxAgeMs({ maxAsyncEventAgeSeconds }: FunctionSpec): number {
    return maxAsyncEventAgeSeconds === undefined ? options.maxEventAgeMs : maxAsyncEventAgeSeconds * 1000;
  }

  async function attempt(
    task: Mutable<AsyncTask>,
    spec: FunctionSpec,
    signal: AbortSignal,
  ): Promise<boolean> {
    const result = await invoker.invoke({
      spec,
      event: task.event,
      requestId: task.requestId,
      retryCount: task.attempts,
      wait: true,
      signal,
      onStart: (instanceId) => {
        task.status = 'Running';
        task.attempts++;
        task.startedAt ??= clock.now();
        task.instanceId = instanceId;
      },
    });
    task.durationMs = result.durationMs;
    task.peakRssMb = Math.max(task.peakRssMb ?? 0, result.peakRssMb);
    task.returnPayload = result.body.toString('utf8');
    if (result.errorType === undefined) {
      delete task.errorMessage;
      return true;
    }
    task.errorMessage = `${result.errorType}: ${task.returnPayload}`;
    return false;
  }

  /** The same event once more. What becomes of it is not the task's concern. */
  async function deliverAgain({ task, ending }: Entry): Promise<void> {
    const { event, requestId } = task;
    const spec = specOf(task.functionName);
    await invoker
      .invoke({ spec, event, requestId, retryCount: 0, wait: true, signal: ending.signal })
      .catch(() => undefined);
  }

  function stopTask(functionName: string, taskId: string): boolean {
    const entry = entries.get(keyOf(functionName, taskId));
    if (entry === undefined || entry.task.endedAt !== undefined) return false;
    entry.task.status = 'Stopping';
    entry.ending.abort(new Error('the task was stopped'));
    return true;
  }

  return {
    submit,
    find: (functionName, taskId) => entries.get(keyOf(functionName, taskId))?.task,
    list: (functionName) =>
      [...entries.values()].map(({ task }) => task).filter((task) => task.functionName === functionName),
    stopTask,
    duplicateNext(functionName, when) {
      duplicates.set(functionName, [...(duplicates.get(functionName) ?? []), when]);
    },
    pending: () => [...deliveries],
    async stop() {
      stopped = true;
      for (const { ending } of entries.values()) ending.abort(new Error('the emulator stops'));
      await Promise.allSettled(deliveries);
    },
  };
}

function keyOf(functionName: string, taskId: string): string {
  return `${functionName}/${taskId}`;
}
