/** RAM on loopback, the reading half: roles, and what their policies say. See docs/emulator/ram.md. */
import type { Service } from '../http.ts';
import { createRpcService } from '../openapi/rpc-service.ts';
import type { World } from '../world.ts';
import { getPolicy } from './actions/get-policy.ts';
import { getPolicyVersion } from './actions/get-policy-version.ts';
import { getRole } from './actions/get-role.ts';
import { listPoliciesForRole } from './actions/list-policies-for-role.ts';

export function createRam({ identity }: World): Service {
  return createRpcService({
    name: 'ram',
    version: '2015-05-01',
    identity,
    targetParameters: ['RoleName', 'PolicyName'],
    actions: {
      GetRole: getRole(identity),
      ListPoliciesForRole: listPoliciesForRole(identity),
      GetPolicy: getPolicy(identity),
      GetPolicyVersion: getPolicyVersion(identity),
    },
  });
}
