/** Function Compute 2.0, for accounts that still have services: the 2016-08-15 API. Names are `service/function`. */
import Fc2 from '@alicloud/fc2';
import { namingCaller, type WhoAmI } from '../denials.ts';
import { BackupError, asBackupError } from '../errors.ts';
import type { FunctionClient, InvocationState } from '../invoker.ts';
import { PATIENT, retry, systemClock, type RetryClock } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { functionFailed, stateOrUnknown, toInvocationState, toInvokeError } from './fc-answers.ts';
import { abandonOnAbort, toCallFailure, type CallFailure } from './openapi.ts';

export interface Fc2Options {
  readonly credentials: CredentialsProvider;
  readonly accountId: string;
  readonly region: string;
  /** `http(s)://host:port` in place of the account's public address. */
  readonly endpoint?: string | undefined;
  readonly clock?: RetryClock;
  /** Whose credentials they are, for what an error says. */
  readonly whoAmI?: WhoAmI;
}

const START_TIMEOUT_MS = 20_000;
const CALL_TIMEOUT_MS = 600_000;

export function createFc2Functions(options: Fc2Options): FunctionClient {
  const clock = options.clock ?? systemClock;

  /** The client keeps the keys that it was made with, so each call makes its own; it holds no connection. */
  async function client(timeout: number): Promise<Fc2> {
    const { accessKeyId, accessKeySecret, securityToken } = await options.credentials();
    return new Fc2(options.accountId, {
      accessKeyID: accessKeyId,
      accessKeySecret,
      ...(securityToken === undefined ? {} : { securityToken }),
      region: options.region,
      secure: true,
      timeout,
      ...(options.endpoint === undefined ? {} : { endpoint: options.endpoint }),
    });
  }

  /** https://help.aliyun.com/zh/functioncompute/fc-2-0/developer-reference/api-fc-open-2021-04-06-invokefunction */
  async function invoke(
    name: string,
    event: Buffer,
    headers: Readonly<Record<string, string>>,
    timeout: number,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const { service, functionName } = splitName(name);
    try {
      const through = await client(timeout);
      const call = through.invokeFunction(service, functionName, event, headers, undefined, { rawBuf: true });
      const answer = await abandonOnAbort(call, signal);
      const body = toBuffer(answer.data);
      const errorType = answer.headers['x-fc-error-type'];
      if (errorType !== undefined) throw functionFailed(name, errorType, body);
      return body;
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw await namingCaller(
        toInvokeError(toFc2Failure(error), name, 'fc:InvokeFunction', options),
        options.whoAmI,
      );
    }
  }

  return {
    async start(name, event, taskId, signal) {
      const headers = {
        'x-fc-invocation-type': 'Async',
        'x-fc-stateful-async-invocation-id': taskId,
      };
      const start = async (): Promise<'accepted' | 'accepted-before'> => {
        try {
          await invoke(name, event, headers, START_TIMEOUT_MS, signal);
          return 'accepted';
        } catch (error) {
          const { status, serviceCode } = asBackupError(error).details;
          if (status === 409 || /AlreadyExists/i.test(String(serviceCode ?? ''))) return 'accepted-before';
          throw error;
        }
      };
      return retry(start, PATIENT, signal, clock);
    },

    /** https://help.aliyun.com/zh/functioncompute/fc-2-0/developer-reference/api-fc-open-2021-04-06-getstatefulasyncinvocation */
    async stateOf(name, taskId, signal): Promise<InvocationState> {
      const { service, functionName } = splitName(name);
      const look = async (): Promise<InvocationState> => {
        const through = await client(START_TIMEOUT_MS);
        const path = `/services/${service}/functions/${functionName}/stateful-async-invocations/${taskId}`;
        const { data } = await abandonOnAbort(through.get(path), signal);
        return toInvocationState((data as { readonly status?: unknown } | undefined)?.status);
      };
      return stateOrUnknown(
        look,
        (error) => toInvokeError(toFc2Failure(error), name, 'fc:GetStatefulAsyncInvocation', options),
        signal,
        clock,
      );
    },

    call: async (name, event, signal) =>
      invoke(name, event, { 'x-fc-invocation-type': 'Sync' }, CALL_TIMEOUT_MS, signal),
  };
}

function splitName(name: string): { readonly service: string; readonly functionName: string } {
  const [service = '', functionName = '', ...more] = name.split('/');
  if (service === '' || functionName === '' || more.length > 0)
    throw new BackupError(
      'CONFIG_INVALID',
      `invoke "${name}": a function of the older generation is service/function`,
      {
        hint: 'set TAIRLIFT_UPLOADER to service/function, or to a plain name for Function Compute 3.0',
      },
    );
  return { service, functionName };
}

/** This client throws plain errors, with the status in the message only: `POST /… failed with 404. requestid: …`. */
function toFc2Failure(thrown: unknown): CallFailure {
  if (!(thrown instanceof Error)) return toCallFailure(thrown);
  const match = /failed with (\d{3})\. requestid: ([^,]*), message: ([^]*)\.$/.exec(thrown.message);
  if (match === null) return toCallFailure(thrown);
  const [, status = '', requestId = '', message = ''] = match;
  const code: unknown = 'code' in thrown ? thrown.code : undefined;
  return {
    kind: 'refused',
    status: Number(status),
    code: typeof code === 'string' ? code : '',
    message,
    requestId: requestId === 'undefined' ? '' : requestId,
  };
}

function toBuffer(data: unknown): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Buffer.from(typeof data === 'string' ? data : JSON.stringify(data ?? ''));
}
