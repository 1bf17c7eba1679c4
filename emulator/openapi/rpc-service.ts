/**
 * A service with an RPC-style API: the action is named by the `x-acs-action` header or the `Action` parameter,
 * parameters come in the query or in a form, answers and errors are JSON.
 */
import { randomUUID } from 'node:crypto';
import { ServiceError, type Reply, type Request, type Route, type Service } from '../http.ts';
import type { ServiceName } from '../faults.ts';
import type { Identity, Principal } from '../identity.ts';
import { authenticate, createNonces } from './authenticate.ts';

/** What an action gets to see: who calls, and with what. */
export interface Call {
  readonly principal: Principal;
  /** Of the query and of a form in the body, without those of the signature's. */
  readonly parameters: ReadonlyMap<string, string>;
}

export type Json =
  | string
  | number
  | boolean
  | null
  | undefined
  | readonly Json[]
  | { readonly [name: string]: Json };

export interface Action {
  /** `POST` and `GET`, or fewer. */
  readonly methods: readonly string[];
  /** The answer without its `RequestId`. Throws ServiceError. */
  readonly perform: (
    call: Call,
  ) => Promise<{ readonly [name: string]: Json }> | { readonly [name: string]: Json };
}

export interface RpcServiceOptions {
  readonly name: ServiceName;
  readonly version: string;
  readonly identity: Identity;
  readonly actions: Readonly<Record<string, Action>>;
  /** The parameters that name what an action works on, for journal and faults: the first that is there. */
  readonly targetParameters: readonly string[];
}

export function createRpcService({
  name,
  version,
  identity,
  actions,
  targetParameters,
}: RpcServiceOptions): Service {
  const nonces = createNonces();

  function route(request: Request): Route {
    const query = request.url.searchParams;
    const action = request.headers['x-acs-action'] ?? query.get('Action') ?? 'Unknown';
    return {
      action,
      target: query.get(targetParameters.find((name) => query.has(name)) ?? '') ?? '',
      run: async (noteCaller) => run(request, action, noteCaller),
    };
  }

  async function run(request: Request, name: string, noteCaller: (arn: string) => void): Promise<Reply> {
    const body = await request.readBody();
    const parameters = readParameters(request, body);
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined || (request.headers['x-acs-version'] ?? parameters.get('Version')) !== version)
      throw new ServiceError(
        404,
        'InvalidAction.NotFound',
        'Specified api is not found, please check your url and method.',
      );
    if (!action.methods.includes(request.method))
      throw new ServiceError(403, 'UnsupportedHTTPMethod', 'This http method is not supported.');
    const principal = authenticate({ request, body, parameters }, identity, nonces);
    noteCaller(principal.arn);
    const answer = await action.perform({ principal, parameters });
    const requestId = randomUUID().toUpperCase();
    return {
      status: 200,
      headers: { ...JSON_TYPE, 'x-acs-request-id': requestId },
      body: JSON.stringify({ RequestId: requestId, ...answer }),
    };
  }

  return {
    name,
    route,
    renderError: (error, requestId) => ({
      status: error.status,
      headers: JSON_TYPE,
      body: JSON.stringify({
        RequestId: requestId,
        HostId: '127.0.0.1',
        Code: error.code,
        Message: error.message,
        Recommend: `https://api.aliyun.com/troubleshoot?q=${error.code}&requestId=${requestId}`,
      }),
    }),
    commonHeaders: (requestId) => ({ 'x-acs-request-id': requestId }),
  };
}

const JSON_TYPE = { 'content-type': 'application/json;charset=utf-8' };

function readParameters(request: Request, body: Buffer): ReadonlyMap<string, string> {
  const isForm = (request.headers['content-type'] ?? '').startsWith('application/x-www-form-urlencoded');
  return new Map([
    ...request.url.searchParams,
    ...(isForm ? new URLSearchParams(body.toString('utf8')) : []),
  ]);
}

/**
 * @throws ServiceError MissingParameter
 */
export function required(call: Call, name: string): string {
  const value = call.parameters.get(name);
  if (value === undefined || value === '')
    throw new ServiceError(
      400,
      'MissingParameter',
      `The input parameter "${name}" that is mandatory for processing this request is not supplied.`,
    );
  return value;
}
