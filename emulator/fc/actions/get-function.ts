/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-getfunction */
import type { Reply } from '../../http.ts';
import type { FunctionSpec } from '../../world.ts';
import type { Deployment } from '../deploying/deployments.ts';
import { accountOf, handlerOf } from '../invoker.ts';
import { authorize, formatTime, json, type Call, type Cloud } from './action.ts';

export function getFunction(call: Call, cloud: Cloud): Reply {
  return json(describeFunction(authorize(call, cloud, 'fc:GetFunction'), cloud));
}

export function describeFunction(spec: FunctionSpec, cloud: Cloud): Record<string, unknown> {
  const deployment = cloud.deployments.find(spec.name);
  if (deployment !== undefined) return wireFunction(deployment, cloud);
  return {
    functionName: spec.name,
    functionArn: arnOf(spec.region, accountOf(spec), spec.name),
    runtime: 'nodejs20',
    handler: handlerOf(spec),
    memorySize: spec.memoryMb,
    timeout: spec.timeoutSeconds,
    role: spec.role,
    environmentVariables: spec.environment ?? {},
    state: 'Active',
  };
}

/** A function as the API shows it: what it was given, and what became of it. */
export function wireFunction(
  { config, code, functionId, createdAt, modifiedAt }: Deployment,
  { region }: Cloud,
): Record<string, unknown> {
  const [, accountId = ''] = /^acs:ram::(\d+):/.exec(config.role) ?? [];
  return {
    ...config,
    functionId,
    functionArn: arnOf(region, accountId, config.functionName),
    codeSize: code.size,
    codeChecksum: code.checksum,
    createdTime: formatTime(createdAt),
    lastModifiedTime: formatTime(modifiedAt),
    instanceConcurrency: 1,
    state: 'Active',
    lastUpdateStatus: 'Successful',
  };
}

export const arnOf = (region: string, accountId: string, name: string): string =>
  `acs:fc:${region}:${accountId}:functions/${name}`;
