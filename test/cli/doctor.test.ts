/** `tairlift doctor` as a process of its own, in a cloud where everything is right, and in one where nothing is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startRedis } from '../../emulator/redis/redis-process.ts';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { runCli } from './run-cli.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const THEIRS = '2222222222222222';
const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const ECHO = join(__dirname, '..', 'fixtures', 'functions', 'echo');

interface Check {
  readonly check: string;
  readonly subject: string;
  readonly status: string;
  readonly says: string;
  readonly todo?: string;
}

describe('doctor', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-doctor-'));
  let emulator: Emulator;
  let roleArn: string;

  beforeAll(async () => {
    const rdbFiles = [SMALL];
    emulator = await startEmulator({
      buckets: [
        {
          name: 'in-order',
          region: REGION,
          lifecycle: [{ prefix: 'redis/', isEnabled: true, abortUploadsAfterDays: 3 }],
        },
        { name: 'with-versions', region: REGION, versioning: 'Suspended' },
        {
          name: 'with-expiry',
          region: REGION,
          lifecycle: [
            { prefix: '', isEnabled: false, abortUploadsAfterDays: 3 },
            { prefix: 'Backup_', isEnabled: true, expireAfterDays: 30 },
          ],
        },
        { name: 'elsewhere', region: 'cn-shanghai' },
      ],
      instances: [
        { region: REGION, id: 'r-plain', tags: { plan: 'good' }, rdbFiles },
        { region: REGION, id: 'r-theirs', accountId: THEIRS, rdbFiles },
        { region: REGION, id: 'r-flash', flashback: true, tags: { plan: 'odd' }, rdbFiles },
        { region: REGION, id: 'r-single', nodes: 'single', tags: { plan: 'odd' }, rdbFiles },
        { region: REGION, id: 'r-busy', status: 'Changing', tags: { plan: 'odd' }, rdbFiles },
      ],
      functions: (world) => [
        {
          name: 'uploader',
          region: REGION,
          codeFolder: ECHO,
          memoryMb: 512,
          timeoutSeconds: 600,
          role: functionRole(world, 'uploader', []),
        },
      ],
    });
    emulator.world.identity.addAccount(THEIRS);
    ({ arn: roleArn } = emulator.world.identity.addRole({
      accountId: THEIRS,
      name: 'tairlift-source',
      trusts: [emulator.world.accountId],
      externalId: 'team-a',
      allow: ['kvstore:*'],
    }));
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  async function examine(
    plans: string,
    variables: Readonly<Record<string, string>> = {},
    args: readonly string[] = [],
  ): Promise<{ readonly code: number | null; readonly checks: readonly Check[]; readonly text: string }> {
    const path = join(folder, 'plans.yaml');
    writeFileSync(path, plans);
    const env = {
      ...emulator.environment,
      FC_REGION: REGION,
      FC_ACCOUNT_ID: emulator.world.accountId,
      TAIRLIFT_UPLOADER: 'uploader',
      ...variables,
    };
    const { code, stdout } = await runCli(['doctor', '--plans', path, '--json', ...args], { env });
    return { code, checks: (JSON.parse(stdout) as { checks: Check[] }).checks, text: stdout };
  }
  const planOf = (targets: string, bucket: string, prefix = ''): string =>
    `plans:\n  nightly:\n    targets: [${targets}]\n    destination: { region: ${REGION}, bucket: ${bucket}, prefix: "${prefix}" }\n`;
  const ofStatus = (checks: readonly Check[], status: string): readonly string[] =>
    checks
      .filter((check) => check.status === status)
      .map(({ check, subject }) => `${check} ${subject}`.trim());

  it('exits with 0 where nothing is wrong, and has changed nothing', async () => {
    const account = `account: { roleArn: "${roleArn}", externalId: team-a }`;
    const { code, checks, text } = await examine(
      planOf(
        `{ region: ${REGION}, tags: { plan: good } }, { region: ${REGION}, ${account} }`,
        'in-order',
        'redis/',
      ),
    );

    expect(checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(checks.map(({ check, subject }) => `${check} ${subject}`.trim())).toEqual([
      'configuration nightly',
      'credentials',
      'bucket oss://in-order/redis/',
      'versioning oss://in-order/redis/',
      'lifecycle oss://in-order/redis/',
      'uploader uploader',
      `account ${roleArn}`,
      'selection nightly',
      'instance cn-hangzhou r-plain',
      'instance cn-hangzhou r-theirs',
    ]);
    expect(checks.at(-1)?.says).toBe('standard, 1 shard; backed up by the service daily 17:00-18:00 UTC');
    expect(code).toBe(0);
    const actions = emulator.world.journal.entries().map(({ action }) => action);
    expect(actions.filter((action) => !/^(Describe|Get|AssumeRole)/.test(action))).toEqual([]);
    expect(text).not.toContain(emulator.accessKey.accessKeySecret);
  });

  it('exits with 3 where a run would work and somebody may wish it had not', async () => {
    const { code, checks } = await examine(
      planOf(`{ region: ${REGION}, tags: { plan: odd } }`, 'in-order', 'redis/'),
    );

    expect(ofStatus(checks, 'error')).toEqual([]);
    expect(ofStatus(checks, 'warn')).toEqual([
      'instance cn-hangzhou r-busy',
      'flashback cn-hangzhou r-flash',
    ]);
    expect(ofStatus(checks, 'note')).toEqual(['instance cn-hangzhou r-single']);
    expect(checks.find(({ check }) => check === 'flashback')?.says).toContain('on the primary');
    expect(code).toBe(3);
  });

  it('exits with 1 where a run would fail, and names all of it with what to do', async () => {
    const account = `account: { roleArn: "${roleArn}", externalId: team-b }`;
    const targets = [
      `{ region: ${REGION}, instances: [r-plain, r-gone] }`,
      `{ region: ${REGION}, name: "nobody-*" }`,
      `{ region: ${REGION}, ${account} }`,
    ].join(', ');
    const { code, checks } = await examine(planOf(targets, 'with-versions'), {
      TAIRLIFT_UPLOADER: 'not-deployed',
    });

    const errors = ofStatus(checks, 'error');
    expect(errors).toContain('versioning oss://with-versions/');
    expect(errors).toContain('uploader not-deployed');
    expect(errors).toContain(`account ${roleArn}`);
    expect(errors.filter((error) => error === 'selection nightly').length).toBeGreaterThanOrEqual(3);
    expect(ofStatus(checks, 'warn')).toEqual(['lifecycle oss://with-versions/']);
    expect(ofStatus(checks, 'ok')).toContain('instance cn-hangzhou r-plain');
    for (const { status, todo } of checks) expect(status === 'ok' || todo !== undefined).toBe(true);
    expect(code).toBe(1);
  });

  it('warns of a rule that deletes backups by age, and counts no rule that is switched off', async () => {
    const { code, checks } = await examine(
      planOf(`{ region: ${REGION}, instances: [r-plain] }`, 'with-expiry'),
    );

    const warnings = checks.filter(({ status }) => status === 'warn').map(({ says }) => says);
    expect(warnings).toEqual([
      expect.stringContaining('no rule ends unfinished multipart uploads'),
      expect.stringContaining('deletes backups after 30 d'),
    ]);
    expect(code).toBe(3);
  });

  it.each([
    ['is in another region', 'elsewhere', 'CONFIG_INVALID', 'correct the destination'],
    ['does not exist', 'no-such-bucket', 'NO_SUCH_BUCKET', 'create it'],
  ])(
    'says of a bucket that it %s, and looks at the rest all the same',
    async (_what, bucket, error, todo) => {
      const { code, checks } = await examine(planOf(`{ region: ${REGION}, instances: [r-plain] }`, bucket));

      expect(checks.find(({ check }) => check === 'bucket')).toMatchObject({
        status: 'error',
        says: expect.stringContaining(error) as string,
        todo: expect.stringContaining(todo) as string,
      });
      expect(ofStatus(checks, 'ok')).toContain('instance cn-hangzhou r-plain');
      expect(code).toBe(1);
    },
  );

  it('says what it may not look at, which is no failure of a run', async () => {
    const role = emulator.world.identity.addRole({
      accountId: emulator.world.accountId,
      name: 'operator',
      trusts: [],
      allow: ['kvstore:DescribeInstances', 'oss:GetBucketInfo', 'fc:GetFunction'],
    });
    const { accessKeyId, accessKeySecret, securityToken } = emulator.world.identity.issue(role, 'me', 3600);
    const { code, checks } = await examine(
      planOf(`{ region: ${REGION}, instances: [r-plain] }`, 'in-order', 'redis/'),
      {
        ALIBABA_CLOUD_ACCESS_KEY_ID: accessKeyId,
        ALIBABA_CLOUD_ACCESS_KEY_SECRET: accessKeySecret,
        ALIBABA_CLOUD_SECURITY_TOKEN: securityToken,
      },
    );

    expect(checks.filter(({ status }) => status === 'warn').map(({ todo }) => todo)).toEqual([
      'allow oss:GetBucketVersioning on acs:oss:*:*:in-order',
      'allow oss:GetBucketLifecycle on acs:oss:*:*:in-order',
      expect.stringContaining('allow kvstore:DescribeBackupPolicy') as string,
    ]);
    expect(ofStatus(checks, 'error')).toEqual([]);
    expect(code).toBe(3);
  });

  it('looks no further without credentials', async () => {
    const { code, checks } = await examine(planOf(`{ region: ${REGION} }`, 'in-order'), {
      ALIBABA_CLOUD_ACCESS_KEY_ID: '',
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: '',
      ALIBABA_CLOUD_ECS_METADATA_DISABLED: 'true',
    });

    expect(ofStatus(checks, 'ok')).toEqual(['configuration nightly']);
    expect(ofStatus(checks, 'error')).toEqual(['credentials']);
    expect(code).toBe(1);
  });

  it('looks at servers of one’s own, also when they are not there', async () => {
    const server = await startRedis({ folder: mkdtempSync(join(folder, 'server-')), args: [] });
    try {
      const { code, checks } = await examine(
        planOf(
          `{ redis: "redis://127.0.0.1:${server.port}", id: mine }, { redis: "redis://127.0.0.1:1", id: gone }`,
          'in-order',
          'redis/',
        ),
      );

      expect(checks.find(({ subject }) => subject.endsWith(' mine'))).toMatchObject({
        check: 'instance',
        status: 'ok',
        says: expect.stringContaining('a server of your own, 1 file') as string,
      });
      expect(JSON.stringify(checks.filter(({ status }) => status === 'error'))).toContain('127.0.0.1:1');
      expect(code).toBe(1);
    } finally {
      await server.stop();
    }
  });

  it('names every mistake of the configuration, and looks at nothing then', async () => {
    const before = emulator.world.journal.entries().length;
    const { code, checks } = await examine('plans:\n  nightly:\n    tragets: []\n');

    expect(checks).toEqual([
      expect.objectContaining({
        check: 'configuration',
        status: 'error',
        says: expect.stringContaining('did you mean "targets"') as string,
      }),
    ]);
    expect(emulator.world.journal.entries()).toHaveLength(before);
    expect(code).toBe(1);
  });

  it('shows a table to people, and what to do below it', async () => {
    const path = join(folder, 'plans.yaml');
    writeFileSync(path, planOf(`{ region: ${REGION}, instances: [r-flash] }`, 'in-order', 'redis/'));
    const { code, stdout, stderr } = await runCli(['doctor', '--plans', path, '--plan', 'nightly'], {
      env: emulator.environment,
    });

    expect(stdout).toMatch(/warn +flashback +cn-hangzhou r-flash +data flashback is on/);
    expect(stdout).toMatch(/note +uploader +TAIRLIFT_UPLOADER is not set/);
    expect(stdout).toContain('1 note, 1 warn, 0 error');
    expect(stderr).toContain('warn: flashback of cn-hangzhou r-flash: run its plan when it is least busy');
    expect(code).toBe(3);
  });
});
