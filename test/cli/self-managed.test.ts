/** Servers of one's own on the command line: what `plan` says is what `backup` does. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { openServers, type Servers } from '../redis/servers.ts';
import { runCli } from './run-cli.ts';

const SECRET = 'correct-horse-battery';

describe('servers of one’s own on the command line', () => {
  let folder: string;
  let servers: Servers;
  let emulator: Emulator;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-cli-servers-'));
    servers = await openServers();
    emulator = await startEmulator({
      buckets: [{ name: 'my-backups', region: 'cn-hangzhou' }],
      instances: [],
    });
  });
  afterEach(async () => {
    await emulator.stop();
    await servers.stop();
    await rm(folder, { recursive: true, force: true });
  });

  it('are shown by plan, and stored by backup', async () => {
    const live = await servers.start();
    await live.client.set('a', 'b');
    await live.client.config('SET', 'requirepass', SECRET);
    const plans = join(folder, 'plans.yaml');
    await writeFile(
      plans,
      `plans:
  nightly:
    targets:
      - { redis: "redis://127.0.0.1:${live.port}", id: orders, passwordFrom: ORDERS_PASSWORD }
    destination: { region: cn-hangzhou, bucket: my-backups }
`,
    );
    const env = { ...(emulator.environment as Record<string, string>), TAIRLIFT_PLANS: plans };
    const set = { ...env, ORDERS_PASSWORD: SECRET };

    const unset = await runCli(['backup', '--plan', 'nightly'], { env });
    const planned = await runCli(['plan', '--plan', 'nightly', '--json'], { env: set });
    const stored = await runCli(['backup', '--plan', 'nightly', '--json'], { env: set });

    expect(unset).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('passwordFrom: the variable ORDERS_PASSWORD is not set') as string,
    });
    expect(planned.code).toBe(0);
    expect((JSON.parse(planned.stdout) as Summary).instances).toEqual([
      {
        region: 'self-managed',
        instanceId: 'orders',
        name: 'orders',
        status: 'selected',
        rule: `targets[0]: orders at redis://127.0.0.1:${live.port}`,
      },
    ]);
    expect(stored.code).toBe(0);
    expect((JSON.parse(stored.stdout) as Summary).instances).toEqual([
      expect.objectContaining({ region: 'self-managed', instanceId: 'orders', status: 'stored', files: 1 }),
    ]);
    for (const { stdout, stderr } of [planned, stored]) expect(stdout + stderr).not.toContain(SECRET);
  });
});
