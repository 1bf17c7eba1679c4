import type { Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { findStack, READ_WRITE } from './call.ts';

/** https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-deletestack */
export const deleteStack = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    stacks.remove(findStack(stacks, call, 'DeleteStack').id);
    return {};
  },
});
