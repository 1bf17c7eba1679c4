/** What a run is doing, as the bucket tells. */
import { BackupError } from '../../functions/core/errors.ts';
import {
  createStatusReader,
  type InstanceStatus,
  type RunStatus,
  type StatusReader,
} from '../../functions/orchestrator/run-status.ts';
import { createMemoryWorld, HOUR, MINUTE, PREFIX, type MemoryWorld } from './memory-world.ts';

const RUN_ID = '20261120T180000Z-nightly';
const FOLDER = `${PREFIX}.tairlift/runs/${RUN_ID}/`;
const { signal } = new AbortController();

let world: MemoryWorld;
let gets: number;
let lists: number;
let reader: StatusReader;

function start(count: number): void {
  world = createMemoryWorld(Array.from({ length: count }, (_, index) => ({ id: `r-${index}` })));
  gets = 0;
  lists = 0;
  const { store } = world;
  const counted = {
    ...store,
    get: async (...asked: Parameters<typeof store.get>) => {
      gets++;
      return store.get(...asked);
    },
    list: (...asked: Parameters<typeof store.list>) => {
      lists++;
      return store.list(...asked);
    },
  };
  // The bucket's clock is what counts here.
  reader = createStatusReader(counted, PREFIX, () => world.clock.now() - 3 * MINUTE);
}
beforeEach(() => start(4));

const look = async (runId = RUN_ID): Promise<RunStatus> => reader.read(runId, signal);
const stepsOf = ({ instances }: RunStatus): readonly string[] => instances.map(({ step }) => step);
const of = ({ instances }: RunStatus, id: string): InstanceStatus | undefined =>
  instances.find(({ instanceId }) => instanceId === id);

it('follows each instance through its steps', async () => {
  world.source.put({ id: 'r-3', noBackup: 'single-node instances have no backups' });
  world.source.durationMs = 20 * MINUTE;
  world.uploader.durationMs = 10 * MINUTE;
  const running = world.finish({ plan: 'rate: { concurrency: 2 }' });

  await world.clock.sleep(5 * MINUTE, signal);
  const early = await look();
  expect(early).toMatchObject({
    state: 'running',
    plan: 'nightly',
    round: 1,
    handOvers: 0,
    lockedBy: RUN_ID,
  });
  expect(stepsOf(early)).toEqual(['backing up', 'backing up', 'waiting', 'skipped']);
  expect(of(early, 'r-3')?.reason).toContain('single-node');
  expect(early.doing).toBe('works');

  await world.clock.sleep(20 * MINUTE, signal);
  const later = await look();
  expect(stepsOf(later)).toEqual(['uploading', 'uploading', 'waiting', 'skipped']);
  // The double says that it does one byte more of a hundred with each sign, every minute.
  expect(of(later, 'r-0')).toMatchObject({ attempts: 1, bytes: 100 });
  const { doneBytes = 0 } = of(later, 'r-0') ?? {};
  expect(doneBytes).toBeGreaterThan(1);
  expect(later.bytes).toBe(200);
  expect(later.steps).toEqual({ uploading: 2, waiting: 1, skipped: 1 });

  const summary = await running;
  const end = await look();
  expect(end).toMatchObject({ state: 'succeeded', finishedAt: summary.finishedAt, counts: summary.counts });
  expect(stepsOf(end)).toEqual(['stored', 'stored', 'stored', 'skipped']);
  expect(of(end, 'r-0')).toMatchObject({ attempts: 1, doneBytes: expect.any(Number) as number });
});

it('tells how fast an upload goes, and how long it will take', async () => {
  await world.finish({});
  const put = (name: string, value: object): void =>
    void world.store.objects.set(
      `${FOLDER}instances/cn-hangzhou/r-new/${name}.json`,
      Buffer.from(JSON.stringify(value)),
    );
  for (const key of world.store.objects.keys())
    if (key.endsWith('/summary.json')) world.store.objects.delete(key);
  put('begun', {});
  put('backup', {});
  put('invoke-intended-1', {});
  put('progress-1-q-100', {
    attempt: 1,
    at: '2026-11-20T18:00:00Z',
    doneBytes: 1e9,
    bytes: 5e9,
    files: 2,
    filesDone: 0,
  });
  await world.clock.sleep(MINUTE, signal);
  put('progress-1-q-160', {
    attempt: 1,
    at: '2026-11-20T18:01:00Z',
    doneBytes: 4e9,
    bytes: 5e9,
    files: 2,
    filesDone: 1,
  });

  expect(of(await look(), 'r-new')).toMatchObject({
    step: 'uploading',
    doneBytes: 4e9,
    bytes: 5e9,
    bytesPerSecond: 50e6,
    etaSeconds: 20,
  });
});

it('says that a run is dead when nothing of it has been written for a quarter of an hour', async () => {
  world.source.durationMs = HOUR;
  const killed = new AbortController();
  const running = world.invoke({ stop: killed.signal }).catch(() => undefined);
  await world.clock.sleep(3 * MINUTE, signal);
  killed.abort(new BackupError('INTERRUPTED', 'killed'));
  await running;

  expect((await look()).state).toBe('running');
  await world.clock.sleep(17 * MINUTE, signal);
  expect((await look()).state).toBe('dead');
  expect(await reader.newest('nightly', 5, signal)).toMatchObject([{ runId: RUN_ID, state: 'dead' }]);

  await world.finish({});
  expect((await look()).state).toBe('succeeded');
});

it('shows what failed with its error, and the round that is at work on it', async () => {
  world.uploader.endingOf = ({ instance }) =>
    instance.id === 'r-1' ? { code: 'RDB_CORRUPT', message: 'at byte 9', retryable: false } : 'stored';
  await world.finish({});
  expect(of(await look(), 'r-1')).toMatchObject({ step: 'failed', error: { code: 'RDB_CORRUPT' } });

  world.source.durationMs = HOUR;
  const again = world.finish({ retryFailed: true });
  await world.clock.sleep(5 * MINUTE, signal);
  const during = await look();
  expect(during).toMatchObject({ state: 'running', round: 2 });
  expect(stepsOf(during)).toEqual(['stored', 'backing up', 'stored', 'stored']);
  await again;
});

it('says for whom a run waits', async () => {
  world.source.durationMs = HOUR;
  const second = '20261120T183000Z-nightly';
  const running = [world.finish({})];
  await world.clock.sleep(MINUTE, signal);
  running.push(world.finish({ runId: second }));
  await world.clock.sleep(10 * MINUTE, signal);

  expect(await look(second)).toMatchObject({
    state: 'running',
    doing: `waits for run ${RUN_ID}`,
    lockedBy: RUN_ID,
    instances: [],
  });
  await Promise.all(running);
});

it('counts hand-overs', async () => {
  world.source.durationMs = HOUR;
  await world.invoke({ deadlineMs: world.clock.now() + 10 * MINUTE });
  await world.invoke({ deadlineMs: world.clock.now() + 10 * MINUTE });

  expect(await look()).toMatchObject({ state: 'running', handOvers: 2 });
});

it('shows the newest runs of a plan, newest first, and none of another', async () => {
  const ids = [1, 2, 3].map((day) => `2026112${day}T180000Z-nightly`);
  world.source.onStart = () => {
    if (world.source.backups.length === 4) throw new BackupError('BACKUP_QUOTA', 'start a backup: 30 today');
    return undefined;
  };
  for (const runId of ids) await world.finish({ runId });

  const runs = await reader.newest('nightly', 2, signal);

  expect(runs.map(({ runId, state }) => [runId, state])).toEqual([
    [ids[2], 'failed'],
    [ids[1], 'failed'],
  ]);
  expect(runs[0]?.counts).toMatchObject({ failed: 4 });
  expect(await reader.newest('hourly', 2, signal)).toEqual([]);
});

it('does not know a run of which there is nothing', async () => {
  await expect(look('20260101T000000Z-nightly')).rejects.toMatchObject({ code: 'NOT_FOUND' });
  await expect(look('yesterday')).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
});

it('shows an instance whose backup was taken from others as one that waits for its upload', async () => {
  const put = (name: string, value: object): void =>
    void world.store.objects.set(FOLDER + name, Buffer.from(JSON.stringify(value)));
  put('selection.json', {
    selected: [{ instance: { region: 'cn-hangzhou', id: 'r-0' } }],
    missing: [],
    unmatched: [],
  });
  for (const name of ['begun', 'backup-intended-1']) put(`instances/cn-hangzhou/r-0/${name}.json`, {});
  put('instances/cn-hangzhou/r-0/backup-answer-1.json', { kind: 'finished', backup: {} });

  expect(stepsOf(await look())).toEqual(['queued']);
});

it('shows also what waits while a part of the fleet cannot be listed', async () => {
  const put = (name: string, value: object): void =>
    void world.store.objects.set(FOLDER + name, Buffer.from(JSON.stringify(value)));
  put('selection-incomplete-1.json', { selected: [{ instance: { region: 'cn-hangzhou', id: 'r-0' } }] });
  put('instances/cn-beijing/r-9/begun.json', {});

  expect((await look()).instances.map(({ instanceId, step }) => [instanceId, step])).toEqual([
    ['r-9', 'waiting'],
    ['r-0', 'waiting'],
  ]);
});

it('is not put off by what does not belong into the folder', async () => {
  world.source.durationMs = HOUR;
  const running = world.finish({});
  await world.clock.sleep(5 * MINUTE, signal);
  const garbage: Readonly<Record<string, string>> = {
    'readme.txt': 'hands off',
    'alive-9999999999-x.json': '[]',
    'selection.json': 'null',
    'instances/cn-hangzhou/r-0/result.json': '{"status":"done"}',
    'instances/cn-hangzhou/r-1/backup-answer-1.json': '<html>',
    'instances/cn-hangzhou/r-2/backup.json': '7',
    'instances/cn-hangzhou/r-2/invoke-intended-1.json': '',
    'instances/cn-hangzhou/r-2/progress-1-x-1.json': '"fast"',
    'instances/nowhere.json': '{}',
    'handover-x.json': '{}',
  };
  for (const [name, text] of Object.entries(garbage))
    world.store.objects.set(FOLDER + name, Buffer.from(text));

  const status = await look();

  expect(status).toMatchObject({ state: 'running', handOvers: 0 });
  expect(stepsOf(status)).toEqual(['unclear', 'unclear', 'uploading', 'backing up']);
  running.catch(() => undefined);
});

it('reads of five hundred instances what the listing does not tell, once', async () => {
  const ids = Array.from({ length: 500 }, (_, index) => `r-${index}`);
  const put = (name: string, value: object): void =>
    void world.store.objects.set(FOLDER + name, Buffer.from(JSON.stringify(value)));
  const instances = ids.map((id) => ({ instance: { region: 'cn-hangzhou', id } }));
  put('selection.json', { selected: instances, missing: [], unmatched: [] });
  for (const [index, id] of ids.entries()) {
    const own = (name: string, value: object = {}): void =>
      put(`instances/cn-hangzhou/${id}/${name}.json`, value);
    if (index >= 250) continue;
    for (const name of ['begun', 'backup-intended-1', 'backup', 'invoke-intended-1', 'invoked-1']) own(name);
    own('backup-answer-1', { kind: 'awaited' });
    for (let beat = 0; beat < 10; beat++)
      own(`progress-1-q-${beat}`, { at: new Date(beat * 60_000).toISOString(), doneBytes: beat, bytes: 10 });
    if (index >= 200) continue;
    own('outcome-1-q', { status: 'stored' });
    own('result', { region: 'cn-hangzhou', instanceId: id, status: 'stored', bytes: 10 });
  }

  const { steps } = await look();
  const [first, listed] = [gets, lists];
  await look();

  expect(steps).toEqual({ stored: 200, uploading: 50, waiting: 250 });
  expect(first).toBeLessThan(200 + 2 * 50 + 5);
  expect(gets).toBe(first);
  // The folder and the plan's locks, each time.
  expect([listed, lists]).toEqual([2, 4]);

  put('summary.json', { status: 'partial', finishedAt: '2026-11-20T19:00:00Z', counts: {}, instances: [] });
  await look();
  expect(gets).toBe(first + 1);
});
