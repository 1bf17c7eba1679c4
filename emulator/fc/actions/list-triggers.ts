/** https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-listtriggers */
import type { Reply } from '../../http.ts';
import { authorize, json, type Call, type Cloud } from './action.ts';
import { wireTrigger } from './get-trigger.ts';
import { readListing } from './listing.ts';

export function listTriggers(call: Call, cloud: Cloud): Reply {
  const { name } = authorize(call, cloud, 'fc:ListTriggers');
  const page = readListing(call);
  const all = [...(cloud.deployments.find(name)?.triggers.values() ?? [])]
    .filter(({ triggerName }) => triggerName.startsWith(page.prefix) && triggerName > page.after)
    .sort((a, b) => (a.triggerName < b.triggerName ? -1 : 1));
  const shown = all.slice(0, page.limit);
  const nextToken = all.length > shown.length ? shown.at(-1)?.triggerName : undefined;
  return json({ triggers: shown.map(wireTrigger), nextToken });
}
