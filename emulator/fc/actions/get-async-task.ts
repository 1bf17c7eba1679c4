/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getasynctask */
import type { Reply } from '../../http.ts';
import type { FunctionSpec } from '../../world.ts';
import type { AsyncTask } from '../async-tasks.ts';
import { accountOf } from '../invoker.ts';
import { authorize, findTask, json, type Call, type Cloud } from './action.ts';

export function getAsyncTask(call: Call, cloud: Cloud): Reply {
  const spec = authorize(call, cloud, 'fc:GetAsyncTask');
  const task = findTask(call, cloud, spec);
  return json({ ...wireTask(task, spec), taskPayload: task.event.toString('utf8') });
}

/** A task as the API shows it; instants in milliseconds since 1970. */
export function wireTask(task: AsyncTask, spec: FunctionSpec): Record<string, unknown> {
  return {
    taskId: task.taskId,
    requestId: task.requestId,
    status: task.status,
    functionArn: `acs:fc:${spec.region}:${accountOf(spec)}:functions/${spec.name}`,
    qualifier: 'LATEST',
    startedTime: task.startedAt ?? task.enqueuedAt,
    endTime: task.endedAt ?? 0,
    durationMs: Math.ceil(task.durationMs ?? 0),
    alreadyRetriedTimes: Math.max(0, task.attempts - 1),
    instanceId: task.instanceId ?? '',
    returnPayload: task.returnPayload ?? '',
    taskErrorMessage: task.errorMessage ?? '',
  };
}
