/**
 * r-kvstore on loopback: its API, the host that backups are downloaded from, and the instances, which are real
 * redis-server processes. See docs/emulator/tair.md for what is known of each behaviour, and how.
 */
import { join } from 'node:path';
import type { Service } from '../http.ts';
import { createRpcService } from '../openapi/rpc-service.ts';
import type { InstanceSpec, World } from '../world.ts';
import { createBackup } from './actions/create-backup.ts';
import { describeBackupPolicy } from './actions/describe-backup-policy.ts';
import { describeBackupTasks } from './actions/describe-backup-tasks.ts';
import { describeBackups } from './actions/describe-backups.ts';
import { describeClusterBackupList } from './actions/describe-cluster-backup-list.ts';
import { describeInstanceAttribute } from './actions/describe-instance-attribute.ts';
import { describeInstances } from './actions/describe-instances.ts';
import { describeLogicInstanceTopology } from './actions/describe-logic-instance-topology.ts';
import { describeRegions } from './actions/describe-regions.ts';
import { openBackupStore, statusOf, type BackupSet } from './backup-set.ts';
import { createBackups, type Failure, type PlantedBackup } from './backups.ts';
import { createDownload } from './download-service.ts';
import { createInstance, type Instance } from './instance.ts';
import { DEFAULT_OPTIONS, type TairOptions } from './options.ts';
import type { TairState } from './state.ts';
import { throttled } from './throttle.ts';

export interface Tair {
  readonly service: Service;
  readonly download: Service;
  /** May be changed at any time. */
  readonly options: TairOptions;
  /** Starts the servers of all instances. */
  start(): Promise<void>;
  /** Ends the servers and the running backups. Safe to call twice. */
  stop(): Promise<void>;
  describe(): readonly InstanceDescription[];
  /** Throws a RangeError when there is none of this id, as do all functions below. */
  instance(id: string): Instance;
  /** Adds an instance; its servers run when resolved, if those of the others do. */
  addInstance(spec: InstanceSpec): Promise<void>;
  /** Releases an instance: it is not listed, and not found, from now on. */
  removeInstance(id: string): Promise<void>;
  setStatus(id: string, status: string): void;
  /** How often CreateBackup was asked for on this instance, refusals included. */
  createBackupCalls(id: string): number;
  /** What the service remembers of the instance's backups, newest first. */
  backups(id: string): readonly BackupSet[];
  /** A backup that is there already; rejects when its files cannot be read. */
  plantBackup(id: string, planted: PlantedBackup): Promise<BackupSet>;
  /** A manual backup that somebody else asks for, at the console; it is on record when resolved. */
  startBackup(id: string): Promise<BackupSet>;
  failNextBackup(id: string, failure?: Failure): void;
  /** The running backup, or else the next one, is forgotten by the service: no job, no backup, no error. */
  vanishJob(id: string): Promise<void>;
  /** Backups stay unfinished until the returned function is called. */
  holdBackup(id: string): () => void;
  /** Backup lists leave this shard out, in old backups as in new ones. */
  dropShard(id: string, shard: number): void;
  /** Backups are listed without download URLs; `false` ends it. */
  emptyUrls(id: string, areEmpty?: boolean): void;
}

interface InstanceDescription {
  readonly id: string;
  readonly region: string;
  readonly architecture: string;
  readonly status: string;
  readonly backups: number;
  readonly runningBackups: number;
  /** Where the shards' servers listen on 127.0.0.1; none for instances that are made of files. */
  readonly ports: readonly number[];
}

/** Servers started at the same time. */
const STARTS_AT_ONCE = 8;

export async function createTair(
  world: World,
  specs: readonly InstanceSpec[],
  overrides: Partial<TairOptions> = {},
): Promise<Tair> {
  const folder = join(world.folder, 'tair');
  const options: TairOptions = { ...DEFAULT_OPTIONS, ...overrides };
  const store = await openBackupStore(join(folder, 'backups'));
  const download = createDownload(world, store, options);
  const backups = createBackups(store, world.clock, options, async (file) => download.prepare(file));
  const instances = new Map<string, Instance>();
  const droppedShards = new Map<string, Set<string>>();
  const withoutUrls = new Set<string>();
  let isStarted = false;

  const state: TairState = {
    world,
    options,
    instances,
    store,
    backups,
    droppedShards,
    createBackupCalls: new Map(),
    downloadUrl: (set, shard) =>
      shard.file === undefined || withoutUrls.has(set.instanceId) ? '' : download.sign(shard),
  };

  const service = createRpcService({
    name: 'tair',
    version: '2015-01-01',
    identity: world.identity,
    targetParameters: ['InstanceId', 'RegionId'],
    actions: throttled(world.clock, options, {
      CreateBackup: createBackup(state),
      DescribeBackupPolicy: describeBackupPolicy(state),
      DescribeBackupTasks: describeBackupTasks(state),
      DescribeBackups: describeBackups(state),
      DescribeClusterBackupList: describeClusterBackupList(state),
      DescribeInstanceAttribute: describeInstanceAttribute(state),
      DescribeLogicInstanceTopology: describeLogicInstanceTopology(state),
      DescribeInstances: describeInstances(state),
      DescribeRegions: describeRegions(state),
    }),
  });

  function add(spec: InstanceSpec): Instance {
    if (!/^[\w-]+$/.test(spec.id))
      throw new RangeError(`add an instance: ${JSON.stringify(spec.id)} is no instance id`);
    if (instances.has(spec.id)) throw new RangeError(`add an instance: ${spec.id} is there already`);
    const own = join(folder, 'instances', spec.id);
    const instance = createInstance(spec, spec.accountId ?? world.accountId, own, world.clock.now());
    instances.set(spec.id, instance);
    return instance;
  }

  function instance(id: string): Instance {
    const found = instances.get(id);
    if (found === undefined) throw new RangeError(`there is no instance ${id} in this world`);
    return found;
  }

  async function start(): Promise<void> {
    isStarted = true;
    const waiting = [...instances.values()].values();
    const starter = async (): Promise<void> => {
      for (const next of waiting) await next.start();
    };
    const settled = await Promise.allSettled(Array.from({ length: STARTS_AT_ONCE }, starter));
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  }

  async function stop(): Promise<void> {
    isStarted = false;
    await backups.stop();
    await Promise.all([...instances.values()].map(async (one) => one.stop()));
  }

  for (const spec of specs) add(spec);
  return {
    service,
    download: download.service,
    options,
    start,
    stop,
    instance,
    describe: () =>
      [...instances.values()].map(({ id, spec, architecture, status, shards }) => ({
        id,
        region: spec.region,
        architecture,
        status,
        backups: store.of(id).length,
        runningBackups: store.of(id).filter((set) => statusOf(set) === 'running').length,
        ports: shards.map((shard) => shard.port),
      })),
    addInstance: async (spec) => {
      const added = add(spec);
      if (isStarted) await added.start();
    },
    removeInstance: async (id) => {
      const removed = instance(id);
      instances.delete(id);
      await removed.stop();
    },
    setStatus: (id, status) => {
      instance(id).status = status;
    },
    createBackupCalls: (id) => state.createBackupCalls.get(instance(id).id) ?? 0,
    backups: (id) => store.of(instance(id).id),
    plantBackup: async (id, planted) => backups.plant(instance(id), planted),
    startBackup: async (id) => backups.create(instance(id), undefined),
    failNextBackup: (id, failure = {}) => backups.failNext(instance(id).id, failure),
    vanishJob: async (id) => backups.vanish(instance(id).id),
    holdBackup: (id) => backups.hold(instance(id).id),
    dropShard: (id, shard) => {
      const nodeId = instance(id).nodeIds[shard];
      if (nodeId === undefined) throw new RangeError(`instance ${id} has no shard ${shard}`);
      droppedShards.set(id, new Set([...(droppedShards.get(id) ?? []), nodeId]));
    },
    emptyUrls: (id, areEmpty = true) => {
      if (areEmpty) withoutUrls.add(instance(id).id);
      else withoutUrls.delete(instance(id).id);
    },
  };
}
