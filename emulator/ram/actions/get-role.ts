import type { Identity, Role } from '../../identity.ts';
import { required, type Action } from '../../openapi/rpc-service.ts';
import { authorize, CREATED_AT, findRole } from '../find.ts';

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-getrole */
export const getRole = (identity: Identity): Action => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(call, 'GetRole', `role/${required(call, 'RoleName')}`);
    const role = findRole(identity, call);
    return {
      Role: {
        RoleId: `3${role.accountId}`,
        RoleName: role.name,
        Arn: role.arn,
        Description: '',
        AssumeRolePolicyDocument: JSON.stringify(trustOf(role)),
        MaxSessionDuration: 3600,
        CreateDate: CREATED_AT,
        UpdateDate: CREATED_AT,
      },
    };
  },
});

function trustOf({ trusts, externalId }: Role): object {
  const services = trusts.filter((name) => name.endsWith('.aliyuncs.com'));
  const accounts = trusts
    .filter((name) => !services.includes(name))
    .map((name) => (/^\d+$/.test(name) ? `acs:ram::${name}:root` : name));
  return {
    Version: '1',
    Statement: [
      {
        Effect: 'Allow',
        Action: 'sts:AssumeRole',
        Principal: {
          ...(services.length > 0 ? { Service: services } : {}),
          ...(accounts.length > 0 ? { RAM: accounts } : {}),
        },
        ...(externalId === undefined
          ? {}
          : { Condition: { StringEquals: { 'sts:ExternalId': externalId } } }),
      },
    ],
  };
}
