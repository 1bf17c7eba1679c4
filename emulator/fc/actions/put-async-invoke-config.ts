/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-putasyncinvokeconfig */
import type { Reply } from '../../http.ts';
import { readAsyncConfig } from '../deploying/async-config.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { wireAsyncConfig } from './get-async-invoke-config.ts';

export function putAsyncInvokeConfig(call: Call, cloud: Cloud): Reply {
  const { config, asyncConfig: before } = authorizeDeployment(call, cloud, 'fc:PutAsyncInvokeConfig');
  const now = cloud.clock.now();
  const asyncConfig = { ...readAsyncConfig(call.body), createdAt: before?.createdAt ?? now, modifiedAt: now };
  const after = cloud.deployments.change(config.functionName, { asyncConfig });
  return json(wireAsyncConfig(after, asyncConfig, cloud));
}
