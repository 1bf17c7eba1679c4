import { mkdtemp, rm } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import type { RedisProcess } from '../../emulator/redis/redis-process.ts';
import { loadRdb, startRedis } from '../../emulator/redis/redis-process.ts';
import { compareFingerprints, summaryOf } from '../../functions/core/proof/compare-fingerprints.ts';
import type { Reply, ServerConnection } from '../../functions/core/proof/server-fingerprint.ts';
import { fingerprintServer } from '../../functions/core/proof/server-fingerprint.ts';
import { FIXTURES, fileOf, readTruth, scan } from '../rdb/corpus.ts';

const DATABASES = 256;

let server: RedisProcess | undefined;
let folder: string | undefined;

afterEach(async () => {
  await server?.stop();
  server = undefined;
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
  folder = undefined;
});

async function start(): Promise<RedisProcess> {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-proof-'));
  server = await startRedis({ folder, args: ['--databases', String(DATABASES)] });
  return server;
}

/** What the server just wrote, as the scanner reads it. */
async function savedFile(redis: Redis): Promise<Buffer> {
  await redis.save();
  return readFileSync(join(folder ?? '', 'dump.rdb'));
}

const loadable = Object.entries(readTruth(FIXTURES)).filter(([, { loads }]) => loads['redis-7.0.15']?.ok);

test.each(loadable)('a server that loaded %s holds what the file holds', async (name) => {
  const file = join(FIXTURES, name);
  // Keys that expire while this runs are left out on both sides.
  const expiredBefore = Date.now() + 600_000;
  server = await loadRdb(file);
  const report = scan(readFileSync(file), 65_536, { expiredBefore });
  const found = await fingerprintServer(connectionTo(server.client), { expiredBefore });
  if (report.live === undefined) throw new Error('no live contents');
  expect(compareFingerprints(report.live, found)).toEqual([]);
  expect(found.keys).toBeGreaterThan(0);
});

test('values of every size and kind are the same from the server and from its file', async () => {
  const { client } = await start();
  await client.set('large', Buffer.alloc(3 * 1024 * 1024 + 1, 'large'));
  await client.set(Buffer.from([0, 0xff, 0x80]), Buffer.from([1, 0xfe]));
  await client.set('expiring', '1', 'PXAT', 4_102_444_800_123);
  await client.rpush('list', ...Array.from({ length: 1000 }, (_, index) => `element ${index}`));
  await client.sadd('set', ...Array.from({ length: 3000 }, (_, index) => `member ${index}`));
  await client.sadd('integers', ...Array.from({ length: 300 }, (_, index) => index * 1_000_000_007));
  const scores = Array.from({ length: 700 }, (_, index) => [
    String(Math.sin(index) * 10 ** (index % 40)),
    `m${index}`,
  ]);
  await client.zadd('zset', ...scores.flat(), '-inf', 'low', 'inf', 'high', '-0', 'zero');
  await client.hset(
    'hash',
    Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`f${index}`, String(index)])),
  );
  for (let index = 1; index <= 400; index++)
    await client.xadd('stream', `${index}-1`, 'n', String(index), 'even', String(index % 2));
  await client.xadd('stream', '18446744073709551614-18446744073709551615', 'last', '1');
  await client.xdel('stream', '7-1', '300-1');
  await client.xgroup('CREATE', 'stream', 'g1', '0');
  await client.xgroup('CREATE', 'stream', 'g2', '$');
  await client.xgroup('CREATECONSUMER', 'stream', 'g2', 'idle');
  await client.xreadgroup('GROUP', 'g1', 'alice', 'COUNT', 300, 'STREAMS', 'stream', '>');
  await client.xreadgroup('GROUP', 'g1', 'bob', 'COUNT', 50, 'STREAMS', 'stream', '>');
  await client.xack('stream', 'g1', '3-1');
  await client.xgroup('CREATE', 'empty stream', 'g', '0', 'MKSTREAM');
  await client.select(200);
  await client.set('far away', '1');

  const report = scan(await savedFile(client), 10_007);
  expect(report.verdict).toBe('sound');
  const found = await fingerprintServer(connectionTo(client));
  expect(compareFingerprints(summaryOf(report.fingerprint), found)).toEqual([]);
  expect(found).toMatchObject({
    keys: 11,
    expires: 1,
    types: { string: 4, list: 1, set: 2, zset: 1, hash: 1, stream: 2 },
  });
});

test('expiries are exact also where PEXPIRETIME is not known', async () => {
  const { client } = await start();
  for (let index = 0; index < 20; index++)
    await client.set(`k${index}`, '1', 'PXAT', 4_102_444_800_000 + index);
  const connection = connectionTo(client);
  const old: ServerConnection = {
    call: (database, ...command) =>
      command[0] === 'PEXPIRETIME'
        ? Promise.reject(new Error("ERR unknown command 'PEXPIRETIME'"))
        : connection.call(database, ...command),
  };
  expect(await fingerprintServer(old)).toEqual(await fingerprintServer(connection));
});

test.each<[string, (redis: Redis) => Promise<unknown>, readonly string[]]>([
  [
    'a key that is missing',
    (redis) => redis.del('a'),
    ['keys', 'keys of database 0', 'keys of type string', 'digest'],
  ],
  ['another value', (redis) => redis.set('a', '2'), ['digest']],
  [
    'an expiry',
    (redis) => redis.pexpireat('a', 4_102_444_800_000),
    ['expiring keys', 'expiring keys of database 0', 'digest'],
  ],
  ['another order of a list', (redis) => redis.lmove('l', 'l', 'LEFT', 'RIGHT'), ['digest']],
  ['another score', (redis) => redis.zadd('z', 2, 'm'), ['digest']],
  ['an entry that was acknowledged', (redis) => redis.xack('x', 'g', '1-1'), ['digest']],
  [
    'a key in another database',
    (redis) => redis.move('a', 1),
    ['keys of database 0', 'keys of database 1', 'digest'],
  ],
])('%s is a difference with a name', async (_what, change, expected) => {
  const { client } = await start();
  await client.set('a', '1');
  await client.set('b', '1');
  await client.rpush('l', '1', '2');
  await client.zadd('z', 1, 'm');
  await client.xadd('x', '1-1', 'f', 'v');
  await client.xgroup('CREATE', 'x', 'g', '0');
  await client.xreadgroup('GROUP', 'g', 'c', 'STREAMS', 'x', '>');
  const { fingerprint } = scan(await savedFile(client));
  await change(client);
  const differences = compareFingerprints(
    summaryOf(fingerprint),
    await fingerprintServer(connectionTo(client)),
  );
  expect(differences.map(({ what }) => what)).toEqual(expected);
});

test('a key that comes while the server is read is an error, not a difference', async () => {
  const { client } = await start();
  await client.set('a', '1');
  const connection = connectionTo(client);
  let calls = 0;
  const written: ServerConnection = {
    async call(database, ...command) {
      if (command[0] === 'TYPE' && ++calls === 1) await client.set('late', '1');
      return connection.call(database, ...command);
    },
  };
  await expect(fingerprintServer(written)).rejects.toMatchObject({ code: 'SOURCE_CHANGED' });
});

test('an answer that makes no sense is named with its key', async () => {
  const { client } = await start();
  await client.set('a', '1');
  const connection = connectionTo(client);
  const broken: ServerConnection = {
    call: (database, ...command) =>
      command[0] === 'STRLEN' ? Promise.resolve(null) : connection.call(database, ...command),
  };
  await expect(fingerprintServer(broken)).rejects.toMatchObject({
    code: 'SERVICE_ERROR',
    message: expect.stringContaining('key "a" of database 0') as string,
  });
});

test('a file that was altered under a checksum that fits is told from what the server holds', async () => {
  const { client } = await start();
  await client.set('key', 'value');
  const file = await savedFile(client);
  const altered = Buffer.from(file);
  altered.fill(0, file.length - 8);
  altered.write('VALUE', file.indexOf('value'));
  const { fingerprint } = scan(altered);
  const differences = compareFingerprints(
    summaryOf(fingerprint),
    await fingerprintServer(connectionTo(client)),
  );
  expect(differences).toHaveLength(1);
});

describe('what redis-server 7.0 cannot hold, answered as a newer server or one with modules answers', () => {
  const stats = 'expired_keys:0\r\n';
  const key = Buffer.from('k');

  /** A server with one key. */
  function serverWith(replies: Readonly<Record<string, Reply>>): ServerConnection {
    return {
      call(_database, name, section) {
        const reply =
          name === 'INFO'
            ? Buffer.from(section === 'stats' ? stats : 'db0:keys=1,expires=0')
            : replies[String(name)];
        return reply === undefined
          ? Promise.reject(new Error(`ERR unknown command '${String(name)}'`))
          : Promise.resolve(reply);
      },
    };
  }

  test('hash fields with expiries', async () => {
    const ms = 4_102_444_800_005;
    const expiry = Buffer.alloc(8);
    expiry.writeBigInt64LE(BigInt(ms));
    const none = Buffer.alloc(8, 0xff);
    const file = fileOf('VALKEY080', [22, 1, 0x6b, 2, 1, 0x66, 1, 0x31], expiry, [1, 0x67, 1, 0x32], none);
    const connection = serverWith({
      SCAN: [Buffer.from('0'), [key]],
      TYPE: Buffer.from('hash'),
      PEXPIRETIME: -1,
      HSCAN: [Buffer.from('0'), ['f', '1', 'g', '2', 'gone', '3'].map((part) => Buffer.from(part))],
      HPEXPIRETIME: [ms, -1, -2],
    });
    expect(
      compareFingerprints(summaryOf(scan(file).fingerprint), await fingerprintServer(connection)),
    ).toEqual([]);
  });

  test('a value of a Tair module', async () => {
    const value = [
      0x81, 0xb5, 0xa8, 0xb1, 0x7b, 0x4b, 0x9b, 0x8c, 1, 2, 1, 5, 3, 0x61, 0x62, 0x63, 4, 0, 0, 0, 0, 0, 0,
      0xf0, 0x3f, 0,
    ];
    const file = fileOf('REDIS0009', [7, 1, 0x6b], value);
    const replies = { SCAN: [Buffer.from('0'), [key]], TYPE: Buffer.from('tairhash-'), PEXPIRETIME: -1 };
    const dump = Buffer.from([7, ...value, ...Array<number>(10).fill(9)]);
    const found = await fingerprintServer(serverWith({ ...replies, DUMP: dump }));
    expect(compareFingerprints(summaryOf(scan(file).fingerprint), found)).toEqual([]);
    expect(found.types).toEqual({ module: 1 });

    const cut = serverWith({ ...replies, DUMP: dump.subarray(0, -1) });
    await expect(fingerprintServer(cut)).rejects.toMatchObject({ code: 'SERVICE_ERROR' });
  });
});

/** One connection for all databases: commands go out in order, each after the SELECT that it needs. */
function connectionTo(redis: Redis): ServerConnection {
  let selected = -1;
  return {
    call(database, ...command) {
      if (database !== selected) {
        selected = database;
        void redis.select(database);
      }
      const [name = '', ...args] = command;
      // Strings come as Buffers from callBuffer; what else it can give is what a Reply is.
      return redis.callBuffer(name.toString(), ...args) as Promise<Reply>;
    },
  };
}
