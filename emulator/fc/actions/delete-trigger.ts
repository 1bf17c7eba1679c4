/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-deletetrigger */
import type { Reply } from '../../http.ts';
import { authorizeDeployment, type Call, type Cloud } from './action.ts';
import { findTrigger } from './get-trigger.ts';

export function deleteTrigger(call: Call, cloud: Cloud): Reply {
  const deployment = authorizeDeployment(call, cloud, 'fc:DeleteTrigger');
  const { triggerName } = findTrigger(call, deployment);
  const triggers = new Map(deployment.triggers);
  triggers.delete(triggerName);
  cloud.deployments.change(deployment.config.functionName, { triggers });
  return { status: 204 };
}
