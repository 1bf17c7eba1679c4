/** The emulator from outside: everything that a script in another process can do to it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { composeCloud } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import type { Instance } from '../../functions/core/source/source.ts';

const REGION = 'cn-hangzhou';
const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const { signal } = new AbortController();

describe('the control port', () => {
  let emulator: Emulator;
  beforeAll(async () => {
    emulator = await startEmulator({
      instances: [{ region: REGION, id: 'r-1', rdbFiles: [SMALL] }],
      buckets: [{ name: 'my-backups', region: REGION }],
    });
  });
  afterAll(async () => emulator.stop());
  afterEach(async () => call('DELETE', '/faults'));

  const call = async (
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ status: number; json: unknown }> => {
    const response = await fetch(emulator.controlEndpoint + path, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, json: await response.json() };
  };
  const sourceOf = (one: Emulator): ReturnType<ReturnType<typeof composeCloud>['sourceFor']> => {
    const { accessKeyId, accessKeySecret } = one.accessKey;
    return composeCloud(readEnvironment(one.environment), {
      credentials: { accessKeyId, accessKeySecret },
    }).sourceFor({});
  };
  const instance = async (): Promise<Instance | undefined> =>
    sourceOf(emulator).getInstance(REGION, 'r-1', signal);

  it('scripts a fault, says how often it has come, and takes it back', async () => {
    const effect = { kind: 'error', status: 400, code: 'Throttling.User' };
    const { json } = await call('POST', '/faults', { service: 'tair', action: 'DescribeInstances', effect });
    expect(await instance()).toMatchObject({ id: 'r-1', status: 'Normal' });
    expect((await call('GET', '/faults')).json).toMatchObject([
      { id: (json as { id: string }).id, applied: 1 },
    ]);
    await call('DELETE', `/faults/${(json as { id: string }).id}`);
    expect((await call('GET', '/faults')).json).toEqual([]);
  });

  it('refuses a fault of a service that there is not', async () => {
    expect(await call('POST', '/faults', { service: 'moon', effect: { kind: 'reset' } })).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('moon') },
    });
  });

  it('tells what was asked, and of whom, without any secret', async () => {
    await instance();
    const { json } = await call('GET', '/journal');
    expect(json).toEqual(
      expect.arrayContaining([
        expect.objectContaining({
          service: 'tair',
          action: 'DescribeInstances',
          status: 200,
          caller: expect.stringContaining('acs:ram::'),
        }),
      ]),
    );
    expect(JSON.stringify(json)).not.toContain(emulator.accessKey.accessKeySecret);
    await call('DELETE', '/journal');
    expect((await call('GET', '/journal')).json).toEqual([]);
  });

  it('moves the time', async () => {
    const before = emulator.world.clock.now();
    await call('POST', '/clock/advance', { ms: 3_600_000 });
    expect(emulator.world.clock.now() - before).toBeGreaterThanOrEqual(3_600_000);
    expect(await call('POST', '/clock/advance', { ms: -1 })).toMatchObject({ status: 400 });
  });

  it('changes an instance: its status, its next backup, its URLs', async () => {
    await call('POST', '/instances/r-1/status', { status: 'Changing' });
    expect(await instance()).toMatchObject({ status: 'Changing' });
    await call('POST', '/instances/r-1/status', { status: 'Normal' });
    await call('POST', '/instances/r-1/empty-urls');
    const planted = await emulator.tair.plantBackup('r-1', {
      startedAt: Date.now() - 60_000,
      files: [SMALL],
    });
    const now = await instance();
    if (now === undefined) throw new Error('the instance is there');
    const span = {
      from: new Date(planted.startedAt - 60_000).toISOString(),
      to: new Date(Date.now() + 7_200_000).toISOString(),
    };
    const [backup] = await sourceOf(emulator).listBackups(now, span, signal);
    expect(backup?.files[0]?.url).toBeUndefined();
    await call('POST', '/instances/r-1/empty-urls', { areEmpty: false });
    expect((await sourceOf(emulator).listBackups(now, span, signal))[0]?.files[0]?.url).toContain('http');
  });

  it('names an instance, a function or a thing to do that there is not', async () => {
    expect(await call('POST', '/instances/r-9/status', { status: 'Normal' })).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('r-9') },
    });
    expect(await call('POST', '/functions/none/kill')).toMatchObject({
      status: 400,
      json: { error: expect.stringContaining('none') },
    });
    expect(await call('POST', '/instances/r-1/explode')).toMatchObject({ status: 404 });
    expect(await call('GET', '/nothing')).toMatchObject({ status: 404 });
  });

  it('describes what there is', async () => {
    expect((await call('GET', '/state')).json).toMatchObject({
      instances: [{ id: 'r-1', architecture: 'standard' }],
      functions: [],
      endpoints: emulator.world.endpoints,
    });
  });
});

describe('a cloud in a folder of its own', () => {
  it('has its buckets and backups again when it is started there a second time', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'tairlift-kept-'));
    const instances = [{ region: REGION, id: 'r-1', rdbFiles: [SMALL] }];
    try {
      const first = await startEmulator({
        folder,
        instances,
        buckets: [{ name: 'my-backups', region: REGION }],
      });
      await first.tair.plantBackup('r-1', { startedAt: Date.now() - 60_000, files: [SMALL] });
      const { accessKeyId, accessKeySecret } = first.accessKey;
      const store = composeCloud(readEnvironment(first.environment), {
        credentials: { accessKeyId, accessKeySecret },
      }).storeFor({ region: REGION, bucket: 'my-backups', prefix: '' });
      await store.create('kept', Buffer.from('content'), 'text/plain', signal);
      await first.stop();

      const second = await startEmulator({ folder, instances });
      expect((await second.oss.read('my-backups', 'kept')).toString()).toBe('content');
      expect(second.tair.backups('r-1')).toHaveLength(1);
      await second.stop();
      await second.stop();
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
