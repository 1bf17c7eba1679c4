/**
 * Self-managed Redis and Valkey as a source. There are no backups at a server to be listed or adopted: a backup is made
 * by pulling it, one snapshot of each shard, from a replica where there is one that is in sync.
 */
import { createHash, randomUUID } from 'node:crypto';
import pLimit from 'p-limit';
import { BackupError, asBackupError, describe } from '../errors.ts';
import type { Instance, Pull, PulledStream, PullShard, Source } from '../source/source.ts';
import { retry, throwIfStopped, type RetryPolicy } from '../transfer/retry.ts';
import { ErrorReply, nameOf, type Address, type Connection } from './connection.ts';
import { explain } from './refusals.ts';
import { logIn, openSnapshot, type ReplicationOptions, type Snapshot } from './replication.ts';
import { SELF_MANAGED, type RedisServer } from './server.ts';
import { parseClusterNodes, parseInfo, type Cluster, type ServerInfo, type Shard } from './topology.ts';

export interface ServerSourceOptions {
  readonly servers: readonly RedisServer[];
  /** The value of an environment variable. */
  readonly secretOf: (variable: string) => string | undefined;
  /** Of looking at a server; pulls are tried again by who pulls. */
  readonly policy?: RetryPolicy;
  readonly connectTimeoutMs?: number;
  readonly idleTimeoutMs?: number;
  readonly now?: () => number;
}

/** A server that is being restarted, or a fail-over, is outlasted; one that is down is not waited for long. */
const LOOK: RetryPolicy = { attempts: 6, firstDelayMs: 500, maxDelayMs: 5_000, totalMs: 60_000 };

/** Nodes asked at the same time. */
const LOOKS_AT_ONCE = 8;

/** Who was asked, by which connection the whole is reached. */
interface Sight {
  readonly address: Address;
  /** Undefined when the account may not ask, and the plan says that it is no cluster. */
  readonly info?: ServerInfo;
  /** Undefined when it is none. */
  readonly cluster?: Cluster;
}

/** Once it may have been the network. A replica that breaks off again may have no memory for a snapshot, or no room. */
const BREAKS_MAX = 2;

/** The replicas of a node: pulled from before the node itself is. */
interface Preferred {
  readonly replicas: readonly Address[];
  /** How often a snapshot of which broke off, by name. */
  readonly breaks: Map<string, number>;
  readonly requireUsable: (replica: Address, signal: AbortSignal) => Promise<void>;
}

export function createServerSource(options: ServerSourceOptions): Source {
  const { servers, policy = LOOK, now = Date.now } = options;
  const serverOf = (id: string): RedisServer | undefined => servers.find((server) => server.id === id);

  async function instanceOf(server: RedisServer, signal: AbortSignal): Promise<Instance> {
    const { info, cluster } = await retry(
      async () => look(server, addressOf(server), signal),
      policy,
      signal,
    );
    return {
      region: SELF_MANAGED,
      id: server.id,
      name: server.id,
      engine: info?.engine ?? 'Redis',
      engineVersion: info?.version ?? 'unknown',
      architecture: cluster === undefined ? 'standard' : 'cluster',
      shards: cluster?.shards.length ?? 1,
      status: info?.isLoading === true ? 'Loading' : cluster?.unrest === undefined ? 'Normal' : 'Changing',
      tags: {},
    };
  }

  /** What a server and, if it is a cluster's node, its cluster look like from there. */
  async function look(server: RedisServer, address: Address, signal: AbortSignal): Promise<Sight> {
    const connection = await logIn(address, linkTo(server), signal);
    try {
      const info = await askInfo(server, connection);
      if (server.cluster !== 'auto' && info !== undefined && info.isCluster !== server.cluster)
        throw otherThanSaid(server, connection.name);
      if (info?.isCluster !== true) return { address, ...(info === undefined ? {} : { info }) };
      const nodes = await askText(connection, 'CLUSTER', 'NODES');
      return { address, info, cluster: parseClusterNodes(nodes, address) };
    } finally {
      connection.close();
    }
  }

  function linkTo(server: RedisServer): ReplicationOptions {
    const { username, passwordFrom, ca, cert, keyFrom, psync } = server;
    const { hostname } = new URL(server.url);
    const { connectTimeoutMs, idleTimeoutMs } = options;
    return {
      isSecure: server.url.startsWith('rediss:'),
      knownHost: hostname.replace(/^\[|\]$/g, ''),
      psync,
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(keyFrom === undefined ? {} : { key: secretOf(server, keyFrom) }),
      ...(username === undefined ? {} : { username }),
      ...(passwordFrom === undefined ? {} : { password: secretOf(server, passwordFrom) }),
      ...(connectTimeoutMs === undefined ? {} : { connectTimeoutMs }),
      ...(idleTimeoutMs === undefined ? {} : { idleTimeoutMs }),
    };
  }

  function secretOf({ id }: RedisServer, variable: string): string {
    const secret = options.secretOf(variable);
    if (secret !== undefined && secret !== '') return secret;
    throw new BackupError('CONFIG_INVALID', `log in at ${id}: the variable ${variable} is not set`, {
      hint: 'set it in the environment of both functions, the orchestrator and the uploader',
    });
  }

  async function pull(instance: Instance, signal: AbortSignal): Promise<Pull> {
    const server = known(instance);
    const first = await look(server, addressOf(server), signal);
    if (first.cluster === undefined) return pullOfOne(server, first);
    return pullOfCluster(server, first.cluster, signal);
  }

  function known({ id }: Pick<Instance, 'id'>): RedisServer {
    const server = serverOf(id);
    if (server !== undefined) return server;
    throw new BackupError('INSTANCE_NOT_FOUND', `back up ${id}: no such server is configured`);
  }

  function pullOfOne(server: RedisServer, { address, info }: Sight): Pull {
    const preferred: Preferred = {
      replicas: server.preferReplica && info?.role === 'primary' ? info.replicas : [],
      breaks: new Map(),
      requireUsable: async (replica, signal) => {
        const there = (await look(server, replica, signal)).info;
        requireReplica(replica, there, there?.replicationId === info?.replicationId);
      },
    };
    const last = { address, role: info?.role ?? 'primary' };
    return {
      layout: '',
      shards: [
        {
          shard: 0,
          node: nameOf(address, false).replace('redis://', ''),
          expectedBytes: info?.usedMemoryBytes ?? 0,
          open: async (name, signal) => openFirst(server, name, preferred, last, signal),
        },
      ],
      // It is one point in the history of one node.
      confirm: async () => undefined,
    };
  }

  async function pullOfCluster(server: RedisServer, seen: Cluster, signal: AbortSignal): Promise<Pull> {
    const layout = layoutOf(seen);
    const limit = pLimit(LOOKS_AT_ONCE);
    const settled = await limit.map(seen.shards, async (shard) =>
      requireSettled(server, shard, layout, signal),
    );
    return {
      layout,
      shards: seen.shards.map((shard, number): PullShard => {
        const preferred: Preferred = {
          replicas: server.preferReplica ? shard.replicas : [],
          breaks: new Map(),
          requireUsable: async (replica, within) => {
            const { info, cluster } = await look(server, replica, within);
            requireReplica(replica, info, cluster?.myself.primaryId === shard.primaryId);
          },
        };
        const last = { address: shard.primary, role: 'primary' } as const;
        return {
          shard: number,
          node: shard.primaryId,
          slots: shard.slots,
          expectedBytes: settled[number]?.usedMemoryBytes ?? 0,
          open: async (name, within) => {
            await requireSettled(server, shard, layout, within);
            return openFirst(server, name, preferred, last, within);
          },
        };
      }),
      confirm: async (within) => {
        await limit.map(seen.shards, async (shard) => requireSettled(server, shard, layout, within));
      },
    };
  }

  /** The primary of a shard sees the cluster as it was seen first, itself as a primary, and no slot on its way. */
  async function requireSettled(
    server: RedisServer,
    shard: Shard,
    layout: string,
    signal: AbortSignal,
  ): Promise<ServerInfo | undefined> {
    const { info, cluster } = await look(server, shard.primary, signal);
    const isSame =
      cluster !== undefined && cluster.myself.id === shard.primaryId && layoutOf(cluster) === layout;
    if (isSame && cluster.unrest === undefined) return info;
    const reason = isSame ? cluster.unrest : 'its shards are not what they were';
    throw new BackupError(
      isSame ? 'INSTANCE_NOT_READY' : 'SOURCE_CHANGED',
      `back up ${server.id}: ${reason}, says ${nameOf(shard.primary, false)}`,
      {
        retryable: true,
        details: { instanceId: server.id, node: shard.primaryId },
        hint: 'a fail-over or a move of slots came in between: the backup starts over',
      },
    );
  }

  /** From the first replica that can be used, else from the node itself; why others were passed over is told. */
  async function openFirst(
    server: RedisServer,
    name: string,
    { replicas, breaks, requireUsable }: Preferred,
    last: { readonly address: Address; readonly role: 'primary' | 'replica' },
    signal: AbortSignal,
  ): Promise<PulledStream> {
    const link = linkTo(server);
    const passedOver: string[] = [];
    for (const replica of replicas) {
      const there = nameOf(replica, link.isSecure);
      const broken = breaks.get(there) ?? 0;
      if (broken === BREAKS_MAX) {
        passedOver.push(`pull from ${there}: ${broken} snapshots of it broke off`);
        continue;
      }
      try {
        await requireUsable(replica, signal);
        const snapshot = await openSnapshot(replica, name, link, signal);
        const noticed = noticing(snapshot, () => void breaks.set(there, broken + 1));
        return { ...noticed, server: there, role: 'replica', passedOver };
      } catch (error) {
        throwIfStopped(signal);
        passedOver.push(describe(asBackupError(error)));
      }
    }
    const snapshot = await openSnapshot(last.address, name, link, signal);
    return { ...snapshot, server: nameOf(last.address, link.isSecure), role: last.role, passedOver };
  }

  return {
    listRegions: async () => [SELF_MANAGED],
    listInstances: async function* ({ region, ids, tags = {} }, signal) {
      if (region !== SELF_MANAGED || Object.keys(tags).length > 0) return;
      for (const server of servers)
        if (ids === undefined || ids.includes(server.id)) yield await instanceOf(server, signal);
    },
    getInstance: async (region, id, signal) => {
      const server = region === SELF_MANAGED ? serverOf(id) : undefined;
      return server === undefined ? undefined : instanceOf(server, signal);
    },
    startBackup: async (instance) => {
      const { id } = known(instance);
      const at = new Date(now()).toISOString().replaceAll(/[-:]|\.\d+/g, '');
      return { kind: 'pulled', id: `${id}-${at}-${randomUUID().slice(0, 8)}` };
    },
    listJobs: async () => [],
    listBackups: async () => [],
    pull,
  };
}

/** The same stream; hears when it breaks off, unless it was closed before, because then that is no fault of the server's. */
function noticing(snapshot: Snapshot, onBreak: () => void): Snapshot {
  let isClosed = false;
  return {
    ...snapshot,
    close: () => {
      isClosed = true;
      snapshot.close();
    },
    read: async (...call) => {
      try {
        return await snapshot.read(...call);
      } catch (error) {
        if (!isClosed) onBreak();
        throw error;
      }
    },
  };
}

function addressOf({ url }: RedisServer): Address {
  const { hostname, port } = new URL(url);
  return { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) };
}

/** Undefined when the account may not ask, which is enough only where the plan says that there is nothing to be asked for. */
async function askInfo(server: RedisServer, connection: Connection): Promise<ServerInfo | undefined> {
  try {
    return parseInfo(await askText(connection, 'INFO'), connection.name);
  } catch (error) {
    if (!(error instanceof BackupError) || error.code !== 'PERMISSION_DENIED' || server.cluster !== false)
      throw error;
    return undefined;
  }
}

async function askText(connection: Connection, ...words: readonly string[]): Promise<string> {
  const doing = `ask for ${words.join(' ')}`;
  try {
    const reply = await connection.call(...words);
    if (typeof reply === 'string') return reply;
  } catch (error) {
    throw error instanceof ErrorReply ? explain(error, connection.name, doing) : error;
  }
  throw new BackupError('SOURCE_INVALID', `${doing} at ${connection.name}: no text came`, {
    details: { server: connection.name },
  });
}

function otherThanSaid({ id, cluster }: RedisServer, name: string): BackupError {
  return new BackupError(
    'CONFIG_INVALID',
    `back up ${id}: the plan says cluster: ${String(cluster)}, and ${name} is ${cluster === true ? 'no' : 'a'} node of a cluster`,
    { details: { instanceId: id }, hint: 'correct `cluster`, or leave it out' },
  );
}

function requireReplica(address: Address, info: ServerInfo | undefined, isOfPrimary: boolean): void {
  const name = nameOf(address, false);
  const problem =
    info?.role !== 'replica'
      ? 'it is no replica (any more)'
      : !isOfPrimary
        ? 'it follows another primary'
        : info.isInSync && !info.isLoading
          ? undefined
          : 'it is not in sync';
  if (problem !== undefined)
    throw new BackupError('SOURCE_UNAVAILABLE', `pull from ${name}: ${problem}`, { retryable: true });
}

/** Who holds which slots, in few characters: equal exactly if it is the same. */
function layoutOf({ shards }: Cluster): string {
  const rows = shards.map(({ primaryId, epoch, slots }) => `${primaryId} ${epoch} ${slots}`).sort();
  return createHash('sha256').update(rows.join('\n')).digest('hex').slice(0, 16);
}
