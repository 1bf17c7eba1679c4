/** Fills servers with varied data: every type in its small and large encodings, times to live, several databases. */
import { randomFillSync } from 'node:crypto';
import type { Redis } from 'ioredis';

export interface FillOptions {
  /** Databases to fill; a cluster has only 0. */
  readonly databases: readonly number[];
  /** About how many bytes of incompressible values to add to the varied part. */
  readonly bulkBytes: number;
  /** One value of this size, for readers that think values are small. */
  readonly bigValueBytes?: number;
  /** Gives a name that the server owns (a cluster's shard owns only its slots). */
  readonly name: (plain: string) => string;
}

const HOUR_MS = 3_600_000;
const BULK_VALUE_BYTES = 64 * 1024;
/** Commands in one pipeline: enough to keep the server busy, little enough to hold in memory. */
const PIPELINE = 200;

/** Returns the number of keys that were written. Times to live end hours from now, so that none ends meanwhile. */
export async function fill(redis: Redis, options: FillOptions): Promise<number> {
  let keys = 0;
  for (const database of options.databases) {
    if (database !== 0) await redis.select(database);
    await fillVaried(redis, options.name);
    keys += await redis.dbsize();
  }
  if (options.databases.at(-1) !== 0) await redis.select(0);
  const before = await redis.dbsize();
  await fillBulk(redis, options);
  await loadFunctions(redis);
  return keys + (await redis.dbsize()) - before;
}

async function fillVaried(redis: Redis, name: FillOptions['name']): Promise<void> {
  const soon = Date.now() + 6 * HOUR_MS;
  for (let batch = 0; batch < 20; batch++) {
    const commands = redis.pipeline();
    for (let i = 0; i < PIPELINE; i++) {
      const n = batch * PIPELINE + i;
      const key = (kind: string): string => name(`${kind}:${n}`);
      commands.set(key('counter'), n * 7919 - 1_000_000);
      commands.set(
        key('session'),
        JSON.stringify({ user: n, roles: ['reader', 'writer'], seen: n * 31 }),
        'PXAT',
        soon + n * 1000,
      );
      if (n % 4 === 0) commands.set(key('page'), `<p>${'all work and no play '.repeat(40)}${n}</p>`);
      if (n % 10 === 0) {
        commands.rpush(key('queue'), ...Array.from({ length: 5 + (n % 40) }, (_, j) => `job-${n}-${j}`));
        commands.sadd(key('tags'), ...Array.from({ length: 3 + (n % 20) }, (_, j) => `tag-${j * n}`));
        commands.sadd(key('ids'), ...Array.from({ length: 3 + (n % 50) }, (_, j) => j * n * 13));
        commands.zadd(
          key('ranking'),
          ...Array.from({ length: 2 + (n % 30) }, (_, j) => [(j * n) / 7, `player-${j}`]).flat(),
        );
        commands.hset(key('profile'), {
          name: `user ${n}`,
          mail: `user${n}@example.test`,
          visits: n,
          bio: 'lorem ipsum '.repeat(n % 6),
        });
        commands.pexpireat(key('profile'), soon + n);
      }
    }
    await run(commands.exec());
  }
  await fillLarge(redis, name);
  await fillStreams(redis, name);
  await run(
    redis
      .pipeline()
      .setbit(name('bitmap'), 1_000_000, 1)
      .pfadd(name('visitors'), ...Array.from({ length: 2000 }, (_, i) => `visitor-${i}`))
      .geoadd(name('shops'), 120.1551, 30.2741, 'Hangzhou', 121.4737, 31.2304, 'Shanghai')
      .set(name('binary'), Buffer.from([0, 1, 2, 253, 254, 255, 13, 10, 0]))
      .set(name('empty'), '')
      .exec(),
  );
}

/** Past the sizes at which the server changes to its large encodings. */
async function fillLarge(redis: Redis, name: FillOptions['name']): Promise<void> {
  for (let batch = 0; batch < 5; batch++) {
    const numbers = Array.from({ length: 1000 }, (_, i) => batch * 1000 + i);
    await run(
      redis
        .pipeline()
        .sadd(name('large:set'), ...numbers.map((n) => `member-${n}`))
        .hset(
          name('large:hash'),
          Object.fromEntries(numbers.map((n) => [`field-${n}`, `value-${n}`.repeat(3)])),
        )
        .zadd(name('large:zset'), ...numbers.flatMap((n) => [n * 1.5 - 3000, `member-${n}`]))
        .rpush(name('large:list'), ...numbers.map((n) => `element-${n}-${'x'.repeat(n % 100)}`))
        .exec(),
    );
  }
}

async function fillStreams(redis: Redis, name: FillOptions['name']): Promise<void> {
  const stream = name('events');
  const commands = redis.pipeline();
  for (let n = 1; n <= 500; n++)
    commands.xadd(stream, `${n}-1`, 'kind', n % 2 === 0 ? 'click' : 'view', 'page', `/p/${n}`);
  commands.xgroup('CREATE', stream, 'billing', '0');
  commands.xgroup('CREATE', stream, 'audit', '250-1');
  commands.xreadgroup('GROUP', 'billing', 'worker-1', 'COUNT', 40, 'STREAMS', stream, '>');
  commands.xreadgroup('GROUP', 'billing', 'worker-2', 'COUNT', 40, 'STREAMS', stream, '>');
  commands.xack(stream, 'billing', '1-1', '2-1', '41-1');
  commands.xdel(stream, '3-1', '499-1');
  await run(commands.exec());
}

async function fillBulk(redis: Redis, { bulkBytes, bigValueBytes, name }: FillOptions): Promise<void> {
  const values = Math.floor(bulkBytes / BULK_VALUE_BYTES);
  for (let n = 0; n < values;) {
    const commands = redis.pipeline();
    for (const end = Math.min(values, n + 50); n < end; n++)
      commands.set(name(`blob:${n}`), randomFillSync(Buffer.alloc(BULK_VALUE_BYTES)));
    await run(commands.exec());
  }
  if (bigValueBytes !== undefined)
    await redis.set(name('video'), randomFillSync(Buffer.alloc(bigValueBytes)));
}

async function loadFunctions(redis: Redis): Promise<void> {
  const source = "#!lua name=demo\nredis.register_function('answer', function() return 42 end)";
  // Servers before 7.0 have no functions; everything else must work.
  await redis.call('FUNCTION', 'LOAD', 'REPLACE', source).catch((error: Error) => {
    if (!/unknown command/i.test(error.message)) throw error;
  });
}

/** A pipeline resolves even when its commands fail; here a failed command is a failure. */
async function run(results: Promise<[error: Error | null, result: unknown][] | null>): Promise<void> {
  for (const [error] of (await results) ?? []) if (error !== null) throw error;
}
