/** `tairlift backup --function`: the built orchestrator, deployed in the emulator, invoked from outside. */
import { join } from 'node:path';
import { startSampleCloud, ORCHESTRATOR, type SampleCloud } from '../../emulator/sample/sample-cloud.ts';
import { runCli, type Ended, type RunOptions } from './run-cli.ts';

const RUN = '20261120T180000Z-nightly';
const IDS = ['r-sample-catalogue', 'r-sample-orders', 'r-sample-sessions'];

describe('tairlift backup --function', () => {
  let cloud: SampleCloud;
  beforeAll(async () => {
    cloud = await startSampleCloud({ distFolder: join(__dirname, '../../dist'), bulkBytes: 10_000 });
  }, 60_000);
  afterEach(() => cloud.world.faults.clear());
  afterAll(async () => cloud.stop());

  const backup = async (args: readonly string[], options: RunOptions = {}): Promise<Ended> =>
    runCli(['backup', '--plan', 'nightly', ...args], {
      ...options,
      env: { ...cloud.environment, ...options.env },
    });
  const invocations = (): number => cloud.fc.tasks(ORCHESTRATOR).length;
  const deployed = ['--function', ORCHESTRATOR];

  it('says what a dry run would do, and leaves nothing in the bucket', async () => {
    const { code, stdout } = await backup([...deployed, '--dry-run', '--json']);

    expect(JSON.parse(stdout)).toMatchObject({
      status: 'succeeded',
      dryRun: true,
      counts: { selected: 3, stored: 0 },
    });
    expect(code).toBe(0);
    expect((await runCli(['list', '--json'], { env: cloud.environment })).stdout).toContain('"backups": []');
  }, 60_000);

  it('waits for the summary of the run and prints it, and only it, on standard output', async () => {
    const { code, stdout, stderr } = await backup([...deployed, '--run', RUN, '--json']);

    expect(JSON.parse(stdout)).toMatchObject({ runId: RUN, status: 'succeeded', counts: { stored: 3 } });
    expect(stderr).toContain(
      `run ${RUN}\nit is new: nothing of it is in the bucket\ninvoked ${ORCHESTRATOR}`,
    );
    expect(stdout + stderr).not.toContain(cloud.environment['ALIBABA_CLOUD_ACCESS_KEY_SECRET']);
    expect(code).toBe(0);
  }, 60_000);

  it.each([
    ['asked for it again', []],
    ['asked to try again what has failed, when nothing has', ['--retry-failed']],
  ])(
    'reports a finished run without invoking anything when %s',
    async (_name, more) => {
      const before = invocations();

      const { code, stdout, stderr } = await backup([...deployed, '--run', RUN, ...more]);

      expect(stderr).not.toContain('it is new');
      expect(stdout).toMatch(new RegExp(`run ${RUN} succeeded: 3 of 3 stored`));
      expect(code).toBe(0);
      expect(invocations()).toBe(before);
    },
    60_000,
  );

  it('verifies what the run has stored', async () => {
    const { code, stdout } = await runCli(['verify', '--run', RUN, '--json'], { env: cloud.environment });

    const { sound, backups } = JSON.parse(stdout) as { sound: boolean; backups: { instance: string }[] };
    expect(sound).toBe(true);
    expect(backups.map(({ instance }) => instance).sort()).toEqual(IDS);
    expect(code).toBe(0);
  }, 60_000);

  it('exits 3 when some instances are stored and some have failed, and tries those again when asked', async () => {
    const run = '20261121T180000Z-nightly';
    cloud.world.faults.add({
      service: 'tair',
      action: 'CreateBackup',
      target: 'r-sample-orders',
      times: -1,
      effect: { kind: 'error', status: 403, code: 'Forbidden.RAM' },
    });

    const { code, stdout } = await backup([...deployed, '--run', run]);

    expect(stdout).toMatch(/r-sample-orders +failed .*PERMISSION_DENIED/);
    expect(stdout).toContain('partial: 2 of 3 stored, 0 skipped, 1 failed');
    expect(code).toBe(3);

    cloud.world.faults.clear();
    const again = await backup([...deployed, '--run', run, '--retry-failed', '--json']);

    expect(JSON.parse(again.stdout)).toMatchObject({ status: 'succeeded', counts: { stored: 3 } });
    expect(again.code).toBe(0);
  }, 120_000);

  it('tries again also what could not even be listed', async () => {
    const run = '20261124T180000Z-nightly';
    cloud.world.faults.add({
      service: 'tair',
      action: 'DescribeInstances',
      times: -1,
      effect: { kind: 'error', status: 403, code: 'Forbidden.RAM' },
    });
    expect((await backup([...deployed, '--run', run])).stdout).toContain('0 of 0 stored');

    cloud.world.faults.clear();
    const again = await backup([...deployed, '--run', run, '--retry-failed', '--json']);

    expect(JSON.parse(again.stdout)).toMatchObject({ status: 'succeeded', counts: { stored: 3 } });
  }, 120_000);

  it('names the function that does not exist', async () => {
    const { code, stderr } = await backup(['--function', 'no-such-function']);

    expect(stderr).toMatch(/INVOKE_FAILED: .*no-such-function/);
    expect(code).toBe(1);
  }, 60_000);

  it('says what it needs to find a function', async () => {
    const { code, stderr } = await backup(deployed, { env: { FC_ACCOUNT_ID: '' } });

    expect(stderr).toContain('FC_ACCOUNT_ID');
    expect(code).toBe(1);
  }, 60_000);

  it('fails by name when the function ends without a summary', async () => {
    cloud.world.faults.add({
      service: 'oss',
      action: 'PutObject',
      times: -1,
      effect: { kind: 'error', status: 403, code: 'AccessDenied' },
    });

    const { code, stderr } = await backup([...deployed, '--run', '20261122T180000Z-nightly']);

    expect(stderr).toContain(
      'INVOKE_FAILED: run 20261122T180000Z-nightly: the function ended without a summary',
    );
    expect(code).toBe(1);
  }, 60_000);

  it('ends at Ctrl-C with 130 and says how to see the run, which goes on', async () => {
    const run = '20261123T180000Z-nightly';

    const { code, stderr, stdout } = await backup([...deployed, '--run', run], {
      interruptAt: 'waiting for the summary',
    });

    expect(stderr).toContain(`tairlift backup --plan nightly --function ${ORCHESTRATOR} --run ${run}`);
    expect(stdout).toBe('');
    expect(code).toBe(130);
    await cloud.fc.whenIdle();
    expect((await backup([...deployed, '--run', run])).stdout).toContain('succeeded: 3 of 3 stored');
  }, 60_000);
});
