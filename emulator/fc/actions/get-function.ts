/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getfunction */
import type { Reply } from '../../http.ts';
import { accountOf, handlerOf } from '../invoker.ts';
import { authorize, json, type Call, type Cloud } from './action.ts';

export function getFunction(call: Call, cloud: Cloud): Reply {
  const spec = authorize(call, cloud, 'fc:GetFunction');
  return json({
    functionName: spec.name,
    functionArn: `acs:fc:${spec.region}:${accountOf(spec)}:functions/${spec.name}`,
    runtime: 'nodejs20',
    handler: handlerOf(spec),
    memorySize: spec.memoryMb,
    timeout: spec.timeoutSeconds,
    role: spec.role,
    environmentVariables: spec.environment ?? {},
    state: 'Active',
  });
}
