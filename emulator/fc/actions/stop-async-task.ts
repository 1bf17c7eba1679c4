/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-stopasynctask */
import { ServiceError, type Reply } from '../../http.ts';
import { authorize, findTask, type Call, type Cloud } from './action.ts';

export function stopAsyncTask(call: Call, cloud: Cloud): Reply {
  const spec = authorize(call, cloud, 'fc:StopAsyncTask');
  const task = findTask(call, cloud, spec);
  if (!cloud.tasks.stopTask(spec.name, task.taskId))
    throw new ServiceError(400, 'InvalidArgument', `async task '${task.taskId}' has ended: ${task.status}`);
  return { status: 204 };
}
