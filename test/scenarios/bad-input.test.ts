/** What people get wrong, through the built orchestrator: one clear error that names the thing, and nothing half done. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { SMALL } from './files.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const folder = mkdtempSync(join(tmpdir(), 'tairlift-bad-input-'));
const DIST = join(__dirname, '../../dist');

interface Mistake {
  readonly when: string;
  readonly event?: string;
  readonly plans?: string;
  /** In place of the right value; an empty one takes the variable away. */
  readonly variables?: Readonly<Record<string, string>>;
  /** Taken from the orchestrator's role. */
  readonly withoutRight?: string;
  /** Each stands in the error. */
  readonly says: readonly string[];
}

const PLANS = `plans:
  nightly:
    targets: [{ region: ${REGION}, instances: [r-1] }]
    backup: { timeoutMinutes: 0.5 }
`;

const mistakes: readonly Mistake[] = [
  {
    when: 'the event is not JSON',
    event: 'plan=nightly',
    says: ['CONFIG_INVALID', 'not JSON', '{"plan":"<name>"}'],
  },
  { when: 'the event is empty', event: '', says: ['CONFIG_INVALID', 'empty', '{"plan":"<name>"}'] },
  {
    when: 'the payload of the timer is not JSON',
    event: '{"triggerTime":"2026-11-20T18:00:00Z","triggerName":"nightly","payload":"nightly"}',
    says: ['CONFIG_INVALID', 'payload of the timer "nightly"'],
  },
  {
    when: 'the event has a misspelt field',
    event: '{"plan":"nightly","dryrun":true}',
    says: ['CONFIG_INVALID', '"dryrun"', 'did you mean "dryRun"'],
  },
  {
    when: 'the plan does not exist',
    event: '{"plan":"nighly"}',
    says: ['CONFIG_INVALID', 'no such plan', 'did you mean "nightly"'],
  },
  {
    when: 'a key of plans.yaml is misspelt',
    plans: PLANS.replace('targets', 'tragets'),
    says: ['CONFIG_INVALID', 'line 3', 'tragets', 'did you mean "targets"'],
  },
  { when: 'plans.yaml is not YAML', plans: 'plans: [', says: ['CONFIG_INVALID', 'plans-6.yaml', 'line 1'] },
  {
    when: 'plans.yaml is not there',
    variables: { TAIRLIFT_PLANS: '/nowhere/plans.yaml' },
    says: ['CONFIG_INVALID', '/nowhere/plans.yaml', 'TAIRLIFT_PLANS'],
  },
  {
    when: 'no bucket is named',
    variables: { TAIRLIFT_BUCKET: '' },
    says: ['CONFIG_INVALID', 'plans.nightly.destination.bucket', 'TAIRLIFT_BUCKET'],
  },
  {
    when: 'no uploader is named',
    variables: { TAIRLIFT_UPLOADER: '' },
    says: ['CONFIG_INVALID', 'TAIRLIFT_UPLOADER'],
  },
  {
    when: 'an endpoint is no address',
    variables: { TAIRLIFT_ENDPOINT_OSS: 'oss.internal' },
    says: ['CONFIG_INVALID', 'TAIRLIFT_ENDPOINT_OSS', 'http://127.0.0.1:9000'],
  },
  {
    when: 'the bucket does not exist',
    variables: { TAIRLIFT_BUCKET: 'no-such-bucket' },
    says: ['NO_SUCH_BUCKET', 'no-such-bucket'],
  },
  {
    when: 'the bucket belongs to somebody else',
    variables: { TAIRLIFT_BUCKET: 'foreign-bucket' },
    says: ['PERMISSION_DENIED', 'foreign-bucket'],
  },
  {
    when: 'the role may not write objects',
    withoutRight: 'oss:PutObject',
    says: ['PERMISSION_DENIED', 'oss:PutObject', BUCKET],
  },
  {
    when: 'the role may not list instances',
    withoutRight: 'kvstore:DescribeInstances',
    says: ['PERMISSION_DENIED', 'kvstore:DescribeInstances'],
  },
  {
    when: 'the role may not create backups',
    withoutRight: 'kvstore:CreateBackup',
    says: ['PERMISSION_DENIED', 'kvstore:CreateBackup', 'r-1'],
  },
  {
    when: 'the role may not invoke the uploader',
    withoutRight: 'fc:InvokeFunction',
    says: ['PERMISSION_DENIED', 'fc:InvokeFunction', 'r-1'],
  },
  {
    when: 'the uploader does not exist',
    variables: { TAIRLIFT_UPLOADER: 'no-such-function' },
    says: ['INVOKE_FAILED', 'no-such-function'],
  },
  {
    when: 'a listed instance does not exist',
    plans: PLANS.replace('r-1', 'r-missing'),
    says: ['INSTANCE_NOT_FOUND', 'r-missing', REGION],
  },
  {
    when: 'no instance matches',
    plans: PLANS.replace('instances: [r-1]', 'tags: { backup: never }'),
    says: ['NOTHING_SELECTED', 'backup=never', REGION],
  },
];

const RIGHTS = [
  'kvstore:DescribeInstances',
  'kvstore:DescribeInstanceAttribute',
  'kvstore:DescribeBackups',
  'kvstore:DescribeBackupTasks',
  'kvstore:DescribeClusterBackupList',
  'kvstore:CreateBackup',
  'fc:InvokeFunction',
  'fc:GetAsyncTask',
  'oss:PutObject',
  'oss:GetObject',
  'oss:ListObjects',
];

/** One orchestrator for each mistake, with that one thing wrong. */
function functionsOf(world: World): readonly FunctionSpec[] {
  return mistakes.map(({ plans = PLANS, variables = {}, withoutRight }, number) => {
    const plansPath = join(folder, `plans-${number}.yaml`);
    writeFileSync(plansPath, plans);
    const allow = RIGHTS.filter((right) => right !== withoutRight);
    const role = world.identity.addRole({
      accountId: world.accountId,
      name: `role-${number}`,
      trusts: ['fc.aliyuncs.com'],
      allow,
    });
    const environment: Record<string, string> = {
      TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
      TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
      TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
      TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
      TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
      TAIRLIFT_BUCKET: BUCKET,
      TAIRLIFT_OSS_REGION: REGION,
      TAIRLIFT_PREFIX: `mistake-${number}/`,
      TAIRLIFT_UPLOADER: 'uploader',
      TAIRLIFT_PLANS: plansPath,
      ...variables,
    };
    return {
      name: `orchestrator-${number}`,
      region: REGION,
      codeFolder: join(DIST, 'orchestrator'),
      memoryMb: 512,
      timeoutSeconds: 300,
      role: role.arn,
      environment,
    };
  });
}

describe('the built orchestrator', () => {
  let emulator: Emulator;
  beforeAll(async () => {
    emulator = await startEmulator({
      instances: [{ region: REGION, id: 'r-1', rdbFiles: [SMALL] }],
      buckets: [
        { name: BUCKET, region: REGION },
        { name: 'foreign-bucket', region: REGION, accountId: '9999' },
      ],
      functions: functionsOf,
    });
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const invoke = async (number: number, event: string): Promise<string> => {
    const { accessKeyId, accessKeySecret } = emulator.accessKey;
    const functionsFor = composeFunctions(readEnvironment(emulator.environment), {
      region: REGION,
      accountId: emulator.world.accountId,
      credentials: { accessKeyId, accessKeySecret },
    });
    const name = `orchestrator-${number}`;
    try {
      const answer = await functionsFor(name).call(name, Buffer.from(event), AbortSignal.timeout(60_000));
      return `no error, but ${answer.toString()}`;
    } catch (error) {
      return error instanceof Error ? error.message : 'unknown';
    }
  };

  it.each(mistakes.map((mistake, number) => [mistake.when, mistake, number] as const))(
    'says so when %s',
    async (_when, mistake, number) => {
      const message = await invoke(number, mistake.event ?? '{"plan":"nightly"}');
      for (const words of mistake.says) expect(message).toContain(words);
      expect(message).not.toContain('at Object.');
      // Nothing half done: no backup of anything below this prefix, and no upload under way.
      const objects = emulator.oss
        .list(BUCKET)
        .filter(({ key }) => key.startsWith(`mistake-${number}/Backup_`));
      expect(objects).toEqual([]);
      expect(emulator.oss.uploads(BUCKET)).toEqual([]);
    },
  );

  it('has asked for no backup but where only the upload was impossible', () => {
    const created = emulator.world.journal
      .entries({ service: 'tair', action: 'CreateBackup' })
      .filter(({ code }) => code === undefined);
    expect(created).toHaveLength(
      mistakes.filter(
        ({ withoutRight, variables }) =>
          withoutRight === 'fc:InvokeFunction' || variables?.['TAIRLIFT_UPLOADER'] === 'no-such-function',
      ).length,
    );
  });
});
