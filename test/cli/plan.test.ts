/** What would be done and what would not, for people and for machines. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { runCli, type Ended } from './run-cli.ts';

const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const LONG_NAME = 'an-instance-whose-name-says-everything-about-it-and-goes-on-and-on-and-on-for-ever';
const PLANS = {
  good: `plans:
  nightly:
    targets: [{ region: cn-hangzhou, name: prod-* }]
    exclude: { name: "*-cache" }
  weekly:
    targets: [{ region: "*", tags: { backup: weekly } }]
`,
  typo: `plans:
  nightly:
    targets: [{ region: cn-hangzhou, name: prod-* }, { region: cn-beijing, name: prdo-* }]
`,
  empty: 'plans: { nightly: { targets: [{ region: cn-beijing }] } }\n',
};

describe('tairlift plan', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-plan-'));
  let emulator: Emulator;

  beforeAll(async () => {
    emulator = await startEmulator({
      buckets: [{ name: 'my-backups', region: 'cn-hangzhou' }],
      instances: [
        { region: 'cn-hangzhou', id: 'r-bp1zxszhcgatnx1111', name: 'prod-orders', rdbFiles: [SMALL] },
        { region: 'cn-hangzhou', id: 'r-bp1zxszhcgatnx2222', name: 'prod-cache', rdbFiles: [SMALL] },
        {
          region: 'cn-hangzhou',
          id: 'r-bp1zxszhcgatnx3333',
          name: 'prod-single',
          nodes: 'single',
          rdbFiles: [SMALL],
        },
        { region: 'ap-southeast-1', id: 'r-t4nzxszhcgatnx4444', name: LONG_NAME, rdbFiles: [SMALL] },
        {
          region: 'cn-shanghai',
          id: 'r-uf6zxszhcgatnx5555',
          name: '生产订单'.repeat(12),
          tags: { backup: 'weekly' },
          rdbFiles: [SMALL],
        },
      ],
    });
    for (const [name, text] of Object.entries(PLANS)) writeFileSync(join(folder, `${name}.yaml`), text);
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const plan = async (plans: keyof typeof PLANS, ...args: string[]): Promise<Ended> =>
    runCli(['plan', '--plans', join(folder, `${plans}.yaml`), ...args], {
      env: { ...emulator.environment, TAIRLIFT_BUCKET: 'my-backups', TAIRLIFT_OSS_REGION: 'cn-hangzhou' },
    });

  it('shows each plan, what it leaves out and why, and what none covers, within 80 columns', async () => {
    const { code, stdout } = await plan('good');

    expect(stdout).toContain('dry run of nightly: 1 would be backed up, 1 skipped, 1 left out');
    expect(stdout).toContain('dry run of weekly: 1 would be backed up; nothing was done');
    expect(stdout).toMatch(
      /targets\[0\]: cn-hangzhou, name prod-\*\n  INSTANCE.*\n  r-bp1zxszhcgatnx1111 +cn-hangzhou +prod-orders\n/,
    );
    expect(stdout).toMatch(/left out by exclude: name \*-cache\n.*\n  r-bp1zxszhcgatnx2222 /);
    expect(stdout).toMatch(/skipped: single-node instances have no backups\n.*\n  r-bp1zxszhcgatnx3333 /);
    expect(stdout).toContain('2 instances are covered by no plan');
    expect(stdout).toMatch(
      /covered by no plan, left out of nightly by exclude: name \*-cache\n.*\n  r-bp1zxszhcgatnx2222 /,
    );
    expect(stdout).toMatch(
      /covered by no plan\n  INSTANCE.*\n  r-t4nzxszhcgatnx4444 +ap-southeast-1 +an-instance.*…\n/,
    );
    const columns = (line: string): number => line.length + (line.match(/[生产订单]/g) ?? []).length;
    expect(stdout.split('\n').filter((line) => columns(line) > 80)).toEqual([]);
    expect(stdout).toContain('r-uf6zxszhcgatnx5555  cn-shanghai  生产订单');
    expect(code).toBe(0);
    expect(emulator.oss.list('my-backups')).toEqual([]);
  });

  it('gives all plans, and what none covers, as one document', async () => {
    const { code, stdout } = await plan('good', '--json');

    expect(JSON.parse(stdout)).toMatchObject({
      plans: [
        { plan: 'nightly', dryRun: true, counts: { selected: 2, skipped: 1 } },
        { plan: 'weekly', dryRun: true, counts: { selected: 1 } },
      ],
      uncovered: [{ instanceId: 'r-t4nzxszhcgatnx4444' }, { instanceId: 'r-bp1zxszhcgatnx2222' }],
      unlisted: [],
    });
    expect(code).toBe(0);
  });

  it('shows one plan as its dry run does', async () => {
    const { stdout } = await plan('good', '--plan', 'weekly');
    const dryRun = await runCli(
      ['backup', '--dry-run', '--plan', 'weekly', '--plans', join(folder, 'good.yaml')],
      {
        env: { ...emulator.environment, TAIRLIFT_BUCKET: 'my-backups', TAIRLIFT_OSS_REGION: 'cn-hangzhou' },
      },
    );

    expect(stdout).toContain('dry run of weekly: 1 would be backed up');
    expect(stdout).not.toContain('dry run of nightly');
    expect(dryRun.stdout).toBe(stdout);
  });

  it('exits 3 when a target takes nothing, and names it', async () => {
    const { code, stdout } = await plan('typo', '--plan', 'nightly');

    expect(stdout).toMatch(/NOTHING_SELECTED: [^]*targets\[1\]: cn-beijing, name\s+prdo-\*/);
    expect(code).toBe(3);
  });

  it('exits 1 when no plan takes anything', async () => {
    expect((await plan('empty')).code).toBe(1);
    expect((await plan('empty', '--plan', 'nightly', '--json')).code).toBe(1);
  });

  it('exits 3 when not everything could be looked at, and says what', async () => {
    emulator.world.faults.add({
      service: 'tair',
      action: 'DescribeInstances',
      target: '^us-west-1$',
      times: -1,
      effect: { kind: 'error', status: 403, code: 'Forbidden.RAM', message: 'User not authorized' },
    });

    const { code, stdout } = await plan('good', '--plan', 'nightly');

    expect(stdout).toContain('there may be more, for not everything could be listed');
    expect(stdout).toMatch(/PERMISSION_DENIED: list the instances of us-west-1/);
    expect(code).toBe(3);
  });

  it('refuses a plan that does not exist', async () => {
    const { code, stderr } = await plan('good', '--plan', 'nighly');

    expect(stderr).toContain('did you mean "nightly"');
    expect(code).toBe(1);
  });
});
