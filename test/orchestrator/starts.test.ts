/** When the instances of a run start their backups. */
import { BackupError } from '../../functions/core/errors.ts';
import { createMemoryWorld, byId, HOUR, MINUTE, type MemoryWorld } from './memory-world.ts';

const { signal } = new AbortController();
const START = Date.parse('2026-11-20T18:00:00Z');

let world: MemoryWorld;
beforeEach(() => {
  world = createMemoryWorld(Array.from({ length: 10 }, (_, index) => ({ id: `r-${index}` })));
});

/** Minutes after the run's start, ascending. */
const starts = (): readonly number[] =>
  world.source.backups.map(({ startedAtMs }) => (startedAtMs - START) / MINUTE).sort((a, b) => a - b);

const gaps = (): readonly number[] =>
  starts()
    .slice(1)
    .map((at, index) => at - (starts()[index] ?? 0));

/** Between half and one and a half intervals; records have whole seconds. */
function expectSpread(perMinute: number): void {
  for (const gap of gaps()) {
    expect(gap).toBeGreaterThan(0.5 / perMinute - 0.05);
    expect(gap).toBeLessThan(1.5 / perMinute + 0.05);
  }
}

describe('starts that are spread out', () => {
  it('come one after the other, about so many in a minute, each after another pause', async () => {
    const summary = await world.finish({ plan: 'rate: { startsPerMinute: 0.5 }' });

    expect(summary).toMatchObject({ status: 'succeeded', counts: { stored: 10 } });
    expect(starts()[0]).toBeLessThan(0.1);
    expectSpread(0.5);
    expect(new Set(gaps().map((gap) => gap.toFixed(2))).size).toBeGreaterThan(3);
  });

  it('keep their pace through hand-overs', async () => {
    let invocations = 0;
    let result;
    do {
      result = await world.invoke({
        plan: 'rate: { startsPerMinute: 0.5 }',
        deadlineMs: world.clock.now() + 3 * MINUTE,
      });
      invocations++;
    } while (result.status === 'continued');

    expect(result.status).toBe('succeeded');
    expect(invocations).toBeGreaterThan(5);
    for (const gap of gaps()) expect(gap).toBeGreaterThan(0.95);
  });

  it('keep their pace when the run is delivered twice', async () => {
    const plan = 'rate: { startsPerMinute: 0.5 }';

    await Promise.all([world.finish({ plan }), world.finish({ plan })]);

    expect(starts()).toHaveLength(10);
    for (const gap of gaps()) expect(gap).toBeGreaterThan(0.95);
  });

  it('keep their pace after a kill, and repeat nothing', async () => {
    const plan = 'rate: { startsPerMinute: 0.5 }';
    const killed = new AbortController();
    const first = world.invoke({ plan, stop: killed.signal }).catch(() => undefined);
    await world.clock.sleep(5 * MINUTE, signal);
    killed.abort(new BackupError('INTERRUPTED', 'killed'));
    await first;

    expect((await world.finish({ plan })).status).toBe('succeeded');
    expect(starts()).toHaveLength(10);
    for (const gap of gaps()) expect(gap).toBeGreaterThan(0.95);
  });

  it('are not for backups that are adopted', async () => {
    for (let index = 0; index < 10; index++)
      world.source.plant({ instanceId: `r-${index}`, startedAtMs: START - HOUR });

    await world.finish({ plan: 'rate: { startsPerMinute: 0.1 }, backup: { adoptWithinHours: 2 }' });

    expect(world.clock.now() - START).toBeLessThan(5 * MINUTE);
  });

  it('take nothing of the time that an instance has for its backup', async () => {
    const summary = await world.finish({
      plan: 'rate: { startsPerMinute: 0.1 }, backup: { timeoutMinutes: 5 }',
    });

    expect(summary).toMatchObject({ status: 'succeeded', counts: { stored: 10 } });
    expect(world.clock.now() - START).toBeGreaterThan(HOUR);
  });

  it('end when too many have failed, also for those whose turn was near', async () => {
    world.source.next({ fails: true });
    world.source.durationMs = 1_000;

    const summary = await world.finish({ plan: 'rate: { startsPerMinute: 0.5, maxErrors: 1 }' });

    expect(world.source.backups).toHaveLength(2);
    expect(byId(summary, 'r-9')).toMatchObject({ error: { code: 'NOT_STARTED' } });
  });
});

describe('a window', () => {
  const plan = (window: string, more = ''): string =>
    `timeZone: Asia/Shanghai, backup: { window: "${window}", timeoutMinutes: 60${more} }`;

  it('is waited for, handing over as needed; uploads may go on after it', async () => {
    // 18:00 UTC is 02:00 in Shanghai.
    world.uploader.durationMs = 70 * MINUTE;
    world.uploader.beatEveryMs = Infinity;
    let invocations = 0;
    let result;
    do {
      result = await world.invoke({ plan: plan('04:00-05:00'), deadlineMs: world.clock.now() + 30 * MINUTE });
      invocations++;
    } while (result.status === 'continued');

    expect(result).toMatchObject({ status: 'succeeded', counts: { stored: 10 } });
    expect(invocations).toBeGreaterThan(4);
    expect(Math.min(...starts())).toBeGreaterThanOrEqual(120);
    expect(Math.max(...starts())).toBeLessThan(180);
    expect(world.clock.now() - START).toBeGreaterThan(3 * HOUR);
  });

  it('costs the service nothing to wait for, however often the run is handed over', async () => {
    let asked = 0;
    world.source.onAsk = () => void asked++;
    const wanted = { plan: plan('08:00-09:00', ', adoptWithinHours: 2') };
    for (let hop = 0; hop < 10; hop++)
      await world.invoke({ ...wanted, deadlineMs: world.clock.now() + 30 * MINUTE });

    // Listed once; each one was looked at, and its backups were.
    expect(asked).toBeLessThanOrEqual(1 + 1 + 10);
    expect((await world.finish(wanted)).status).toBe('succeeded');
    expect(Math.min(...starts())).toBeGreaterThanOrEqual(360);
  });

  it('takes nothing of the time that an instance has: not when the service is swamped as it opens either', async () => {
    const opensAtMs = START + 6 * HOUR;
    world.source.onAsk = (action) => {
      const sinceMs = world.clock.now() - opensAtMs;
      if (sinceMs >= 0 && sinceMs < 5 * MINUTE)
        throw new BackupError('THROTTLED', `${action}: Throttling.User`, { retryable: true });
    };
    let result;
    do {
      result = await world.invoke({ plan: plan('08:00-09:00'), deadlineMs: world.clock.now() + 30 * MINUTE });
    } while (result.status === 'continued');

    expect(result).toMatchObject({ status: 'succeeded', counts: { stored: 10 } });
  });

  it('that is open is not waited for', async () => {
    await world.finish({ plan: plan('22:00-03:00') });

    expect(Math.max(...starts())).toBeLessThan(5);
  });

  it('that closes ends the starting; what was not started has failed and says so', async () => {
    world.source.durationMs = 13 * MINUTE;

    const summary = await world.finish({
      plan: `${plan('02:00-02:30')}, rate: { concurrency: 2, maxErrors: 0 }`,
    });

    expect(summary.status).toBe('partial');
    expect(Math.max(...starts())).toBeLessThan(30);
    const missed = summary.instances.filter(({ status }) => status === 'failed');
    expect(missed).toHaveLength(10 - starts().length);
    expect(missed.length).toBeGreaterThan(2);
    // Not one of them for the failures of the others: none of these is one.
    for (const one of missed)
      expect(one).toMatchObject({
        error: {
          code: 'NOT_STARTED',
          message: expect.stringContaining('the window of the plan closed at 2026-11-20T18:30:00Z') as string,
        },
      });
  });

  it('is not needed to adopt: before it opens and after it has closed, with few places too', async () => {
    for (let index = 1; index < 10; index++)
      world.source.plant({ instanceId: `r-${index}`, startedAtMs: START - HOUR });
    const more = ', adoptWithinHours: 2';

    const early = world.finish({ plan: `${plan('04:00-05:00', more)}, rate: { concurrency: 1 }` });
    await world.clock.sleep(20 * MINUTE, signal);

    expect(world.uploader.ran).toHaveLength(9);
    expect((await early).status).toBe('succeeded');
    expect(Math.max(...starts())).toBeGreaterThanOrEqual(120);
  });

  it('of a later round is the next one after it was asked for', async () => {
    world.source.durationMs = 9 * MINUTE;
    const narrow = `${plan('02:00-02:10')}, rate: { concurrency: 2 }`;
    const first = await world.finish({ plan: narrow });
    expect(first.counts.failed).toBeGreaterThan(0);

    const second = await world.finish({ plan: plan('02:00-04:00'), retryFailed: true });

    expect(second).toMatchObject({ status: 'succeeded', counts: { stored: 10 } });
  });
});

describe('the limit of errors', () => {
  const some = (count: number): void => {
    world = createMemoryWorld(Array.from({ length: count }, (_, index) => ({ id: `r-${index}` })));
    world.source.next({ fails: true });
  };

  it.each([
    [5, '0', 1],
    [5, '"0%"', 1],
    [5, '"10%"', 1],
    [10, '"10%"', 2],
    [5, '"20%"', 2],
    [100, '"29%"', 30],
    [5, '"100%"', 5],
  ])(
    'of %d instances, %s starts no more after the failure that is too many',
    async (count, limit, started) => {
      some(count);

      const summary = await world.finish({ plan: `rate: { concurrency: 1, maxErrors: ${limit} }` });

      expect(world.source.backups).toHaveLength(started);
      const codes = summary.instances.map((result) => (result.status === 'failed' ? result.error.code : ''));
      expect(codes.filter((code) => code === 'BACKUP_FAILED')).toHaveLength(started);
      expect(codes.filter((code) => code === 'NOT_STARTED')).toHaveLength(count - started);
    },
  );

  it('counts what failed in an invocation before, and not what was not started then', async () => {
    some(6);
    world.source.durationMs = 4 * MINUTE;
    const plan = 'rate: { concurrency: 1, maxErrors: 2 }';
    let result;
    do result = await world.invoke({ plan, deadlineMs: world.clock.now() + 6 * MINUTE });
    while (result.status === 'continued');

    expect(world.source.backups).toHaveLength(3);
    expect(result.counts).toMatchObject({ failed: 6 });
  });
});
