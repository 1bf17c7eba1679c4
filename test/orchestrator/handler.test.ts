/** The built functions in the emulated cloud: a timer's event in, verified backups in the bucket out. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, InstanceSpec, World } from '../../emulator/world.ts';
import { composeCloud, composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import type { BackupError } from '../../functions/core/errors.ts';
import type { FunctionClient } from '../../functions/core/invoker.ts';
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import { writeShardFiles } from '../doubles/shard-file.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { leastRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const DIST = join(__dirname, '..', '..', 'dist');
const RDB = join(__dirname, '..', 'fixtures', 'rdb');

const file = (name: string): string => join(RDB, name);
/** @param folder for the files of shards */
const instancesIn = (folder: string): readonly InstanceSpec[] => [
  { region: REGION, id: 'r-standard', name: 'prod-a', rdbFiles: [file('gen__gen-redis7.0.15.rdb')] },
  {
    region: REGION,
    id: 'r-cluster',
    name: 'prod-b',
    architecture: 'cluster',
    shards: 2,
    rdbFiles: writeShardFiles(folder, 2),
  },
  {
    region: REGION,
    id: 'r-elder',
    name: 'prod-c',
    architecture: 'cluster',
    deployment: 'classic',
    jobPerShard: true,
    shards: 2,
    rdbFiles: writeShardFiles(folder, 2, { name: 'elder', tag: 'elder' }),
  },
  {
    region: REGION,
    id: 'r-single',
    name: 'prod-d',
    nodes: 'single',
    rdbFiles: [file('gen__gen-redis7.2.6.rdb')],
  },
  { region: REGION, id: 'r-unplanned', name: 'test-a', rdbFiles: [file('gen__gen-redis7.2.6.rdb')] },
];

describe('the orchestrator as a function', () => {
  const { signal } = new AbortController();
  let folder: string;
  let emulator: Emulator;
  let functions: FunctionClient;
  let store: ObjectStore;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-orchestrator-'));
    const plansPath = join(folder, 'plans.yaml');
    await writeFile(
      plansPath,
      `plans:
  nightly:
    targets: [{ region: ${REGION}, name: "prod-*" }]
    destination: { region: ${REGION}, bucket: ${BUCKET}, prefix: "redis/" }
`,
    );
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: instancesIn(folder),
      functions: (world) => functionsOf(world, plansPath),
    });
    const environment = readEnvironment(emulator.environment);
    const platform = { region: REGION, accountId: emulator.world.accountId, credentials: emulator.accessKey };
    functions = composeFunctions(environment, platform)('orchestrator');
    store = composeCloud(environment, platform).storeFor({ region: REGION, bucket: BUCKET, prefix: '' });
  });
  afterEach(async () => {
    await emulator.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const call = async (event: unknown, name = 'orchestrator'): Promise<Summary> =>
    JSON.parse(
      (await functions.call(name, Buffer.from(JSON.stringify(event)), signal)).toString(),
    ) as Summary;
  const keys = async (): Promise<readonly string[]> => {
    const found: string[] = [];
    for await (const { key } of store.list('', signal)) found.push(key);
    return found;
  };
  const created = (id: string): number =>
    emulator.world.journal.entries({ service: 'tair', action: 'CreateBackup', target: id }).length;

  it('turns a timer event into verified backups by few requests, and the same event into the same summary', async () => {
    await emulator.fc.fireTimer('orchestrator', 'every-night');
    await emulator.fc.whenIdle();

    const summaryKey = (await keys()).find((key) => key.endsWith('/summary.json')) ?? '';
    const summary = JSON.parse((await store.get(summaryKey, signal))?.toString() ?? '{}') as Summary;
    expect(summary).toMatchObject({
      plan: 'nightly',
      status: 'succeeded',
      counts: { selected: 4, stored: 3, skipped: 1, failed: 0 },
    });
    expect(summary.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual([
      ['r-cluster', 'stored'],
      ['r-elder', 'stored'],
      ['r-single', 'skipped'],
      ['r-standard', 'stored'],
    ]);
    const manifests = (await keys()).filter((key) => key.endsWith('/manifest.json'));
    expect(manifests).toHaveLength(3);
    expect(manifests.every((key) => key.startsWith('redis/Backup_r-'))).toBe(true);

    for (const id of ['r-standard', 'r-cluster', 'r-elder']) {
      const asked = emulator.world.journal
        .entries({ service: 'tair', target: id })
        .map(({ action }) => action);
      expect({ id, asked: asked.length, isFew: asked.length < 10 }).toMatchObject({ isFew: true });
    }

    expect(await call({ plan: 'nightly', runId: summary.runId })).toEqual(summary);
    expect(['r-standard', 'r-cluster', 'r-elder', 'r-single'].map(created)).toEqual([1, 1, 1, 0]);
    expect(emulator.fc.invocations('uploader')).toHaveLength(3);
  });

  it('rehearses without a trace', async () => {
    const summary = await call({ plan: 'nightly', dryRun: true });

    expect(summary.counts).toEqual({ selected: 4, stored: 0, skipped: 1, failed: 0 });
    expect(await keys()).toEqual([]);
    expect(emulator.world.journal.entries({ service: 'tair', action: 'CreateBackup' })).toEqual([]);
  });

  it('ends in an error that carries the summary when an instance fails', async () => {
    emulator.tair.failNextBackup('r-cluster');

    const error = await call({ plan: 'nightly' }).catch((thrown: unknown) => thrown as BackupError);

    expect(error).toMatchObject({
      code: 'INVOKE_FAILED',
      details: { errorType: 'UnhandledInvocationError' },
    });
    const { message } = error as BackupError;
    expect(message).toContain('RUN_INCOMPLETE');
    expect(message).toContain('r-cluster BACKUP_FAILED');
    expect(message).toContain('"counts":{"selected":4,"stored":2,"skipped":1,"failed":1}');
    const [event] = emulator.cms.events();
    expect(event).toMatchObject({
      name: 'tairlift:run-partial',
      raisedBy: expect.stringContaining(':assumed-role/orchestrator/') as string,
    });
    expect(JSON.parse(event?.content ?? '{}')).toMatchObject({
      function: 'orchestrator',
      plan: 'nightly',
      failed: ['r-cluster BACKUP_FAILED'],
    });
    expect(emulator.cms.events()).toHaveLength(1);
  });

  it.each([
    ['may not be told', { kind: 'error', status: 403, code: 'NoPermission' }],
    ['is down', { kind: 'reset' }],
  ] as const)('ends in the same error where CloudMonitor %s', async (_what, effect) => {
    emulator.world.faults.add({ service: 'cms', times: -1, effect });
    const event = { plan: 'nightly', runId: '20261120T180000Z-nightly', instances: ['r-single', 'r-gone'] };

    await expect(call(event)).rejects.toMatchObject({
      message: expect.stringContaining('r-gone INSTANCE_NOT_FOUND') as string,
    });

    expect(emulator.cms.events()).toEqual([]);
    emulator.world.faults.clear();
    await expect(call(event)).rejects.toMatchObject({
      message: expect.stringContaining('r-gone INSTANCE_NOT_FOUND') as string,
    });
    expect(emulator.cms.events().map(({ name }) => name)).toEqual(['tairlift:run-failed']);
  });

  it('hands a run over to itself before its deadline, and the last invocation reports', async () => {
    const release = emulator.tair.holdBackup('r-standard');
    const event = { plan: 'nightly', runId: '20261120T180000Z-nightly', instances: ['r-standard'] };
    const first = await call(event, 'hasty-orchestrator');
    release();
    await emulator.fc.whenIdle();

    expect(first).toEqual({ status: 'continued', runId: '20261120T180000Z-nightly' });
    const stored = await store.get('redis/.tairlift/runs/20261120T180000Z-nightly/summary.json', signal);
    expect(JSON.parse(stored?.toString() ?? '{}')).toMatchObject({
      status: 'succeeded',
      counts: { stored: 1 },
    });
    expect(created('r-standard')).toBe(1);
  });

  it('is resumed by the platform when it is killed, and repeats nothing', async () => {
    const release = emulator.tair.holdBackup('r-standard');
    await emulator.fc.fireTimer('orchestrator', 'every-night');
    const held = (): boolean => created('r-standard') > 0;
    const others = (): boolean => emulator.fc.invocations('uploader').length === 2;
    while (!held() || !others()) await new Promise((resolve) => setTimeout(resolve, 20));

    expect(emulator.fc.killRunning('orchestrator')).toBe(1);
    release();
    await emulator.fc.whenIdle();

    const [summaryKey = ''] = (await keys()).filter((key) => key.endsWith('/summary.json'));
    expect(JSON.parse((await store.get(summaryKey, signal))?.toString() ?? '{}')).toMatchObject({
      status: 'succeeded',
      counts: { selected: 4, stored: 3 },
    });
    expect(emulator.fc.invocations('orchestrator')).toHaveLength(2);
    expect(['r-standard', 'r-cluster', 'r-elder'].map(created)).toEqual([1, 1, 1]);
    expect(emulator.fc.invocations('uploader')).toHaveLength(3);
  });

  it('gives an instance one backup and one upload when its event is delivered twice', async () => {
    const event = { plan: 'nightly', runId: '20261120T180000Z-nightly' };

    const [first, second] = await Promise.all([call(event), call(event)]);

    expect(first.status).toBe('succeeded');
    expect(second).toEqual(first);
    expect(['r-standard', 'r-cluster', 'r-elder'].map(created)).toEqual([1, 1, 1]);
    expect(emulator.fc.invocations('uploader')).toHaveLength(3);
  });

  it.each([
    ['an event that is not JSON', 'nightly', 'the event is not JSON'],
    ['an unknown plan', '{"plan":"nihgtly"}', 'did you mean "nightly"'],
    ['a misspelt field', '{"plan":"nightly","dryrun":true}', 'did you mean "dryRun"'],
  ])('answers %s with one clear error, and does nothing', async (_what, event, message) => {
    await expect(functions.call('orchestrator', Buffer.from(event), signal)).rejects.toMatchObject({
      message: expect.stringContaining(message) as string,
    });
    expect(emulator.world.journal.entries({ service: 'tair' })).toEqual([]);
    expect(emulator.world.journal.entries({ service: 'oss' })).toEqual([]);
  });
});

function functionsOf(world: World, plansPath: string): readonly FunctionSpec[] {
  // The functions of these tests have names of their own; `hasty-orchestrator` has the orchestrator's role.
  const place = {
    region: REGION,
    bucket: BUCKET,
    prefix: 'redis/',
    orchestrator: '*orchestrator',
    uploader: 'uploader',
  };
  const environment = {
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
  };
  const orchestrator = {
    region: REGION,
    codeFolder: join(DIST, 'orchestrator'),
    memoryMb: 512,
    timeoutSeconds: 300,
    role: leastRole(world, 'orchestrator', place),
    environment: { ...environment, TAIRLIFT_UPLOADER: 'uploader', TAIRLIFT_PLANS: plansPath },
  };
  return [
    {
      ...orchestrator,
      name: 'orchestrator',
      timers: [{ name: 'every-night', cron: '0 0 18 * * *', payload: '{"plan":"nightly"}' }],
    },
    { ...orchestrator, name: 'hasty-orchestrator', timeoutSeconds: 4 },
    {
      name: 'uploader',
      region: REGION,
      codeFolder: join(DIST, 'uploader'),
      memoryMb: 512,
      timeoutSeconds: 300,
      maxAsyncRetryAttempts: 0,
      role: leastRole(world, 'uploader', place),
      environment,
    },
  ];
}
