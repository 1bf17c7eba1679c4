/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-deleteasyncinvokeconfig */
import type { Reply } from '../../http.ts';
import { authorizeDeployment, type Call, type Cloud } from './action.ts';

export function deleteAsyncInvokeConfig(call: Call, cloud: Cloud): Reply {
  const { config } = authorizeDeployment(call, cloud, 'fc:DeleteAsyncInvokeConfig');
  cloud.deployments.change(config.functionName, { asyncConfig: undefined });
  return { status: 204 };
}
