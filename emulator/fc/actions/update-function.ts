/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-updatefunction */
import type { Reply } from '../../http.ts';
import { changeFunction } from '../deploying/function-config.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { wireFunction } from './get-function.ts';

export async function updateFunction(call: Call, cloud: Cloud): Promise<Reply> {
  const before = authorizeDeployment(call, cloud, 'fc:UpdateFunction');
  const { config, code } = changeFunction(before.config, call.body);
  cloud.checkSurroundings(config, call.caller.accountId);
  const { functionName } = config;
  const changes = code === undefined ? {} : { code: await cloud.code.take(call.caller, functionName, code) };
  const after = cloud.deployments.change(functionName, { config, ...changes, modifiedAt: cloud.clock.now() });
  return json(wireFunction(after, cloud));
}
