/**
 * What was deployed through the API: configuration, code, triggers, how asynchronous events are treated. Each change
 * takes effect at once; what is running goes on as it was.
 */
import { randomUUID } from 'node:crypto';
import type { Clock } from '../../clock.ts';
import type { FunctionSpec } from '../../world.ts';
import type { Code } from './code.ts';
import type { FunctionConfig } from './function-config.ts';

export interface Trigger {
  readonly triggerId: string;
  readonly triggerName: string;
  readonly triggerType: 'timer';
  readonly qualifier: string;
  readonly description: string;
  readonly config: TimerConfig;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export interface TimerConfig {
  readonly cronExpression: string;
  readonly enable: boolean;
  readonly payload: string;
}

export interface AsyncConfig {
  readonly asyncTask?: boolean | undefined;
  readonly maxAsyncRetryAttempts?: number | undefined;
  readonly maxAsyncEventAgeInSeconds?: number | undefined;
  readonly destinationConfig?:
    | {
        readonly onSuccess?: { readonly destination?: string | undefined } | undefined;
        readonly onFailure?: { readonly destination?: string | undefined } | undefined;
      }
    | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export interface Deployment {
  readonly functionId: string;
  readonly config: FunctionConfig;
  readonly code: Code;
  readonly triggers: ReadonlyMap<string, Trigger>;
  readonly asyncConfig?: AsyncConfig | undefined;
  readonly reservedConcurrency?: number | undefined;
  readonly createdAt: number;
  readonly modifiedAt: number;
}

export interface Deployments {
  find(functionName: string): Deployment | undefined;
  all(): readonly Deployment[];
  create(config: FunctionConfig, code: Code): Deployment;
  /** Replaces what is given. Throws when there is no such function. */
  change(functionName: string, changes: Partial<Deployment>): Deployment;
  remove(functionName: string): void;
}

/** What a deployment is made effective with. */
export interface Effects {
  readonly region: string;
  install(spec: FunctionSpec): void;
  remove(functionName: string): void;
  /** At most so many at once; as many as the account may have, without a number. */
  reserve(functionName: string, limit: number | undefined): void;
}

export function createDeployments(clock: Clock, effects: Effects): Deployments {
  const deployments = new Map<string, Deployment>();

  function put(deployment: Deployment): Deployment {
    effects.install(specOf(deployment, effects.region));
    deployments.set(deployment.config.functionName, deployment);
    effects.reserve(deployment.config.functionName, deployment.reservedConcurrency);
    return deployment;
  }

  return {
    find: (functionName) => deployments.get(functionName),
    all: () => [...deployments.values()],
    create: (config, code) =>
      put({
        functionId: randomUUID(),
        config,
        code,
        triggers: new Map(),
        createdAt: clock.now(),
        modifiedAt: clock.now(),
      }),
    change(functionName, changes) {
      const before = deployments.get(functionName);
      if (before === undefined) throw new RangeError(`no function ${functionName} was deployed`);
      return put({ ...before, ...changes });
    },
    remove(functionName) {
      deployments.delete(functionName);
      effects.remove(functionName);
    },
  };
}

function specOf(
  { config, code, triggers, asyncConfig = NO_ASYNC_CONFIG }: Deployment,
  region: string,
): FunctionSpec {
  const { maxAsyncRetryAttempts, maxAsyncEventAgeInSeconds, destinationConfig } = asyncConfig;
  const onFailure = destinationConfig?.onFailure?.destination;
  return {
    name: config.functionName,
    region,
    codeFolder: code.folder,
    handler: config.handler,
    memoryMb: config.memorySize,
    timeoutSeconds: config.timeout,
    role: config.role,
    environment: config.environmentVariables ?? {},
    timers: [...triggers.values()]
      .filter((trigger) => trigger.config.enable)
      .map(({ triggerName, config }) => ({
        name: triggerName,
        cron: config.cronExpression,
        payload: config.payload,
      })),
    ...(maxAsyncRetryAttempts === undefined ? {} : { maxAsyncRetryAttempts }),
    ...(maxAsyncEventAgeInSeconds === undefined
      ? {}
      : { maxAsyncEventAgeSeconds: maxAsyncEventAgeInSeconds }),
    ...(onFailure === undefined || onFailure === '' ? {} : { onFailure }),
  };
}

const NO_ASYNC_CONFIG: AsyncConfig = { createdAt: 0, modifiedAt: 0 };
