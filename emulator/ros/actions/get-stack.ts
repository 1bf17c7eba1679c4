import type { Action, Json } from '../../openapi/rpc-service.ts';
import type { Stack, Stacks } from '../stacks.ts';
import { findStack, formatTime, READ_WRITE } from './call.ts';

/** A deleted stack is found by its id for some time. https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-getstack */
export const getStack = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    const stack = findStack(stacks, call, 'GetStack');
    return {
      ...wireStack(stack),
      Parameters: Object.entries(stack.template.parameters).map(([name, { NoEcho = false, Default }]) => ({
        ParameterKey: name,
        ParameterValue: NoEcho ? '******' : (stack.given.get(name) ?? String(Default)),
      })),
      Outputs: stack.outputs.map(({ key, value, description }) => ({
        OutputKey: key,
        // Text and numbers, as templates have them.
        OutputValue: value as Json,
        Description: description,
      })),
      DisableRollback: false,
    };
  },
});

export function wireStack(stack: Stack): { readonly [name: string]: Json } {
  return {
    StackId: stack.id,
    StackName: stack.name,
    RegionId: stack.region,
    Status: stack.status,
    StatusReason: stack.reason,
    CreateTime: formatTime(stack.createdAt),
    ...(stack.updatedAt === undefined ? {} : { UpdateTime: formatTime(stack.updatedAt) }),
  };
}
