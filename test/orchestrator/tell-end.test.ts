/** How the outside learns that a run has ended: one line, and an event when it did not end well. */
import { BackupError } from '../../functions/core/errors.ts';
import type { Events, OwnEvent } from '../../functions/core/events.ts';
import { createLog, type Log } from '../../functions/core/log.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { MINUTE, createMemoryWorld, type MemoryWorld, type Wanted } from './memory-world.ts';

let world: MemoryWorld;
let raised: OwnEvent[];
let lines: Record<string, unknown>[];
let log: Log;

beforeEach(() => {
  world = createMemoryWorld([{ id: 'r-a' }, { id: 'r-b' }]);
  raised = [];
  lines = [];
  log = createLog((line) => void lines.push(JSON.parse(line) as Record<string, unknown>));
});

const heard: Events = { raise: async (event) => void raised.push(event) };
const run = async (events: Events, wanted: Wanted = {}): Promise<Summary> =>
  world.finish({ events, log, ...wanted });
/** One of the two is not there. */
const HALF: Wanted = { instances: ['r-a', 'r-gone'] };
const ends = (): readonly Record<string, unknown>[] =>
  lines.filter(({ event, message }) => event === 'tairlift:run' && message === 'the run has ended');

it('logs one line of a run that went well, and raises nothing', async () => {
  const { finishedAt } = await run(heard);

  expect(ends()).toEqual([
    expect.objectContaining({
      level: 'info',
      runId: '20261120T180000Z-nightly',
      plan: 'nightly',
      status: 'succeeded',
      counts: { selected: 2, stored: 2, skipped: 0, failed: 0 },
      finishedAt,
    }),
  ]);
  expect(raised).toEqual([]);
});

it('raises an event of a run that stored only some, and names what failed and who says so', async () => {
  await run(heard, HALF);

  expect(raised.map(({ name }) => name)).toEqual(['tairlift:run-partial']);
  const [event] = raised;
  expect(JSON.parse(event?.content ?? '{}')).toEqual({
    function: 'tairlift-test-orchestrator',
    runId: '20261120T180000Z-nightly',
    plan: 'nightly',
    status: 'partial',
    counts: { selected: 2, stored: 1, skipped: 0, failed: 1 },
    failed: ['r-gone INSTANCE_NOT_FOUND'],
  });
  expect(event?.atMs).toBe(world.clock.now());
  expect(ends()).toEqual([expect.objectContaining({ level: 'warn', status: 'partial' })]);
});

it('raises a short event, however much failed', async () => {
  world = createMemoryWorld(Array.from({ length: 60 }, (_, n) => ({ id: `r-${'long'.repeat(10)}-${n}` })));
  for (let n = 0; n < 60; n++) world.source.next({ fails: true });

  await run(heard);

  expect(raised.map(({ name }) => name)).toEqual(['tairlift:run-failed']);
  expect(raised[0]?.content.length).toBeLessThan(1000);
});

it('raises no second event, and logs no second end, when the finished run is delivered again', async () => {
  const first = await run(heard, HALF);

  expect(await run(heard, HALF)).toEqual(first);

  expect(raised).toHaveLength(1);
  expect(ends()).toHaveLength(1);
});

it('raises the event at the next delivery when it could not be raised at the first', async () => {
  const first = await run(
    {
      raise: async () => {
        throw new BackupError('PERMISSION_DENIED', 'raise event: no');
      },
    },
    HALF,
  );
  expect(lines.at(-1)).toMatchObject({
    level: 'error',
    message: expect.stringContaining('could not be raised') as string,
    error: { code: 'PERMISSION_DENIED' },
  });

  expect(await run(heard, HALF)).toEqual(first);

  expect(raised).toHaveLength(1);
  expect(lines.at(-1)).toMatchObject({ message: 'raised an event', event: 'tairlift:run-partial' });
});

it('raises one more event when the failed instances were tried again, in vain', async () => {
  await run(heard, HALF);

  const second = await run(heard, { ...HALF, retryFailed: true });

  expect(second.status).toBe('partial');
  expect(raised).toHaveLength(2);
  expect(ends()).toHaveLength(2);
});

describe('a service that never answers', () => {
  const silent: Events = {
    raise: async (_event, signal) =>
      new Promise((_resolve, reject) =>
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true }),
      ),
  };

  it('is given up, and the run ends as it would have', async () => {
    const { status, finishedAt } = await run(silent, HALF);

    expect(status).toBe('partial');
    expect(world.clock.now() - Date.parse(finishedAt)).toBeLessThan(MINUTE);
    expect(lines.at(-1)).toMatchObject({ level: 'error', event: 'tairlift:run-partial' });
  });

  it('is given less time when the deadline is near, and none when there is none left', async () => {
    await run(silent, HALF);

    for (const leftMs of [5_000, 1_000]) {
      const beganAtMs = world.clock.now();
      await run(silent, { ...HALF, deadlineMs: beganAtMs + leftMs });
      expect(world.clock.now() - beganAtMs).toBeLessThan(leftMs);
    }
  });
});

it('raises nothing in a dry run', async () => {
  await run(heard, { plan: 'exclude: { name: "*" }', dryRun: true });

  expect(raised).toEqual([]);
  expect(ends()).toEqual([]);
});
