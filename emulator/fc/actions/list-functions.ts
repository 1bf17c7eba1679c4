/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listfunctions */
import type { Reply } from '../../http.ts';
import { accountOf } from '../invoker.ts';
import { demand, json, type Call, type Cloud } from './action.ts';
import { describeFunction } from './get-function.ts';
import { readListing } from './listing.ts';

export function listFunctions(call: Call, cloud: Cloud): Reply {
  demand({ ...call, functionName: '*' }, 'fc:ListFunctions', cloud.region);
  const page = readListing(call);
  const own = [...cloud.functions.values()]
    .filter((spec) => accountOf(spec) === call.caller.accountId && spec.service === undefined)
    .filter(({ name }) => name.startsWith(page.prefix) && name > page.after)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const shown = own.slice(0, page.limit);
  const nextToken = own.length > shown.length ? shown.at(-1)?.name : undefined;
  return json({ functions: shown.map((spec) => describeFunction(spec, cloud)), nextToken });
}
