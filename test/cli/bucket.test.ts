/** The commands that work on a bucket, against the emulator, as processes of their own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { writeShardFiles } from '../doubles/shard-file.ts';
import { runCli, type Ended, type RunOptions } from './run-cli.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const FIXTURES = join(__dirname, '..', 'fixtures', 'rdb');
const SMALL = join(FIXTURES, 'gen__gen-redis7.0.15.rdb');

const PLANS = `plans:
  nightly:
    targets: [{ region: ${REGION}, tags: { backup: nightly } }]
    backup: { timeoutMinutes: 5 }
  everything:
    targets: [{ region: ${REGION} }]
    backup: { timeoutMinutes: 5 }
`;

describe('with a bucket', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-cli-'));
  let emulator: Emulator;
  let env: Record<string, string>;

  beforeAll(async () => {
    const tags = { backup: 'nightly' };
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: [
        { region: REGION, id: 'r-plain', tags, rdbFiles: [SMALL] },
        {
          region: REGION,
          id: 'r-cluster',
          tags,
          architecture: 'cluster',
          rdbFiles: writeShardFiles(folder, 2),
        },
        { region: REGION, id: 'r-single', nodes: 'single', rdbFiles: [SMALL] },
        { region: REGION, id: 'r-broken', rdbFiles: [SMALL] },
      ],
    });
    const plans = join(folder, 'plans.yaml');
    writeFileSync(plans, PLANS);
    env = {
      ...emulator.environment,
      TAIRLIFT_BUCKET: BUCKET,
      TAIRLIFT_OSS_REGION: REGION,
      TAIRLIFT_PLANS: plans,
    };
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const tairlift = async (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
    runCli(args, { env, ...options });
  const json = async (...args: string[]): Promise<Record<string, unknown>> =>
    JSON.parse((await tairlift([...args, '--json'])).stdout) as Record<string, unknown>;

  it('list says that there is nothing yet', async () => {
    const { code, stdout } = await tairlift(['list']);
    expect(stdout).toContain('no backups in oss://my-backups/');
    expect(code).toBe(0);
  });

  it('verify of nothing is an error, never a pass', async () => {
    const { code, stderr } = await tairlift(['verify', '--all']);
    expect(stderr).toContain('NOT_FOUND');
    expect(code).toBe(1);
  });

  it('backup --dry-run names what it would take, and changes nothing', async () => {
    const { code, stdout } = await tairlift(['backup', '--plan', 'everything', '--dry-run']);
    expect(stdout).toMatch(
      /targets\[0\]: cn-hangzhou\n.*\n[^]*r-plain [^]*\n\nskipped: .*no backups\n.*\n +r-single/,
    );
    expect(stdout).toContain('dry run of everything: 3 would be backed up, 1 skipped; nothing was done');
    expect(emulator.oss.list(BUCKET)).toEqual([]);
    expect(code).toBe(0);
  });

  it('backup stores every instance of the plan and prints its summary', async () => {
    const { code, stdout, stderr } = await tairlift(['backup', '--plan', 'nightly', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      plan: 'nightly',
      status: 'succeeded',
      counts: { selected: 2, stored: 2, skipped: 0, failed: 0 },
    });
    expect(stderr).toMatch(/run \d{8}T\d{6}Z-nightly/);
    expect(code).toBe(0);
  });

  it('backup of a run that has finished reports it and makes nothing new', async () => {
    const [stored] = (await json('list'))['backups'] as { runId: string }[];
    const before = emulator.tair.createBackupCalls('r-plain');
    const { code, stdout } = await tairlift(['backup', '--plan', 'nightly', '--run', stored?.runId ?? '']);
    expect(stdout).toContain(`run ${stored?.runId} succeeded: 2 of 2 stored`);
    expect(emulator.tair.createBackupCalls('r-plain')).toBe(before);
    expect(code).toBe(0);
  });

  it('backup exits 3 when only some instances could be stored, and --retry-failed stores the rest', async () => {
    emulator.tair.failNextBackup('r-broken');
    const first = await tairlift(['backup', '--plan', 'everything', '--json']);
    const summary = JSON.parse(first.stdout) as { runId: string };
    expect(summary).toMatchObject({
      status: 'partial',
      counts: { selected: 4, stored: 2, skipped: 1, failed: 1 },
    });
    expect(first.code).toBe(3);
    const again = await tairlift([
      'backup',
      '--plan',
      'everything',
      '--run',
      summary.runId,
      '--retry-failed',
      '--json',
    ]);
    expect(JSON.parse(again.stdout)).toMatchObject({
      runId: summary.runId,
      status: 'succeeded',
      counts: { stored: 3, failed: 0 },
    });
    expect(again.code).toBe(0);
  }, 90_000);

  it('backup exits 1 when nothing could be stored', async () => {
    emulator.tair.failNextBackup('r-broken');
    const { code, stdout } = await tairlift(['backup', '--plan', 'everything', '--instance', 'r-broken']);
    expect(stdout).toMatch(/r-broken +failed +BACKUP_FAILED/);
    expect(code).toBe(1);
  });

  it('backup ends with 130 on Ctrl-C, says how to go on, and then goes on with the same backup', async () => {
    const release = emulator.tair.holdBackup('r-plain');
    const before = emulator.tair.createBackupCalls('r-plain');
    const args = ['backup', '--plan', 'nightly', '--instance', 'r-plain'];
    const run = '20261101T000000Z-nightly';
    const stopped = await tairlift([...args, '--run', run], { interruptAt: 'r-plain:' });
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain(`--run ${run}`);
    release();
    const resumed = await tairlift([...args, '--run', run]);
    expect(resumed.stdout).toContain('1 of 1 stored');
    expect(resumed.code).toBe(0);
    expect(emulator.tair.createBackupCalls('r-plain')).toBe(before + 1);
  }, 90_000);

  it('backup that was stopped in the middle of a file goes on with it', async () => {
    const before = emulator.tair.createBackupCalls('r-plain');
    const args = [
      'backup',
      '--plan',
      'nightly',
      '--instance',
      'r-plain',
      '--run',
      '20261101T000001Z-nightly',
    ];
    emulator.world.faults.add({
      service: 'download',
      times: -1,
      effect: { kind: 'drip', bytesPerSecond: 50 },
    });
    const stopped = await tairlift(args, { interruptAt: 'the backup is opened' });
    expect(stopped.code).toBe(130);
    emulator.world.faults.clear();
    const resumed = await tairlift(args);
    expect(resumed.stdout).toContain('1 of 1 stored');
    expect(resumed.code).toBe(0);
    expect(emulator.tair.createBackupCalls('r-plain')).toBe(before + 1);
  }, 90_000);

  it('list shows the newest backup first, and one instance on request', async () => {
    const { backups } = (await json('list')) as {
      backups: { instance: { id: string }; level: string; bytes: number }[];
    };
    expect(backups.length).toBeGreaterThan(4);
    const { stdout } = await tairlift(['list', '--instance', 'r-cluster', '--limit', '1']);
    expect(stdout.trim().split('\n')).toHaveLength(2);
    expect(stdout).toMatch(/r-cluster .* 2 .*parsed .*manifest\.json/);
  });

  it('verify finds what is stored as it was', async () => {
    const { code, stdout } = await tairlift(['verify', '--instance', 'r-cluster']);
    expect(stdout).toContain('1 of 1 backups are as they were stored');
    expect(stdout.match(/as stored$/gm)).toHaveLength(2);
    expect(code).toBe(0);
  });

  it('inspect reads a stored file where it lies', async () => {
    const [backup] = (await json('list', '--instance', 'r-plain'))['backups'] as {
      files: { key: string }[];
    }[];
    const { code, stdout } = await tairlift(['inspect', `oss://${BUCKET}/${backup?.files[0]?.key}`]);
    expect(stdout).toContain(': sound: ');
    expect(code).toBe(0);
  });

  it('verify exits 4 for one flipped bit in the bucket, and names the object', async () => {
    const [backup] = (await json('list', '--instance', 'r-plain'))['backups'] as {
      manifest: string;
      files: { key: string }[];
    }[];
    const key = backup?.files[0]?.key ?? '';
    await emulator.oss.corrupt(BUCKET, key, 30_000);
    const { code, stdout, stderr } = await tairlift(['verify', backup?.manifest ?? '']);
    expect(stdout).toContain('DAMAGED');
    expect(stderr).toContain(key);
    expect(code).toBe(4);
  });

  it('verify exits 4 when an object is gone', async () => {
    const [backup] = (await json('list', '--instance', 'r-cluster'))['backups'] as {
      manifest: string;
      files: { key: string }[];
    }[];
    await emulator.oss.remove(BUCKET, backup?.files[1]?.key ?? '');
    const { code, stderr } = await tairlift(['verify', `oss://${BUCKET}/${backup?.manifest}`]);
    expect(stderr).toContain('the object is gone');
    expect(code).toBe(4);
  });

  it.each([
    ['list', ['list']],
    ['verify', ['verify', '--all']],
    ['backup', ['backup', '--plan', 'nightly']],
  ])('%s names a bucket that does not exist', async (_name, args) => {
    const { code, stderr } = await tairlift(args, { env: { ...env, TAIRLIFT_BUCKET: 'no-such-bucket' } });
    expect(stderr).toContain('NO_SUCH_BUCKET');
    expect(stderr).toContain('no-such-bucket');
    expect(code).toBe(1);
  });

  it('says which credentials are missing', async () => {
    const { ALIBABA_CLOUD_ACCESS_KEY_ID: _id, ALIBABA_CLOUD_ACCESS_KEY_SECRET: _secret, ...without } = env;
    const { code, stderr } = await tairlift(['list'], {
      env: { ...without, ALIBABA_CLOUD_ECS_METADATA_DISABLED: 'true' },
    });
    expect(stderr).toContain('ALIBABA_CLOUD_ACCESS_KEY_ID');
    expect(code).toBe(1);
  });
});

describe('tairlift emulator', () => {
  it('serves a cloud until Ctrl-C, and leaves no server behind', async () => {
    const { code, stdout } = await runCli(['emulator', '--json', '--port', String(await freePorts())], {
      interruptAt: '"instances"',
    });
    const { environment, instances } = JSON.parse(stdout) as {
      environment: Record<string, string>;
      instances: { ports: number[] }[];
    };
    expect(Object.keys(environment)).toEqual(
      expect.arrayContaining([
        'TAIRLIFT_ENDPOINT_TAIR',
        'TAIRLIFT_ENDPOINT_OSS',
        'TAIRLIFT_BUCKET',
        'TAIRLIFT_PLANS',
      ]),
    );
    const first = Number(new URL(environment['TAIRLIFT_ENDPOINT_TAIR'] ?? '').port);
    expect(environment['TAIRLIFT_ENDPOINT_OSS']).toBe(`http://127.0.0.1:${first + 1}`);
    const ports = instances.flatMap((instance) => instance.ports);
    expect(ports).toHaveLength(5);
    for (const port of ports) await expect(connects(port)).resolves.toBe(false);
    expect(code).toBe(130);
  });

  it('with --empty has nothing deployed, and says what `s deploy` needs to deploy to it', async () => {
    const { stdout } = await runCli(['emulator', '--empty', '--json'], { interruptAt: '"instances"' });
    const { environment, functions } = JSON.parse(stdout) as {
      environment: Record<string, string>;
      functions: unknown[];
    };
    expect(functions).toEqual([]);
    expect(environment).toMatchObject({
      TAIRLIFT_ENDPOINT_OSS: expect.stringMatching(/^https:/) as string,
      TAIRLIFT_ENDPOINT_ROS: expect.stringMatching(/^127\.0\.0\.1:\d+$/) as string,
      FC_CLIENT_CUSTOM_ENDPOINT: environment['TAIRLIFT_ENDPOINT_FC'],
      AccessKeyID: environment['ALIBABA_CLOUD_ACCESS_KEY_ID'],
      TAIRLIFT_BUCKET: expect.any(String) as string,
      TAIRLIFT_CONTACT_GROUP: expect.any(String) as string,
      TAIRLIFT_UPLOADER: 'tairlift-dev-uploader',
    });
  });
});

/** The first of ten ports that are free just now. */
async function freePorts(): Promise<number> {
  for (let first = 20_000 + (process.pid % 20_000); ; first += 11) {
    const taken = await Promise.all(
      Array.from({ length: 10 }, async (_, offset) => connects(first + offset)),
    );
    if (!taken.includes(true)) return first;
  }
}

async function connects(port: number): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
