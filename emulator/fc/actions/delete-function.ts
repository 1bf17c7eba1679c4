/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-deletefunction */
import type { Reply } from '../../http.ts';
import { authorizeDeployment, type Call, type Cloud } from './action.ts';

/** Its triggers and its configuration go with it; what runs goes on. */
export function deleteFunction(call: Call, cloud: Cloud): Reply {
  const { config } = authorizeDeployment(call, cloud, 'fc:DeleteFunction');
  cloud.deployments.remove(config.functionName);
  return { status: 204 };
}
