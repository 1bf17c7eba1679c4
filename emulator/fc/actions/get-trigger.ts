/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-gettrigger */
import { ServiceError, type Reply } from '../../http.ts';
import type { Deployment, Trigger } from '../deploying/deployments.ts';
import { authorizeDeployment, formatTime, json, type Call, type Cloud } from './action.ts';

export function getTrigger(call: Call, cloud: Cloud): Reply {
  return json(wireTrigger(findTrigger(call, authorizeDeployment(call, cloud, 'fc:GetTrigger'))));
}

/**
 * @throws ServiceError TriggerNotFound
 */
export function findTrigger({ item = '' }: Call, { triggers }: Deployment): Trigger {
  const trigger = triggers.get(item);
  if (trigger === undefined)
    throw new ServiceError(404, 'TriggerNotFound', `trigger '${item}' does not exist`);
  return trigger;
}

export function wireTrigger({ config, createdAt, modifiedAt, ...rest }: Trigger): Record<string, unknown> {
  return {
    ...rest,
    triggerConfig: JSON.stringify(config),
    createdTime: formatTime(createdAt),
    lastModifiedTime: formatTime(modifiedAt),
  };
}
