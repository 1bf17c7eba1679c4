/** https://www.alibabacloud.com/help/en/ros/developer-reference/aliyun-ram-role */
import * as z from 'zod';
import { policiesOf, type Identity, type Policy, type Role } from '../../identity.ts';
import { readPolicy } from '../../policy.ts';
import { ResourceFailure, type Made, type Place, type Properties, type ResourceType } from '../resource.ts';

const oneOrMore = z.union([z.string().transform((one) => [one]), z.array(z.string()).min(1)]);

const trustSchema = z.strictObject({
  Version: z.literal('1'),
  Statement: z
    .array(
      z.strictObject({
        Effect: z.literal('Allow'),
        Action: z.literal('sts:AssumeRole'),
        Principal: z.strictObject({ Service: oneOrMore.optional(), RAM: oneOrMore.optional() }),
        Condition: z
          .strictObject({ StringEquals: z.strictObject({ 'sts:ExternalId': z.string() }) })
          .optional(),
      }),
    )
    .length(1, 'the emulator reads one statement of trust'),
});

const roleSchema = z.strictObject({
  RoleName: z.string().regex(/^[A-Za-z0-9.-]{1,64}$/),
  AssumeRolePolicyDocument: trustSchema,
  Policies: z
    .array(
      z.strictObject({ PolicyName: z.string().regex(/^[A-Za-z0-9-]{1,128}$/), PolicyDocument: z.unknown() }),
    )
    .default([]),
  Description: z.string().max(1024).optional(),
  MaxSessionDuration: z.int().min(3600).max(43_200).optional(),
  DeletionForce: z.boolean().optional(),
  IgnoreExisting: z.boolean().default(false),
});

export const ramRole: ResourceType = {
  identityOf: ({ RoleName }) => [RoleName],
  async create(properties, place) {
    const { identity } = place.world;
    const { role, ignoresExisting } = read(properties, place);
    const known = find(identity, role);
    if (known !== undefined && !ignoresExisting)
      throw new ResourceFailure('EntityAlreadyExists.Role', `The role already exists: ${role.name}.`);
    checkNames(identity, role);
    identity.addRole({ ...role, policies: [...(known?.policies ?? []), ...role.policies] });
    return { ...made(role), wasThere: known !== undefined };
  },
  async update(before, after, place) {
    const { identity } = place.world;
    const { role } = read(after, place);
    checkNames(identity, role);
    const own = read(before, place).role.policies.map(({ name }) => name);
    // What others have attached to it stays.
    const attached = (find(identity, role)?.policies ?? []).filter(({ name }) => !own.includes(name));
    identity.addRole({ ...role, policies: [...role.policies, ...attached] });
    return made(role);
  },
  async remove(properties, place) {
    const { role } = read(properties, place);
    place.world.identity.removeRole(arnOf(role));
  },
};

type OwnRole = Omit<Role, 'arn' | 'policies'> & { readonly policies: readonly Policy[] };

function read(properties: Properties, { accountId }: Place): { role: OwnRole; ignoresExisting: boolean } {
  const parsed = roleSchema.safeParse(properties);
  if (!parsed.success) throw new ResourceFailure('InvalidParameter', z.prettifyError(parsed.error));
  const { RoleName, AssumeRolePolicyDocument, Policies, IgnoreExisting } = parsed.data;
  const [trust] = AssumeRolePolicyDocument.Statement;
  const { Service = [], RAM = [] } = trust?.Principal ?? {};
  const externalId = trust?.Condition?.StringEquals['sts:ExternalId'];
  return {
    ignoresExisting: IgnoreExisting,
    role: {
      accountId,
      name: RoleName,
      trusts: [...Service, ...RAM],
      ...(externalId === undefined ? {} : { externalId }),
      allow: [],
      policies: Policies.map(({ PolicyName, PolicyDocument }) => ({
        name: PolicyName,
        type: 'Custom',
        document: readPolicy(PolicyDocument),
      })),
    },
  };
}

const arnOf = ({ accountId, name }: OwnRole): string => `acs:ram::${accountId}:role/${name}`;

const find = (identity: Identity, role: OwnRole): Role | undefined => identity.role(arnOf(role));

/** Policies have names of their own in the account: two roles cannot have different ones of the same name. */
function checkNames(identity: Identity, role: OwnRole): void {
  const ofOthers = identity
    .roles()
    .filter((other) => other.accountId === role.accountId && other.arn !== arnOf(role))
    .flatMap(policiesOf)
    .map(({ name }) => name);
  const taken = role.policies.find(({ name }) => ofOthers.includes(name));
  if (taken !== undefined)
    throw new ResourceFailure('EntityAlreadyExists.Policy', `The policy already exists: ${taken.name}.`);
}

const made = (role: OwnRole): Made => ({
  physicalId: role.name,
  attributes: { RoleName: role.name, Arn: arnOf(role), RoleId: `3${role.accountId}` },
});
