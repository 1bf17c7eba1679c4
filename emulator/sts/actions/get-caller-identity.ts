import type { Action } from '../../openapi/rpc-service.ts';

/** Needs no permission. https://www.alibabacloud.com/help/en/ram/developer-reference/api-sts-2015-04-01-getcalleridentity */
export const getCallerIdentity: Action = {
  methods: ['POST', 'GET'],
  perform({ principal }) {
    const [, sessionName] = /:assumed-role\/[^/]+\/(.+)$/.exec(principal.arn) ?? [];
    const isAccount = sessionName === undefined;
    return {
      IdentityType: isAccount ? 'Account' : 'AssumedRoleUser',
      AccountId: principal.accountId,
      PrincipalId: isAccount ? principal.accountId : `3${principal.accountId}:${sessionName}`,
      Arn: principal.arn,
      ...(isAccount ? { UserId: principal.accountId } : { RoleId: `3${principal.accountId}` }),
    };
  },
};
