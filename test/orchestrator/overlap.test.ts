/** Runs of one plan do not overlap. */
import { BackupError } from '../../functions/core/errors.ts';
import { createMemoryWorld, byId, HOUR, MINUTE, PREFIX, type MemoryWorld } from './memory-world.ts';

const FIRST = '20261120T180000Z-nightly';
const SECOND = '20261120T190000Z-nightly';
const { signal } = new AbortController();

let world: MemoryWorld;
beforeEach(() => {
  world = createMemoryWorld([{ id: 'r-a' }, { id: 'r-b' }]);
});

const holderOf = (number: number): unknown => world.read(`plans/nightly/lock-${number}.json`);

/** A run that is killed after so long. */
async function killedAfter(ms: number, runId: string, plan?: string): Promise<void> {
  const killed = new AbortController();
  const running = world
    .invoke({ runId, stop: killed.signal, ...(plan === undefined ? {} : { plan }) })
    .catch((error: unknown) => error);
  await world.clock.sleep(ms, signal);
  killed.abort(new BackupError('INTERRUPTED', 'killed'));
  await running;
}

describe('a second run of the same plan', () => {
  it('waits until the first is over, and then does its work', async () => {
    world.source.durationMs = 40 * MINUTE;
    const first = world.finish({ runId: FIRST });
    await world.clock.sleep(MINUTE, signal);
    const second = world.finish({ runId: SECOND });

    expect((await first).status).toBe('succeeded');
    const firstEnded = world.clock.now();
    expect(await second).toMatchObject({ runId: SECOND, status: 'succeeded' });

    expect(holderOf(1)).toMatchObject({ runId: FIRST });
    expect(holderOf(2)).toMatchObject({ runId: SECOND });
    const { at } = holderOf(2) as { at: string };
    expect(Date.parse(at) - firstEnded).toBeLessThan(2 * MINUTE);
    const starts = world.source.backups.map(({ startedAtMs }) => startedAtMs);
    expect(starts.filter((atMs) => atMs < firstEnded)).toHaveLength(2);
    expect(starts).toHaveLength(4);
  });

  it('is skipped where the plan says so, and says so: it has failed, and names the other', async () => {
    world.source.durationMs = 40 * MINUTE;
    const plan = 'rate: { overlap: skip }';
    const first = world.finish({ runId: FIRST, plan });
    await world.clock.sleep(MINUTE, signal);
    const beganAtMs = world.clock.now();

    const second = await world.finish({ runId: SECOND, plan });

    expect(second).toMatchObject({
      status: 'failed',
      counts: { selected: 0, stored: 0 },
      problems: [{ code: 'RUN_OVERLAPS', message: expect.stringContaining(FIRST) as string }],
    });
    expect(world.clock.now() - beganAtMs).toBeLessThan(MINUTE);
    expect((await first).status).toBe('succeeded');
    expect(world.source.backups).toHaveLength(2);
  });

  it('does not wait for ever, and what it waited before a hand-over counts', async () => {
    world.source.durationMs = 10 * HOUR;
    const first = world.finish({ runId: FIRST, plan: 'backup: { timeoutMinutes: 1000 }' });
    await world.clock.sleep(MINUTE, signal);
    const beganAtMs = world.clock.now();
    const plan = 'backup: { timeoutMinutes: 60 }';

    let invocations = 0;
    let second;
    do {
      second = await world.invoke({ runId: SECOND, plan, deadlineMs: world.clock.now() + 10 * MINUTE });
      invocations++;
    } while (second.status === 'continued');

    expect(invocations).toBeGreaterThan(5);
    expect(second).toMatchObject({ status: 'failed', problems: [{ code: 'RUN_OVERLAPS' }] });
    expect(world.clock.now() - beganAtMs).toBeLessThan(65 * MINUTE);
    expect((await first).status).toBe('succeeded');
  });

  it('of another plan is not in anybody’s way', async () => {
    world.store.objects.set(
      `${PREFIX}.tairlift/plans/hourly/lock-1.json`,
      Buffer.from('{"runId":"20261120T175900Z-hourly"}'),
    );

    expect((await world.finish({ runId: FIRST })).status).toBe('succeeded');
    expect(holderOf(1)).toMatchObject({ runId: FIRST });
  });

  it('rehearses without asking anybody', async () => {
    world.source.durationMs = 40 * MINUTE;
    const first = world.finish({ runId: FIRST });
    await world.clock.sleep(MINUTE, signal);

    expect(await world.finish({ runId: SECOND, dryRun: true })).toMatchObject({ status: 'succeeded' });
    await first;
    expect(holderOf(2)).toBeNull();
  });

  it('of ten that come at once, one after the other gets its turn', async () => {
    const ids = Array.from({ length: 10 }, (_, hour) => `20261120T18000${hour}Z-nightly`);
    let most = 0;
    world.source.onAsk = () => {
      const running = world.source.backups.filter(({ endsAtMs }) => endsAtMs > world.clock.now());
      most = Math.max(most, running.length);
    };

    const summaries = await Promise.all(ids.map(async (runId) => world.finish({ runId })));

    expect(new Set(summaries.map(({ status }) => status))).toEqual(new Set(['succeeded']));
    const holders = ids.map((_, index) => (holderOf(index + 1) as { runId: string }).runId);
    expect([...holders].sort()).toEqual(ids);
    expect(holderOf(11)).toBeNull();
    expect(most).toBeLessThanOrEqual(2);
  });
});

describe('the lock of a plan', () => {
  it('is held again by the same run: delivered twice, handed over, and when its failed instances are tried again', async () => {
    world.uploader.endingOf = ({ instance, attempt }) =>
      instance.id === 'r-a' && attempt === 1
        ? { code: 'UPLOAD_FAILED', message: 'part 3', retryable: false }
        : 'stored';
    await Promise.all([
      world.finish({ runId: FIRST, deadlineMs: world.clock.now() + HOUR }),
      world.finish({ runId: FIRST, deadlineMs: world.clock.now() + HOUR }),
    ]);
    const second = await world.finish({ runId: FIRST, retryFailed: true });

    expect(second.status).toBe('succeeded');
    expect(holderOf(1)).toMatchObject({ runId: FIRST });
    expect(holderOf(2)).toBeNull();
  });

  it('of a run that is dead frees itself a quarter of an hour after its last sign of life', async () => {
    world.source.durationMs = 2 * HOUR;
    await killedAfter(12 * MINUTE, FIRST);
    const killedAtMs = world.clock.now();
    world.source.durationMs = MINUTE;
    for (const backup of world.source.backups) backup.endsAtMs = killedAtMs;

    expect((await world.finish({ runId: SECOND })).status).toBe('succeeded');

    const { at } = holderOf(2) as { at: string };
    const silenceMs = Date.parse(at) - killedAtMs;
    expect(silenceMs).toBeGreaterThan(11 * MINUTE); // the last sign was up to five minutes old
    expect(silenceMs).toBeLessThan(18 * MINUTE);
  });

  it.each([-40, 40])('stays with a run that is alive when the bucket is %d minutes off', async (minutes) => {
    world = createMemoryWorld([{ id: 'r-a' }], { bucketAheadMs: minutes * MINUTE });
    world.source.durationMs = HOUR;
    const first = world.finish({ runId: FIRST });
    await world.clock.sleep(MINUTE, signal);

    const second = await world.finish({ runId: SECOND, plan: 'backup: { timeoutMinutes: 30 }' });

    expect(second.problems).toMatchObject([{ code: 'RUN_OVERLAPS' }]);
    expect((await first).status).toBe('succeeded');
  });

  it('stays with a run whose orchestrator only waits, for that gives signs of life too', async () => {
    world.source.durationMs = 5 * HOUR;
    const first = world.finish({ runId: FIRST });
    await world.clock.sleep(MINUTE, signal);

    const second = await world.finish({ runId: SECOND, plan: 'backup: { timeoutMinutes: 240 }' });

    expect(second.status).toBe('failed');
    expect((await first).status).toBe('succeeded');
  });

  it('stays with a run whose uploaders are at work while nobody orchestrates', async () => {
    world.uploader.durationMs = HOUR;
    await killedAfter(3 * MINUTE, FIRST);
    const killedAtMs = world.clock.now();

    await world.finish({ runId: SECOND });

    const { at } = holderOf(2) as { at: string };
    expect(Date.parse(at) - killedAtMs).toBeGreaterThan(HOUR);
  });

  it('that says nothing readable is waited for like that of a dead run', async () => {
    world.store.objects.set(`${PREFIX}.tairlift/plans/nightly/lock-1.json`, Buffer.from('not JSON'));
    world.store.objects.set(`${PREFIX}.tairlift/plans/nightly/lock-one.json`, Buffer.from('{}'));

    expect((await world.finish({ runId: FIRST })).status).toBe('succeeded');
    expect(holderOf(2)).toMatchObject({ runId: FIRST });
  });

  it('is taken by one, whichever request is the last of the one before', async () => {
    for (let requests = 1; requests < 40; requests++) {
      world = createMemoryWorld([{ id: 'r-a' }]);
      const killed = new AbortController();
      let made = 0;
      const die = (): void => {
        if (++made >= requests) killed.abort(new BackupError('INTERRUPTED', 'killed'));
      };
      const bucket = {
        ...world.store,
        create: async (...asked: Parameters<typeof world.store.create>) => {
          const result = await world.store.create(...asked);
          die();
          killed.signal.throwIfAborted();
          return result;
        },
      };
      await world.invoke({ runId: FIRST, bucket, stop: killed.signal }).catch(() => undefined);

      expect((await world.finish({ runId: SECOND })).status).toBe('succeeded');
      expect((await world.finish({ runId: FIRST })).status).not.toBe('partial');
    }
  });
});

describe('an owner that was taken for dead and comes back to life', () => {
  /** For this long nothing of the run gets through to anybody: a paused host. */
  function pausing(under: MemoryWorld['store'], fromMs: number, untilMs: number): MemoryWorld['store'] {
    const pause = async (stop: AbortSignal): Promise<void> => {
      const now = world.clock.now();
      if (now >= fromMs && now < untilMs) await world.clock.sleep(untilMs - now, stop);
    };
    return {
      ...under,
      get: async (key, stop) => {
        await pause(stop);
        return under.get(key, stop);
      },
      head: async (key, stop) => {
        await pause(stop);
        return under.head(key, stop);
      },
      create: async (key, body, type, stop) => {
        await pause(stop);
        return under.create(key, body, type, stop);
      },
      list: async function* (prefix, stop) {
        await pause(stop);
        yield* under.list(prefix, stop);
      },
    };
  }

  it('starts nothing any more, looks after what it has begun, and ends loud', async () => {
    world = createMemoryWorld(Array.from({ length: 6 }, (_, index) => ({ id: `r-${index}` })));
    world.source.durationMs = 4 * MINUTE;
    const plan = 'rate: { concurrency: 2 }, backup: { adoptWithinHours: 1 }';
    const now = world.clock.now();
    const bucket = pausing(world.store, now + 6 * MINUTE, now + 50 * MINUTE);
    const first = world.finish({ runId: FIRST, plan, bucket });
    await world.clock.sleep(10 * MINUTE, signal);
    const second = await world.finish({ runId: SECOND, plan });
    const begunByFirst = (): number =>
      [...world.store.objects.keys()].filter((key) => key.includes(FIRST) && key.endsWith('/begun.json'))
        .length;

    expect(second).toMatchObject({ status: 'succeeded', counts: { stored: 6 } });
    expect(begunByFirst()).toBe(4);

    const summary = await first;

    expect(begunByFirst()).toBe(4);
    expect(summary).toMatchObject({
      status: 'partial',
      counts: { selected: 6, stored: 4, failed: 2 },
      problems: [{ code: 'RUN_OVERLAPS', message: expect.stringContaining(SECOND) as string }],
    });
    expect(byId(summary, 'r-5')).toMatchObject({
      error: { code: 'NOT_STARTED', message: expect.stringContaining(SECOND) as string },
    });
    // No instance was forked twice by the two of them: the second run adopted what the first had made.
    expect(world.source.backups).toHaveLength(6);
  });

  it('and is gone on with by another invocation does the same while the other run is at work', async () => {
    world = createMemoryWorld([{ id: 'r-a' }, { id: 'r-b' }]);
    world.source.durationMs = 30 * MINUTE;
    await killedAfter(2 * MINUTE, FIRST, 'rate: { concurrency: 1 }');
    await world.clock.sleep(20 * MINUTE, signal);
    world.source.durationMs = 3 * HOUR;
    const second = world.finish({ runId: SECOND, plan: 'backup: { timeoutMinutes: 600 }' });
    await world.clock.sleep(20 * MINUTE, signal);

    const first = await world.finish({ runId: FIRST, plan: 'rate: { concurrency: 1, overlap: skip }' });

    expect(byId(first, 'r-a')?.status).toBe('stored');
    expect(byId(first, 'r-b')).toMatchObject({ error: { code: 'NOT_STARTED' } });
    expect(first.problems).toMatchObject([{ code: 'RUN_OVERLAPS' }]);
    expect((await second).status).toBe('succeeded');
  });
});
