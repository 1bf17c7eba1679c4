/** The built functions with roles that lack one action each: loud, and by name, or just as docs/permissions.md says. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pLimit from 'p-limit';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, InstanceSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { asBackupError } from '../../functions/core/errors.ts';
import { permissionsOf, type Permission } from '../../functions/core/permissions.ts';
import { functionRole } from '../doubles/function-role.ts';
import { writeShardFiles } from '../doubles/shard-file.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const DIST = join(__dirname, '..', '..', 'dist');
const RDB = join(__dirname, '..', 'fixtures', 'rdb', 'gen__gen-redis7.0.15.rdb');

/** What the functions themselves call on one account; the platform's own rights show when something is deployed. */
const isCalled = ({ when, by }: Permission): boolean => when === undefined && by === undefined;
const CASES = (['orchestrator', 'uploader'] as const).flatMap((who) =>
  permissionsOf(who)
    .filter(isCalled)
    .map((permission, index) => ({ ...permission, name: `${who}-${index}` })),
);

/** A class that does not tell how many shards there are. */
const ODD: Partial<InstanceSpec> = {
  architecture: 'cluster',
  deployment: 'classic',
  shards: 2,
  instanceClass: 'redis.logic.sharding.odd',
};
/** Instances that make the code need the action; any other is a cloud-native cluster. */
const NEEDED_BY: Readonly<Record<string, Partial<InstanceSpec>>> = {
  'kvstore:DescribeBackups': {},
  'kvstore:DescribeInstanceAttribute': ODD,
  'kvstore:DescribeLogicInstanceTopology': ODD,
};

const AT_ONCE = 5;

/** What needs these fails by name, whatever goes on without them. */
const FAILS_ALL_THE_SAME = ['kvstore:DescribeRegions'];
/** Only the hint of what fails names it: other things could be wrong as well. */
const HINTED = 'kvstore:DescribeLogicInstanceTopology';
const isLoud = ({ action, without }: Permission): boolean =>
  without === undefined || FAILS_ALL_THE_SAME.includes(action);

describe('a role that lacks an action', () => {
  const { signal } = new AbortController();
  let folder: string;
  let emulator: Emulator;
  let outcomes: ReadonlyMap<string, Promise<string>>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-permissions-'));
    const plansPath = join(folder, 'plans.yaml');
    const plans = CASES.map(({ name, action }) => {
      const target =
        action === 'kvstore:DescribeRegions'
          ? `{ region: "*", name: ${name} }`
          : `{ region: ${REGION}, instances: [r-${name}] }`;
      return `  ${name}: { targets: [${target}], destination: { region: ${REGION}, bucket: ${BUCKET} } }\n`;
    });
    await writeFile(plansPath, `plans:\n${plans.join('')}`);
    const files = writeShardFiles(folder, 2);
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: CASES.map(({ name, action }) => {
        const shape = NEEDED_BY[action] ?? { architecture: 'cluster', shards: 2 };
        const rdbFiles = shape.architecture === undefined ? [RDB] : files;
        return { region: REGION, id: `r-${name}`, name, ...shape, rdbFiles };
      }),
      functions: (world) => CASES.flatMap((one) => functionsOf(one, world, plansPath)),
    });
    for (const { name, action } of CASES)
      if (action === 'kvstore:DescribeBackupTasks')
        emulator.world.faults.add({
          service: 'tair',
          action: 'CreateBackup',
          target: `^r-${name}$`,
          effect: { kind: 'lose-answer' },
        });
    // Some take half a minute, until the platform is asked what became of an uploader: they run beside each other.
    const limit = pLimit(AT_ONCE);
    const longestFirst = CASES.toSorted(
      (a, b) => Number(b.who === 'uploader') - Number(a.who === 'uploader'),
    );
    outcomes = new Map(longestFirst.map(({ name }) => [name, limit(async () => outcomeOf(name))]));
  });
  afterAll(async () => {
    await emulator?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function outcomeOf(name: string): Promise<string> {
    const orchestrator = `${name}-orchestrator`;
    const functions = composeFunctions(readEnvironment(emulator.environment), {
      region: REGION,
      accountId: emulator.world.accountId,
      credentials: emulator.accessKey,
    })(orchestrator);
    try {
      await functions.call(orchestrator, Buffer.from(JSON.stringify({ plan: name })), signal);
      return 'succeeded';
    } catch (error) {
      return asBackupError(error).message;
    }
  }

  it.each(CASES.filter(isLoud))(
    'fails the run of the $who by name: $action',
    async ({ who, action, name }) => {
      const message = await outcomes.get(name);

      expect(message).toContain('PERMISSION_DENIED');
      expect(message).toContain(
        `acs:ram::${emulator.world.accountId}:assumed-role/${name}-${who} lacks ${action} on `,
      );
    },
  );

  it.each(CASES.filter((one) => !isLoud(one) && one.action !== HINTED))(
    'lets the run of the $who succeed, as the table says: $action',
    async ({ name }) => {
      expect(await outcomes.get(name)).toBe('succeeded');
    },
  );

  it('is in the hint where other things could be wrong as well', async () => {
    const { name } = CASES.find(({ action }) => action === HINTED) ?? {};

    expect(await outcomes.get(name ?? '')).toMatch(
      new RegExp(`its number of shards is unknown.*allow .*${HINTED}`),
    );
  });
});

function functionsOf(
  lacking: (typeof CASES)[number],
  world: World,
  plansPath: string,
): readonly FunctionSpec[] {
  const environment = {
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
    TAIRLIFT_UPLOADER: `${lacking.name}-uploader`,
    TAIRLIFT_PLANS: plansPath,
    NODE_EXTRA_CA_CERTS: join(world.folder, 'sts-certificate.pem'),
  };
  return (['orchestrator', 'uploader'] as const).map((who) => {
    const allow = permissionsOf(who)
      .filter((permission) => isCalled(permission) && permission !== original(lacking))
      .map(({ action }) => action);
    return {
      name: `${lacking.name}-${who}`,
      region: REGION,
      codeFolder: join(DIST, who),
      memoryMb: 512,
      timeoutSeconds: 120,
      maxAsyncRetryAttempts: 0,
      role: functionRole(world, `${lacking.name}-${who}`, allow),
      environment,
    };
  });
}

/** The entry of the table that a case is about. */
function original({ who, action }: Permission): Permission | undefined {
  return permissionsOf(who).find((permission) => permission.action === action);
}
