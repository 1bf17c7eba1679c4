/** Function Compute 3.0: invocations and asynchronous tasks through the 2023-03-30 API. */
import Fc, * as fc from '@alicloud/fc20230330';
import { Readable } from 'node:stream';
import { namingCaller, type WhoAmI } from '../denials.ts';
import { BackupError, asBackupError, redact } from '../errors.ts';
import type { FunctionClient, InvocationState } from '../invoker.ts';
import { PATIENT, retry, systemClock, throwIfStopped, type RetryClock } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import {
  functionFailed,
  stateOrUnknown,
  toInvocationState,
  toInvokeError,
  toTaskError,
} from './fc-answers.ts';
import { NO_RUNTIME_OPTIONS, abandonOnAbort, openApiConfig, toCallFailure } from './openapi.ts';

export interface Fc3Options {
  readonly credentials: CredentialsProvider;
  readonly accountId: string;
  readonly region: string;
  /** `http(s)://host:port` in place of the account's public address. */
  readonly endpoint?: string | undefined;
  readonly clock?: RetryClock;
  /** Whose credentials they are, for what an error says. */
  readonly whoAmI?: WhoAmI;
}

/** How long `call` waits for a function; the platform's own limit for synchronous invocations is not longer. */
const CALL_TIMEOUT_MS = 600_000;

export function createFc3Functions(options: Fc3Options): FunctionClient {
  // The region alone leads the SDK to a host that does not exist: the address is always explicit.
  const endpoint = options.endpoint ?? `https://${options.accountId}.${options.region}.fc.aliyuncs.com`;
  const client = new Fc(openApiConfig({ ...options, endpoint }));
  const patientClient = new Fc(openApiConfig({ ...options, endpoint, readTimeoutMs: CALL_TIMEOUT_MS }));
  const clock = options.clock ?? systemClock;

  /** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-invokefunction */
  async function invoke(
    through: Fc,
    functionName: string,
    event: Buffer,
    headers: fc.InvokeFunctionHeaders,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const request = new fc.InvokeFunctionRequest({ qualifier: 'LATEST', body: Readable.from([event]) });
    try {
      const call = through.invokeFunctionWithOptions(functionName, request, headers, NO_RUNTIME_OPTIONS);
      const answer = await abandonOnAbort(call, signal);
      const body = await abandonOnAbort(readAll(answer.body), signal);
      const errorType = answer.headers?.['x-fc-error-type'];
      // The function's own errors come as HTTP 200 with this header.
      if (errorType !== undefined) throw functionFailed(functionName, errorType, body);
      return body;
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw await namingCaller(
        toInvokeError(toCallFailure(error), functionName, 'fc:InvokeFunction', options),
        options.whoAmI,
      );
    }
  }

  /** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-getasynctask */
  async function taskOf(
    functionName: string,
    taskId: string,
    signal: AbortSignal,
  ): Promise<fc.AsyncTask | undefined> {
    const request = new fc.GetAsyncTaskRequest({ qualifier: 'LATEST' });
    const call = client.getAsyncTaskWithOptions(functionName, taskId, request, {}, NO_RUNTIME_OPTIONS);
    return (await abandonOnAbort(call, signal)).body;
  }

  return {
    async start(functionName, event, taskId, signal) {
      const start = async (): Promise<'accepted' | 'accepted-before'> => {
        const headers = new fc.InvokeFunctionHeaders({ xFcInvocationType: 'Async', xFcAsyncTaskId: taskId });
        try {
          await invoke(client, functionName, event, headers, signal);
          return 'accepted';
        } catch (error) {
          if (isAlreadyThere(error)) return 'accepted-before';
          throw error;
        }
      };
      // Safe to repeat: the task id lets the platform recognise a request that it has seen.
      return retry(start, PATIENT, signal, clock);
    },

    async stateOf(functionName, taskId, signal): Promise<InvocationState> {
      return stateOrUnknown(
        async () => toInvocationState((await taskOf(functionName, taskId, signal))?.status),
        (error) => toInvokeError(toCallFailure(error), functionName, 'fc:GetAsyncTask', options),
        signal,
        clock,
      );
    },

    async errorOf(functionName, taskId, signal) {
      try {
        const task = await taskOf(functionName, taskId, signal);
        return toTaskError(task?.taskErrorMessage);
      } catch {
        throwIfStopped(signal);
        return undefined;
      }
    },

    async call(functionName, event, signal) {
      const headers = new fc.InvokeFunctionHeaders({ xFcInvocationType: 'Sync', xFcLogType: 'None' });
      return invoke(patientClient, functionName, event, headers, signal);
    },
  };
}

/** 409, or 400 in an older edition of the documentation, with a code that says so. */
function isAlreadyThere(error: unknown): boolean {
  const { status, serviceCode } = asBackupError(error).details;
  return status === 409 || /AlreadyExists/i.test(String(serviceCode ?? ''));
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

async function readAll(stream: Readable | undefined): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream ?? []) {
    const bytes = Buffer.from(piece as Uint8Array); // an HTTP body without an encoding
    length += bytes.length;
    if (length > MAX_ANSWER_BYTES)
      throw new BackupError(
        'INVOKE_FAILED',
        redact(`read a function's answer: more than ${MAX_ANSWER_BYTES} bytes`),
      );
    pieces.push(bytes);
  }
  return Buffer.concat(pieces);
}
