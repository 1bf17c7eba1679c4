/** `tairlift status` against the emulator, as a process of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { runCli, type Ended } from './run-cli.ts';

const REGION = 'cn-hangzhou';
const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const RUN = '20261120T180000Z-nightly';
const PLANS = `plans:
  nightly: { targets: [{ region: ${REGION} }], destination: { prefix: "pre/" } }
  hourly: { targets: [{ region: ${REGION} }], destination: { prefix: "pre/" } }
`;

describe('tairlift status', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-status-'));
  let emulator: Emulator;
  let env: Record<string, string>;

  beforeAll(async () => {
    emulator = await startEmulator({
      buckets: [{ name: 'my-backups', region: REGION }],
      instances: [
        { region: REGION, id: 'r-good', rdbFiles: [SMALL] },
        { region: REGION, id: 'r-held', rdbFiles: [SMALL] },
        { region: REGION, id: 'r-single', nodes: 'single', rdbFiles: [SMALL] },
      ],
    });
    const plans = join(folder, 'plans.yaml');
    writeFileSync(plans, PLANS);
    env = {
      ...emulator.environment,
      TAIRLIFT_BUCKET: 'my-backups',
      TAIRLIFT_OSS_REGION: REGION,
      TAIRLIFT_PLANS: plans,
    };
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const status = async (...args: string[]): Promise<Ended> => runCli(['status', ...args], { env });

  it('says that there are no runs yet, and wants to know which plan is meant', async () => {
    expect(await status('--plan', 'hourly')).toMatchObject({ code: 0, stdout: 'no runs of hourly yet\n' });
    const unclear = await status();
    expect(unclear.code).toBe(1);
    expect(unclear.stderr).toContain('choose one with --plan (nightly, hourly)');
  });

  it('does not know a run that never was', async () => {
    const { code, stderr } = await status('20260101T000000Z-nightly', '--plan', 'nightly');
    expect(stderr).toContain('NOT_FOUND');
    expect(code).toBe(1);
  });

  it('watches a run from its beginning to its end', async () => {
    const release = emulator.tair.holdBackup('r-held');
    const backup = runCli(['backup', '--plan', 'nightly', '--run', RUN], { env });
    while (!emulator.oss.list('my-backups').some(({ key }) => key.endsWith('/r-good/result.json')))
      await new Promise((resolve) => setTimeout(resolve, 20));

    const during = await status(RUN, '--plan', 'nightly');
    expect(during.stdout).toMatch(/r-good +stored/);
    expect(during.stdout).toMatch(/r-held +backing up \d/);
    expect(during.stdout).toMatch(/r-single +skipped .*no backups/);
    expect(during.stdout).toContain(`run ${RUN} is at work`);
    expect(during.stdout).toContain('1 stored, 1 backing up, 1 skipped');
    expect(during.code).toBe(0);

    const watching = status(RUN, '--plan', 'nightly', '--watch', '--json');
    release();
    await backup;

    const { code, stdout } = await watching;
    const looks = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { state: string });
    expect(looks.at(-1)).toMatchObject({ state: 'succeeded', counts: { stored: 2, skipped: 1 } });
    expect(looks.slice(0, -1).every(({ state }) => state === 'running')).toBe(true);
    expect(code).toBe(0);
  });

  it('shows the newest runs of a plan, and ends like the run that is asked for', async () => {
    emulator.tair.failNextBackup('r-held');
    const run = '20261120T190000Z-nightly';
    await runCli(['backup', '--plan', 'nightly', '--run', run], { env });

    const newest = await status('--plan', 'nightly');
    expect(newest.stdout).toMatch(new RegExp(`${run} +partial +1/3[^]*${RUN} +succeeded +2/3`));
    expect(newest.code).toBe(0);
    const { code, stdout } = await status(run, '--plan', 'nightly');
    expect(stdout).toMatch(/r-held +failed .*BACKUP_FAILED/);
    expect(code).toBe(3);
  });
});
