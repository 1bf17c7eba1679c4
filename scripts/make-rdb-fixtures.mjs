/**
 * Makes test/fixtures/rdb: `node scripts/make-rdb-fixtures.mjs <collection>`. From the collection of RDB files it takes
 * those that named servers wrote from a data set of our own, with what real servers said of them; a redis-server
 * (REDIS_SERVER, else on the PATH) writes a small file with one key of each type, for tests that try every bit.
 */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';

const target = new URL('../test/fixtures/rdb/', import.meta.url).pathname;
const collection = process.argv[2];
if (collection === undefined) throw new Error('usage: node scripts/make-rdb-fixtures.mjs <collection>');
await mkdir(target, { recursive: true });
await copyOurs(collection);
await writeOneOfEach(join(target, 'one-of-each.rdb'));

async function copyOurs(folder) {
  const all = JSON.parse(await readFile(join(folder, 'truth.json'), 'utf8'));
  const ours = {};
  for (const name of await readdir(join(folder, 'rdb'))) {
    if (!name.startsWith('gen__')) continue;
    const { check, structure, truth, atRealClock } = all[name];
    const { version, crc, keys, expires, modules, functions } = structure;
    const verdicts = Object.fromEntries(Object.entries(check).map(([server, { ok }]) => [server, { ok }]));
    const loads = Object.fromEntries(
      Object.entries(all[name].loads).map(([server, { ok }]) => [server, { ok }]),
    );
    ours[name] = {
      check: verdicts,
      loads,
      structure: { version, crc, keys, expires, modules, functions },
      truth,
      atRealClock,
    };
    await copyFile(join(folder, 'rdb', name), join(target, name));
  }
  await writeFile(join(target, 'truth.json'), `${JSON.stringify(ours)}\n`);
}

async function writeOneOfEach(file) {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-fixtures-'));
  const socket = join(folder, 's');
  const args = [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--dir',
    folder,
    '--save',
    '',
    '--dbfilename',
    'dump.rdb',
  ];
  const binary = process.env.REDIS_SERVER ?? 'redis-server';
  console.log((await promisify(execFile)(binary, ['--version'])).stdout.trim());
  const server = spawn(binary, args, { stdio: 'ignore' });
  const exited = once(server, 'exit');
  const redis = new Redis({ path: socket, retryStrategy: () => 50 });
  redis.on('error', () => undefined);
  await redis.config(
    'SET',
    'list-max-listpack-size',
    '3',
    'hash-max-listpack-value',
    '32',
    'set-max-intset-entries',
    '4',
  );
  await redis.set('string', 'value');
  await redis.set('number', '-70000', 'PXAT', '4102444800001');
  await redis.set('repetition', 'abc'.repeat(40));
  await redis.rpush('list', 'a', '1', 'bb', '100000', 'ccc');
  await redis.sadd('set', 'x', 'y', '1', '2', '3');
  await redis.sadd('integers', '1', '-2', '70000');
  await redis.zadd('zset', '1.5', 'a', '-inf', 'b', '3', 'c');
  await redis.zadd('bigzset', '0.1', 'm'.repeat(70), '2', 'n');
  await redis.hset('hash', 'f', 'v', '1', '2');
  await redis.hset('bighash', 'field', 'w'.repeat(40));
  await redis.xadd('stream', '5-1', 'a', '1', 'b', '2');
  await redis.xadd('stream', '5-2', 'a', '3', 'b', '4');
  await redis.xadd('stream', '6-1', 'c', '5');
  await redis.xgroup('CREATE', 'stream', 'g', '0');
  await redis.xreadgroup('GROUP', 'g', 'alice', 'COUNT', 2, 'STREAMS', 'stream', '>');
  await redis.xdel('stream', '5-2');
  await redis.call('FUNCTION', 'LOAD', "#!lua name=l\nredis.register_function('f', function() return 1 end)");
  await redis.select(3);
  await redis.set('elsewhere', '1');
  await redis.save();
  redis.disconnect();
  server.kill('SIGTERM');
  await exited;
  await copyFile(join(folder, 'dump.rdb'), file);
  await rm(folder, { recursive: true, force: true });
}
