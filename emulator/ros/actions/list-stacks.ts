import type { Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { authorize, isOwn, READ_WRITE, readPage, slice } from './call.ts';
import { wireStack } from './get-stack.ts';

/** Deleted ones are left out. https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-liststacks */
export const listStacks = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    authorize(call, 'ListStacks');
    const page = readPage(call);
    const names = [...call.parameters]
      .filter(([name]) => /^StackName\.\d+$/.test(name))
      .map(([, value]) => value);
    const found = stacks
      .all()
      .filter((stack) => isOwn(stack, call) && stack.status !== 'DELETE_COMPLETE')
      .filter(({ name }) => names.length === 0 || names.includes(name));
    return {
      TotalCount: found.length,
      PageNumber: page.number,
      PageSize: page.size,
      Stacks: slice(found, page).map(wireStack),
    };
  },
});
