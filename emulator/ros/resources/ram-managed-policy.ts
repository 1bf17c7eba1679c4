/** https://www.alibabacloud.com/help/en/ros/developer-reference/aliyun-ram-managedpolicy */
import * as z from 'zod';
import { policiesOf, type Identity, type Role } from '../../identity.ts';
import { readPolicy } from '../../policy.ts';
import { ResourceFailure, type Made, type Place, type Properties, type ResourceType } from '../resource.ts';

const schema = z.strictObject({
  PolicyName: z.string().regex(/^[A-Za-z0-9-]{1,128}$/),
  PolicyDocument: z.unknown(),
  Description: z.string().max(1024).optional(),
  Roles: z.array(z.string()).default([]),
  IgnoreExisting: z.boolean().default(false),
  DeletionForce: z.boolean().optional(),
});

export const ramManagedPolicy: ResourceType = {
  identityOf: ({ PolicyName }) => [PolicyName],
  async create(properties, place) {
    const { PolicyName, IgnoreExisting } = read(properties);
    const { identity } = place.world;
    const isThere = rolesOf(identity, place).some((role) =>
      policiesOf(role).some(({ name }) => name === PolicyName),
    );
    if (isThere && !IgnoreExisting)
      throw new ResourceFailure('EntityAlreadyExists.Policy', `The policy already exists: ${PolicyName}.`);
    return { ...attach(properties, place), wasThere: isThere };
  },
  async update(before, after, place) {
    detach(before, place);
    return attach(after, place);
  },
  async remove(properties, place) {
    detach(properties, place);
  },
};

function attach(properties: Properties, place: Place): Made {
  const { PolicyName, PolicyDocument, Roles } = read(properties);
  const document = readPolicy(PolicyDocument);
  const { identity } = place.world;
  for (const name of Roles) {
    const role = rolesOf(identity, place).find((role) => role.name === name);
    if (role === undefined) throw new ResourceFailure('EntityNotExist.Role', `The role not exists: ${name}.`);
    const others = (role.policies ?? []).filter((policy) => policy.name !== PolicyName);
    identity.addRole({ ...role, policies: [...others, { name: PolicyName, type: 'Custom', document }] });
  }
  return { physicalId: PolicyName, attributes: { PolicyName } };
}

function detach(properties: Properties, place: Place): void {
  const { PolicyName } = read(properties);
  const { identity } = place.world;
  for (const role of rolesOf(identity, place))
    if (role.policies?.some(({ name }) => name === PolicyName) === true)
      identity.addRole({ ...role, policies: role.policies.filter(({ name }) => name !== PolicyName) });
}

const rolesOf = (identity: Identity, { accountId }: Place): readonly Role[] =>
  identity.roles().filter((role) => role.accountId === accountId);

function read(properties: Properties): z.infer<typeof schema> {
  const parsed = schema.safeParse(properties);
  if (!parsed.success) throw new ResourceFailure('InvalidParameter', z.prettifyError(parsed.error));
  return parsed.data;
}
