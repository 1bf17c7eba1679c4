/**
 * An instance: what its spec says, with the vendor's own words for what the spec leaves out, and its shards, each a
 * real redis-server, or a ready RDB file where the spec names one.
 */
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { startRedis, type RedisProcess } from '../redis/redis-process.ts';
import type { InstanceSpec } from '../world.ts';

/** A shard's server; who fills a cluster routes keys by slot. */
interface ShardConnection {
  /** `r-bp1…` of a standard instance, `r-bp1…-db-0` of a cluster's first shard. */
  readonly nodeId: string;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly pid: number;
  readonly client: Redis;
  /** First and last slot, of clusters only. */
  readonly slots?: readonly [number, number];
}

export interface Instance {
  readonly spec: InstanceSpec;
  readonly id: string;
  readonly accountId: string;
  readonly architecture: 'standard' | 'cluster' | 'rwsplit';
  readonly isCloudNative: boolean;
  readonly isCloudNativeCluster: boolean;
  readonly isSingleNode: boolean;
  readonly engineVersion: string;
  readonly createdAt: number;
  /** One id per shard, first shard first. */
  readonly nodeIds: readonly string[];
  status: string;
  /** The servers that run; none when the instance is made of files, or not started. */
  readonly shards: readonly ShardConnection[];
  start(): Promise<void>;
  /** Safe to call twice. */
  stop(): Promise<void>;
  /**
   * The shard as an RDB file: the result of a BGSAVE, moved to `path`, or the spec's own file, left where it is.
   * Throws when the server reports a failure, or does not answer.
   */
  snapshot(shard: number, path: string): Promise<Snapshot>;
}

export interface Snapshot {
  readonly file: string;
  readonly bytes: number;
}

const SLOTS = 16_384;

/** @param folder the servers' data goes below; what is there from before is removed at the start */
export function createInstance(
  spec: InstanceSpec,
  accountId: string,
  folder: string,
  createdAt: number,
): Instance {
  const architecture = spec.architecture ?? 'standard';
  const count = spec.rdbFiles?.length ?? spec.shards ?? (architecture === 'cluster' ? 2 : 1);
  if (architecture !== 'cluster' && count !== 1)
    throw new RangeError(`instance ${spec.id}: ${count} shards, but only clusters have more than one`);
  const nodeIds = Array.from({ length: count }, (_, shard) =>
    architecture === 'cluster' ? `${spec.id}-db-${shard}` : spec.id,
  );
  let running: (RedisProcess & ShardConnection)[] = [];

  async function start(): Promise<void> {
    if (spec.rdbFiles !== undefined || running.length > 0) return;
    await rm(folder, { recursive: true, force: true });
    const starting = nodeIds.map(async (nodeId, shard) => {
      const own = join(folder, `shard-${shard}`);
      await mkdir(own, { recursive: true });
      if (architecture !== 'cluster') {
        const server = await startRedis({ folder: own, args: ['--databases', '256'] });
        return { ...server, nodeId };
      }
      const server = await startRedis({ folder: own, args: CLUSTER_ARGUMENTS });
      const slots = slotsOf(shard, count);
      await serveSlots(server.client, slots);
      return { ...server, nodeId, slots };
    });
    const settled = await Promise.allSettled(starting);
    running = settled.filter((result) => result.status === 'fulfilled').map((result) => result.value);
    const failed = settled.find((result) => result.status === 'rejected');
    if (failed === undefined) return;
    await stop();
    throw failed.reason;
  }

  async function stop(): Promise<void> {
    const ending = running;
    running = [];
    await Promise.all(ending.map(async (server) => server.stop()));
  }

  async function snapshot(shard: number, path: string): Promise<Snapshot> {
    const ready = spec.rdbFiles?.[shard];
    if (ready !== undefined) return { file: ready, bytes: (await stat(ready)).size };
    const server = running[shard];
    if (server === undefined) throw new Error(`instance ${spec.id}: shard ${shard} does not run`);
    await saveInBackground(server.client);
    await rename(join(server.folder, 'dump.rdb'), path);
    return { file: path, bytes: (await stat(path)).size };
  }

  return {
    spec,
    id: spec.id,
    accountId,
    architecture,
    isCloudNative: spec.deployment !== 'classic',
    isCloudNativeCluster: spec.deployment !== 'classic' && architecture === 'cluster',
    isSingleNode: spec.nodes === 'single',
    engineVersion: spec.engineVersion ?? '7.0',
    createdAt,
    nodeIds,
    status: spec.status ?? 'Normal',
    get shards() {
      return running;
    },
    start,
    stop,
    snapshot,
  };
}

/** Nodes that know only themselves: each refuses the keys of slots that are not its own. */
const CLUSTER_ARGUMENTS = [
  ['--cluster-enabled', 'yes'],
  ['--cluster-require-full-coverage', 'no'],
  ['--cluster-config-file', 'nodes.conf'],
].flat();

function slotsOf(shard: number, count: number): readonly [number, number] {
  const first = (index: number): number => Math.floor((index * SLOTS) / count);
  return [first(shard), first(shard + 1) - 1];
}

/** A node takes writes two seconds after its start at the earliest; it says so itself. */
async function serveSlots(client: Redis, [first, last]: readonly [number, number]): Promise<void> {
  const slots = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  await client.cluster('ADDSLOTS', ...slots);
  const deadline = Date.now() + 30_000;
  while (!(await client.cluster('INFO')).includes('cluster_state:ok')) {
    if (Date.now() > deadline) throw new Error('a cluster node does not come up within 30 s');
    await delay(25);
  }
}

/** Resolves when the server itself says that its BGSAVE has ended well; takes as long as it takes. */
async function saveInBackground(client: Redis): Promise<void> {
  await client.bgsave();
  for (let waitMs = 5; ; waitMs = Math.min(waitMs * 2, 100)) {
    const persistence = await client.info('persistence');
    if (persistence.includes('rdb_bgsave_in_progress:0')) {
      if (persistence.includes('rdb_last_bgsave_status:ok')) return;
      throw new Error('the server reports that its BGSAVE failed');
    }
    await delay(waitMs);
  }
}
