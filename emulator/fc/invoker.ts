/** Runs one invocation from start to end: an instance, credentials and context for it, its logs and its measures. */
import { randomBytes } from 'node:crypto';
import { ServiceError } from '../http.ts';
import type { FunctionSpec, World } from '../world.ts';
import {
  startProcess,
  newInstanceId,
  type FunctionProcess,
  type Measures,
  type Outcome,
} from './function-process.ts';
import type { ContextFields } from './host-protocol.ts';
import { createInstances, type InstanceLimits, type Instances } from './instances.ts';

interface InvocationRequest {
  readonly spec: FunctionSpec;
  readonly event: Buffer;
  readonly requestId: string;
  readonly retryCount: number;
  /** Whether to wait for a free instance when the limit is reached; else `ResourceExhausted` is thrown. */
  readonly wait: boolean;
  readonly signal: AbortSignal;
  readonly onStart?: (instanceId: string) => void;
}

interface InvocationResult {
  readonly requestId: string;
  readonly body: Buffer;
  /** The value of `X-Fc-Error-Type`; undefined when the code returned. */
  readonly errorType?: string;
  readonly outcome: Outcome['kind'];
  readonly instanceId: string;
  readonly durationMs: number;
  readonly peakRssMb: number;
}

/** What is remembered of an invocation, for tests and measurements. */
export interface InvocationRecord extends Omit<InvocationResult, 'body'> {
  readonly functionName: string;
  readonly retryCount: number;
  readonly startedAt: number;
  /** The instance had run another invocation before. */
  readonly warm: boolean;
}

export interface LogLine {
  readonly functionName: string;
  readonly requestId: string;
  readonly text: string;
}

export interface Invoker {
  readonly instances: Instances;
  /** Never rejects for what the code does; rejects with `ResourceExhausted` and with the signal's reason before the start. */
  invoke(request: InvocationRequest): Promise<InvocationResult>;
  /** Everything that the invocation has written so far, retries included; the end of it when that is too much. */
  logs(requestId: string): string;
  /** Complete lines as they are written. Returns the way to stop listening. */
  onLog(listener: (line: LogLine) => void): () => void;
  records(functionName: string): readonly InvocationRecord[];
}

export interface InvokerOptions extends InstanceLimits {
  readonly hostFile: () => string;
  readonly sessionSeconds: number;
  /** Set for every function, unless it has them itself. */
  readonly platformVariables?: () => Readonly<Record<string, string>>;
}

const MAX_LOG_CHARACTERS = 1024 * 1024;
const MAX_LOGS = 1_000;
const MAX_RECORDS = 10_000;

export function newRequestId(): string {
  return `1-${Math.floor(Date.now() / 1000).toString(16)}-${randomBytes(12).toString('hex')}`;
}

export function createInvoker(world: World, folder: string, options: InvokerOptions): Invoker {
  const instances = createInstances(options, (spec) => {
    const instanceId = newInstanceId();
    const environment = {
      ...platformVariables(spec, instanceId),
      ...options.platformVariables?.(),
      ...spec.environment,
    };
    return startProcess(spec, { hostFile: options.hostFile(), folder, environment, instanceId });
  });
  const logs = new Map<string, string>();
  const listeners = new Set<(line: LogLine) => void>();
  const records: InvocationRecord[] = [];

  async function invoke(request: InvocationRequest): Promise<InvocationResult> {
    const { spec, event, requestId, retryCount, signal } = request;
    const process = await instances.acquire(spec, request);
    try {
      const startedAt = world.clock.now();
      const warm = process.uses > 0;
      request.onStart?.(process.instanceId);
      const log = logOf(spec.name, requestId);
      log.write(`FC Invoke Start RequestId: ${requestId}\n`);
      const context = { ...contextOf(spec, requestId), retryCount };
      const outcome = await process.run(event, context, { clock: world.clock, onOutput: log.write, signal });
      const result = resultOf(outcome, spec, requestId, process);
      log.close(
        `FC Invoke End RequestId: ${requestId}${result.errorType === undefined ? '' : `, Error: ${result.errorType}`}`,
      );
      const { body: _, ...rest } = result;
      records.push({ ...rest, functionName: spec.name, retryCount, startedAt, warm });
      if (records.length > MAX_RECORDS) records.shift();
      return result;
    } finally {
      instances.release(process);
    }
  }

  function logOf(
    functionName: string,
    requestId: string,
  ): { write: (text: string) => void; close: (line: string) => void } {
    let unfinished = '';
    const write = (text: string): void => {
      logs.set(requestId, ((logs.get(requestId) ?? '') + text).slice(-MAX_LOG_CHARACTERS));
      if (logs.size > MAX_LOGS) logs.delete([...logs.keys()][0] ?? '');
      const lines = (unfinished + text).split('\n');
      unfinished = (lines.pop() ?? '').slice(-MAX_LOG_CHARACTERS);
      for (const line of lines)
        for (const listener of listeners) listener({ functionName, requestId, text: line });
    };
    return { write, close: (line) => write(`${unfinished === '' ? '' : '\n'}${line}\n`) };
  }

  function contextOf(spec: FunctionSpec, requestId: string): Omit<ContextFields, 'retryCount'> {
    return {
      requestId,
      credentials: credentialsOf(spec),
      function: {
        name: spec.name,
        handler: handlerOf(spec),
        memory: spec.memoryMb,
        timeout: spec.timeoutSeconds,
      },
      service: { name: spec.service ?? '', logProject: '', logStore: '', qualifier: 'LATEST', versionId: '' },
      region: spec.region,
      accountId: accountOf(spec),
    };
  }

  function credentialsOf(spec: FunctionSpec): ContextFields['credentials'] {
    const role = world.identity.role(spec.role);
    if (role === undefined)
      throw new ServiceError(
        403,
        'AccessDenied',
        `the role '${spec.role}' of '${spec.name}' cannot be assumed`,
      );
    const session = world.identity.issue(role, spec.name, options.sessionSeconds);
    const { accessKeyId, accessKeySecret, securityToken } = session;
    return { accessKeyId, accessKeySecret, securityToken };
  }

  /** https://www.alibabacloud.com/help/en/functioncompute/fc/environment-variables */
  function platformVariables(spec: FunctionSpec, instanceId: string): Record<string, string> {
    const credentials = credentialsOf(spec);
    return {
      ALIBABA_CLOUD_ACCESS_KEY_ID: credentials.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: credentials.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: credentials.securityToken,
      FC_ACCOUNT_ID: accountOf(spec),
      FC_CUSTOM_LISTEN_PORT: '9000',
      FC_FUNC_CODE_PATH: spec.codeFolder,
      FC_FUNCTION_HANDLER: handlerOf(spec),
      FC_FUNCTION_MEMORY_SIZE: String(spec.memoryMb),
      FC_FUNCTION_NAME: spec.name,
      FC_INSTANCE_ID: instanceId,
      FC_REGION: spec.region,
      FC_VER_ID: 'LATEST',
    };
  }

  return {
    instances,
    invoke,
    logs: (requestId) => logs.get(requestId) ?? '',
    onLog(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    records: (functionName) => records.filter((record) => record.functionName === functionName),
  };
}

export function handlerOf(spec: FunctionSpec): string {
  return spec.handler ?? 'index.handler';
}

/** A function belongs to the account of its role. */
export function accountOf(spec: FunctionSpec): string {
  return /^acs:ram::(\d+):role\//.exec(spec.role)?.[1] ?? '';
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/error-handling-nodejs */
function resultOf(
  outcome: Outcome & Measures,
  spec: FunctionSpec,
  requestId: string,
  { instanceId }: FunctionProcess,
): InvocationResult {
  const { durationMs, peakRssMb } = outcome;
  const common = { requestId, outcome: outcome.kind, instanceId, durationMs, peakRssMb };
  const measures = `(duration: ${durationMs.toFixed(2)}ms, maxMemoryUsage: ${peakRssMb.toFixed(2)}MB)`;
  if (outcome.kind === 'returned') return { ...common, body: outcome.body };
  if (outcome.kind === 'raised')
    return { ...common, body: outcome.body, errorType: 'UnhandledInvocationError' };
  const [errorType, text] = FAILURES[outcome.kind](spec);
  const body = Buffer.from(JSON.stringify({ errorMessage: `${text} ${measures}` }));
  return { ...common, errorType, body };
}

const EXITED = 'Process exited unexpectedly before completing request';
const FAILURES: Readonly<
  Record<
    Exclude<Outcome['kind'], 'returned' | 'raised'>,
    (spec: FunctionSpec) => readonly [errorType: string, message: string]
  >
> = {
  exited: () => ['UnhandledInvocationError', EXITED],
  'out-of-memory': () => ['FunctionOOMError', `${EXITED}: out of memory`],
  'timed-out': (spec) => ['FunctionTimeoutError', `Function time out after ${spec.timeoutSeconds} seconds`],
  cancelled: () => ['InvocationCanceledError', 'Invocation canceled by client'],
};
