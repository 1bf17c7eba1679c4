/** The built functions in the emulated cloud, and real servers beside it: their plan, their backups, their troubles. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { parseManifest, type Manifest } from '../../functions/core/repository/manifest.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import {
  copiesGiven,
  expectOneMoment,
  fill,
  openServers,
  until,
  writeInto,
  type Servers,
} from '../redis/servers.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const DIST = join(__dirname, '..', '..', 'dist');
const RUN = '20261120T180000Z-nightly';
const SECRET = 'correct-horse-battery';
const { signal } = new AbortController();

describe('self-managed servers', () => {
  let folder: string;
  let servers: Servers;
  let emulator: Emulator;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-self-managed-'));
    servers = await openServers();
  });
  afterEach(async () => {
    await emulator.stop();
    await servers.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function startWith(targets: readonly string[], timeoutSeconds = 120): Promise<void> {
    const plansPath = join(folder, 'plans.yaml');
    await writeFile(
      plansPath,
      `plans:\n  nightly:\n    targets:\n${targets.map((target) => `      - ${target}\n`).join('')}    destination: { region: ${REGION}, bucket: ${BUCKET}, prefix: "" }\n`,
    );
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: [],
      functions: (world) => functionsOf(world, plansPath, timeoutSeconds),
    });
  }

  async function run(): Promise<Summary> {
    const environment = readEnvironment(emulator.environment);
    const platform = { region: REGION, accountId: emulator.world.accountId, credentials: emulator.accessKey };
    const functions = composeFunctions(environment, platform)('orchestrator');
    const event = Buffer.from(JSON.stringify({ plan: 'nightly', runId: RUN }));
    return JSON.parse((await functions.call('orchestrator', event, signal)).toString()) as Summary;
  }

  const keys = (): readonly string[] => emulator.oss.list(BUCKET).map(({ key }) => key);

  async function manifestOf(id: string): Promise<Manifest> {
    const key = `Backup_${id}/2026-11-20/${RUN}/manifest.json`;
    return parseManifest(await emulator.oss.read(BUCKET, key), key);
  }

  async function expectNoSecrets(): Promise<void> {
    for (const key of keys().filter((name) => name.endsWith('.json')))
      expect((await emulator.oss.read(BUCKET, key)).toString()).not.toContain(SECRET);
    const logs = [...emulator.fc.invocations('uploader'), ...emulator.fc.invocations('orchestrator')];
    expect(logs.length).toBeGreaterThan(0);
    expect(JSON.stringify(logs)).not.toContain(SECRET);
  }

  it('are backed up by a run like any other instance, one of them a cluster, while they are written to', async () => {
    const orders = await servers.start();
    await fill(orders);
    const nodes = await servers.startCluster(2);
    await orders.client.call(
      'ACL',
      'SETUSER',
      'backup',
      'on',
      `>${SECRET}`,
      '+psync',
      '+replconf',
      '+ping',
      '+info',
    );
    await startWith([
      `{ redis: "redis://127.0.0.1:${orders.port}", id: orders, username: backup, passwordFrom: ORDERS_PASSWORD }`,
      `{ redis: "redis://127.0.0.1:${nodes[0]?.port}", id: sessions }`,
    ]);
    const writers = [
      writeInto(orders),
      ...nodes.map((node, index) => writeInto(node, ['{b}', '{a}'][index])),
    ];
    await until(() => writers.every((writer) => writer.written() > 20));

    const summary = await run();
    await Promise.all(writers.map(async (writer) => writer.stop()));

    expect(summary).toMatchObject({
      status: 'succeeded',
      counts: { selected: 2, stored: 2, skipped: 0, failed: 0 },
      instances: [
        { region: 'self-managed', instanceId: 'orders', files: 1, level: 'parsed' },
        { region: 'self-managed', instanceId: 'sessions', files: 2, level: 'parsed' },
      ],
    });
    const one = await manifestOf('orders');
    const loaded = await servers.load(await emulator.oss.read(BUCKET, one.files[0]?.key ?? ''));
    expect(await expectOneMoment(loaded)).toBeGreaterThan(20);
    const both = await manifestOf('sessions');
    for (const [index, file] of both.files.entries()) {
      const shard = await servers.load(await emulator.oss.read(BUCKET, file.key));
      expect(await expectOneMoment(shard, ['{b}', '{a}'][index])).toBeGreaterThan(20);
    }
    expect(await Promise.all([orders, ...nodes].map(copiesGiven))).toEqual([1, 1, 1]);
    expect(emulator.oss.uploads(BUCKET)).toEqual([]);
    await expectNoSecrets();

    // Delivered again, it is the same run: nothing is pulled a second time.
    expect(await run()).toEqual(summary);
    expect(await copiesGiven(orders)).toBe(1);
  });

  it('end in one good backup when the uploader is killed in the middle of a pull', async () => {
    const orders = await servers.start();
    await fill(orders);
    const writer = writeInto(orders);
    await until(() => writer.written() > 20);
    // Microseconds for each key: the snapshot takes its time.
    await orders.client.config('SET', 'rdb-key-save-delay', '200');
    await startWith([`{ redis: "redis://127.0.0.1:${orders.port}", id: orders }`]);

    const running = run();
    await until(() => emulator.world.journal.entries({ service: 'oss', action: 'UploadPart' }).length > 0);
    await orders.client.config('SET', 'rdb-key-save-delay', '0');
    expect(emulator.fc.killRunning('uploader')).toBe(1);
    const summary = await running;
    await writer.stop();

    expect(summary).toMatchObject({ status: 'succeeded', counts: { stored: 1 } });
    const files = keys().filter((key) => key.startsWith('Backup_orders/'));
    expect(files).toEqual([
      `Backup_orders/2026-11-20/${RUN}/manifest.json`,
      expect.stringMatching(/orders_0_\d{8}T\d{6}Z_2\.rdb$/),
    ]);
    const manifest = await manifestOf('orders');
    const loaded = await servers.load(await emulator.oss.read(BUCKET, manifest.files[0]?.key ?? ''));
    expect(await expectOneMoment(loaded)).toBeGreaterThan(20);
    expect(emulator.oss.uploads(BUCKET)).toEqual([]);
    expect(await copiesGiven(orders)).toBe(2);
  });

  it('fail by name when they refuse, and do not stop the others', async () => {
    const orders = await servers.start();
    const closed = await servers.start();
    await closed.client.call('ACL', 'SETUSER', 'default', '-psync');
    await startWith([
      `{ redis: "redis://127.0.0.1:${orders.port}", id: orders }`,
      `{ redis: "redis://127.0.0.1:${closed.port}", id: closed }`,
    ]);

    const error = await run().catch((thrown: unknown) => thrown as Error);

    expect((error as Error).message).toContain('closed PERMISSION_DENIED');
    expect((error as Error).message).toContain('"counts":{"selected":2,"stored":1,"skipped":0,"failed":1}');
    expect(keys().filter((key) => key.endsWith('manifest.json'))).toEqual([
      `Backup_orders/2026-11-20/${RUN}/manifest.json`,
    ]);
  });
});

function functionsOf(world: World, plansPath: string, timeoutSeconds: number): readonly FunctionSpec[] {
  const role = world.identity.addRole({
    accountId: world.accountId,
    name: 'functions',
    trusts: ['fc.aliyuncs.com'],
    // Nothing of r-kvstore: a plan of servers of one's own needs none of it.
    allow: ['oss:*', 'fc:*'],
  }).arn;
  const environment = {
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
    ORDERS_PASSWORD: SECRET,
  };
  const common = { region: REGION, timeoutSeconds, role };
  return [
    {
      ...common,
      name: 'orchestrator',
      codeFolder: join(DIST, 'orchestrator'),
      memoryMb: 512,
      environment: { ...environment, TAIRLIFT_UPLOADER: 'uploader', TAIRLIFT_PLANS: plansPath },
    },
    {
      ...common,
      name: 'uploader',
      codeFolder: join(DIST, 'uploader'),
      memoryMb: 256,
      // The platform tries again by itself.
      maxAsyncRetryAttempts: 1,
      environment,
    },
  ];
}
