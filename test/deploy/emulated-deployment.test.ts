/**
 * The repository's own deployment, by the unmodified CLI, to the emulator: deployed, deployed again, called, backed up
 * by, changed, broken, put right, removed. The tests of a describe are one story, in this order.
 */
import { join } from 'node:path';
import type { Recorded } from '../../emulator/ros/resources/records.ts';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { InstanceSpec } from '../../emulator/world.ts';
import { permissionsOf } from '../../functions/core/permissions.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import { runCli } from '../cli/run-cli.ts';
import { makeDeploymentFolder, type DeploymentFolder, type Ran } from './deployment-folder.ts';
import { doubleComponents, realComponents, type Components } from './find-components.ts';
import { ROOT } from './sample-deployment.ts';

const RDB = join(ROOT, 'test', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');
const BUCKET = 'my-backups';
const ORCHESTRATOR = 'tairlift-prod-orchestrator';
const UPLOADER = 'tairlift-prod-uploader';

const instanceOf = (id: string): InstanceSpec => ({
  region: 'cn-hangzhou',
  id,
  tags: { backup: 'nightly' },
  rdbFiles: [RDB],
});

const real = realComponents();
if (real === undefined)
  process.stderr.write(
    'the components fc3, fc3-domain and ros are not in ~/.s: deployments are tested with doubles of them only\n',
  );

const COMPONENTS: readonly (readonly [string, () => Components])[] = [
  ['doubles of the components', doubleComponents],
  ...(real === undefined ? [] : [['the real components', () => real] as const]),
];

describe.each(COMPONENTS)('with %s', (_which, components) => {
  let cloud: Emulator;
  let folder: DeploymentFolder;
  beforeAll(async () => {
    cloud = await startEmulator({
      buckets: [{ name: 'of-somebody-else', region: 'cn-hangzhou', accountId: '9999999999999999' }],
      instances: [instanceOf('r-1')],
    });
    folder = makeDeploymentFolder(components());
  });
  afterAll(async () => {
    await cloud.stop();
    folder.remove();
  });

  const variables = (): Record<string, string> => ({
    ...cloud.deployEnvironment,
    TAIRLIFT_BUCKET: BUCKET,
    TAIRLIFT_CONTACT_GROUP: 'on-call',
    TAIRLIFT_SCHEDULE: '0 * * * * *',
  });
  const s = async (
    args: readonly string[],
    changes: Record<string, string> = {},
    stage = 'prod',
  ): Promise<Ran> => folder.s([...args, '--env', stage], { ...variables(), ...changes });
  const changesMade = (): readonly string[] =>
    cloud.world.journal
      .entries()
      .map(({ service, action }) => `${service} ${action}`)
      .filter((call) => !/ (Get|List)/.test(call));
  const calls = (action: string): readonly string[] =>
    cloud.world.journal.entries({ service: 'fc', action }).map(({ target }) => target);

  it('nothing is made of a function whose role is not there yet', async () => {
    const { code, said } = await s(['orchestrator', 'deploy', '-y']);
    expect(code).not.toBe(0);
    expect(said).toContain(`role/${ORCHESTRATOR}' of function '${ORCHESTRATOR}' does not exist`);
    expect(cloud.fc.describe()).toEqual([]);
  });

  it('nothing is made where the bucket is somebody else’s', async () => {
    const { code, said } = await s(['deploy', '-y'], { TAIRLIFT_BUCKET: 'of-somebody-else' }, 'dev');
    expect(code).not.toBe(0);
    expect(said).toContain('BucketAlreadyExists');
    expect(cloud.fc.describe()).toEqual([]);
    expect(cloud.world.identity.roles().filter(({ name }) => name.startsWith('tairlift-'))).toEqual([]);
    expect(cloud.oss.list('of-somebody-else')).toEqual([]);
  });

  it('everything is made, in this order, and the functions are as s.yaml says', async () => {
    cloud.world.journal.clear();
    const { code, said } = await s(['deploy', '-y']);
    expect([code, code === 0 ? '' : said]).toEqual([0, '']);

    expect(changesMade()).toEqual([
      'ros CreateStack',
      'oss PutObject',
      'fc CreateFunction',
      'fc CreateTrigger',
      'fc PutAsyncInvokeConfig',
      'fc PutConcurrencyConfig',
      'oss PutObject',
      'fc CreateFunction',
      'fc PutAsyncInvokeConfig',
      'fc PutConcurrencyConfig',
    ]);
    expect(cloud.ros.describe().find(({ name }) => name === 'tairlift-prod')?.status).toBe('CREATE_COMPLETE');
    expect(cloud.oss.bucket(BUCKET)).toMatchObject({
      encryption: { algorithm: 'AES256' },
      blocksPublicAccess: true,
    });
    expect(cloud.fc.describe()).toMatchObject([
      {
        name: ORCHESTRATOR,
        timers: [{ name: 'nightly', cron: '0 * * * * *', payload: '{"plan":"nightly"}' }],
      },
      { name: UPLOADER, timers: [] },
    ]);
    expect(calls('PutConcurrencyConfig')).toEqual([ORCHESTRATOR, UPLOADER]);
  });

  it('doctor finds nothing wrong with it', async () => {
    const { identity, accountId } = cloud.world;
    const allow = permissionsOf('doctor').map(({ action }) => action);
    const keys = identity.issue(
      identity.addRole({ accountId, name: 'operator', trusts: [], allow }),
      'me',
      3600,
    );
    const { code, stdout } = await runCli(
      ['doctor', '--plans', join(ROOT, 'plans.yaml'), '--stage', 'prod', '--json'],
      {
        env: {
          ...cloud.environment,
          TAIRLIFT_ENDPOINT_OSS: cloud.secureOssEndpoint,
          TAIRLIFT_REGION: 'cn-hangzhou',
          TAIRLIFT_BUCKET: BUCKET,
          ALIBABA_CLOUD_ACCESS_KEY_ID: keys.accessKeyId,
          ALIBABA_CLOUD_ACCESS_KEY_SECRET: keys.accessKeySecret,
          ALIBABA_CLOUD_SECURITY_TOKEN: keys.securityToken,
        },
      },
    );

    const { checks } = JSON.parse(stdout) as { checks: readonly { readonly status: string }[] };
    expect(checks.filter(({ status }) => status !== 'ok')).toEqual([]);
    expect(code).toBe(0);
  });

  it('a timer fires, and a backup is stored, by functions with the roles and the bucket that were deployed', async () => {
    cloud.world.clock.advance(60_000);
    await cloud.fc.whenIdle();

    const [task] = cloud.fc.tasks(ORCHESTRATOR);
    expect([task?.status, task?.errorMessage]).toEqual(['Succeeded', undefined]);
    const stored = cloud.oss.list(BUCKET);
    const key = stored.find(({ key }) => key.endsWith('manifest.json'))?.key ?? '';
    const { files, level } = parseManifest(await cloud.oss.read(BUCKET, key), key);
    expect(files).toMatchObject([{ rdb: { verdict: 'sound' } }]);
    expect(level).toBe('parsed');
    expect(
      stored.filter(({ key }) => key.startsWith('Backup_')).map(({ headers }) => headers),
    ).toContainEqual(expect.objectContaining({ 'x-oss-server-side-encryption': 'AES256' }));
    expect(cloud.cms.events()).toEqual([]);
  });

  it('deployed again sends no code, and takes nothing away', async () => {
    cloud.world.journal.clear();
    const before = cloud.oss.list(BUCKET).length;
    const { code } = await s(['deploy', '-y']);

    expect(code).toBe(0);
    expect(cloud.world.journal.entries({ service: 'fc', action: 'GetTempBucketToken' })).toEqual([]);
    expect(calls('CreateFunction')).toEqual([]);
    expect(calls('UpdateFunction')).toEqual([ORCHESTRATOR, UPLOADER]);
    expect(calls('UpdateTrigger')).toEqual([ORCHESTRATOR]);
    expect(cloud.oss.list(BUCKET).length).toBeGreaterThanOrEqual(before);
  });

  it('a function is called by hand', async () => {
    const { code, said } = await s(['orchestrator', 'invoke', '-e', '{"plan":"nightly","dryRun":true}']);
    expect(code).toBe(0);
    expect(said).toContain('r-1');
  });

  it('one function is deployed alone', async () => {
    cloud.world.journal.clear();
    const { code } = await s(['uploader', 'deploy', '-y']);
    expect(code).toBe(0);
    expect(calls('UpdateFunction')).toEqual([UPLOADER]);
    expect(cloud.world.journal.entries({ service: 'ros', action: 'UpdateStack' })).toEqual([]);
  });

  it.each([
    [
      ORCHESTRATOR,
      '"kvstore:CreateBackup",',
      'kvstore:CreateBackup on acs:kvstore:cn-hangzhou:*:instance/r-of-orchestrator',
    ],
    [UPLOADER, `,"acs:oss:*:*:${BUCKET}/Backup_*"`, `on acs:oss:*:*:${BUCKET}/Backup_`],
  ])(
    'what %s has lost fails the next run, which names it and raises an event that an alarm looks for',
    async (name, lost, named) => {
      const { identity, accountId } = cloud.world;
      const role = identity.role(`acs:ram::${accountId}:role/${name}`);
      if (role?.policies === undefined) throw new Error(`there is no role ${name}`);
      // As an operator's hand would have changed it.
      const policies = JSON.parse(JSON.stringify(role.policies).replaceAll(lost, '')) as typeof role.policies;
      expect(policies).not.toEqual(role.policies);
      identity.addRole({ ...role, policies });

      // Of the others there are backups that can be adopted.
      await cloud.tair.addInstance(instanceOf(name.replace('tairlift-prod', 'r-of')));

      const { code, said } = await s(['orchestrator', 'invoke', '-e', '{"plan":"nightly"}']);
      identity.addRole(role);

      expect(code).not.toBe(0);
      expect(said).toContain(`allow `);
      expect(said).toContain(named);
      const [rule] = cloud.ros.recorded().filter(({ type }) => type === 'ALIYUN::CMS::EventRule');
      const { NameList, CustomFilters } = patternOf(rule);
      const event = cloud.cms.events().at(-1);
      expect(NameList).toContain(event?.name);
      expect(event?.content).toContain(CustomFilters);
    },
  );

  it('is removed but for the bucket and what is in it', async () => {
    const before = cloud.oss.list(BUCKET).map(({ key }) => key);
    const { code } = await s(['remove', '-y']);

    expect(code).toBe(0);
    expect(cloud.fc.describe()).toEqual([]);
    expect(cloud.ros.describe().at(-1)?.status).toBe('DELETE_COMPLETE');
    expect(cloud.oss.list(BUCKET).map(({ key }) => key)).toEqual(before);
  });

  it('what stopped half-way is gone on with, over the bucket that stayed', async () => {
    const there = { TAIRLIFT_BUCKET_IS: 'there' };
    cloud.world.faults.add({
      service: 'fc',
      action: 'CreateFunction',
      skip: 1,
      effect: { kind: 'error', status: 403, code: 'AccessDenied' },
    });
    const { code } = await s(['deploy', '-y'], there);
    expect(code).not.toBe(0);
    expect(cloud.fc.describe().map(({ name }) => name)).toEqual([ORCHESTRATOR]);

    expect((await s(['deploy', '-y'], there)).code).toBe(0);
    expect(cloud.fc.describe().map(({ name }) => name)).toEqual([ORCHESTRATOR, UPLOADER]);
  });
});

interface EventPattern {
  readonly NameList: readonly string[];
  readonly CustomFilters: string;
}

/** What an alarm looks for in the events that come. */
function patternOf(rule: Recorded | undefined): EventPattern {
  // As the template has it.
  const patterns = (rule?.properties['EventPattern'] ?? []) as readonly EventPattern[];
  const [pattern] = patterns;
  if (pattern === undefined) throw new Error('no alarm looks at events');
  return pattern;
}
