/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-updatetrigger */
import type { Reply } from '../../http.ts';
import type { Trigger } from '../deploying/deployments.ts';
import { readTrigger } from '../deploying/trigger-config.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { findTrigger, wireTrigger } from './get-trigger.ts';

export function updateTrigger(call: Call, cloud: Cloud): Reply {
  const deployment = authorizeDeployment(call, cloud, 'fc:UpdateTrigger');
  const before = findTrigger(call, deployment);
  const after: Trigger = { ...before, ...readTrigger(call.body, before), modifiedAt: cloud.clock.now() };
  cloud.deployments.change(deployment.config.functionName, {
    triggers: new Map([...deployment.triggers, [after.triggerName, after]]),
  });
  return json(wireTrigger(after));
}
