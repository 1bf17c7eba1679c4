/** Lists that are asked for again and again while several plans are looked at: read once, and then remembered. */
import type { SourceFor } from './select.ts';
import type { Instance, Source } from './source.ts';

/** The same sources, for one look at all of them: what they list is as it was when it was first asked for. */
export function rememberLists(sourceFor: SourceFor): SourceFor {
  const sources = new Map<string, Source>();
  return (reach) => {
    const { account, server } = reach;
    const owner = account === undefined ? '' : `${account.roleArn} ${account.externalId ?? ''}`;
    const key = server === undefined ? owner : JSON.stringify(server);
    const known = sources.get(key);
    if (known !== undefined) return known;
    const remembering = remember(sourceFor(reach));
    sources.set(key, remembering);
    return remembering;
  };
}

function remember(source: Source): Source {
  const lists = new Map<string, Promise<readonly Instance[]>>();
  let regions: Promise<readonly string[]> | undefined;
  return {
    ...source,
    listRegions: async (signal) => (regions ??= source.listRegions(signal)),
    listInstances: async function* (query, signal) {
      const key = JSON.stringify(query);
      const list = lists.get(key) ?? collect(source.listInstances(query, signal));
      lists.set(key, list);
      yield* await list;
    },
  };
}

async function collect(instances: AsyncIterable<Instance>): Promise<readonly Instance[]> {
  const all: Instance[] = [];
  for await (const instance of instances) all.push(instance);
  return all;
}
