import type { Role } from '../../emulator/identity.ts';
import type { World } from '../../emulator/world.ts';
import type { Place, When, Who } from '../../functions/core/permissions.ts';
import { namesOf } from '../../infra/names.ts';
import { statementsOf } from '../../infra/policies.ts';

/** The name of a role in the world's own account that a function may take on. */
export function functionRole(world: World, name: string, allow: readonly string[] = ['*']): string {
  const { accountId, identity } = world;
  return identity.addRole({ accountId, name, trusts: ['fc.aliyuncs.com'], allow }).arn;
}

/** The same for a role that may do what the table of permissions says of this function in this place, and nothing else. */
export function leastRole(
  world: World,
  who: Who,
  place: Partial<Place> & Pick<Place, 'region' | 'bucket'>,
  ...when: readonly When[]
): string {
  const { accountId, identity } = world;
  const complete: Place = {
    ...namesOf('test', accountId),
    accountId,
    prefix: '',
    sourceRoles: [],
    key: '',
    ...place,
  };
  const policies = [undefined, ...when].map((one) => leastPolicy(who, complete, one));
  return identity.addRole({ accountId, name: who, trusts: ['fc.aliyuncs.com'], allow: [], policies }).arn;
}

function leastPolicy(who: Who, place: Place, when: When | undefined): NonNullable<Role['policies']>[number] {
  return {
    name: `${who}-${when ?? 'always'}`,
    type: 'Custom',
    document: {
      Version: '1',
      Statement: statementsOf(who, place, when).map(({ effect, action, resource, condition }) => ({
        Effect: effect,
        Action: action,
        Resource: resource,
        ...(condition === undefined ? {} : { Condition: condition }),
      })),
    },
  };
}
