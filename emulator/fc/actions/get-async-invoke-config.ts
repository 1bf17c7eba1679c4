/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getasyncinvokeconfig */
import { ServiceError, type Reply } from '../../http.ts';
import type { AsyncConfig, Deployment } from '../deploying/deployments.ts';
import { authorizeDeployment, formatTime, json, type Call, type Cloud } from './action.ts';
import { wireFunction } from './get-function.ts';

export function getAsyncInvokeConfig(call: Call, cloud: Cloud): Reply {
  const deployment = authorizeDeployment(call, cloud, 'fc:GetAsyncInvokeConfig');
  return json(wireAsyncConfig(deployment, findAsyncConfig(deployment), cloud));
}

/**
 * @throws ServiceError AsyncConfigNotExists
 */
export function findAsyncConfig({ asyncConfig, config }: Deployment): AsyncConfig {
  if (asyncConfig === undefined)
    throw new ServiceError(
      404,
      'AsyncConfigNotExists',
      `function '${config.functionName}' has no configuration of asynchronous invocations`,
    );
  return asyncConfig;
}

export function wireAsyncConfig(
  deployment: Deployment,
  { createdAt, modifiedAt, ...rest }: AsyncConfig,
  cloud: Cloud,
): Record<string, unknown> {
  return {
    ...rest,
    functionArn: wireFunction(deployment, cloud)['functionArn'],
    createdTime: formatTime(createdAt),
    lastModifiedTime: formatTime(modifiedAt),
  };
}
