import { ServiceError } from '../../http.ts';
import type { Identity } from '../../identity.ts';
import { required, type Action } from '../../openapi/rpc-service.ts';
import { authorize, CREATED_AT, findPolicy, VERSION_ID } from '../find.ts';

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-getpolicyversion */
export const getPolicyVersion = (identity: Identity): Action => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(call, 'GetPolicyVersion', `policy/${required(call, 'PolicyName')}`);
    const { document } = findPolicy(identity, call);
    if (required(call, 'VersionId') !== VERSION_ID)
      throw new ServiceError(404, 'EntityNotExist.Policy.Version', 'The policy version not exists.');
    return {
      PolicyVersion: {
        VersionId: VERSION_ID,
        IsDefaultVersion: true,
        CreateDate: CREATED_AT,
        PolicyDocument: JSON.stringify(document),
      },
    };
  },
});
