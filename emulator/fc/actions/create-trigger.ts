/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-createtrigger */
import { randomUUID } from 'node:crypto';
import { ServiceError, type Reply } from '../../http.ts';
import type { Trigger } from '../deploying/deployments.ts';
import { readTrigger } from '../deploying/trigger-config.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { wireTrigger } from './get-trigger.ts';

const MAX_TRIGGERS = 50;

export function createTrigger(call: Call, cloud: Cloud): Reply {
  const { config, triggers } = authorizeDeployment(call, cloud, 'fc:CreateTrigger');
  const input = readTrigger(call.body);
  if (triggers.has(input.triggerName))
    throw new ServiceError(409, 'TriggerAlreadyExists', `trigger '${input.triggerName}' already exists`);
  if (triggers.size >= MAX_TRIGGERS)
    throw new ServiceError(400, 'TriggersExceeded', `a function has at most ${MAX_TRIGGERS} triggers`);
  const now = cloud.clock.now();
  const trigger: Trigger = { ...input, triggerId: randomUUID(), createdAt: now, modifiedAt: now };
  cloud.deployments.change(config.functionName, {
    triggers: new Map([...triggers, [trigger.triggerName, trigger]]),
  });
  return json(wireTrigger(trigger));
}
