/**
 * Function Compute on loopback: both generations of the invoke API, asynchronous tasks, timers, and the built
 * bundles run in child processes with the platform's event, context and limits. See docs/emulator/fc.md.
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ServiceError, type Reply, type Request, type Route, type Service } from '../http.ts';
import type { FunctionSpec, TimerSpec, World } from '../world.ts';
import type { Call, Cloud } from './actions/action.ts';
import { createFunction } from './actions/create-function.ts';
import { createTrigger } from './actions/create-trigger.ts';
import { deleteAsyncInvokeConfig } from './actions/delete-async-invoke-config.ts';
import { deleteConcurrencyConfig } from './actions/delete-concurrency-config.ts';
import { deleteFunction } from './actions/delete-function.ts';
import { deleteTrigger } from './actions/delete-trigger.ts';
import { getAsyncInvokeConfig } from './actions/get-async-invoke-config.ts';
import { getAsyncTask } from './actions/get-async-task.ts';
import { getConcurrencyConfig } from './actions/get-concurrency-config.ts';
import { getFunction } from './actions/get-function.ts';
import { getTempBucketToken } from './actions/get-temp-bucket-token.ts';
import { getTrigger } from './actions/get-trigger.ts';
import { invokeFunction } from './actions/invoke-function.ts';
import { listAsyncInvokeConfigs } from './actions/list-async-invoke-configs.ts';
import { listAsyncTasks } from './actions/list-async-tasks.ts';
import { listFunctions } from './actions/list-functions.ts';
import {
  getScalingConfig,
  listAliases,
  listFunctionVersions,
  listProvisionConfigs,
  listVpcBindings,
} from './actions/list-nothing.ts';
import { listTriggers } from './actions/list-triggers.ts';
import { putAsyncInvokeConfig } from './actions/put-async-invoke-config.ts';
import { putConcurrencyConfig } from './actions/put-concurrency-config.ts';
import { stopAsyncTask } from './actions/stop-async-task.ts';
import { updateFunction } from './actions/update-function.ts';
import { updateTrigger } from './actions/update-trigger.ts';
import {
  createAsyncTasks,
  type AsyncOptions,
  type AsyncTask,
  type DuplicateDelivery,
} from './async-tasks.ts';
import { createCodeStore, type CodeBuckets } from './deploying/code.ts';
import { createDeployments } from './deploying/deployments.ts';
import { invalidArgument, type FunctionConfig } from './deploying/function-config.ts';
import { messageOf, type DestinationMessage } from './destination.ts';
import { createInvoker, type InvocationRecord, type InvokerOptions, type LogLine } from './invoker.ts';
import { callerOfNewer, callerOfOlder } from './signatures.ts';
import { parseSchedule, runTimer, timerEvent } from './timers.ts';

export interface FcOptions extends Partial<
  Omit<InvokerOptions, 'hostFile'> & Omit<AsyncOptions, 'onGivenUp'>
> {
  /** The bundled host process; found at `dist/function-host/index.js` below the repository's root if left out. */
  readonly hostFile?: string;
  /** Where functions that are deployed through the API live. Default cn-hangzhou. */
  readonly region?: string;
  /** Through which code is deployed; without, it comes inside of the requests only. */
  readonly oss?: CodeBuckets;
  /** Is there this logstore in the account? Without, all are taken to be there. */
  readonly hasLogstore?: (accountId: string, project: string, logstore: string) => boolean;
  /** Takes what is sent to a destination: an event that was given up. Without, it is lost. */
  readonly send?: (message: DestinationMessage) => void;
}

export interface Fc {
  readonly service: Service;
  /**
   * Makes functions known; one of the same name is replaced: running invocations go on with the old code, timers are
   * set anew. Throws, and changes nothing, when a spec cannot be right (unknown role, bad schedule,
   * bad name) or when the host process was not built.
   */
  deploy(specs: readonly FunctionSpec[]): void;
  /** Ends children and queued work. Safe to call twice. */
  stop(): Promise<void>;
  describe(): readonly FunctionDescription[];
  /** Fires a timer now, as an asynchronous invocation; the time defaults to the emulator's. Returns its request id. */
  fireTimer(functionName: string, timerName: string, triggerTime?: string): Promise<string>;
  /** The asynchronous invocations of a function, timers' included, in the order in which they were accepted. */
  tasks(functionName: string): readonly AsyncTask[];
  /** What ran, synchronous and asynchronous, each attempt of its own, with duration and peak of memory. */
  invocations(functionName: string): readonly InvocationRecord[];
  /** Resolves when no invocation runs, waits, or will be tried again; those waiting for the clock are waited for too. */
  whenIdle(): Promise<void>;
  /** What an invocation wrote to its output, its retries' included. */
  logs(requestId: string): string;
  /** Calls the listener with each line that a function writes. Returns the way to stop listening. */
  onLog(listener: (line: LogLine) => void): () => void;
  /** Ends the processes that run the function now, as an OOM or the loss of a host would. Returns how many. */
  killRunning(functionName: string): number;
  /** The function's next asynchronous event is delivered twice. */
  duplicateNext(functionName: string, when?: DuplicateDelivery): void;
  /** At most this many invocations of the function at once (`reservedConcurrency`). */
  reserve(functionName: string, limit: number): void;
}

interface FunctionDescription {
  readonly name: string;
  readonly service?: string;
  readonly region: string;
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  readonly timers: readonly TimerSpec[];
  readonly running: number;
  readonly idle: number;
  readonly invocations: number;
  readonly failures: number;
  /** The highest of all invocations. */
  readonly peakRssMb: number;
}

/** The quota of new accounts, in running instances per region. */
const DEFAULT_ACCOUNT_LIMIT = 100;
const DEFAULT_REGION = 'cn-hangzhou';
const DEFAULTS = {
  accountLimit: DEFAULT_ACCOUNT_LIMIT,
  idlePerFunction: 4,
  idleMs: 60_000,
  sessionSeconds: 36 * 3600,
  retryDelayMs: (failedAttempts: number): number => 1000 * 2 ** (failedAttempts - 1),
  maxEventAgeMs: 24 * 3600 * 1000,
};

export function createFc(world: World, options: FcOptions = {}): Fc {
  const functions = new Map<string, FunctionSpec>();
  const timers = new Map<string, AbortController>();
  const settings = { ...DEFAULTS, ...options, hostFile: () => builtFile(options.hostFile ?? findHostFile()) };
  const invoker = createInvoker(world, join(world.folder, 'fc'), settings);
  const specOf = (name: string): FunctionSpec => {
    const spec = functions.get(name);
    if (spec === undefined) throw new RangeError(`no function ${name} is deployed`);
    return spec;
  };
  const region = options.region ?? DEFAULT_REGION;
  const tasks = createAsyncTasks(world.clock, invoker, specOf, {
    ...settings,
    onGivenUp(task, spec) {
      const message = messageOf(task, spec, world.clock.now(), world.identity);
      if (message !== undefined) options.send?.(message);
    },
  });
  const deployments = createDeployments(world.clock, {
    region,
    // Checked when it was created; what it names may be gone since, and then it can still be changed and deleted.
    install,
    remove,
    reserve: (name, limit = Infinity) => invoker.instances.reserve(name, limit),
  });
  const cloud: Cloud = {
    region,
    clock: world.clock,
    invoker,
    tasks,
    functions,
    deployments,
    code: createCodeStore(world.identity, join(world.folder, 'fc', 'code'), options.oss),
    checkSurroundings: (config, accountId) => checkSurroundings(config, accountId, world, options),
    accountLimit: settings.accountLimit,
  };
  const requests = new Set<Promise<Reply>>();
  let stopped: Promise<void> | undefined;

  function deploy(specs: readonly FunctionSpec[]): void {
    for (const spec of specs) check(spec, world);
    if (specs.length > 0) settings.hostFile();
    for (const spec of specs) install(spec);
  }

  function install(spec: FunctionSpec): void {
    invoker.instances.retire(spec.name);
    timers.get(spec.name)?.abort(new Error('the function was replaced'));
    functions.set(spec.name, { ...spec });
    const ending = new AbortController();
    timers.set(spec.name, ending);
    for (const timer of spec.timers ?? []) startTimer(spec.name, timer, ending.signal);
  }

  function remove(functionName: string): void {
    invoker.instances.retire(functionName);
    timers.get(functionName)?.abort(new Error('the function was deleted'));
    timers.delete(functionName);
    functions.delete(functionName);
  }

  function startTimer(functionName: string, timer: TimerSpec, signal: AbortSignal): void {
    const fire = (atMs: number): void => void tasks.submit({ functionName, event: timerEvent(timer, atMs) });
    runTimer(world.clock, parseSchedule(timer.cron), signal, fire).catch((error: unknown) => {
      if (!signal.aborted) process.stderr.write(`emulator: timer ${timer.name}: ${String(error)}\n`);
    });
  }

  async function fireTimer(functionName: string, timerName: string, triggerTime?: string): Promise<string> {
    const timer = specOf(functionName).timers?.find(({ name }) => name === timerName);
    if (timer === undefined) throw new RangeError(`function ${functionName} has no timer ${timerName}`);
    const atMs = triggerTime === undefined ? world.clock.now() : Date.parse(triggerTime);
    if (Number.isNaN(atMs)) throw new RangeError(`fire timer ${timerName}: ${triggerTime} is no time`);
    return tasks.submit({ functionName, event: timerEvent(timer, atMs) }).requestId;
  }

  async function whenIdle(): Promise<void> {
    for (;;) {
      // A clock that has just been advanced wakes its sleepers in the next turns.
      await new Promise((resolve) => setImmediate(resolve));
      const pending = [...tasks.pending(), ...requests];
      if (pending.length === 0) return;
      await Promise.allSettled(pending);
    }
  }

  async function stop(): Promise<void> {
    for (const ending of timers.values()) ending.abort(new Error('the emulator stops'));
    await Promise.all([tasks.stop(), invoker.instances.stop()]);
    await Promise.allSettled(requests);
    // Whatever was started while the others ended.
    await invoker.instances.stop();
  }

  function describe(): readonly FunctionDescription[] {
    return [...functions.values()].map((spec) => {
      const records = invoker.records(spec.name);
      return {
        name: spec.name,
        ...(spec.service === undefined ? {} : { service: spec.service }),
        region: spec.region,
        memoryMb: spec.memoryMb,
        timeoutSeconds: spec.timeoutSeconds,
        timers: spec.timers ?? [],
        running: invoker.instances.running(spec.name).length,
        idle: invoker.instances.idle(spec.name).length,
        invocations: records.length,
        failures: records.filter((record) => record.errorType !== undefined).length,
        peakRssMb: records.reduce((peak, record) => Math.max(peak, record.peakRssMb), 0),
      };
    });
  }

  return {
    service: createService(world, cloud, (reply) => {
      const settled = reply.finally(() => requests.delete(settled));
      requests.add(settled);
      return settled;
    }),
    deploy,
    stop: async () => (stopped ??= stop()),
    describe,
    fireTimer,
    tasks: (functionName) => tasks.list(functionName),
    invocations: (functionName) => invoker.records(functionName),
    whenIdle,
    logs: (requestId) => invoker.logs(requestId),
    onLog: (listener) => invoker.onLog(listener),
    killRunning(functionName) {
      const running = invoker.instances.running(functionName);
      for (const process of running) process.kill();
      return running.length;
    },
    duplicateNext: (functionName, when = 'after') => tasks.duplicateNext(functionName, when),
    reserve: (functionName, limit) => invoker.instances.reserve(functionName, limit),
  };
}

/** What is wrong with a configuration is told apart from what is wrong with what it names. */
function checkSurroundings(
  { functionName, role: arn, logConfig }: FunctionConfig,
  accountId: string,
  { identity }: World,
  { hasLogstore }: FcOptions,
): void {
  const role = identity.role(arn);
  if (role === undefined || role.accountId !== accountId)
    throw invalidArgument(`role: '${arn}' of function '${functionName}' does not exist in this account`);
  if (!role.trusts.includes('fc.aliyuncs.com'))
    throw invalidArgument(`role: '${arn}' does not trust fc.aliyuncs.com`);
  const { project = '', logstore = '' } = logConfig ?? {};
  if (project === '' || hasLogstore === undefined) return;
  if (!hasLogstore(accountId, project, logstore))
    throw invalidArgument(`project '${project}' does not exist, or has no logstore '${logstore}'`);
}

const NAME = /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/;

/** What the platform would refuse when the function is created. */
function check(spec: FunctionSpec, world: World): void {
  const refuse = (reason: string): never => {
    throw new RangeError(`deploy function ${spec.name}: ${reason}`);
  };
  if (!NAME.test(spec.name)) refuse('the name is not valid');
  if (!(spec.memoryMb >= 128 && spec.memoryMb <= 32_768))
    refuse(`${spec.memoryMb} MB is not between 128 and 32768`);
  if (!(spec.timeoutSeconds >= 1 && spec.timeoutSeconds <= 86_400))
    refuse(`a timeout of ${spec.timeoutSeconds} s is not between 1 and 86400`);
  const role = world.identity.role(spec.role);
  if (role === undefined) refuse(`there is no role ${spec.role}`);
  if (role?.trusts.includes('fc.aliyuncs.com') === false)
    refuse(`the role ${spec.role} does not trust fc.aliyuncs.com`);
  for (const timer of spec.timers ?? []) parseSchedule(timer.cron);
}

/** Walks up from here, which works from the sources and from a bundle in `dist/<name>/`. */
function findHostFile(): string {
  let folder = __dirname;
  while (!existsSync(join(folder, 'package.json'))) {
    if (dirname(folder) === folder) throw new Error(`run functions: no package.json above ${__dirname}`);
    folder = dirname(folder);
  }
  return join(folder, 'dist', 'function-host', 'index.js');
}

function builtFile(file: string): string {
  if (!existsSync(file)) throw new Error(`run functions: ${file} is missing; run \`npm run build\` first`);
  return file;
}

type Track = (reply: Promise<Reply>) => Promise<Reply>;
type Action = (call: Call, cloud: Cloud) => Reply | Promise<Reply>;

const NEWER = '/2023-03-30';
const SEGMENT = '([^/]+)';
/** Method, path below the version, with `{f}` for the function and `{i}` for something of it, name, action. */
const ROUTES = (
  [
    ['POST', '/functions/{f}/invocations', 'InvokeFunction', invokeFunction],
    ['GET', '/functions/{f}/async-tasks', 'ListAsyncTasks', listAsyncTasks],
    ['GET', '/functions/{f}/async-tasks/{i}', 'GetAsyncTask', getAsyncTask],
    ['PUT', '/functions/{f}/async-tasks/{i}/stop', 'StopAsyncTask', stopAsyncTask],
    ['POST', '/functions', 'CreateFunction', createFunction],
    ['GET', '/functions', 'ListFunctions', listFunctions],
    ['GET', '/functions/{f}', 'GetFunction', getFunction],
    ['PUT', '/functions/{f}', 'UpdateFunction', updateFunction],
    ['DELETE', '/functions/{f}', 'DeleteFunction', deleteFunction],
    ['POST', '/functions/{f}/triggers', 'CreateTrigger', createTrigger],
    ['GET', '/functions/{f}/triggers', 'ListTriggers', listTriggers],
    ['GET', '/functions/{f}/triggers/{i}', 'GetTrigger', getTrigger],
    ['PUT', '/functions/{f}/triggers/{i}', 'UpdateTrigger', updateTrigger],
    ['DELETE', '/functions/{f}/triggers/{i}', 'DeleteTrigger', deleteTrigger],
    ['PUT', '/functions/{f}/async-invoke-config', 'PutAsyncInvokeConfig', putAsyncInvokeConfig],
    ['GET', '/functions/{f}/async-invoke-config', 'GetAsyncInvokeConfig', getAsyncInvokeConfig],
    ['DELETE', '/functions/{f}/async-invoke-config', 'DeleteAsyncInvokeConfig', deleteAsyncInvokeConfig],
    ['GET', '/async-invoke-configs', 'ListAsyncInvokeConfigs', listAsyncInvokeConfigs],
    ['PUT', '/functions/{f}/concurrency', 'PutConcurrencyConfig', putConcurrencyConfig],
    ['GET', '/functions/{f}/concurrency', 'GetConcurrencyConfig', getConcurrencyConfig],
    ['DELETE', '/functions/{f}/concurrency', 'DeleteConcurrencyConfig', deleteConcurrencyConfig],
    ['GET', '/functions/{f}/scaling-config', 'GetScalingConfig', getScalingConfig],
    ['GET', '/functions/{f}/vpc-bindings', 'ListVpcBindings', listVpcBindings],
    ['GET', '/functions/{f}/versions', 'ListFunctionVersions', listFunctionVersions],
    ['GET', '/functions/{f}/aliases', 'ListAliases', listAliases],
    ['GET', '/provision-configs', 'ListProvisionConfigs', listProvisionConfigs],
  ] as const satisfies readonly (readonly [string, string, string, Action])[]
).map(([method, path, name, action]) => ({
  method,
  name,
  action: action as Action,
  pattern: new RegExp(`^${path.replaceAll(/\{[fi]\}/g, SEGMENT)}$`),
}));
const TEMP_BUCKET_TOKEN = '/2016-08-15/tempBucketToken';
const OLDER_INVOKE = new RegExp(`^/2016-08-15/services/${SEGMENT}/functions/${SEGMENT}/invocations$`);

function createService(world: World, cloud: Cloud, track: Track): Service {
  function route(request: Request): Route {
    return isOlder(request) ? routeOlder(request) : routeNewer(request);
  }

  function routeNewer(request: Request): Route {
    const path = request.url.pathname;
    const inner = path.startsWith(NEWER) ? path.slice(NEWER.length) : '';
    for (const { method, pattern, name, action } of ROUTES) {
      const match = pattern.exec(inner);
      if (match === null || method !== request.method) continue;
      const [functionName = '', item] = match.slice(1).map(decode);
      return {
        action: name,
        target: functionName,
        async run(noteCaller) {
          const body = await request.readBody();
          const caller = callerOfNewer(request, body, world.identity);
          noteCaller(caller.arn);
          const call: Call = {
            request,
            body,
            caller,
            functionName,
            qualifier: request.url.searchParams.get('qualifier') ?? 'LATEST',
            isQualified: request.url.searchParams.has('qualifier'),
            ...(item === undefined ? {} : { item }),
          };
          return await track(Promise.resolve(action(call, cloud)));
        },
      };
    }
    return notSupported(request);
  }

  function routeOlder(request: Request): Route {
    if (request.method === 'GET' && request.url.pathname === TEMP_BUCKET_TOKEN) return tokenRoute(request);
    const match = request.method === 'POST' ? OLDER_INVOKE.exec(request.url.pathname) : null;
    if (match === null) return notSupported(request);
    const [qualifiedService = '', functionName = ''] = match.slice(1).map(decode);
    const [serviceName = '', qualifier = 'LATEST'] = qualifiedService.split('.', 2);
    return {
      action: 'InvokeFunction',
      target: functionName,
      async run(noteCaller) {
        const body = await request.readBody();
        const caller = callerOfOlder(request, world.identity);
        noteCaller(caller.arn);
        if ((request.headers['x-fc-account-id'] ?? caller.accountId) !== caller.accountId)
          throw new ServiceError(403, 'AccessDenied', 'the resource belongs to another account');
        return await track(
          invokeFunction({ request, body, caller, functionName, serviceName, qualifier }, cloud),
        );
      },
    };
  }

  function tokenRoute(request: Request): Route {
    return {
      action: 'GetTempBucketToken',
      target: '',
      async run(noteCaller) {
        const caller = callerOfOlder(request, world.identity);
        noteCaller(caller.arn);
        return getTempBucketToken({ request, body: Buffer.alloc(0), caller, functionName: '' }, cloud);
      },
    };
  }

  return {
    name: 'fc',
    route,
    renderError,
    commonHeaders: (requestId) => ({ 'x-fc-request-id': requestId }),
  };
}

function isOlder(request: Request): boolean {
  return request.url.pathname.startsWith('/2016-08-15/');
}

/** The text itself when it is no valid encoding: it will not be the name of anything. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function notSupported(request: Request): Route {
  const path = request.url.pathname;
  return {
    action: 'Unknown',
    target: path,
    run: async () => {
      throw new ServiceError(
        400,
        'PathNotSupported',
        `'${path}' against '${request.method}' is not supported`,
      );
    },
  };
}

/** The generations differ: `@alicloud/fc2` reads `ErrorCode`, the newer SDK reads `Code`. */
function renderError({ status, code, message }: ServiceError, requestId: string, request: Request): Reply {
  const body = isOlder(request)
    ? { ErrorCode: code, ErrorMessage: message }
    : { RequestId: requestId, Code: code, Message: message };
  return { status, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}
