/**
 * A source whose looks at single instances share requests: hundreds of instances that are begun together need a few
 * pages and not hundreds of calls, and the service counts the calls of an account.
 */
import type { Clock } from '../clock.ts';
import { asBackupError } from '../errors.ts';
import type { Instance, Source } from './source.ts';

/** Those who ask within this time share an answer. */
const GATHER_MS = 1_000;

/** As many as one page of the service's own API takes; others are asked for by the next request. */
const MAX_SHARED = 30;

interface Gathering {
  readonly ids: Set<string>;
  readonly answer: Promise<ReadonlyMap<string, Instance>>;
}

/** The same source; all calls of `getInstance` are expected to carry signals that abort together. */
export function shareLookups(source: Source, clock: Clock): Source {
  const gatherings = new Map<string, Gathering>();

  function gatheringOf(region: string, signal: AbortSignal): Gathering {
    const open = gatherings.get(region);
    if (open !== undefined && open.ids.size < MAX_SHARED) return open;
    const ids = new Set<string>();
    const gathering: Gathering = { ids, answer: ask(region, ids, signal) };
    gatherings.set(region, gathering);
    return gathering;
  }

  async function ask(
    region: string,
    ids: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Instance>> {
    try {
      await clock.sleep(GATHER_MS, signal);
    } finally {
      if (gatherings.get(region)?.ids === ids) gatherings.delete(region);
    }
    const found = new Map<string, Instance>();
    for await (const instance of source.listInstances({ region, ids: [...ids] }, signal))
      found.set(instance.id, instance);
    return found;
  }

  return {
    ...source,
    async getInstance(region, id, signal) {
      const { ids, answer } = gatheringOf(region, signal);
      ids.add(id);
      try {
        return (await answer).get(id);
      } catch (error) {
        signal.throwIfAborted();
        // Asked by each of them as well, a service that is swamped already would be swamped for good.
        if (ids.size === 1 || asBackupError(error).code === 'THROTTLED') throw error;
        // One odd instance must not cost the others their answer: each asks for itself.
        return source.getInstance(region, id, signal);
      }
    },
  };
}
