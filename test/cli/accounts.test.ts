/** Instances of another account, through its role: real AssumeRole over https, as a process of its own. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { runCli } from './run-cli.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const THEIRS = '2222222222222222';
const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const READS = [
  'kvstore:DescribeInstances',
  'kvstore:DescribeInstanceAttribute',
  'kvstore:DescribeBackups',
  'kvstore:DescribeBackupTasks',
  'kvstore:DescribeClusterBackupList',
];

describe('a plan for instances of another account', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-accounts-'));
  let emulator: Emulator;
  let roleArn: string;

  beforeAll(async () => {
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: [
        { region: REGION, id: 'r-theirs', accountId: THEIRS, rdbFiles: [SMALL] },
        { region: REGION, id: 'r-ours', rdbFiles: [SMALL] },
      ],
    });
    emulator.world.identity.addAccount(THEIRS);
    const role = {
      accountId: THEIRS,
      name: 'tairlift-source',
      trusts: [emulator.world.accountId],
      externalId: 'team-a',
    };
    ({ arn: roleArn } = emulator.world.identity.addRole({
      ...role,
      allow: [...READS, 'kvstore:CreateBackup'],
    }));
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const backup = async (externalId: string): Promise<{ code: number | null; summary: unknown }> => {
    const plans = join(folder, `${externalId}.yaml`);
    writeFileSync(
      plans,
      `plans:\n  theirs:\n    targets: [{ region: ${REGION}, account: { roleArn: "${roleArn}", externalId: ${externalId} } }]\n`,
    );
    const env = { ...emulator.environment, TAIRLIFT_BUCKET: BUCKET, TAIRLIFT_OSS_REGION: REGION };
    const { code, stdout } = await runCli(['backup', '--plan', 'theirs', '--plans', plans, '--json'], {
      env,
    });
    return { code, summary: JSON.parse(stdout) };
  };

  it('takes theirs and not ours, through the role that they gave', async () => {
    const { code, summary } = await backup('team-a');
    expect(summary).toMatchObject({
      status: 'succeeded',
      counts: { selected: 1, stored: 1 },
      instances: [{ instanceId: 'r-theirs', level: 'parsed' }],
    });
    expect(code).toBe(0);
    const callers = emulator.world.journal
      .entries({ service: 'tair', action: 'CreateBackup' })
      .map(({ caller }) => caller);
    expect(callers).toEqual([`acs:ram::${THEIRS}:assumed-role/tairlift-source/tairlift`]);
  });

  it.each([
    ['no external id where one is demanded', 'tairlift-source', '', 'NoPermission', 'demand no external id'],
    [
      'a role that does not exist',
      'tairlift-sauce',
      ', externalId: team-a',
      'EntityNotExist.Role',
      'the role exists',
    ],
  ])(
    'says what the service answers to %s, and what to check',
    async (_what, role, externalId, code, check) => {
      const plans = join(folder, 'refused.yaml');
      const account = `{ roleArn: "acs:ram::${THEIRS}:role/${role}"${externalId} }`;
      writeFileSync(plans, `plans: { theirs: { targets: [{ region: ${REGION}, account: ${account} }] } }\n`);
      const env = { ...emulator.environment, TAIRLIFT_BUCKET: BUCKET, TAIRLIFT_OSS_REGION: REGION };
      const asked = emulator.world.journal.entries({ service: 'sts', action: 'AssumeRole' }).length;

      const ended = await runCli(['plan', '--plan', 'theirs', '--plans', plans, '--json'], { env });

      expect(JSON.parse(ended.stdout)).toMatchObject({
        status: 'failed',
        problems: [
          {
            code: 'PERMISSION_DENIED',
            message: expect.stringContaining(`role/${role}: ${code}`) as string,
            details: { serviceCode: code },
            hint: expect.stringContaining(check) as string,
          },
        ],
      });
      expect(ended.code).toBe(1);
      // What is refused is not asked for again and again.
      expect(
        emulator.world.journal.entries({ service: 'sts', action: 'AssumeRole' }).length - asked,
      ).toBeLessThanOrEqual(2);
    },
  );

  it('fails by name when the external id is not the one they demand, and touches nothing', async () => {
    const before = emulator.oss.list(BUCKET).filter(({ key }) => key.startsWith('Backup_')).length;
    const { code, summary } = await backup('team-b');
    const text = JSON.stringify(summary);
    expect(text).toContain('PERMISSION_DENIED');
    expect(text).toContain(roleArn);
    expect(text).toContain('external id');
    expect(text).toContain(`(asked by acs:ram::${emulator.world.accountId}:`);
    expect(emulator.oss.list(BUCKET).filter(({ key }) => key.startsWith('Backup_'))).toHaveLength(before);
    expect(code).toBe(1);
  });
});
