import { policiesOf, type Identity } from '../../identity.ts';
import { required, type Action } from '../../openapi/rpc-service.ts';
import { authorize, CREATED_AT, findRole, VERSION_ID } from '../find.ts';

/** https://www.alibabacloud.com/help/en/ram/developer-reference/api-ram-2015-05-01-listpoliciesforrole */
export const listPoliciesForRole = (identity: Identity): Action => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(call, 'ListPoliciesForRole', `role/${required(call, 'RoleName')}`);
    return {
      Policies: {
        Policy: policiesOf(findRole(identity, call)).map(({ name, type }) => ({
          PolicyName: name,
          PolicyType: type,
          Description: '',
          DefaultVersion: VERSION_ID,
          AttachDate: CREATED_AT,
        })),
      },
    };
  },
});
