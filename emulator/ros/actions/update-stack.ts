import { required, type Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { findStack, parametersOf, READ_WRITE } from './call.ts';

/** https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-updatestack */
export const updateStack = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    const { id } = findStack(stacks, call, 'UpdateStack');
    const isDryRun = call.parameters.get('DryRun') === 'true';
    stacks.update(id, { body: required(call, 'TemplateBody'), given: parametersOf(call) }, { isDryRun });
    return { StackId: id };
  },
});
