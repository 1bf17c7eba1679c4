/**
 * One run of the built functions over an instance of every architecture, edition and shape of answer: each that has
 * files ends in one backup of all of its shards, by one request for it; each that has none is skipped and says why.
 */
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { InstanceSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { parseManifest, type Manifest } from '../../functions/core/repository/manifest.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { writeShardFiles } from '../doubles/shard-file.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const DIST = join(__dirname, '..', '..', 'dist');
const fixture = (name: string): string => join(__dirname, '..', 'fixtures', 'rdb', `${name}.rdb`);

const COMMUNITY = [fixture('gen__gen-redis7.0.15')];
const TAIR = [fixture('gen__gen-tair-redis5.0.14')];

interface Kind {
  readonly is: string;
  /** Left out for an instance made of files that the test writes, one for each shard. */
  readonly files?: readonly string[];
  readonly spec: Partial<InstanceSpec>;
}

const CLUSTER = { architecture: 'cluster', shards: 3 } as const;

const BACKED_UP: readonly Kind[] = [
  { is: 'a standard instance', files: COMMUNITY, spec: {} },
  { is: 'a classic standard instance', files: COMMUNITY, spec: { deployment: 'classic' } },
  { is: 'an instance with read replicas', files: COMMUNITY, spec: { architecture: 'rwsplit' } },
  {
    is: 'a classic instance with read replicas',
    files: COMMUNITY,
    spec: { architecture: 'rwsplit', deployment: 'classic' },
  },
  { is: 'a cloud-native cluster', spec: CLUSTER },
  { is: 'a cluster of twelve shards, the tenth after the second', spec: { ...CLUSTER, shards: 12 } },
  { is: 'a cluster of one shard', spec: { ...CLUSTER, shards: 1 } },
  {
    is: 'a cluster whose sets are wrapped, and whose numbers are text and whose text is numbers',
    spec: { ...CLUSTER, answers: { wrappedSets: true } },
  },
  {
    is: 'a cluster of which only its sets are listed, so that nothing tells its job',
    spec: { ...CLUSTER, answers: { clusterRows: 'none' } },
  },
  {
    is: 'a cluster whose rows the service refuses to list, as the documentation has it',
    spec: { ...CLUSTER, answers: { clusterRows: 'refused' } },
  },
  { is: 'a classic cluster with one job for all shards', spec: { ...CLUSTER, deployment: 'classic' } },
  {
    is: 'a classic cluster with a job for each shard',
    spec: { ...CLUSTER, deployment: 'classic', jobPerShard: true },
  },
  {
    is: 'a classic cluster with quotes around its jobs',
    spec: { ...CLUSTER, deployment: 'classic', jobPerShard: true, answers: { quotedJobIds: true } },
  },
  {
    is: 'a classic cluster of which only the topology tells the number of shards',
    spec: { ...CLUSTER, deployment: 'classic', instanceClass: 'redis.cluster.custom' },
  },
  { is: 'an Enterprise instance in memory', files: TAIR, spec: { edition: 'Enterprise' } },
  { is: 'an Enterprise cluster, whose values are of a module', spec: { ...CLUSTER, edition: 'Enterprise' } },
  {
    is: 'an Enterprise instance in persistent memory',
    files: TAIR,
    spec: { edition: 'Enterprise', instanceClass: 'tair.scm.standard.1m.4d', engineVersion: '6.0' },
  },
  {
    is: 'an Enterprise cluster in persistent memory',
    spec: { ...CLUSTER, edition: 'Enterprise', instanceClass: 'tair.scm.with.proxy.cluster.1m.4d' },
  },
];

const SKIPPED: readonly (Kind & { readonly because: string })[] = [
  {
    is: 'a single node',
    files: COMMUNITY,
    spec: { nodes: 'single' },
    because: 'single-node instances have no backups',
  },
  {
    is: 'a classic single node',
    files: COMMUNITY,
    spec: { nodes: 'single', deployment: 'classic' },
    because: 'single-node instances have no backups',
  },
  {
    is: 'an instance on cloud disks',
    files: COMMUNITY,
    spec: { edition: 'Enterprise', instanceClass: 'tair.essd.standard.xlarge' },
    because: 'disk-based instances have no downloadable RDB files',
  },
  {
    is: 'an instance on local disks',
    files: COMMUNITY,
    spec: { edition: 'Enterprise', instanceClass: 'tair.localssd.c1m4.2xlarge' },
    because: 'disk-based instances have no downloadable RDB files',
  },
  {
    is: 'an instance of which only its storage tells that it is on disks',
    files: COMMUNITY,
    spec: { edition: 'Enterprise', instanceClass: 'tair.custom.1', storageType: 'essd_pl1' },
    because: 'disk-based instances have no downloadable RDB files',
  },
];

const KINDS = [...BACKED_UP, ...SKIPPED];
const idOf = ({ is }: Kind): string => `r-kind${KINDS.findIndex((kind) => kind.is === is)}`;
const MODULE_KEYS = 20;

describe('a run over every architecture', () => {
  let folder: string;
  let emulator: Emulator;
  let summary: Summary;
  const filesOf = new Map<string, readonly string[]>();

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-architectures-'));
    for (const kind of KINDS) filesOf.set(idOf(kind), kind.files ?? (await shardsOf(kind)));
    const plansPath = join(folder, 'plans.yaml');
    await writeFile(
      plansPath,
      `plans:\n  nightly:\n    targets: [{ region: ${REGION} }]\n    rate: { concurrency: 12 }\n    destination: { region: ${REGION}, bucket: ${BUCKET} }\n`,
    );
    emulator = await startEmulator({
      buckets: [{ name: BUCKET, region: REGION }],
      instances: KINDS.map((kind) => ({
        region: REGION,
        id: idOf(kind),
        name: kind.is,
        rdbFiles: filesOf.get(idOf(kind)) ?? [],
        ...kind.spec,
      })),
      functions: (world) => functionsOf(world, plansPath),
    });
    const functions = composeFunctions(readEnvironment(emulator.environment), {
      region: REGION,
      accountId: emulator.world.accountId,
      credentials: emulator.accessKey,
    })('orchestrator');
    const { signal } = new AbortController();
    const answer = await functions.call('orchestrator', Buffer.from('{"plan":"nightly"}'), signal);
    summary = JSON.parse(answer.toString()) as Summary;
  }, 180_000);
  afterAll(async () => {
    await emulator?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function shardsOf(kind: Kind): Promise<readonly string[]> {
    const isEnterprise = kind.spec.edition === 'Enterprise';
    return writeShardFiles(folder, kind.spec.shards ?? 1, {
      name: idOf(kind),
      tag: idOf(kind),
      keys: MODULE_KEYS,
      ...(isEnterprise ? { module: 'tairhash-' } : {}),
    });
  }

  const manifestOf = async (kind: Kind): Promise<Manifest> => {
    const keys = emulator.oss.list(BUCKET).map(({ key }) => key);
    const mine = keys.filter(
      (key) => key.startsWith(`Backup_${idOf(kind)}/`) && key.endsWith('/manifest.json'),
    );
    expect(mine).toHaveLength(1);
    return parseManifest(await emulator.oss.read(BUCKET, mine[0] ?? ''), mine[0] ?? '');
  };

  it.each(BACKED_UP.map((kind) => [kind.is, kind] as const))('stores %s', async (_is, kind) => {
    const id = idOf(kind);
    const files = filesOf.get(id) ?? [];
    expect(summary.instances.find(({ instanceId }) => instanceId === id)).toMatchObject({
      status: 'stored',
      files: files.length,
      level: 'parsed',
    });
    expect(emulator.tair.createBackupCalls(id)).toBe(1);
    expect(emulator.tair.backups(id)).toHaveLength(1);
    const manifest = await manifestOf(kind);
    const architecture = kind.spec.architecture ?? 'standard';
    expect(manifest.instance).toMatchObject({ architecture, shards: files.length });
    expect(manifest.files.map(({ shard }) => shard)).toEqual(files.map((_file, shard) => shard));
    const stored = await Promise.all(manifest.files.map(async ({ key }) => emulator.oss.read(BUCKET, key)));
    for (const [shard, bytes] of stored.entries())
      expect(bytes.equals(readFileSync(files[shard] ?? ''))).toBe(true);
    if (architecture !== 'cluster') expect(manifest.cluster).toBeUndefined();
    else expect(manifest.cluster).toMatchObject({ slots: 'disjoint', emptyShards: [] });
  });

  it('counts values of modules as keys, in slots and types', async () => {
    const kind = BACKED_UP.find(({ is }) => is.startsWith('an Enterprise cluster, whose'));
    if (kind === undefined) throw new Error('there is one');
    const { files, cluster } = await manifestOf(kind);
    for (const { rdb } of files) {
      expect(rdb).toMatchObject({ keys: MODULE_KEYS, types: { module: { keys: MODULE_KEYS } } });
      expect(rdb.slots.seen).toBeGreaterThan(MODULE_KEYS / 2);
    }
    expect(cluster?.slotsSeen).toBe(files.reduce((sum, { rdb }) => sum + rdb.slots.seen, 0));
  });

  it.each(SKIPPED.map((kind) => [kind.is, kind] as const))('skips %s, with the reason', async (_is, kind) => {
    const id = idOf(kind);
    expect(summary.instances.find(({ instanceId }) => instanceId === id)).toMatchObject({
      status: 'skipped',
      reason: kind.because,
    });
    expect(emulator.tair.createBackupCalls(id)).toBe(0);
    expect(emulator.oss.list(BUCKET).filter(({ key }) => key.startsWith(`Backup_${id}/`))).toEqual([]);
  });

  it('counts every instance once', () => {
    expect(summary).toMatchObject({
      status: 'succeeded',
      counts: { selected: KINDS.length, stored: BACKED_UP.length, skipped: SKIPPED.length, failed: 0 },
    });
  });

  it('asks the service less than ten times for an instance', () => {
    const asked = emulator.world.journal.entries({ service: 'tair' }).length;
    expect(asked / BACKED_UP.length).toBeLessThan(10);
  });
});

function functionsOf(world: World, plansPath: string): Parameters<Emulator['fc']['deploy']>[0] {
  const role = functionRole(world, 'functions', ['kvstore:*', 'oss:*', 'fc:*']);
  const common = {
    region: REGION,
    memoryMb: 512,
    timeoutSeconds: 170,
    role,
    environment: {
      TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
      TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
      TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
      TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
      TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
      TAIRLIFT_UPLOADER: 'uploader',
      TAIRLIFT_PLANS: plansPath,
    },
    maxAsyncRetryAttempts: 0,
  };
  return ['orchestrator', 'uploader'].map((name) => ({ ...common, name, codeFolder: join(DIST, name) }));
}
