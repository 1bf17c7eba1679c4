/** What the actions of ROS have in common. */
import { ServiceError } from '../../http.ts';
import { isAllowed } from '../../identity.ts';
import { required, type Call } from '../../openapi/rpc-service.ts';
import type { Stack, Stacks } from '../stacks.ts';

export const READ_WRITE = ['POST', 'GET'];

/**
 * @throws ServiceError NoPermission
 */
export function authorize({ principal, parameters }: Call, action: string, stackId = '*'): void {
  const region = parameters.get('RegionId') ?? '*';
  const resource = `acs:ros:${region}:${principal.accountId}:stack/${stackId}`;
  if (!isAllowed(principal, { action: `ros:${action}`, resource }))
    throw new ServiceError(
      403,
      'NoPermission',
      `You are not authorized to perform ros:${action} on ${resource}.`,
    );
}

/**
 * The stack of the account and region that the call names by its id; its name is not understood here.
 *
 * @throws ServiceError MissingParameter, NoPermission, StackNotFound
 */
export function findStack(stacks: Stacks, call: Call, action: string): Stack {
  const id = required(call, 'StackId');
  authorize(call, action, id);
  const stack = stacks.find(id);
  if (stack === undefined || !isOwn(stack, call))
    throw new ServiceError(404, 'StackNotFound', `The Stack (${id}) could not be found.`);
  return stack;
}

export const isOwn = ({ accountId, region }: Stack, { principal, parameters }: Call): boolean =>
  accountId === principal.accountId && region === parameters.get('RegionId');

/** `Parameters.1.ParameterKey`, `Parameters.1.ParameterValue`, … */
export function parametersOf({ parameters }: Call): ReadonlyMap<string, string> {
  const numbers = [...parameters.keys()].flatMap(
    (name) => /^Parameters\.(\d+)\.ParameterKey$/.exec(name)?.[1] ?? [],
  );
  return new Map(
    numbers.map((number) => [
      parameters.get(`Parameters.${number}.ParameterKey`) ?? '',
      parameters.get(`Parameters.${number}.ParameterValue`) ?? '',
    ]),
  );
}

export interface Page {
  readonly number: number;
  readonly size: number;
}

export function readPage({ parameters }: Call): Page {
  const read = (name: string, otherwise: number, most: number): number => {
    const value = Number(parameters.get(name) ?? otherwise);
    if (Number.isInteger(value) && value >= 1 && value <= most) return value;
    throw new ServiceError(400, 'InvalidParameter', `The specified parameter ${name} is invalid.`);
  };
  return { number: read('PageNumber', 1, 10_000), size: read('PageSize', 10, 50) };
}

export const slice = <T>(all: readonly T[], { number, size }: Page): readonly T[] =>
  all.slice((number - 1) * size, number * size);

/**
 * Without a zone, to the second. Rounded up: who asks for what has happened since a moment must find what happened in
 * the same second.
 */
export const formatTime = (ms: number): string =>
  new Date(Math.ceil(ms / 1000) * 1000).toISOString().replace(/\.\d{3}Z$/, '');
