/** The roles and policies that calls are about. */
import { ServiceError } from '../http.ts';
import { isAllowed, policiesOf, type Identity, type Policy, type Role } from '../identity.ts';
import { required, type Call } from '../openapi/rpc-service.ts';

/**
 * @throws ServiceError MissingParameter, EntityNotExist.Role
 */
export function findRole(identity: Identity, call: Call): Role {
  const name = required(call, 'RoleName');
  const role = identity
    .roles()
    .find(
      (role) => role.accountId === call.principal.accountId && role.name.toLowerCase() === name.toLowerCase(),
    );
  if (role === undefined) throw new ServiceError(404, 'EntityNotExist.Role', `The role not exists: ${name}.`);
  return role;
}

/**
 * @throws ServiceError MissingParameter, EntityNotExist.Policy
 */
export function findPolicy(identity: Identity, call: Call): Policy {
  const name = required(call, 'PolicyName');
  const type = required(call, 'PolicyType');
  const policy = identity
    .roles()
    .filter(({ accountId }) => accountId === call.principal.accountId)
    .flatMap(policiesOf)
    .find((policy) => policy.name === name && policy.type === type);
  if (policy === undefined)
    throw new ServiceError(404, 'EntityNotExist.Policy', `The policy not exists: ${name}.`);
  return policy;
}

/** Throws NoPermission unless the caller may do this. */
export function authorize({ principal }: Call, action: string, what: string): void {
  const resource = `acs:ram:*:${principal.accountId}:${what}`;
  if (!isAllowed(principal, { action: `ram:${action}`, resource }))
    throw new ServiceError(
      403,
      'NoPermission',
      'You are not authorized to do this action. You should be authorized by RAM.',
    );
}

/** There is one version of everything. */
export const VERSION_ID = 'v1';
export const CREATED_AT = '2026-01-01T00:00:00Z';
