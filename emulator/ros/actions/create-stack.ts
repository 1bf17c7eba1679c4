import { required, type Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { authorize, parametersOf, READ_WRITE } from './call.ts';

/** https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-createstack */
export const createStack = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    authorize(call, 'CreateStack');
    const stack = stacks.create(
      { name: required(call, 'StackName'), body: required(call, 'TemplateBody'), given: parametersOf(call) },
      { accountId: call.principal.accountId, region: required(call, 'RegionId') },
    );
    return { StackId: stack.id };
  },
});
