/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listasyncinvokeconfigs */
import type { Reply } from '../../http.ts';
import { demand, json, type Call, type Cloud } from './action.ts';
import { wireAsyncConfig } from './get-async-invoke-config.ts';

/** Of one function, or of all. */
export function listAsyncInvokeConfigs(call: Call, cloud: Cloud): Reply {
  const functionName = call.request.url.searchParams.get('functionName') ?? '';
  demand({ ...call, functionName: functionName || '*' }, 'fc:ListAsyncInvokeConfigs', cloud.region);
  const configs = cloud.deployments
    .all()
    .filter(({ config }) => functionName === '' || config.functionName === functionName)
    .flatMap((deployment) =>
      deployment.asyncConfig === undefined
        ? []
        : [wireAsyncConfig(deployment, deployment.asyncConfig, cloud)],
    );
  return json({ configs });
}
