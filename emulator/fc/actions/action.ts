/** What the actions of both API generations have in common. */
import { ServiceError, type Reply, type Request } from '../../http.ts';
import { isAllowed, type Principal } from '../../identity.ts';
import type { FunctionSpec } from '../../world.ts';
import type { Clock } from '../../clock.ts';
import type { AsyncTask, AsyncTasks } from '../async-tasks.ts';
import type { CodeStore } from '../deploying/code.ts';
import type { Deployment, Deployments } from '../deploying/deployments.ts';
import type { FunctionConfig } from '../deploying/function-config.ts';
import { accountOf, type Invoker } from '../invoker.ts';

export interface Call {
  readonly request: Request;
  readonly body: Buffer;
  readonly caller: Principal;
  /** As the path names it, and the service of the older generation's path. */
  readonly functionName: string;
  readonly serviceName?: string;
  /** What the path names below the function: a task, a trigger. */
  readonly item?: string;
  readonly qualifier?: string;
  /** True when the request names the qualifier itself. */
  readonly isQualified?: boolean;
}

export interface Cloud {
  readonly region: string;
  readonly clock: Clock;
  readonly invoker: Invoker;
  readonly tasks: AsyncTasks;
  readonly functions: ReadonlyMap<string, FunctionSpec>;
  /** Those of the functions that were deployed through the API. */
  readonly deployments: Deployments;
  readonly code: CodeStore;
  /** Throws InvalidArgument when a function of the account cannot be as its configuration says. */
  readonly checkSurroundings: (config: FunctionConfig, accountId: string) => void;
  /** Instances that the account may have at once. */
  readonly accountLimit: number;
}

/** The function that the call names, after checking that the caller may do this with it. */
export function authorize(call: Call, { functions }: Cloud, ramAction: string): FunctionSpec {
  const { caller, functionName, serviceName, qualifier } = call;
  const spec = find(functions, functionName, serviceName);
  const own = spec !== undefined && accountOf(spec) === caller.accountId ? spec : undefined;
  demand(call, ramAction, spec?.region);
  if (own === undefined && serviceName !== undefined && !hasService(functions, serviceName, caller))
    throw new ServiceError(404, 'ServiceNotFound', `service '${serviceName}' does not exist`);
  if (own === undefined)
    throw new ServiceError(404, 'FunctionNotFound', `function '${functionName}' does not exist`);
  if (qualifier !== undefined && qualifier !== '' && qualifier !== 'LATEST')
    throw new ServiceError(
      404,
      'VersionNotFound',
      `version '${qualifier}' of function '${functionName}' does not exist`,
    );
  return own;
}

/** Throws AccessDenied unless the caller's policies allow the action on the function that the call names. */
export function demand(call: Call, action: string, region = '*'): void {
  const { caller, functionName, serviceName, qualifier, isQualified = false } = call;
  const name = `functions/${functionName}`;
  const path = serviceName === undefined ? name : `services/${serviceName}.${qualifier}/${name}`;
  const suffix = serviceName === undefined && isQualified ? `/${qualifier}` : '';
  const resource = `acs:fc:${region}:${caller.accountId}:${path}${suffix}`;
  if (!isAllowed(caller, { action, resource }))
    throw new ServiceError(
      403,
      'AccessDenied',
      `the caller is not authorized to perform '${action}' on resource '${resource}'`,
    );
}

/** The deployment that the call names, after checking that the caller may do this with it. */
export function authorizeDeployment(call: Call, cloud: Cloud, ramAction: string): Deployment {
  const { name } = authorize(call, cloud, ramAction);
  const deployment = cloud.deployments.find(name);
  if (deployment === undefined)
    throw new ServiceError(
      400,
      'InvalidArgument',
      `function '${name}' belongs to the emulator's start: deploy it before it is changed`,
    );
  return deployment;
}

export const formatTime = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}/, '');

/** Functions that were made with the older generation are called `service$function` in the newer one. */
function find(
  functions: ReadonlyMap<string, FunctionSpec>,
  functionName: string,
  serviceName: string | undefined,
): FunctionSpec | undefined {
  const [service, name] =
    serviceName === undefined && functionName.includes('$')
      ? functionName.split('$', 2)
      : [serviceName, functionName];
  const spec = functions.get(name ?? '');
  return spec?.service === service ? spec : undefined;
}

function hasService(functions: ReadonlyMap<string, FunctionSpec>, name: string, caller: Principal): boolean {
  return [...functions.values()].some(
    (spec) => spec.service === name && accountOf(spec) === caller.accountId,
  );
}

export function json(value: unknown, headers: Readonly<Record<string, string>> = {}): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(value),
  };
}

export function findTask(call: Call, cloud: Cloud, spec: FunctionSpec): AsyncTask {
  const task = cloud.tasks.find(spec.name, call.item ?? '');
  if (task === undefined)
    throw new ServiceError(404, 'AsyncTaskNotFound', `async task '${call.item}' does not exist`);
  return task;
}
