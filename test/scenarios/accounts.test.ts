/**
 * Two accounts, instances in three regions, the bucket in a fourth: what the built orchestrator says in a dry run, what
 * `tairlift plan` says, and what the run then does. The role of the other account is the one that the template makes.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, InstanceSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { runCli } from '../cli/run-cli.ts';
import { deploySourceRole } from '../infra/source-account.ts';
import { SMALL } from './files.ts';
import { leastRole } from '../doubles/function-role.ts';

const THEIRS = '2222222222222222';
const EXTERNAL_ID = 'team-a';
const BUCKET = 'far-away';
const BUCKET_REGION = 'eu-central-1';
const FUNCTIONS_REGION = 'cn-hangzhou';
const DIST = join(__dirname, '..', '..', 'dist');

const ROLE = `acs:ram::${THEIRS}:role/tairlift-source`;
const accountWith = (externalId: string): string => `{ roleArn: "${ROLE}", externalId: ${externalId} }`;
const PLANS = `plans:
  nightly:
    targets:
      - { region: "*", tags: { backup: nightly } }
      - { region: "*", name: [shop-*, cache-*], engineVersions: "7", account: ${accountWith(EXTERNAL_ID)} }
      - { region: cn-beijing, optional: true }
    exclude: { name: cache-* }
  weekly:
    targets: [{ region: cn-shanghai, instances: [r-weekly] }]
  mistaken:
    targets:
      - { region: "*", name: reports }
      - { region: "*", account: ${accountWith('team-b')} }
`;

const own = (id: string, region: string, more: Partial<InstanceSpec> = {}): InstanceSpec => ({
  id,
  region,
  rdbFiles: [SMALL],
  ...more,
});
const their = (id: string, region: string, more: Partial<InstanceSpec> = {}): InstanceSpec => ({
  ...own(id, region, more),
  accountId: THEIRS,
});
const tags = { backup: 'nightly' };
const INSTANCES: readonly InstanceSpec[] = [
  own('r-orders', 'cn-hangzhou', { name: 'orders', tags }),
  own('r-users', 'cn-shanghai', { name: 'users', tags }),
  own('r-cache', 'cn-shanghai', { name: 'cache-1', tags }),
  own('r-single', 'cn-shanghai', { name: 'single', tags, nodes: 'single' }),
  own('r-weekly', 'cn-shanghai', { name: 'reports' }),
  own('r-forgotten', 'cn-hangzhou', { name: 'forgotten' }),
  their('r-shop-a', 'cn-shanghai', { name: 'shop-a' }),
  their('r-shop-b', 'ap-southeast-1', { name: 'shop-b' }),
  their('r-shop-old', 'ap-southeast-1', { name: 'shop-old', engineVersion: '5.0' }),
  their('r-shop-cache', 'ap-southeast-1', { name: 'cache-shop' }),
];

describe('two accounts, three regions, and the bucket in a fourth', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-accounts-'));
  const plansPath = join(folder, 'plans.yaml');
  const { signal } = new AbortController();
  let emulator: Emulator;

  beforeAll(async () => {
    writeFileSync(plansPath, PLANS);
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: BUCKET_REGION }],
      instances: INSTANCES,
      functions: (world) => functionsOf(world, plansPath),
    });
    const { identity, accountId } = emulator.world;
    identity.addRole(deploySourceRole(THEIRS, { BackupAccountId: accountId, ExternalId: EXTERNAL_ID }));
  });
  afterAll(async () => {
    await emulator?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const call = async (event: unknown): Promise<Summary> => {
    const functions = composeFunctions(readEnvironment(emulator.environment), {
      region: FUNCTIONS_REGION,
      accountId: emulator.world.accountId,
      credentials: emulator.accessKey,
    })('orchestrator');
    const answer = await functions.call('orchestrator', Buffer.from(JSON.stringify(event)), signal);
    return JSON.parse(answer.toString()) as Summary;
  };
  const tairlift = async (...args: string[]) =>
    runCli(args, {
      env: {
        ...emulator.environment,
        TAIRLIFT_PLANS: plansPath,
        TAIRLIFT_BUCKET: BUCKET,
        TAIRLIFT_OSS_REGION: BUCKET_REGION,
      },
    });
  const callersOf = (service: 'tair' | 'sts', action: string): readonly (readonly [string, string])[] =>
    emulator.world.journal
      .entries({ service, action })
      .map(({ target, caller }) => [target, caller ?? ''] as const);
  const storedKeys = (): readonly string[] =>
    emulator.oss
      .list(BUCKET)
      .map(({ key }) => key)
      .filter((key) => key.endsWith('/manifest.json'));

  let rehearsed: Summary;

  it('the dry run of the function says what is taken, skipped, left out and covered by nothing', async () => {
    rehearsed = await call({ plan: 'nightly', dryRun: true });

    expect(rehearsed.status).toBe('succeeded');
    expect(rehearsed.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual([
      ['r-shop-b', 'selected'],
      ['r-orders', 'selected'],
      ['r-shop-a', 'selected'],
      ['r-single', 'skipped'],
      ['r-users', 'selected'],
    ]);
    expect(rehearsed.leftOut?.map(({ instanceId, reason }) => [instanceId, reason])).toEqual([
      ['r-shop-cache', 'exclude: name cache-*'],
      ['r-cache', 'exclude: name cache-*'],
    ]);
    expect(rehearsed.uncovered?.map(({ instanceId, account }) => [instanceId, account])).toEqual([
      ['r-shop-cache', ROLE],
      ['r-shop-old', ROLE],
      ['r-forgotten', undefined],
      ['r-cache', undefined],
    ]);
    expect(rehearsed.idle).toEqual(['targets[2]: cn-beijing']);
    expect(emulator.oss.list(BUCKET)).toEqual([]);
    expect(callersOf('tair', 'CreateBackup')).toEqual([]);
  });

  it('the role with the wrong external id is a problem that names it, in the dry run of every plan', () => {
    expect(rehearsed.unlisted).toMatchObject([
      {
        code: 'PERMISSION_DENIED',
        message: expect.stringContaining(`assume role ${ROLE}: NoPermission`) as string,
        hint: expect.stringContaining('demand the external id that the plan names') as string,
      },
    ]);
  });

  it('tairlift plan says the same', async () => {
    const { code, stdout } = await tairlift('plan', '--plan', 'nightly', '--json');

    expect(lasting(JSON.parse(stdout) as Summary)).toEqual(lasting(rehearsed));
    expect(code).toBe(3); // not everything could be looked at
  });

  it('the run does what was said, each instance through its own account', async () => {
    const before = callersOf('sts', 'AssumeRole').length;
    const summary = await call({ plan: 'nightly' });

    expect(summary.status).toBe('succeeded');
    expect(summary.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual(
      rehearsed.instances.map(({ instanceId, status }) => [
        instanceId,
        status === 'selected' ? 'stored' : status,
      ]),
    );
    expect(storedKeys().map((key) => key.split('/')[0])).toEqual([
      'Backup_r-orders',
      'Backup_r-shop-a',
      'Backup_r-shop-b',
      'Backup_r-users',
    ]);
    const callers = new Map(callersOf('tair', 'CreateBackup'));
    const theirs = `acs:ram::${THEIRS}:assumed-role/tairlift-source/tairlift`;
    expect([callers.get('r-shop-a'), callers.get('r-shop-b')]).toEqual([theirs, theirs]);
    expect(callers.get('r-orders')).toContain(':assumed-role/orchestrator/');
    expect(callers.size).toBe(4);
    // One session of the orchestrator for all that it asks of them, and one of each of their uploaders.
    expect(callersOf('sts', 'AssumeRole').length - before).toBe(3);
    const key = emulator.oss.list(BUCKET).find((object) => object.key.endsWith('/selection.json'))?.key ?? '';
    const record = JSON.parse((await emulator.oss.read(BUCKET, key)).toString()) as {
      selected: readonly { readonly instance: { readonly id: string }; readonly rule: string }[];
    };
    expect(record.selected.map(({ instance, rule }) => [instance.id, rule])).toEqual(
      rehearsed.instances.map((result) => [result.instanceId, 'rule' in result ? result.rule : '']),
    );
  });

  it('a session that ends in the middle of a run is renewed', async () => {
    const release = emulator.tair.holdBackup('r-shop-a');
    const created = (): number => emulator.tair.createBackupCalls('r-shop-a');
    const before = created();
    const running = call({ plan: 'nightly', instances: ['r-shop-a'] });
    while (created() === before) await new Promise((resolve) => setTimeout(resolve, 20));
    const sessions = callersOf('sts', 'AssumeRole').length;

    emulator.world.clock.advance(61 * 60_000);
    release();

    expect(await running).toMatchObject({ status: 'succeeded', counts: { stored: 1 } });
    expect(created()).toBe(before + 1);
    const ended = emulator.world.journal
      .entries({ service: 'tair' })
      .filter(({ code }) => code === 'InvalidSecurityToken.Expired');
    expect(ended.length).toBeGreaterThan(0);
    expect(callersOf('sts', 'AssumeRole').length - sessions).toBe(2); // the orchestrator's new one, the uploader's
  });

  it('a role that is refused, and one region of all that cannot be listed, are named, and the others go on', async () => {
    const fault = emulator.world.faults.add({
      service: 'tair',
      action: 'DescribeInstances',
      target: '^us-east-1$',
      times: -1,
      effect: { kind: 'error', status: 403, code: 'Forbidden.RAM', message: 'User not authorized' },
    });

    const error = await call({ plan: 'mistaken' }).catch((thrown: unknown) => thrown);

    emulator.world.faults.remove(fault);
    const message = error instanceof Error ? error.message : 'no error';
    expect(message).toContain('ended partial: 1 of 1 stored');
    expect(message).toContain('PERMISSION_DENIED (list the instances of us-east-1, name reports');
    expect(message).toContain(`PERMISSION_DENIED (list the instances of all regions, through ${ROLE}`);
    expect(message).not.toContain('team-b');
    expect(storedKeys().filter((key) => /^Backup_r-weekly\/.*-mistaken\//.test(key))).toHaveLength(1);
  });
});

/** Without what each answer has for itself: its time, the ids of its requests, and who asked. */
function lasting({ unlisted = [], ...summary }: Summary): unknown {
  return {
    ...summary,
    runId: '',
    startedAt: '',
    finishedAt: '',
    unlisted: unlisted.map(({ details, message, ...record }) => ({
      ...record,
      message: message.replace(/ \(asked by [^)]+\)$/, ''),
      code: details?.['serviceCode'],
    })),
  };
}

function functionsOf(world: World, plansPath: string): readonly FunctionSpec[] {
  const roleOf = (who: 'orchestrator' | 'uploader'): string =>
    leastRole(
      world,
      who,
      {
        region: FUNCTIONS_REGION,
        bucket: BUCKET,
        orchestrator: 'orchestrator',
        uploader: 'uploader',
        sourceRoles: [ROLE],
      },
      'other-accounts',
    );
  const common = {
    region: FUNCTIONS_REGION,
    memoryMb: 512,
    // Longer than the hour by which the emulator's clock is put forward.
    timeoutSeconds: 86_400,
    maxAsyncRetryAttempts: 0,
  };
  const environment = {
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
    NODE_EXTRA_CA_CERTS: join(world.folder, 'sts-certificate.pem'),
    TAIRLIFT_BUCKET: BUCKET,
    TAIRLIFT_OSS_REGION: BUCKET_REGION,
  };
  return [
    {
      ...common,
      name: 'orchestrator',
      codeFolder: join(DIST, 'orchestrator'),
      role: roleOf('orchestrator'),
      environment: { ...environment, TAIRLIFT_UPLOADER: 'uploader', TAIRLIFT_PLANS: plansPath },
    },
    {
      ...common,
      name: 'uploader',
      codeFolder: join(DIST, 'uploader'),
      role: roleOf('uploader'),
      environment,
    },
  ];
}
