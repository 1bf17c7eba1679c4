/** Standard output as other programs meet it: whole, and taken at their own pace. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { startBucket, type Bucket } from '../aliyun/start-bucket.ts';
import { createMemoryStore } from '../doubles/memory-store.ts';
import { BUCKET } from '../emulator/oss/start-oss.ts';
import { storeBackup } from '../repository/stored-backup.ts';
import { runCli } from './run-cli.ts';

const MAIN = join(__dirname, '../../bin/tairlift.js');
const RDB_FILE = join(__dirname, '../fixtures/rdb/gen__gen-redis7.0.15.rdb');
const BACKUPS = 400;

describe('what tairlift prints', () => {
  const { signal } = new AbortController();
  let bucket: Bucket;
  let env: Record<string, string>;
  beforeAll(async () => {
    bucket = await startBucket();
    env = {
      TAIRLIFT_BUCKET: BUCKET,
      TAIRLIFT_OSS_REGION: 'cn-hangzhou',
      TAIRLIFT_ENDPOINT_OSS: bucket.stage.endpoint.replace('localhost', '127.0.0.1'),
      ALIBABA_CLOUD_ACCESS_KEY_ID: bucket.stage.key.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: bucket.stage.key.accessKeySecret,
    };
    const built = createMemoryStore();
    for (let n = 0; n < BACKUPS; n++) {
      const { key } = storeBackup(built, `r-${n}`);
      const body = built.objects.get(key) ?? Buffer.alloc(0);
      await bucket.store.create(key, body, 'application/json', signal);
    }
  }, 60_000);
  afterAll(async () => bucket.close());

  function start(args: readonly string[]): ChildProcessByStdio<null, Readable, Readable> {
    return spawn(process.execPath, [MAIN, ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  }

  it('arrives whole at a reader who takes his time, as a pager does', async () => {
    const child = start(['list', '--json']);
    const ended = once(child, 'close');
    // Longer than the time after which left-over connections end the process.
    await Promise.race([once(child, 'exit'), delay(4500)]);

    let text = '';
    for await (const piece of child.stdout) text += String(piece);

    expect((JSON.parse(text) as { backups: unknown[] }).backups).toHaveLength(BACKUPS);
    expect(await ended).toEqual([0, null]);
  }, 30_000);

  it.each([
    ['sound', RDB_FILE, 0],
    ['missing', '/no/such/file', 1],
  ])(
    'does not fail, or fail in another way, when nobody reads it: a file that is %s',
    async (_name, file, code) => {
      const child = start(['inspect', file]);
      child.stdout.destroy();
      let stderr = '';
      child.stderr.on('data', (piece: Buffer) => (stderr += String(piece)));

      expect(await once(child, 'close')).toEqual([code, null]);
      expect(stderr).not.toContain('EPIPE');
    },
    30_000,
  );

  it('has no colours and no cursor movements without a terminal', async () => {
    const { stdout, stderr } = await runCli(['list', '--limit', '3'], { env });

    expect(stdout.split('\n').filter((line) => line.includes('/manifest.json'))).toHaveLength(3);
    expect(stdout + stderr).not.toContain('\u001b');
  });

  it('holds the error and nothing else when JSON was asked for', async () => {
    const { stdout, stderr, code } = await runCli(['list', '--json'], {
      env: { ...env, TAIRLIFT_BUCKET: 'no-such-bucket' },
    });

    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'NO_SUCH_BUCKET' } });
    expect(stderr).toBe('');
    expect(code).toBe(1);
  });

  it('ends at Ctrl-C while it waits for standard input', async () => {
    const child = spawn(process.execPath, [MAIN, 'inspect', '-'], { stdio: ['pipe', 'pipe', 'pipe'] });
    // More than fits between the two processes: once it is gone, the command is reading.
    await new Promise((resolve) => child.stdin.write(Buffer.alloc(2 * 1024 ** 2), resolve));
    child.kill('SIGINT');

    expect(await once(child, 'close')).toEqual([130, null]);
  }, 30_000);

  it('refuses to verify nothing in particular, with exit code 2', async () => {
    const { code, stderr } = await runCli(['verify'], { env });

    expect(stderr).toContain('name a manifest, --instance, --run or --all');
    expect(code).toBe(2);
  });
});
