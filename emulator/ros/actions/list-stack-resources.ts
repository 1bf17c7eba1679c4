import type { Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { findStack, READ_WRITE } from './call.ts';

/** https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-liststackresources */
export const listStackResources = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    const stack = findStack(stacks, call, 'ListStackResources');
    return {
      Resources: [...stack.resources.values()].map(({ logicalId, physicalId, type }) => ({
        StackId: stack.id,
        StackName: stack.name,
        LogicalResourceId: logicalId,
        PhysicalResourceId: physicalId,
        ResourceType: type,
        Status: 'CREATE_COMPLETE',
      })),
    };
  },
});
