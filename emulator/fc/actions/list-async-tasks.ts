/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listasynctasks */
import { ServiceError, type Reply } from '../../http.ts';
import { authorize, json, type Call, type Cloud } from './action.ts';
import { wireTask } from './get-async-task.ts';

const DEFAULT_LIMIT = 20;
const MAX_LIMIT = 100;

export function listAsyncTasks(call: Call, cloud: Cloud): Reply {
  const spec = authorize(call, cloud, 'fc:ListAsyncTasks');
  const query = call.request.url.searchParams;
  const limit = Number(query.get('limit') ?? DEFAULT_LIMIT);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new ServiceError(400, 'InvalidArgument', `limit must be between 1 and ${MAX_LIMIT}`);
  const offset = Number(query.get('nextToken') ?? 0);
  if (!Number.isInteger(offset) || offset < 0)
    throw new ServiceError(400, 'InvalidArgument', 'nextToken is not valid');

  const status = query.get('status');
  const prefix = query.get('prefix') ?? '';
  const begin = Number(query.get('startedTimeBegin') ?? 0);
  const end = Number(query.get('startedTimeEnd') ?? Infinity);
  const matching = cloud.tasks.list(spec.name).filter((task) => {
    const startedAt = task.startedAt ?? task.enqueuedAt;
    if (status !== null && task.status !== status) return false;
    return task.taskId.startsWith(prefix) && startedAt >= begin && startedAt <= end;
  });
  if (query.get('sortOrderByTime') !== 'asc') matching.reverse();

  const tasks = matching.slice(offset, offset + limit).map((task) => ({
    ...wireTask(task, spec),
    ...(query.get('includePayload') === 'true' ? { taskPayload: task.event.toString('utf8') } : {}),
  }));
  const more = offset + limit < matching.length;
  return json({ tasks, ...(more ? { nextToken: String(offset + limit) } : {}) });
}
