/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-putconcurrencyconfig */
import * as z from 'zod';
import type { Reply } from '../../http.ts';
import { checked, invalidArgument, readJson } from '../deploying/function-config.ts';
import { authorizeDeployment, json, type Call, type Cloud } from './action.ts';
import { wireFunction } from './get-function.ts';

const schema = z.looseObject({ reservedConcurrency: z.int().min(0) });

/** Some instances stay for functions that reserve none: one of them, and all together, get so much of the account's. */
const RESERVABLE_SHARE = 0.9;

export function putConcurrencyConfig(call: Call, cloud: Cloud): Reply {
  const deployment = authorizeDeployment(call, cloud, 'fc:PutConcurrencyConfig');
  const { functionName } = deployment.config;
  const { reservedConcurrency } = checked(schema, readJson(call.body));
  const ofOthers = cloud.deployments
    .all()
    .filter(({ config }) => config.functionName !== functionName)
    .reduce((sum, other) => sum + (other.reservedConcurrency ?? 0), 0);
  const most = Math.floor(cloud.accountLimit * RESERVABLE_SHARE);
  if (ofOthers + reservedConcurrency > most)
    throw invalidArgument(
      `reservedConcurrency: ${reservedConcurrency}, with ${ofOthers} of other functions, is more than the ${most} that can be reserved`,
    );
  const after = cloud.deployments.change(functionName, { reservedConcurrency });
  return json({ functionArn: wireFunction(after, cloud)['functionArn'], reservedConcurrency });
}
