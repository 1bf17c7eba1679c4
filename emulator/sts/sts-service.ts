/** STS on loopback: sessions of roles, for those whom the role trusts. See docs/emulator/sts.md. */
import type { Service } from '../http.ts';
import { createRpcService } from '../openapi/rpc-service.ts';
import type { World } from '../world.ts';
import { assumeRole } from './actions/assume-role.ts';
import { getCallerIdentity } from './actions/get-caller-identity.ts';

export function createSts({ identity }: World): Service {
  return createRpcService({
    name: 'sts',
    version: '2015-04-01',
    identity,
    targetParameters: ['RoleArn'],
    actions: { AssumeRole: assumeRole(identity), GetCallerIdentity: getCallerIdentity },
  });
}
