/** `tairlift doctor` as a process of its own, in a cloud where everything is right, and in one where nothing is. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Effect } from '../../emulator/faults.ts';
import { startRedis } from '../../emulator/redis/redis-process.ts';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { permissionsOf } from '../../functions/core/permissions.ts';
import { deploy, type Wanted } from './doctor/deployment.ts';
import { runCli } from './run-cli.ts';

const REGION = 'cn-hangzhou';
const THEIRS = '2222222222222222';
const SMALL = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
/** As infra/template.json makes it. */
const GOOD = {
  region: REGION,
  encryption: { algorithm: 'AES256' },
  blocksPublicAccess: true,
  overwriteRules: [{ prefix: 'redis/Backup_' }],
  lifecycle: [{ prefix: 'redis/Backup_', isEnabled: true, abortUploadsAfterDays: 3, expireAfterDays: 3650 }],
  policy: {
    Version: '1',
    Statement: [
      {
        Effect: 'Deny',
        Principal: ['*'],
        Action: ['oss:*'],
        Resource: ['acs:oss:*:*:in-order', 'acs:oss:*:*:in-order/*'],
        Condition: { Bool: { 'acs:SecureTransport': ['false'] } },
      },
    ],
  },
} as const;

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
  let openRoleArn: string;

  beforeAll(async () => {
    const rdbFiles = [SMALL];
    emulator = await startEmulator({
      buckets: [
        { name: 'in-order', ...GOOD },
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
    });
    const { identity, accountId } = emulator.world;
    identity.addAccount(THEIRS);
    const theirs = { accountId: THEIRS, trusts: [accountId], allow: ['kvstore:*'] };
    ({ arn: roleArn } = identity.addRole({ ...theirs, name: 'tairlift-source', externalId: 'team-a' }));
    ({ arn: openRoleArn } = identity.addRole({ ...theirs, name: 'open-to-all' }));
    const timers = [{ name: 'nightly', payload: '{"plan":"nightly"}', enable: true }];
    await deployed({ stage: 'prod', timers });
    await deployed({ stage: 'fleet', timers, sourceRoles: [roleArn] });
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => emulator.world.faults.clear());

  const deployed = async (wanted: Pick<Wanted, 'stage'> & Partial<Wanted>): Promise<unknown> =>
    deploy(emulator, {
      region: REGION,
      bucket: 'in-order',
      prefix: 'redis/',
      sourceRoles: [],
      ...wanted,
    });

  /** By default as somebody who may do what docs/permissions.md lists for doctor, and nothing else. */
  async function examine(
    plans: string,
    variables: Readonly<Record<string, string>> = {},
    allow: readonly string[] = permissionsOf('doctor').map(({ action }) => action),
    args: readonly string[] = [],
  ): Promise<{ readonly code: number | null; readonly checks: readonly Check[]; readonly text: string }> {
    const { identity, accountId } = emulator.world;
    const role = identity.addRole({ accountId, name: 'operator', trusts: [], allow });
    const keys = identity.issue(role, 'me', 3600);
    const path = join(folder, 'plans.yaml');
    writeFileSync(path, plans);
    const env = {
      ...emulator.environment,
      TAIRLIFT_ENDPOINT_OSS: emulator.secureOssEndpoint,
      TAIRLIFT_REGION: REGION,
      ALIBABA_CLOUD_ACCESS_KEY_ID: keys.accessKeyId,
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: keys.accessKeySecret,
      ALIBABA_CLOUD_SECURITY_TOKEN: keys.securityToken,
      ...variables,
    };
    const { code, stdout } = await runCli(['doctor', '--plans', path, '--json', ...args], { env });
    return { code, checks: (JSON.parse(stdout) as { checks: Check[] }).checks, text: stdout };
  }
  const planOf = (targets: string, bucket = 'in-order', more = ''): string =>
    `plans:\n  nightly:\n    targets: [${targets}]\n    destination: { region: ${REGION}, bucket: ${bucket}, prefix: "${bucket === 'in-order' ? 'redis/' : ''}" }\n${more}`;
  const ofStatus = (checks: readonly Check[], status: string): readonly string[] =>
    checks
      .filter((check) => check.status === status)
      .map(({ check, subject }) => `${check} ${subject}`.trim());
  const saying = (checks: readonly Check[], check: string, status: string): readonly string[] =>
    checks.filter((one) => one.check === check && one.status === status).map(({ says }) => says);

  const PLAIN = `{ region: ${REGION}, exclude: { tags: { plan: odd } } }`;
  const PROD = { TAIRLIFT_STAGE: 'prod' };

  it('exits with 0 where a deployment is as infra makes it, with the rights that are documented, and has changed nothing', async () => {
    const account = `account: { roleArn: "${roleArn}", externalId: team-a }`;
    const { code, checks, text } = await examine(planOf(`${PLAIN}, { region: ${REGION}, ${account} }`), {
      TAIRLIFT_STAGE: 'fleet',
    });

    expect(checks.filter(({ status }) => status !== 'ok' && status !== 'note')).toEqual([]);
    expect(ofStatus(checks, 'ok').filter((one) => !one.startsWith('endpoint '))).toEqual([
      'configuration nightly',
      'versions',
      'credentials',
      `identity ${emulator.world.accountId}`,
      'clock',
      'bucket oss://in-order/redis/',
      'versioning oss://in-order/redis/',
      'lifecycle oss://in-order/redis/',
      'lifecycle oss://in-order/redis/',
      'encryption oss://in-order/redis/',
      'public access oss://in-order/redis/',
      'transport oss://in-order/redis/',
      'write-once oss://in-order/redis/',
      'orchestrator tairlift-fleet-orchestrator',
      'timer nightly',
      'uploader tairlift-fleet-uploader',
      'role tairlift-fleet-orchestrator',
      'role tairlift-fleet-uploader',
      `account ${roleArn}`,
      `external id ${roleArn}`,
      'selection nightly',
      'instance cn-hangzhou r-plain',
      'instance cn-hangzhou r-theirs',
      'coverage',
    ]);
    expect(ofStatus(checks, 'ok').filter((one) => one.startsWith('endpoint '))).toHaveLength(5);
    expect(saying(checks, 'identity', 'ok')[0]).toContain(':assumed-role/operator/me');
    expect(checks.findLast(({ check }) => check === 'instance')?.says).toBe(
      'standard, 1 shard; backed up by the service daily 17:00-18:00 UTC',
    );
    expect(code).toBe(0);
    const actions = emulator.world.journal
      .entries()
      .filter(({ caller }) => caller?.endsWith(':assumed-role/operator/me') === true)
      .map(({ action }) => action);
    expect(actions.filter((action) => !/^(Describe|Get|List|AssumeRole)/.test(action))).toEqual([]);
    expect(text).not.toContain(emulator.accessKey.accessKeySecret);
  });

  it('exits with 3 where a run would work and somebody may wish it had not', async () => {
    const { code, checks } = await examine(planOf(`{ region: ${REGION}, tags: { plan: odd } }`), PROD);

    expect(ofStatus(checks, 'error')).toEqual([]);
    expect(ofStatus(checks, 'warn')).toEqual([
      'instance cn-hangzhou r-busy',
      'flashback cn-hangzhou r-flash',
      'coverage',
    ]);
    expect(ofStatus(checks, 'note')).toContain('instance cn-hangzhou r-single');
    expect(saying(checks, 'flashback', 'warn')[0]).toContain('on the primary');
    expect(saying(checks, 'coverage', 'warn')[0]).toContain('1 instance is in no plan: r-plain');
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
    expect(ofStatus(checks, 'ok')).toContain('instance cn-hangzhou r-plain');
    for (const { status, todo } of checks)
      expect((status !== 'warn' && status !== 'error') || todo !== undefined).toBe(true);
    expect(code).toBe(1);
  });

  describe('of the bucket', () => {
    const ONE = `{ region: ${REGION}, instances: [r-plain] }`;
    const ONE_PLAN = ['--plan', 'nightly'];
    const everything = ['*'];

    it('warns of a rule that deletes backups by age, counts no rule that is switched off, and misses what protects them', async () => {
      const { code, checks } = await examine(planOf(ONE, 'with-expiry'), {}, everything, ONE_PLAN);

      expect(checks.filter(({ status }) => status === 'warn').map(({ says }) => says)).toEqual([
        expect.stringContaining('no rule ends unfinished multipart uploads'),
        expect.stringContaining('deletes backups after 30 d'),
        expect.stringContaining('not encrypted'),
        expect.stringContaining('is not blocked'),
        expect.stringContaining('without TLS'),
        expect.stringContaining('can replace what is below Backup_'),
      ]);
      expect(code).toBe(3);
    });

    it('calls a rule an error that deletes what a plan still keeps', async () => {
      const keeping = planOf(ONE, 'with-expiry', '    retention: { last: 400, daily: 7, monthly: 12 }\n');
      const { code, checks } = await examine(keeping, {}, everything, ONE_PLAN);

      expect(saying(checks, 'lifecycle', 'error')).toEqual([
        'a rule deletes backups after 30 d, and a plan keeps some for 400 d',
      ]);
      expect(code).toBe(1);
    });

    it.each([
      ['is in another region', 'elsewhere', 'CONFIG_INVALID', 'correct the destination'],
      ['does not exist', 'no-such-bucket', 'NO_SUCH_BUCKET', 'create it'],
    ])('says that it %s, and looks at the rest all the same', async (_what, bucket, error, todo) => {
      const { code, checks } = await examine(planOf(ONE, bucket), {}, everything, ONE_PLAN);

      expect(checks.find(({ check }) => check === 'bucket')).toMatchObject({
        status: 'error',
        says: expect.stringContaining(error) as string,
        todo: expect.stringContaining(todo) as string,
      });
      expect(ofStatus(checks, 'ok')).toContain('instance cn-hangzhou r-plain');
      expect(code).toBe(1);
    });
  });

  it('says what it may not look at, which is no failure of a run', async () => {
    const { code, checks } = await examine(planOf(`{ region: ${REGION}, instances: [r-plain] }`), PROD, [
      'kvstore:DescribeInstances',
      'oss:GetBucketInfo',
      'fc:GetFunction',
    ]);

    const todos = checks.filter(({ status }) => status === 'warn').map(({ todo }) => todo);
    for (const action of [
      'oss:GetBucketVersioning',
      'oss:GetBucketLifecycle',
      'oss:GetBucketEncryption',
      'oss:GetBucketPublicAccessBlock',
      'oss:GetBucketPolicy',
      'oss:GetBucketOverwriteConfig',
      'fc:ListTriggers',
      'fc:GetAsyncInvokeConfig',
      'ram:GetRole',
      'kvstore:DescribeBackupPolicy',
      'kvstore:DescribeRegions',
    ])
      expect(todos).toContainEqual(expect.stringContaining(`allow ${action} on `));
    expect(ofStatus(checks, 'error')).toEqual([]);
    expect(code).toBe(3);
  });

  describe('of the functions', () => {
    const ONE = planOf(`{ region: ${REGION}, instances: [r-plain] }`);
    const lookAt = async (stage: string): Promise<readonly Check[]> =>
      (await examine(ONE, { TAIRLIFT_STAGE: stage }, ['*'], ['--plan', 'nightly'])).checks;

    it('names each right that a role lacks, as an error where a run would fail without', async () => {
      await deployed({ stage: 'lacking', without: ['oss:PutObject', 'oss:ListParts', 'fc:InvokeFunction'] });
      const checks = await lookAt('lacking');

      expect(saying(checks, 'role', 'error')).toEqual([
        expect.stringMatching(
          /^lacks oss:PutObject on acs:oss:cn-hangzhou:\d+:in-order\/redis\/\.tairlift\/\*/,
        ),
        expect.stringMatching(
          /^lacks fc:InvokeFunction on acs:fc:.*functions\/tairlift-lacking-uploader and 1 more/,
        ),
        expect.stringMatching(/^lacks oss:PutObject on .* and 1 more/),
      ]);
      expect(saying(checks, 'role', 'warn')).toEqual([
        expect.stringMatching(/^lacks oss:ListParts on .*every attempt sends everything/),
      ]);
    });

    it('calls it an error when the roles of other accounts may not be assumed', async () => {
      const account = `account: { roleArn: "${roleArn}", externalId: team-a }`;
      const { checks } = await examine(planOf(`{ region: ${REGION}, ${account} }`), PROD, ['*']);

      expect(saying(checks, 'role', 'error')).toEqual(
        Array(2).fill(expect.stringContaining(`lacks sts:AssumeRole on ${roleArn}`)),
      );
    });

    it('warns of rights that nobody needs, and calls the right to delete an error', async () => {
      await deployed({
        stage: 'lavish',
        more: [
          { effect: 'Allow', action: ['kvstore:Describe*'], resource: ['*'] },
          { effect: 'Allow', action: ['oss:DeleteObject'], resource: ['acs:oss:*:*:in-order/*'] },
        ],
      });
      const checks = await lookAt('lavish');

      expect(saying(checks, 'role', 'error')).toEqual(
        Array(2).fill(expect.stringContaining('oss:DeleteObject on acs:oss:*:*:in-order/*')),
      );
      expect(saying(checks, 'role', 'warn')).toEqual(
        Array(2).fill(expect.stringContaining('kvstore:Describe* on *')),
      );
    });

    it('says who may take a role on, where that is not Function Compute alone', async () => {
      await deployed({ stage: 'shared', trusts: ['fc.aliyuncs.com', THEIRS] });
      expect(saying(await lookAt('shared'), 'role', 'warn')).toEqual(
        Array(2).fill(expect.stringContaining(`others than Function Compute may take it on too`)),
      );
    });

    it('says which plans no timer starts, and which timers start no plan', async () => {
      await deployed({
        stage: 'mistimed',
        timers: [
          { name: 'nightly', payload: '{"plan":"nightly"}', enable: false },
          { name: 'yearly', payload: '{"plan":"yearly"}', enable: true },
          { name: 'odd', payload: 'nightly', enable: true },
        ],
      });
      const checks = await lookAt('mistimed');

      expect(saying(checks, 'timer', 'warn')).toEqual([
        'its timer nightly is switched off: it runs by hand only',
        'carries no plan in its payload: every firing ends in an error',
        'starts the plan yearly, which is not in plans.yaml here',
      ]);
      expect(saying(await lookAt('lacking'), 'timer', 'warn')).toEqual([
        'no timer of tairlift-lacking-orchestrator starts it: it runs by hand only',
      ]);
    });

    it('says where the functions and the settings here mean different places', async () => {
      await deployed({
        stage: 'astray',
        environment: { TAIRLIFT_UPLOADER: 'another', TAIRLIFT_BUCKET: 'with-expiry' },
      });
      const { checks } = await examine(
        ONE,
        { TAIRLIFT_STAGE: 'astray', TAIRLIFT_BUCKET: 'in-order' },
        ['*'],
        ['--plan', 'nightly'],
      );

      expect(saying(checks, 'orchestrator', 'error')).toEqual([
        'invokes another, not tairlift-astray-uploader',
      ]);
      expect(saying(checks, 'uploader', 'warn')).toEqual([
        expect.stringContaining('its TAIRLIFT_BUCKET is "with-expiry", here it is "in-order"'),
      ]);
    });

    it('says that they are not deployed yet', async () => {
      const checks = await lookAt('nowhere');
      expect(ofStatus(checks, 'error')).toEqual([
        'orchestrator tairlift-nowhere-orchestrator',
        'uploader tairlift-nowhere-uploader',
      ]);
    });
  });

  it('warns of a role in another account that can be assumed without its external id', async () => {
    const target = (arn: string, id: string): string =>
      `{ region: ${REGION}, account: { roleArn: "${arn}"${id} } }`;
    const open = await examine(planOf(target(openRoleArn, ', externalId: team-a')), {}, ['*']);
    const none = await examine(planOf(target(openRoleArn, '')), {}, ['*']);

    expect(saying(open.checks, 'external id', 'warn')).toEqual([
      expect.stringContaining('does not demand the external id'),
    ]);
    expect(saying(none.checks, 'external id', 'note')).toEqual([
      expect.stringContaining('the plan names none'),
    ]);
  });

  describe('of the way to the services', () => {
    const ONE = planOf(`{ region: ${REGION}, instances: [r-plain] }`);
    const look = async (variables: Readonly<Record<string, string>> = {}): Promise<readonly Check[]> =>
      (await examine(ONE, variables, ['*'], ['--plan', 'nightly'])).checks;
    const everywhere = (effect: Effect): void => {
      for (const service of ['tair', 'oss', 'sts', 'fc', 'cms'] as const)
        emulator.world.faults.add({ service, times: -1, effect });
    };

    it('says where nobody answers, whose name is unknown, and whose certificate is not trusted', async () => {
      const checks = await look({
        TAIRLIFT_ENDPOINT_TAIR: 'http://127.0.0.1:1',
        TAIRLIFT_ENDPOINT_CMS: 'http://no-such-host.invalid',
        NODE_EXTRA_CA_CERTS: '',
      });

      expect(saying(checks, 'endpoint', 'error')).toEqual([
        expect.stringContaining(
          'r-kvstore of cn-hangzhou cannot be reached: nobody answers there (ECONNREFUSED)',
        ),
        expect.stringContaining('OSS of cn-hangzhou cannot be reached: its certificate is not trusted'),
      ]);
      expect(saying(checks, 'endpoint', 'warn')).toEqual([
        expect.stringContaining('STS cannot be reached: its certificate is not trusted'),
        expect.stringMatching(
          /^CloudMonitor cannot be reached: its name is not known here \((ENOTFOUND|EAI_AGAIN)\)$/,
        ),
      ]);
    });

    it('says who gives no answer, and does not wait for it for long', async () => {
      emulator.world.faults.add({ service: 'cms', times: -1, effect: { kind: 'stall' } });
      const checks = await look();

      expect(saying(checks, 'endpoint', 'warn')).toEqual([
        'CloudMonitor cannot be reached: no answer within 5 s',
      ]);
      expect(ofStatus(checks, 'ok')).toContain('instance cn-hangzhou r-plain');
    });

    it.each([
      [10, 'warn', 'the clock of this machine is 10 min behind those of the services'],
      [-20, 'error', 'the clock of this machine is 20 min ahead of those of the services'],
    ] as const)('says how far the clock is off: %d min', async (minutes, status, says) => {
      everywhere({ kind: 'headers', set: { date: new Date(Date.now() + minutes * 60_000).toUTCString() } });
      expect(saying(await look(), 'clock', status)).toEqual([expect.stringContaining(says)]);
    });
  });

  it('goes on when STS does not say who it is', async () => {
    emulator.world.faults.add({ service: 'sts', times: -1, effect: { kind: 'reset' } });
    const { checks } = await examine(planOf(`{ region: ${REGION}, instances: [r-plain] }`), {
      ...PROD,
      FC_ACCOUNT_ID: emulator.world.accountId,
    });

    expect(ofStatus(checks, 'warn')).toContain('identity');
    expect(ofStatus(checks, 'ok')).toContain('role tairlift-prod-uploader');
  });

  it('looks no further without credentials, nor with such as are refused', async () => {
    const none = await examine(planOf(`{ region: ${REGION} }`), {
      ALIBABA_CLOUD_ACCESS_KEY_ID: '',
      ALIBABA_CLOUD_ACCESS_KEY_SECRET: '',
      ALIBABA_CLOUD_ECS_METADATA_DISABLED: 'true',
    });
    const refused = await examine(planOf(`{ region: ${REGION} }`), {
      ALIBABA_CLOUD_ACCESS_KEY_ID: 'LTAI-nobody',
      ALIBABA_CLOUD_SECURITY_TOKEN: '',
    });

    expect(ofStatus(none.checks, 'ok')).toEqual(['configuration nightly']);
    expect(ofStatus(none.checks, 'error')).toEqual(['credentials']);
    expect(ofStatus(refused.checks, 'error')).toEqual(['identity']);
    expect(refused.checks.at(-1)?.todo).toContain('check the credentials');
    expect([none.code, refused.code]).toEqual([1, 1]);
  });

  it('looks at servers of one’s own, also when they are not there', async () => {
    const server = await startRedis({ folder: mkdtempSync(join(folder, 'server-')), args: [] });
    try {
      const { code, checks } = await examine(
        planOf(
          `{ redis: "redis://127.0.0.1:${server.port}", id: mine }, { redis: "redis://127.0.0.1:1", id: gone }`,
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
    writeFileSync(path, planOf(`{ region: ${REGION}, instances: [r-flash] }`));
    const { code, stdout, stderr } = await runCli(['doctor', '--plans', path, '--plan', 'nightly'], {
      env: { ...emulator.environment, TAIRLIFT_ENDPOINT_OSS: emulator.secureOssEndpoint },
    });

    expect(stdout).toMatch(/warn +flashback +cn-hangzhou r-flash +data flashback is on/);
    expect(stdout).toMatch(/note +uploader +TAIRLIFT_UPLOADER is not set/);
    expect(stdout).toContain('2 note, 1 warn, 0 error');
    expect(stderr).toContain('warn: flashback of cn-hangzhou r-flash: run its plan when it is least busy');
    expect(stderr).toContain('note: identity of');
    expect(code).toBe(3);
  });
});
