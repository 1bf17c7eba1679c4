/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-createfunction */
import { ServiceError, type Reply } from '../../http.ts';
import { invalidArgument, readFunction } from '../deploying/function-config.ts';
import { demand, json, type Call, type Cloud } from './action.ts';
import { wireFunction } from './get-function.ts';

export async function createFunction(call: Call, cloud: Cloud): Promise<Reply> {
  const { config, code } = readFunction(call.body);
  const { functionName } = config;
  demand({ ...call, functionName }, 'fc:CreateFunction', cloud.region);
  if (cloud.functions.has(functionName)) throw alreadyExists(functionName);
  cloud.checkSurroundings(config, call.caller.accountId);
  if (code === undefined) throw invalidArgument('code: a function has code');
  const taken = await cloud.code.take(call.caller, functionName, code);
  // Somebody may have been faster while the code was unpacked.
  if (cloud.functions.has(functionName)) throw alreadyExists(functionName);
  return json(wireFunction(cloud.deployments.create(config, taken), cloud));
}

const alreadyExists = (functionName: string): ServiceError =>
  new ServiceError(409, 'FunctionAlreadyExists', `function '${functionName}' already exists`);
