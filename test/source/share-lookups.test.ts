import { BackupError } from '../../functions/core/errors.ts';
import { shareLookups } from '../../functions/core/source/share-lookups.ts';
import type { Instance, Source } from '../../functions/core/source/source.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createVirtualClock } from '../doubles/virtual-clock.ts';

const { signal } = new AbortController();
const REGION = 'cn-hangzhou';
const IDS = Array.from({ length: 70 }, (_, index) => `r-${index}`);

let asked: string[];
let source: MemorySource;
let shared: Source;
beforeEach(() => {
  const clock = createVirtualClock();
  asked = [];
  source = createMemorySource(
    clock,
    IDS.map((id) => ({ id })),
  );
  source.onAsk = (action) => void asked.push(action);
  shared = shareLookups(source, clock);
});

const look = async (id: string, region = REGION): Promise<Instance | undefined> =>
  shared.getInstance(region, id, signal);

it('those who ask together share requests, each of as many instances as a page takes', async () => {
  const found = await Promise.all(IDS.map(async (id) => look(id)));

  expect(found.map((instance) => instance?.id)).toEqual(IDS);
  expect(asked).toEqual(['listInstances', 'listInstances', 'listInstances']);
});

it('who asks later gets an answer of its own, as the instance is then', async () => {
  await look('r-1');
  source.put({ id: 'r-1', status: 'Changing' });

  expect((await look('r-1'))?.status).toBe('Changing');
  expect(asked).toHaveLength(2);
});

it('what does not exist is not found, and what is in another region is asked for there', async () => {
  const [here, gone, elsewhere] = await Promise.all([look('r-1'), look('r-gone'), look('r-1', 'cn-beijing')]);

  expect([here?.id, gone, elsewhere]).toEqual(['r-1', undefined, undefined]);
  expect(asked).toHaveLength(2);
});

it('an answer that cannot be had costs nobody else his: each asks for itself', async () => {
  source.onAsk = (action, id) => {
    if (action === 'listInstances' || id === 'r-2')
      throw new BackupError('SERVICE_ERROR', `look at ${id}`, { retryable: true });
  };

  const found = await Promise.allSettled([look('r-1'), look('r-2'), look('r-3')]);

  expect(found.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

it('a service that is swamped is not asked by each of them as well: all are told, and may ask again', async () => {
  source.onAsk = (action) => {
    asked.push(action);
    throw new BackupError('THROTTLED', `${action}: Throttling.User`, { retryable: true });
  };

  const found = await Promise.allSettled([look('r-1'), look('r-2'), look('r-3')]);

  expect(found).toMatchObject(Array.from({ length: 3 }, () => ({ reason: { code: 'THROTTLED' } })));
  expect(asked).toEqual(['listInstances']);
});

it('a run that is stopped is stopped here too', async () => {
  const stopped = new AbortController();
  const looking = shared.getInstance(REGION, 'r-1', stopped.signal);
  stopped.abort(new BackupError('INTERRUPTED', 'stop'));

  await expect(looking).rejects.toMatchObject({ code: 'INTERRUPTED' });
  expect(asked).toEqual([]);
});
