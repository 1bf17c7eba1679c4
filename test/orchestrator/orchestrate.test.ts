import { BackupError } from '../../functions/core/errors.ts';
import { silentLog } from '../../functions/core/log.ts';
import { planNamed, readEnvironment, readPlans } from '../../functions/core/config.ts';
import { orchestrate, type HandOver, type Run } from '../../functions/orchestrator/orchestrate.ts';
import {
  toRunError,
  type Continued,
  type InstanceResult,
  type Summary,
} from '../../functions/orchestrator/summary.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createMemoryUploader, type MemoryUploader } from '../doubles/memory-uploader.ts';
import { createVirtualClock, type VirtualClock } from '../doubles/virtual-clock.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const RUN_ID = '20261120T180000Z-nightly';
const SUMMARY_KEY = `pre/.tairlift/runs/${RUN_ID}/summary.json`;
const { signal } = new AbortController();

let clock: VirtualClock;
let store: MemoryStore;
let source: MemorySource;
let uploader: MemoryUploader;
let hops: { readonly event: HandOver; readonly taskId: string }[];

beforeEach(() => {
  clock = createVirtualClock('2026-11-20T18:00:00Z');
  // The bucket's clock is three minutes behind ours.
  store = createMemoryStore(() => clock.now() - 3 * MINUTE);
  source = createMemorySource(clock, [{ id: 'r-a' }, { id: 'r-b' }, { id: 'r-c' }]);
  uploader = createMemoryUploader(store, clock);
  hops = [];
});

interface Wanted extends Partial<Omit<Run, 'plan'>> {
  readonly targets?: string;
  readonly plan?: string;
  /** Ends this invocation from outside. */
  readonly stop?: AbortSignal;
  readonly bucket?: MemoryStore;
}

async function invoke({ targets, plan, stop, bucket, ...run }: Wanted = {}): Promise<Summary | Continued> {
  const yaml = `plans: { nightly: {
    targets: ${targets ?? '[{ region: cn-hangzhou }]'},
    destination: { region: cn-hangzhou, bucket: my-backups, prefix: "pre/" },
    ${plan ?? ''} } }`;
  const plans = readPlans(yaml, 'plans.yaml', readEnvironment({}), {});
  return orchestrate(
    { runId: RUN_ID, dryRun: false, retryFailed: false, ...run, plan: planNamed(plans, 'nightly') },
    {
      sourceFor: () => source,
      store: bucket ?? store,
      invoker: uploader,
      invokeSelf: async (event, taskId) => void hops.push({ event, taskId }),
      uploaderLimitMs: HOUR,
      clock,
      log: silentLog,
    },
    stop ?? signal,
  );
}

async function finish(wanted: Wanted = {}): Promise<Summary> {
  const result = await invoke(wanted);
  if (result.status === 'continued') throw new Error('the run was handed over');
  return result;
}

const byId = (summary: Summary, id: string): InstanceResult | undefined =>
  summary.instances.find(({ instanceId }) => instanceId === id);
const storedSummary = (): Summary =>
  JSON.parse(store.objects.get(SUMMARY_KEY)?.toString() ?? 'null') as Summary;

describe('a run', () => {
  it('stores every selected instance and says so in one summary, in the bucket too', async () => {
    source.put({ id: 'r-c', architecture: 'cluster', shards: 3 });

    const summary = await finish();

    expect(summary).toMatchObject({
      runId: RUN_ID,
      plan: 'nightly',
      status: 'succeeded',
      startedAt: '2026-11-20T18:00:00Z',
      counts: { selected: 3, stored: 3, skipped: 0, failed: 0 },
    });
    expect(byId(summary, 'r-c')).toEqual({
      region: 'cn-hangzhou',
      instanceId: 'r-c',
      status: 'stored',
      backupId: source.backups.find(({ instanceId }) => instanceId === 'r-c')?.id,
      files: 3,
      bytes: expect.any(Number) as number,
      level: 'parsed',
      manifest: `pre/Backup_r-c/2026-11-20/${RUN_ID}/manifest.json`,
      url: `https://oss.console.aliyun.com/bucket/oss-cn-hangzhou/my-backups/object?path=pre%2FBackup_r-c%2F2026-11-20%2F${RUN_ID}%2F`,
    });
    expect(storedSummary()).toEqual(summary);
  });

  it("dates its folders by the plan's time zone at its start", async () => {
    const summary = await finish({ plan: 'timeZone: Asia/Shanghai' });

    expect(byId(summary, 'r-a')).toMatchObject({
      manifest: `pre/Backup_r-a/2026-11-21/${RUN_ID}/manifest.json`,
    });
  });

  it('works on no more instances at once than it may', async () => {
    let most = 0;
    source.onAsk = () => {
      const busy = source.backups.filter(
        ({ instanceId }) => !uploader.ran.some(({ instance }) => instance.id === instanceId),
      );
      most = Math.max(most, busy.length);
    };

    await finish({ plan: 'rate: { concurrency: 2 }' });

    expect(most).toBe(2);
  });

  it('skips what can never be backed up, with the reason', async () => {
    source.put({ id: 'r-b', noBackup: 'single-node instances have no backups' });

    const summary = await finish();

    expect(summary.status).toBe('succeeded');
    expect(byId(summary, 'r-b')).toEqual({
      region: 'cn-hangzhou',
      instanceId: 'r-b',
      status: 'skipped',
      reason: 'single-node instances have no backups',
    });
    expect(source.startsOf('r-b')).toBe(0);
  });

  it('of nothing but skipped instances has failed, because nothing is protected', async () => {
    for (const id of ['r-a', 'r-b', 'r-c'])
      source.put({ id, noBackup: 'single-node instances have no backups' });

    const summary = await finish();

    expect(summary).toMatchObject({
      status: 'failed',
      counts: { selected: 3, stored: 0, skipped: 3, failed: 0 },
    });
    expect(toRunError(summary).message).toContain('every selected instance was skipped');
  });

  it('ends partial when one instance fails, and stores the others', async () => {
    source.onStart = ({ id }) => {
      if (id === 'r-b')
        throw new BackupError('PERMISSION_DENIED', 'start a backup of r-b: Forbidden.RAM', {
          hint: 'allow it',
        });
      return undefined;
    };

    const summary = await finish();

    expect(summary).toMatchObject({ status: 'partial', counts: { selected: 3, stored: 2, failed: 1 } });
    expect(byId(summary, 'r-b')).toMatchObject({
      status: 'failed',
      error: { code: 'PERMISSION_DENIED', hint: 'allow it' },
    });
    const error = toRunError(summary);
    expect(error.code).toBe('RUN_INCOMPLETE');
    expect(error.message).toContain('r-b PERMISSION_DENIED (start a backup of r-b: Forbidden.RAM)');
    // The whole summary, for whoever has nothing but the platform's record of the failed invocation.
    expect(JSON.parse(error.message.slice(error.message.indexOf(' {') + 1))).toEqual(summary);
  });

  it('fails an instance that is listed by id and does not exist', async () => {
    const summary = await finish({ targets: '[{ region: cn-hangzhou, instances: [r-a, r-gone] }]' });

    expect(summary.status).toBe('partial');
    expect(byId(summary, 'r-gone')).toMatchObject({
      status: 'failed',
      error: { code: 'INSTANCE_NOT_FOUND' },
    });
  });

  it('takes only the instances that the event names, and fails those that the plan does not select', async () => {
    const summary = await finish({ instances: ['r-b', 'r-other'] });

    expect(summary.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual([
      ['r-b', 'stored'],
      ['r-other', 'failed'],
    ]);
    expect(source.startsOf('r-a')).toBe(0);
  });

  it('that selects nothing fails, names the targets, and is stored as failed', async () => {
    const summary = await finish({ targets: '[{ region: cn-beijing, tags: { backup: nihgtly } }]' });

    expect(summary).toMatchObject({ status: 'failed', counts: { selected: 0 }, instances: [] });
    const error = toRunError(summary);
    expect(error.code).toBe('NOTHING_SELECTED');
    expect(error.message).toContain('cn-beijing, tags backup=nihgtly');
    expect(storedSummary()).toEqual(summary);
  });

  it('is partial when a target could not be listed, even if all others went well', async () => {
    source.onAsk = (action) => {
      if (action === 'listInstances') {
        source.onAsk = () => undefined;
        throw new BackupError('PERMISSION_DENIED', 'DescribeInstances in cn-shanghai: Forbidden.RAM');
      }
    };

    const summary = await finish({ targets: '[{ region: cn-shanghai }, { region: cn-hangzhou }]' });

    expect(summary).toMatchObject({
      status: 'partial',
      counts: { stored: 3 },
      problems: [{ code: 'PERMISSION_DENIED' }],
    });
  });

  it('starts nothing, and stays open, when the list is out of reach for a moment', async () => {
    source.onAsk = () => {
      throw new BackupError('SERVICE_ERROR', 'DescribeInstances: 503', { retryable: true });
    };
    await expect(invoke()).rejects.toMatchObject({ code: 'SERVICE_ERROR' });
    source.onAsk = () => undefined;

    expect((await finish()).status).toBe('succeeded');
  });

  it('starts nothing when the bucket cannot be used', async () => {
    const bucket: MemoryStore = {
      ...store,
      // eslint-disable-next-line require-yield
      async *list() {
        throw new BackupError('NO_SUCH_BUCKET', 'list oss://my-backups: no such bucket');
      },
    };

    await expect(invoke({ bucket })).rejects.toMatchObject({ code: 'NO_SUCH_BUCKET' });
    expect(source.backups).toHaveLength(0);
  });
});

describe('the limit of errors', () => {
  const many = Array.from({ length: 10 }, (_, index) => ({ id: `r-${index}` }));

  it('stops starting new instances beyond it; those are failed and not started', async () => {
    source = createMemorySource(clock, many);
    source.next({ fails: true });

    const summary = await finish({ plan: 'rate: { concurrency: 1, maxErrors: 2 }' });

    expect(summary.status).toBe('failed');
    const codes = summary.instances.map((result) =>
      result.status === 'failed' ? result.error.code : result.status,
    );
    expect(codes.filter((code) => code === 'BACKUP_FAILED')).toHaveLength(3);
    expect(codes.filter((code) => code === 'NOT_STARTED')).toHaveLength(7);
    expect(source.backups).toHaveLength(3);
  });

  it('as a share counts the selected instances', async () => {
    source = createMemorySource(clock, many);
    source.next({ fails: true });

    await finish({ plan: 'rate: { concurrency: 1, maxErrors: "40%" }' });

    expect(source.backups).toHaveLength(5);
  });

  it('lets those under way finish', async () => {
    source = createMemorySource(clock, many);
    source.onStart = (instance, accept) => {
      const backup = accept();
      if (instance.id === 'r-0') backup.fails = true;
      else backup.endsAtMs += HOUR;
      return { kind: 'started', jobIds: backup.jobIds };
    };

    const summary = await finish({ plan: 'rate: { concurrency: 4, maxErrors: 0 }' });

    expect(summary.counts).toEqual({ selected: 10, stored: 3, skipped: 0, failed: 7 });
  });

  it('holds after a hand-over too: what failed before counts before anything new is started', async () => {
    source = createMemorySource(clock, many);
    source.onStart = (instance, accept) => {
      const backup = accept();
      if (instance.id === 'r-0') backup.fails = true;
      if (instance.id === 'r-2') backup.endsAtMs += HOUR;
      return { kind: 'started', jobIds: backup.jobIds };
    };
    const plan = 'rate: { concurrency: 3, maxErrors: 0 }';
    expect(await invoke({ plan, deadlineMs: clock.now() + 10 * MINUTE })).toMatchObject({
      status: 'continued',
    });
    // The failure is the last of the results to be read.
    const bucket: MemoryStore = {
      ...store,
      get: async (key, stop) => {
        if (key.endsWith('/r-0/result.json')) await clock.sleep(1_000, stop);
        return store.get(key, stop);
      },
    };

    expect((await finish({ plan, bucket })).counts).toEqual({
      selected: 10,
      stored: 2,
      skipped: 0,
      failed: 8,
    });
    expect(source.backups).toHaveLength(3);
  });
});

describe('an upload', () => {
  const passing = { code: 'SOURCE_UNAVAILABLE', message: 'download: 503', retryable: true } as const;

  it('is invoked once for each instance, with all that the uploader needs', async () => {
    await finish();

    expect(uploader.ran).toHaveLength(3);
    expect(uploader.ran.find(({ instance }) => instance.id === 'r-a')).toEqual({
      runId: RUN_ID,
      plan: 'nightly',
      date: '2026-11-20',
      attempt: 1,
      destination: { region: 'cn-hangzhou', bucket: 'my-backups', prefix: 'pre/' },
      instance: {
        region: 'cn-hangzhou',
        id: 'r-a',
        name: 'r-a',
        engine: 'Redis',
        engineVersion: '7.0',
        architecture: 'standard',
        shards: 1,
      },
      backup: expect.objectContaining({ mode: 'manual', adopted: false }) as unknown,
    });
  });

  it('is tried again after a failure that may pass', async () => {
    uploader.endingOf = ({ attempt }) => (attempt < 3 ? passing : 'stored');

    expect((await finish()).status).toBe('succeeded');
    expect(
      uploader.ran.filter(({ instance }) => instance.id === 'r-a').map(({ attempt }) => attempt),
    ).toEqual([1, 2, 3]);
    expect(source.startsOf('r-a')).toBe(1);
  });

  it('is handed over from one invocation to the next as often as it gets further', async () => {
    uploader.endingOf = ({ attempt }) => (attempt < 12 ? { keptBytes: attempt * 1e9 } : 'stored');

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(36);
    expect(source.startsOf('r-a')).toBe(1);
  });

  it('is no failure when it is handed over: three may still fail between', async () => {
    uploader.endingOf = ({ attempt }) =>
      attempt === 6 ? 'stored' : attempt % 2 === 0 ? passing : { keptBytes: attempt };

    expect((await finish()).status).toBe('succeeded');
  });

  it('fails when whole invocations get no further', async () => {
    uploader.endingOf = ({ attempt }) => ({ keptBytes: Math.min(attempt, 2) * 1000 });

    const summary = await finish();

    expect(byId(summary, 'r-a')).toMatchObject({
      status: 'failed',
      error: {
        code: 'DEADLINE_NEAR',
        message: expect.stringContaining('got no further than byte 2000') as unknown,
      },
    });
    expect(uploader.ran.filter(({ instance }) => instance.id === 'r-a')).toHaveLength(5);
  });

  it('gets its share of the bandwidth of the run', async () => {
    await finish({ plan: 'rate: { bandwidth: 30MB/s, concurrency: 2 }' });

    expect(uploader.ran.map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([15e6, 15e6, 15e6]);
  });

  it('fails with its last error when no attempt succeeds', async () => {
    uploader.endingOf = () => passing;

    const summary = await finish();

    expect(byId(summary, 'r-a')).toMatchObject({ status: 'failed', error: passing });
    expect(uploader.ran).toHaveLength(9);
  });

  it('is not tried again after a failure that will not pass', async () => {
    uploader.endingOf = () => ({
      code: 'RDB_CORRUPT',
      message: 'file 1 of r-a at byte 77',
      retryable: false,
    });

    const summary = await finish();

    expect(byId(summary, 'r-a')).toMatchObject({ status: 'failed', error: { code: 'RDB_CORRUPT' } });
    expect(uploader.ran).toHaveLength(3);
  });

  it('that dies without a word is noticed long before its time limit, and tried again', async () => {
    uploader.endingOf = ({ attempt }) => (attempt === 1 ? 'dies' : 'stored');

    expect((await finish()).status).toBe('succeeded');
    expect(clock.now() - Date.parse('2026-11-20T18:00:00Z')).toBeLessThan(5 * MINUTE);
  });

  it('that always dies fails its instance', async () => {
    uploader.endingOf = () => 'dies';

    expect(byId(await finish(), 'r-a')).toMatchObject({ status: 'failed', error: { code: 'INVOKE_FAILED' } });
  });

  it('that dies after its manifest has stored the backup', async () => {
    uploader.endingOf = () => 'dies after the manifest';

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(3);
  });

  it('that nobody could take for a moment is tried again', async () => {
    uploader.onInvoke = ({ instance, attempt }) => {
      if (instance.id === 'r-b' && attempt < 3)
        throw new BackupError('THROTTLED', 'invoke uploader: 429', { retryable: true });
    };

    expect((await finish()).status).toBe('succeeded');
  });

  it('is waited for also while the bucket cannot be listed for some minutes', async () => {
    uploader.durationMs = 3 * MINUTE;
    const bucket: MemoryStore = {
      ...store,
      list: (prefix, stop) => {
        const minutes = (clock.now() - Date.parse('2026-11-20T18:00:00Z')) / MINUTE;
        if (minutes > 1 && minutes < 12)
          throw new BackupError('SERVICE_ERROR', 'list oss://my-backups: 503', { retryable: true });
        return store.list(prefix, stop);
      },
    };

    expect((await finish({ bucket })).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(3);
  });

  it('that cannot be invoked fails its instance', async () => {
    uploader.onInvoke = ({ instance }) => {
      if (instance.id === 'r-b') throw new BackupError('PERMISSION_DENIED', 'invoke uploader: 403');
    };

    const summary = await finish();

    expect(summary.status).toBe('partial');
    expect(byId(summary, 'r-b')).toMatchObject({ error: { code: 'PERMISSION_DENIED' } });
  });
});

describe('an uploader of which the platform tells nothing', () => {
  const START = Date.parse('2026-11-20T18:00:00Z');
  beforeEach(() => {
    source = createMemorySource(clock, [{ id: 'r-a' }]);
    uploader.state = async () => 'unknown';
  });

  it('is waited for as long as it gives signs of life', async () => {
    uploader.durationMs = 55 * MINUTE;

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(1);
  });

  it('is dead some minutes after its last sign of life, and another one goes on', async () => {
    uploader.endingOf = ({ attempt }) => (attempt === 1 ? 'dies' : 'stored');
    uploader.durationMs = 10 * MINUTE;

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(clock.now() - START).toBeLessThan(27 * MINUTE);
  });

  it('is dead when it never gave one, though not before others could have been ahead of it in the queue', async () => {
    uploader.beatEveryMs = 0;
    uploader.endingOf = () => 'dies';

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: {
        code: 'INVOKE_FAILED',
        message: 'upload r-a with uploader 3: it gave no sign of life within 30 min',
      },
    });
    expect(uploader.ran).toHaveLength(3);
    expect(clock.now() - START).toBeGreaterThan(90 * MINUTE);
    expect(clock.now() - START).toBeLessThan(95 * MINUTE);
  });

  it('fails its instance by name when all of them fall silent', async () => {
    uploader.endingOf = () => 'dies';

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: {
        code: 'INVOKE_FAILED',
        message: 'upload r-a with uploader 3: it gave no sign of life for 4 min',
        hint: expect.stringContaining("uploader's log") as string,
      },
    });
  });

  it('that works on in silence has stored the backup all the same', async () => {
    uploader.beatEveryMs = Infinity;
    uploader.durationMs = 6 * MINUTE;

    expect((await finish()).status).toBe('succeeded');
  });

  it('is noticed as dead also by orchestrators that each live for less than its silence has to last', async () => {
    uploader.endingOf = ({ attempt }) => (attempt === 1 ? 'dies' : 'stored');
    let result: Summary | Continued;
    do result = await invoke({ deadlineMs: clock.now() + 2 * MINUTE });
    while (result.status === 'continued');

    expect(result.status).toBe('succeeded');
    expect(uploader.ran.map(({ attempt }) => attempt)).toEqual([1, 2]);
    expect(clock.now() - START).toBeLessThan(10 * MINUTE);
  });

  it('is not dead to an orchestrator that looks again after a long pause, as long as it works', async () => {
    uploader.durationMs = 50 * MINUTE;
    const killed = new AbortController();
    const first = invoke({ stop: killed.signal }).catch(() => undefined);
    await clock.sleep(20 * MINUTE, signal);
    killed.abort();
    await first;
    await clock.sleep(10 * MINUTE, signal);

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(1);
  });

  it('is not taken for dead because the platform could not be asked for a moment', async () => {
    uploader.beatEveryMs = 0; // in the queue all the time, as far as the bucket shows
    uploader.durationMs = 50 * MINUTE;
    uploader.state = async () => (clock.now() - START > 45 * MINUTE ? 'unknown' : 'alive');

    expect((await finish()).status).toBe('succeeded');
    expect(uploader.ran).toHaveLength(1);
  });

  it('and that is called alive for ever is given up at its time limit', async () => {
    uploader.endingOf = () => 'dies';
    uploader.state = async () => 'alive';

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: { code: 'INVOKE_FAILED', message: expect.stringContaining('within 1 h') as string },
    });
    expect(clock.now() - START).toBeGreaterThan(3 * HOUR);
  });
});

describe('a claim of success', () => {
  it('counts for nothing without a manifest', async () => {
    uploader.endingOf = () => 'lies';

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: { code: 'BACKUP_DAMAGED' },
    });
  });

  it.each([
    ['of another run', { runId: '20260101T000000Z-nightly' }, 'the run is 20260101T000000Z-nightly'],
    ['that lacks a shard', { instance: { shards: 3 } }, 'the number of files is 1 and should be 3'],
    ['that nothing checked', { level: 'stored' as const }, 'the level is only stored'],
  ])('counts for nothing with a manifest %s', async (_what, changes, message) => {
    if ('instance' in changes) source.put({ id: 'r-a', architecture: 'cluster', shards: 3 });
    uploader.distort = (manifest) => ({
      ...manifest,
      ...changes,
      instance: manifest.instance,
      files: manifest.files.slice(0, 1),
    });

    const summary = await finish({ instances: ['r-a'] });

    expect(summary.instances).toMatchObject([
      {
        status: 'failed',
        error: { code: 'BACKUP_DAMAGED', message: expect.stringContaining(message) as string },
      },
    ]);
  });

  it('counts for nothing with a manifest of shards that cannot be of one moment', async () => {
    source.put({ id: 'r-a', architecture: 'cluster', shards: 3 });
    uploader.distort = (manifest) => ({
      ...manifest,
      files: manifest.files.map((file) => ({
        ...file,
        rdb: { ...file.rdb, keys: 1, slots: { seen: 1, ranges: '77' }, digest: `${file.shard}`.repeat(32) },
      })),
    });

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: {
        code: 'BACKUP_DAMAGED',
        message: expect.stringContaining('slot 77 has keys both in hins0_data.rdb (shard 0)') as string,
      },
    });
  });

  it.each([
    ['is gone', (key: string) => void store.objects.delete(key), 'is not there'],
    ['is shorter', (key: string) => void store.objects.set(key, Buffer.from('REDIS')), 'has 5 bytes'],
    [
      'has other bytes',
      (key: string) =>
        void store.objects.set(key, Buffer.from(String(store.objects.get(key)).replace('shard', 'sharD'))),
      'has the CRC-64',
    ],
  ])('counts for nothing when a file %s', async (_what, damage, message) => {
    uploader.distort = (manifest) => {
      damage(manifest.files[0]?.key ?? '');
      return manifest;
    };

    expect(byId(await finish(), 'r-a')).toMatchObject({
      status: 'failed',
      error: { code: 'BACKUP_DAMAGED', message: expect.stringContaining(message) as string },
    });
  });
});

describe('the error of a run', () => {
  it('of five hundred failures stays short, names them, and ends in a summary that can be read', async () => {
    const long = `back up: ${'the service answered nonsense '.repeat(40)}`;
    source = createMemorySource(
      clock,
      Array.from({ length: 500 }, (_, index) => ({ id: `r-bp1zzzzzzzzzzz${index}` })),
    );
    source.onStart = () => {
      throw new BackupError('SERVICE_ERROR', long);
    };

    const { message } = toRunError(await finish({ plan: 'rate: { concurrency: 100 }' }));

    expect(message.length).toBeLessThan(16_000);
    expect(message).toContain('r-bp1zzzzzzzzzzz0 SERVICE_ERROR (back up: the service');
    expect(message).toContain('and 485 more');
    expect(JSON.parse(message.slice(message.indexOf(' {"runId"')))).toMatchObject({
      runId: RUN_ID,
      counts: { selected: 500, failed: 500 },
    });
  });
});

describe('a dry run', () => {
  it('says what would be done, and changes nothing', async () => {
    source.put({ id: 'r-b', noBackup: 'single-node instances have no backups' });

    const summary = await finish({ dryRun: true });

    expect(summary).toMatchObject({
      status: 'succeeded',
      dryRun: true,
      counts: { selected: 3, stored: 0, skipped: 1 },
    });
    expect(summary.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual([
      ['r-a', 'selected'],
      ['r-b', 'skipped'],
      ['r-c', 'selected'],
    ]);
    expect(store.objects.size).toBe(0);
    expect(source.backups).toHaveLength(0);
    expect(uploader.ran).toHaveLength(0);
  });

  it('of nothing fails like the run would', async () => {
    const summary = await finish({ dryRun: true, targets: '[{ region: cn-beijing }]' });

    expect(toRunError(summary).code).toBe('NOTHING_SELECTED');
  });
});

describe('the same event again', () => {
  it('after the end gives the stored summary, without any new work', async () => {
    source.next({ fails: true });
    const first = await finish();
    source.next({});
    clock.skip(HOUR);

    expect(await finish()).toEqual(first);
    expect(source.backups).toHaveLength(3);
  });

  it('at the same time shares the work: one backup and one upload of each instance', async () => {
    const [first, second] = await Promise.all([finish(), finish()]);

    expect(first).toEqual(second);
    expect(first.status).toBe('succeeded');
    for (const id of ['r-a', 'r-b', 'r-c']) {
      expect(source.startsOf(id)).toBe(1);
      expect(uploader.ran.filter(({ instance }) => instance.id === id)).toHaveLength(1);
    }
  });
});

describe('a run that is asked for some instances', () => {
  it('is not widened to the whole plan by whoever goes on with it', async () => {
    const quick = source;
    source = {
      ...quick,
      listInstances: async function* (query, stop) {
        await clock.sleep(HOUR, stop);
        yield* quick.listInstances(query, stop);
      },
    };
    await invoke({ instances: ['r-b'], deadlineMs: clock.now() + 10 * MINUTE });
    source = quick;

    const summary = await finish({ isNamed: true });

    expect(summary.instances.map(({ instanceId }) => instanceId)).toEqual(['r-b']);
  });

  it.each<[string, Wanted, Wanted, string]>([
    ['others', { instances: ['r-a'] }, { instances: ['r-b'] }, 'for r-b: it was begun for r-a'],
    ['the whole plan', { instances: ['r-a'] }, {}, 'for the whole plan: it was begun for r-a'],
    ['only some', {}, { instances: ['r-a'] }, 'for r-a: it was begun for the whole plan'],
  ])('does not answer for %s that are asked for in the same second', async (_what, one, other, message) => {
    const [first, second] = await Promise.allSettled([finish(one), finish(other)]);

    expect(first.status).toBe('fulfilled');
    expect(second).toMatchObject({
      status: 'rejected',
      reason: { code: 'CONFIG_INVALID', message: expect.stringContaining(message) as string },
    });
    await expect(finish(other)).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
  });

  it('is one run with another that asks for the same in the same second', async () => {
    const [first, second] = await Promise.all([
      finish({ instances: ['r-b', 'r-a'] }),
      finish({ instances: ['r-a', 'r-b'] }),
    ]);

    expect(first).toEqual(second);
    expect(source.backups).toHaveLength(2);
  });
});

describe('an orchestrator that is killed', () => {
  it('is followed by one that repeats nothing, whichever request was its last', async () => {
    for (let requests = 1; ; requests++) {
      clock = createVirtualClock('2026-11-20T18:00:00Z');
      store = createMemoryStore();
      source = createMemorySource(clock, [{ id: 'r-a' }, { id: 'r-b' }]);
      uploader = createMemoryUploader(store, clock);
      const killed = new AbortController();
      let made = 0;

      const first = await invoke({
        stop: killed.signal,
        bucket: dying(store, killed, () => ++made >= requests),
      }).catch((error: unknown) => error);
      const summary = await finish();

      expect(summary).toMatchObject({ status: 'succeeded', counts: { stored: 2 } });
      expect(source.backups).toHaveLength(2);
      expect(uploader.ran).toHaveLength(2);
      if (!killed.signal.aborted) {
        expect(first).toEqual(summary);
        expect(requests).toBeGreaterThan(25);
        return;
      }
    }
  });

  /** A bucket whose user dies with its last request, every other time after that one has arrived. */
  function dying(under: MemoryStore, killed: AbortController, isLast: () => boolean): MemoryStore {
    const die = (): void => killed.abort(new BackupError('INTERRUPTED', 'killed'));
    return {
      ...under,
      get: async (key, stop) => {
        if (isLast()) die();
        return under.get(key, stop);
      },
      create: async (key, body, type, stop) => {
        if (isLast()) die();
        const result = await under.create(key, body, type, stop);
        if (isLast()) die();
        stop.throwIfAborted();
        return result;
      },
    };
  }
});

describe('the deadline', () => {
  it('is not waited for: the run is handed over, and the next invocation goes on', async () => {
    source.durationMs = 20 * MINUTE;
    const handedOver = await invoke({ deadlineMs: clock.now() + 10 * MINUTE });

    expect(handedOver).toEqual({ status: 'continued', runId: RUN_ID });
    expect(clock.now() - Date.parse('2026-11-20T18:00:00Z')).toBe(9 * MINUTE);
    expect(hops).toEqual([{ event: { plan: 'nightly', runId: RUN_ID }, taskId: `t-${RUN_ID}-hop-1` }]);

    expect(await invoke({ deadlineMs: clock.now() + 10 * MINUTE })).toMatchObject({ status: 'continued' });
    expect(hops[1]?.taskId).toBe(`t-${RUN_ID}-hop-2`);
    const summary = await finish({ deadlineMs: clock.now() + 10 * MINUTE });

    expect(summary.status).toBe('succeeded');
    expect(source.backups).toHaveLength(3);
    expect(uploader.ran).toHaveLength(3);
  });

  it('hands over also while the instances are still being listed', async () => {
    const quick = source;
    source = {
      ...quick,
      listInstances: async function* (query, stop) {
        await clock.sleep(HOUR, stop);
        yield* quick.listInstances(query, stop);
      },
    };
    expect(await invoke({ deadlineMs: clock.now() + 10 * MINUTE })).toMatchObject({ status: 'continued' });
    source = quick;

    expect((await finish()).status).toBe('succeeded');
  });

  it('is not in the way of a run that ends before', async () => {
    await finish({ deadlineMs: clock.now() + HOUR });

    expect(hops).toHaveLength(0);
    expect(clock.now() - Date.parse('2026-11-20T18:00:00Z')).toBeLessThan(10 * MINUTE);
  });

  it('cannot be handed over for ever: after two hundred invocations what is not finished has failed', async () => {
    source.next({ endsAtMs: Infinity });
    let result: Summary | Continued;
    let invocations = 0;
    do {
      result = await invoke({ plan: 'backup: { timeoutMinutes: 1440 }', deadlineMs: clock.now() + 3_000 });
      invocations++;
    } while (result.status === 'continued');

    expect(invocations).toBe(201);
    expect(result).toMatchObject({ status: 'failed', counts: { failed: 3 } });
    expect(byId(result, 'r-a')).toMatchObject({ error: { code: 'DEADLINE_NEAR' } });
  });
});

describe('trying the failed instances again', () => {
  it('takes those that failed and leaves the stored ones alone', async () => {
    uploader.endingOf = ({ instance }) =>
      instance.id === 'r-b' ? { code: 'UPLOAD_FAILED', message: 'part 3', retryable: false } : 'stored';
    const first = await finish();
    uploader.endingOf = () => 'stored';
    source.put({ id: 'r-new' });

    const second = await finish({ retryFailed: true });

    expect(first.status).toBe('partial');
    expect(second).toMatchObject({ status: 'succeeded', counts: { selected: 3, stored: 3 } });
    expect(byId(second, 'r-a')).toEqual(byId(first, 'r-a'));
    expect(uploader.ran.map(({ instance, attempt }) => `${instance.id} ${attempt}`).sort()).toEqual([
      'r-a 1',
      'r-b 1',
      'r-b 1001',
      'r-c 1',
    ]);
    expect(source.startsOf('r-b')).toBe(1);
    expect(uploader.ran.at(-1)?.backup.adopted).toBe(false);
  });

  it.each([
    ['was damaged', 'RDB_CORRUPT', 'at byte 9'],
    ['was torn between its shards', 'SHARDS_DISAGREE', 'slot 7 has keys both in …'],
  ] as const)('makes a new backup when the old one %s', async (_what, code, message) => {
    uploader.endingOf = ({ attempt }) => (attempt === 1 ? { code, message, retryable: false } : 'stored');
    await finish({ instances: ['r-a'] });

    expect((await finish({ retryFailed: true, instances: ['r-a'] })).status).toBe('succeeded');
    expect(source.startsOf('r-a')).toBe(2);
  });

  it('names the backup that is stored, also when an earlier uploader came to life and stored another', async () => {
    source.durationMs = MINUTE;
    uploader.endingOf = () => ({ code: 'UPLOAD_FAILED', message: 'part 3', retryable: false });
    await finish({ instances: ['r-a'] });
    uploader.endingOf = () => 'stored';
    const [request] = uploader.ran;
    if (request !== undefined) await uploader.invoke({ ...request, attempt: 77 }, signal);
    clock.skip(HOUR);
    source.plant({ instanceId: 'r-a', startedAtMs: clock.now() - 10 * MINUTE });

    const second = await finish({ retryFailed: true, instances: ['r-a'] });

    expect(byId(second, 'r-a')).toMatchObject({ status: 'stored', backupId: request?.backup.ids.join() });
  });

  it('gives the newest summary from then on, also to the plain event', async () => {
    source.next({ fails: true });
    const first = await finish();
    source.next({});
    clock.skip(HOUR);
    const second = await finish({ retryFailed: true });

    expect(first.status).toBe('failed');
    expect(second.status).toBe('succeeded');
    expect(await finish()).toEqual(second);
    expect(await finish({ retryFailed: true })).toEqual(second);
    expect(storedSummary()).toEqual(first);
  });

  it('happens once for one event, however often the platform delivers it because it did not succeed', async () => {
    source.next({ fails: true });
    await finish({ requestId: 'first' });
    const second = await finish({ retryFailed: true, requestId: 'second' });

    expect(await finish({ retryFailed: true, requestId: 'second' })).toEqual(second);
    expect(source.startsOf('r-a')).toBe(2);

    await finish({ retryFailed: true, requestId: 'third' });
    expect(source.startsOf('r-a')).toBe(3);
  });

  it('can be asked for one of them', async () => {
    source.next({ fails: true });
    await finish();
    source.next({});
    clock.skip(HOUR);

    const second = await finish({ retryFailed: true, instances: ['r-b'] });

    expect(second).toMatchObject({ status: 'partial', counts: { selected: 3, stored: 1, failed: 2 } });
  });

  it.each<[string, Wanted, object]>([
    ['an unlisted region', { targets: '[{ region: cn-shanghai }, { region: cn-hangzhou }]' }, {}],
    ['a target that took nothing', { targets: '[{ region: cn-hangzhou }, { region: cn-beijing }]' }, {}],
  ])('for one of them leaves the run as incomplete as it was for %s', async (_what, wanted) => {
    source.onAsk = (action) => {
      if (action !== 'listInstances') return;
      source.onAsk = () => undefined;
      if (wanted.targets?.includes('shanghai') === true)
        throw new BackupError('PERMISSION_DENIED', 'DescribeInstances in cn-shanghai: Forbidden.RAM');
    };
    uploader.endingOf = ({ instance }) =>
      instance.id === 'r-b' ? { code: 'UPLOAD_FAILED', message: 'part 3', retryable: false } : 'stored';
    const first = await finish(wanted);
    uploader.endingOf = () => 'stored';

    const second = await finish({ ...wanted, retryFailed: true, instances: ['r-b'] });

    expect(first.problems).toHaveLength(1);
    expect(second).toMatchObject({
      status: 'partial',
      counts: { selected: 3, stored: 3 },
      problems: first.problems,
    });
  });

  it('for instances that the run is not about opens nothing: the run stays as it ended', async () => {
    source.next({ fails: true });
    const first = await finish({ instances: ['r-a'] });
    source.next({});

    await expect(finish({ retryFailed: true, instances: ['r-b'] })).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });

    expect(await finish({ isNamed: true })).toEqual(first);
    expect(source.backups).toHaveLength(1);
  });

  it('for one of them, delivered again, gives the summary that it ended in', async () => {
    source.next({ fails: true });
    await finish();
    const wanted = { retryFailed: true, instances: ['r-b'], isNamed: true, requestId: 'second' };
    const second = await finish(wanted);

    expect(await finish(wanted)).toEqual(second);
    expect(source.startsOf('r-b')).toBe(2);
  });

  it('needs a run to try again', async () => {
    await expect(invoke({ retryFailed: true })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    expect(store.objects.size).toBe(0);
  });
});
