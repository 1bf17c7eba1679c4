/**
 * What clients ask for on their way, and what no function of the emulator has: versions, aliases, bindings to networks,
 * instances that are kept ready. There is nothing to be told apart in them, so they share a file.
 */
import { ServiceError, type Reply } from '../../http.ts';
import { authorize, demand, json, type Call, type Cloud } from './action.ts';

/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listfunctionversions */
export function listFunctionVersions(call: Call, cloud: Cloud): Reply {
  authorize(call, cloud, 'fc:ListFunctionVersions');
  return json({ versions: [] });
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listaliases */
export function listAliases(call: Call, cloud: Cloud): Reply {
  authorize(call, cloud, 'fc:ListAliases');
  return json({ aliases: [] });
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listvpcbindings */
export function listVpcBindings(call: Call, cloud: Cloud): Reply {
  authorize(call, cloud, 'fc:ListVpcBindings');
  return json({ vpcIds: [] });
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listprovisionconfigs */
export function listProvisionConfigs(call: Call, cloud: Cloud): Reply {
  const functionName = call.request.url.searchParams.get('functionName') || '*';
  demand({ ...call, functionName }, 'fc:ListProvisionConfigs', cloud.region);
  return json({ provisionConfigs: [] });
}

/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getscalingconfig */
export function getScalingConfig(call: Call, cloud: Cloud): Reply {
  const { name } = authorize(call, cloud, 'fc:GetScalingConfig');
  throw new ServiceError(404, 'ScalingConfigNotFound', `function '${name}' has no scaling configuration`);
}
