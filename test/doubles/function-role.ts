import type { World } from '../../emulator/world.ts';

/** The name of a role in the world's own account that a function may take on. */
export function functionRole(world: World, name: string, allow: readonly string[] = ['*']): string {
  const { accountId, identity } = world;
  return identity.addRole({ accountId, name, trusts: ['fc.aliyuncs.com'], allow }).arn;
}
