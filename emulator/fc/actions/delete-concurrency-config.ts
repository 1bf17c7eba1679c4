/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-deleteconcurrencyconfig */
import type { Reply } from '../../http.ts';
import { authorizeDeployment, type Call, type Cloud } from './action.ts';

export function deleteConcurrencyConfig(call: Call, cloud: Cloud): Reply {
  const { config } = authorizeDeployment(call, cloud, 'fc:DeleteConcurrencyConfig');
  cloud.deployments.change(config.functionName, { reservedConcurrency: undefined });
  return { status: 204 };
}
