import type { Action } from '../../openapi/rpc-service.ts';
import type { Stacks } from '../stacks.ts';
import { findStack, formatTime, READ_WRITE, readPage, slice } from './call.ts';

/** The newest first. https://www.alibabacloud.com/help/en/ros/developer-reference/api-ros-2019-09-10-liststackevents */
export const listStackEvents = (stacks: Stacks): Action => ({
  methods: READ_WRITE,
  perform(call) {
    const stack = findStack(stacks, call, 'ListStackEvents');
    const page = readPage(call);
    const events = [...stack.events].reverse();
    return {
      TotalCount: events.length,
      PageNumber: page.number,
      PageSize: page.size,
      Events: slice(events, page).map((event) => ({
        EventId: event.eventId,
        StackId: stack.id,
        StackName: stack.name,
        LogicalResourceId: event.logicalId,
        PhysicalResourceId: event.physicalId,
        ResourceType: event.type,
        Status: event.status,
        StatusReason: event.reason,
        CreateTime: formatTime(event.at),
      })),
    };
  },
});
