/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getconcurrencyconfig */
import { ServiceError, type Reply } from '../../http.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { wireFunction } from './get-function.ts';

export function getConcurrencyConfig(call: Call, cloud: Cloud): Reply {
  const deployment = authorizeDeployment(call, cloud, 'fc:GetConcurrencyConfig');
  const { reservedConcurrency, config } = deployment;
  if (reservedConcurrency === undefined)
    throw new ServiceError(
      404,
      'ConcurrencyConfigNotExist',
      `function '${config.functionName}' reserves no concurrency`,
    );
  return json({ functionArn: wireFunction(deployment, cloud)['functionArn'], reservedConcurrency });
}
