/** Real servers for tests of the self-managed source, and what a test does with them: write all the time, and look. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { findRedisServer } from '../../emulator/redis/find-redis-server.ts';
import { loadRdb, startRedis, type RedisProcess } from '../../emulator/redis/redis-process.ts';
import { serverSchema, type RedisServer } from '../../functions/core/redis/server.ts';

export interface Servers {
  readonly folder: string;
  start(...args: readonly string[]): Promise<RedisProcess>;
  /** So many primaries that share the slots evenly, each with so many replicas in sync. */
  startCluster(primaries: number): Promise<readonly RedisProcess[]>;
  /** A Sentinel that watches the server; what it says when it has asked it for the first time: how many replicas there are. */
  replicasSeenBySentinel(server: RedisProcess): Promise<number>;
  /** A server that has loaded this file. */
  load(rdb: Buffer): Promise<RedisProcess>;
  stop(): Promise<void>;
}

/** Without the five seconds for which a server waits whether more replicas come. */
const AT_ONCE = ['--repl-diskless-sync-delay', '0', '--rdbcompression', 'no'];

export async function openServers(): Promise<Servers> {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-servers-'));
  const running: RedisProcess[] = [];
  let number = 0;

  const start = async (...args: readonly string[]): Promise<RedisProcess> => {
    const home = await mkdtemp(join(folder, 'server-'));
    const server = await startRedis({ folder: home, args: [...AT_ONCE, ...args] });
    running.push(server);
    return server;
  };

  return {
    folder,
    start,
    startCluster: async (primaries) => {
      const nodes = await Promise.all(
        Array.from({ length: primaries }, async () =>
          start('--cluster-enabled', 'yes', '--cluster-node-timeout', '2000'),
        ),
      );
      await joinCluster(nodes);
      return nodes;
    },
    replicasSeenBySentinel: async ({ port }) => {
      const home = await mkdtemp(join(folder, 'sentinel-'));
      const socket = join(home, 's');
      const settings = [
        'port 0',
        `unixsocket ${socket}`,
        `dir ${home}`,
        `sentinel monitor it 127.0.0.1 ${port} 1`,
      ];
      await writeFile(join(home, 'sentinel.conf'), settings.join('\n'));
      const sentinel = spawn(await findRedisServer(), [join(home, 'sentinel.conf'), '--sentinel'], {
        stdio: 'ignore',
      });
      const client = new Redis({ path: socket, disconnectTimeout: 50 });
      client.on('error', () => undefined);
      try {
        for (;;) {
          const told = (await client.call('SENTINEL', 'MASTER', 'it')) as string[];
          const valueOf = (name: string): number => Number(told[told.indexOf(name) + 1]);
          if (valueOf('info-refresh') > 0) return valueOf('num-slaves');
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
      } finally {
        client.disconnect();
        sentinel.kill();
        await once(sentinel, 'exit');
      }
    },
    load: async (rdb) => {
      const file = join(folder, `loaded-${++number}.rdb`);
      await writeFile(file, rdb);
      const server = await loadRdb(file);
      running.push(server);
      return server;
    },
    stop: async () => {
      await Promise.all(running.map(async (server) => server.stop()));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const SLOTS = 16_384;

async function joinCluster(nodes: readonly RedisProcess[]): Promise<void> {
  const [first] = nodes;
  for (const [index, node] of nodes.entries()) {
    const from = Math.ceil((index * SLOTS) / nodes.length);
    const to = Math.ceil(((index + 1) * SLOTS) / nodes.length) - 1;
    await node.client.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1);
    await node.client.call('CLUSTER', 'ADDSLOTSRANGE', from, to);
    if (node !== first) await node.client.call('CLUSTER', 'MEET', '127.0.0.1', first?.port ?? 0);
  }
  const isWhole = async (node: RedisProcess): Promise<boolean> => {
    const info = String(await node.client.call('CLUSTER', 'INFO'));
    const known = String(await node.client.call('CLUSTER', 'NODES'));
    return (
      info.includes('cluster_state:ok') &&
      known.split('\n').filter((line) => line.includes('connected') && / \d+-\d+/.test(line)).length ===
        nodes.length
    );
  };
  for (const node of nodes) await until(async () => isWhole(node));
}

export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 20));
}

export function serverAt(
  { port }: { readonly port: number },
  change: Partial<Record<keyof RedisServer, unknown>> = {},
): RedisServer {
  return serverSchema.parse({ id: 'orders', url: `redis://127.0.0.1:${port}`, ...change });
}

/** Some megabytes, so that a snapshot has several parts and takes its time. */
export async function fill({ client }: RedisProcess, keys = 40_000, tag = ''): Promise<void> {
  await client.eval(
    `for i = 1, tonumber(ARGV[1]) do redis.call('SET', KEYS[1] .. 'filler:' .. i, string.rep('x' .. i, 100)) end`,
    1,
    tag,
    keys,
  );
}

export interface Writer {
  /** Transactions that have been made. */
  written(): number;
  stop(): Promise<void>;
}

/** Counts in one transaction at three places, again and again: a copy in which they disagree is of no one moment. */
export function writeInto({ client }: RedisProcess, tag = ''): Writer {
  const stopping = new AbortController();
  let written = 0;
  const work = (async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await client.multi().incr(`${tag}left`).rpush(`${tag}row`, ++written).incr(`${tag}right`).exec();
    }
  })();
  return {
    written: () => written,
    stop: async () => {
      stopping.abort();
      await work;
    },
  };
}

/** Throws unless what the writer wrote is there up to one moment, without a hole. Returns how far that was. */
export async function expectOneMoment({ client }: RedisProcess, tag = ''): Promise<number> {
  const left = Number(await client.get(`${tag}left`));
  const row = await client.lrange(`${tag}row`, 0, -1);
  expect(Number(await client.get(`${tag}right`))).toBe(left);
  expect(row).toEqual(Array.from({ length: left }, (_, index) => String(index + 1)));
  return left;
}

/** How many full copies a server has given so far. */
export async function copiesGiven({ client }: RedisProcess): Promise<number> {
  return Number(/sync_full:(\d+)/.exec(await client.info('stats'))?.[1]);
}
