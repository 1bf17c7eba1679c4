/** The built uploader in the emulated Function Compute: a large file passes through a small function. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import {
  composeCloud,
  composeFunctions,
  type Cloud,
  type FunctionsFor,
} from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { encodeEvent } from '../../functions/core/invoker.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import { SELF_MANAGED, serverSchema } from '../../functions/core/redis/server.ts';
import type { SourceBackup } from '../../functions/core/source/source.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { syntheticRdb, writeRdbFile } from '../bench/rdb-file.ts';
import { MARK, RESYNC, startRedisPeer } from '../doubles/redis-peer.ts';
import { MANIFEST, STEPS, requestOf } from './upload-request.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const MEMORY_MB = 256;
/** Four lanes of 8 MiB are what such a function takes; today 109 to 120 MB, whatever the size of the file. */
const MAX_PEAK_MB = 130;
/** All that the uploader's role needs, and nothing with which it could harm a backup. */
const PERMISSIONS = [
  'kvstore:DescribeBackups',
  'kvstore:DescribeClusterBackupList',
  'oss:GetObject',
  'oss:PutObject',
  'oss:AbortMultipartUpload',
  'oss:ListMultipartUploads',
  'oss:ListParts',
];

describe('the uploader in a function of 256 MB', () => {
  const { signal } = new AbortController();
  let folder: string;
  let emulator: Emulator;
  let cloud: Cloud;
  let functionsFor: FunctionsFor;
  beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'tairlift-memory-'))));
  afterAll(async () => rm(folder, { recursive: true, force: true }));
  afterEach(async () => emulator.stop());

  async function startWith(
    rdbFile: string,
    {
      allow = PERMISSIONS,
      timeoutSeconds = 300,
    }: { allow?: readonly string[]; timeoutSeconds?: number } = {},
  ): Promise<void> {
    emulator = await startEmulator({
      buckets: [{ name: 'my-backups', region: REGION }],
      instances: [{ region: REGION, id: 'r-bp1', name: 'orders', rdbFiles: [rdbFile] }],
      functions: (world) => [
        {
          name: 'uploader',
          region: REGION,
          codeFolder: join(__dirname, '../../dist/uploader'),
          memoryMb: MEMORY_MB,
          timeoutSeconds,
          maxAsyncRetryAttempts: 0,
          role: functionRole(world, 'uploader', allow),
          environment: {
            TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
            TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
          },
        },
      ],
    });
    const environment = readEnvironment(emulator.environment);
    const platform = { region: REGION, accountId: emulator.world.accountId, credentials: emulator.accessKey };
    cloud = composeCloud(environment, platform);
    functionsFor = composeFunctions(environment, platform);
  }

  async function makeBackup(): Promise<SourceBackup> {
    const source = cloud.sourceFor({});
    const instance = await source.getInstance(REGION, 'r-bp1', signal);
    if (instance === undefined) throw new Error('the instance is not there');
    await source.startBackup(instance, signal);
    for (;;) {
      const span = { from: '2020-01-01T00:00:00Z', to: '2100-01-01T00:00:00Z' };
      const [backup] = await source.listBackups(instance, span, signal);
      if (backup?.state === 'succeeded') return backup;
      emulator.world.clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async function invoke(backup: SourceBackup): Promise<void> {
    const request: UploadRequest = {
      ...requestOf(),
      backup: {
        ...requestOf().backup,
        ids: [...backup.ids],
        startedAt: backup.startedAt,
        endedAt: backup.endedAt ?? '',
      },
    };
    await functionsFor('uploader').start('uploader', encodeEvent(request), 'task-1', signal);
    await emulator.fc.whenIdle();
  }

  it('passes a file of 1 GB, verified, within half its memory, and reads it once', async () => {
    const { path, bytes, keys } = await writeRdbFile(join(folder, 'big.rdb'), 1e9);
    await startWith(path);

    await invoke(await makeBackup());

    const [task] = emulator.fc.tasks('uploader');
    expect(task).toMatchObject({ status: 'Succeeded', attempts: 1 });
    expect(task?.peakRssMb).toBeLessThan(MAX_PEAK_MB);
    const store = cloud.storeFor(requestOf().destination);
    const manifest = parseManifest((await store.get(MANIFEST, signal)) ?? Buffer.alloc(0), MANIFEST);
    expect(manifest).toMatchObject({ level: 'parsed', files: [{ bytes, rdb: { verdict: 'sound', keys } }] });
    expect(await store.head(manifest.files[0]?.key ?? '', signal)).toMatchObject({
      bytes,
      crc64: manifest.files[0]?.crc64,
    });
    const downloaded = emulator.world.journal
      .entries()
      .filter(({ service }) => service === 'download')
      .reduce((sum, { sent }) => sum + sent, 0);
    expect(downloaded).toBe(bytes + 1);
  }, 120_000);

  it('passes a snapshot of half a gigabyte that is pulled, within the same memory', async () => {
    const rdb = syntheticRdb(5e8);
    // As a server does that sends its snapshot from memory, to an account that may replicate and nothing else.
    const peer = await startRedisPeer(async ([command], socket) => {
      if (command === 'INFO') return "-NOPERM this user has no permissions to run the 'info' command\r\n";
      if (command !== 'PSYNC') return '+OK\r\n';
      socket.write(`${RESYNC}$EOF:${MARK}\r\n`);
      for (const piece of rdb.pieces(0, rdb.bytes)) if (!socket.write(piece)) await once(socket, 'drain');
      socket.end(MARK);
      return undefined;
    });
    try {
      await startWith((await writeRdbFile(join(folder, 'unused.rdb'), 1e6)).path);
      const { instance, backup } = requestOf();
      const request: UploadRequest = {
        ...requestOf(),
        instance: { ...instance, region: SELF_MANAGED, id: 'orders' },
        backup: { ...backup, ids: ['orders-1'], endedAt: backup.startedAt },
        server: serverSchema.parse({ id: 'orders', url: `redis://127.0.0.1:${peer.port}`, cluster: false }),
      };

      await functionsFor('uploader').start('uploader', encodeEvent(request), 'task-1', signal);
      await emulator.fc.whenIdle();
    } finally {
      await peer.close();
    }

    const [task] = emulator.fc.tasks('uploader');
    expect(task).toMatchObject({ status: 'Succeeded', attempts: 1 });
    expect(task?.peakRssMb).toBeLessThan(MAX_PEAK_MB);
    const store = cloud.storeFor(requestOf().destination);
    const key = MANIFEST.replace('r-bp1', 'orders');
    const manifest = parseManifest((await store.get(key, signal)) ?? Buffer.alloc(0), key);
    expect(manifest).toMatchObject({
      level: 'parsed',
      files: [{ bytes: rdb.bytes, rdb: { verdict: 'sound', keys: rdb.keys } }],
    });
  }, 120_000);

  it('says by name which permission its role lacks', async () => {
    const { path } = await writeRdbFile(join(folder, 'small.rdb'), 1e6);
    await startWith(path, { allow: PERMISSIONS.filter((permission) => permission !== 'oss:PutObject') });

    await invoke(await makeBackup());

    const [task] = emulator.fc.tasks('uploader');
    expect(task).toMatchObject({ status: 'Failed' });
    expect(task?.errorMessage ?? task?.returnPayload).toMatch(
      /PERMISSION_DENIED: .*r-bp1.*\(allow oss:PutObject on acs:oss:\*:\*:my-backups\/p\/Backup_r-bp1\//,
    );
  }, 60_000);

  it('hands over before the platform ends it: an outcome, no manifest, and an upload to go on with', async () => {
    const { path } = await writeRdbFile(join(folder, 'slow.rdb'), 20e6);
    await startWith(path, { timeoutSeconds: 4 });
    const backup = await makeBackup();
    emulator.world.faults.add({
      service: 'download',
      skip: 2,
      times: -1,
      effect: { kind: 'drip', bytesPerSecond: 500_000 },
    });

    await invoke(backup);

    const store = cloud.storeFor(requestOf().destination);
    const outcomes = [];
    for await (const { key } of store.list(STEPS, signal))
      if (key.includes('/outcome-')) outcomes.push(String(await store.get(key, signal)));
    expect(outcomes).toEqual([expect.stringContaining('"status":"continued"')]);
    expect(await store.head(MANIFEST, signal)).toBeUndefined();
    const actions = emulator.world.journal.entries().map(({ action }) => action);
    expect(actions.filter((action) => action === 'InitiateMultipartUpload')).toHaveLength(1);
    expect(actions.filter((action) => action === 'AbortMultipartUpload')).toEqual([]);
    expect(emulator.fc.tasks('uploader')[0]).toMatchObject({ status: 'Succeeded' });
  }, 60_000);
});
