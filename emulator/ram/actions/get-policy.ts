import type { Identity } from '../../identity.ts';
import { required, type Action } from '../../openapi/rpc-service.ts';
import { authorize, CREATED_AT, findPolicy, VERSION_ID } from '../find.ts';

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-getpolicy */
export const getPolicy = (identity: Identity): Action => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(call, 'GetPolicy', `policy/${required(call, 'PolicyName')}`);
    const { name, type, document } = findPolicy(identity, call);
    return {
      Policy: {
        PolicyName: name,
        PolicyType: type,
        Description: '',
        DefaultVersion: VERSION_ID,
        AttachmentCount: 1,
        CreateDate: CREATED_AT,
        UpdateDate: CREATED_AT,
      },
      DefaultPolicyVersion: {
        VersionId: VERSION_ID,
        IsDefaultVersion: true,
        CreateDate: CREATED_AT,
        PolicyDocument: JSON.stringify(document),
      },
    };
  },
});
