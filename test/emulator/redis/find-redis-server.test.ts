import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findRedisServer } from '../../../emulator/redis/find-redis-server.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-find-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function writeServer(name: string, versionLine: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\necho '${versionLine}'\n`);
  await chmod(path, 0o755);
  return path;
}

it('finds a server on this machine that answers --version', async () => {
  const path = await findRedisServer();
  expect(execFileSync(path, ['--version'], { encoding: 'utf8' })).toMatch(/server v=\d+\.\d+/i);
});

it('takes the server that REDIS_SERVER names before any other', async () => {
  const named = await writeServer('mine', 'Redis server v=7.2.4 sha=0 bits=64');
  await writeServer('redis-server', 'Redis server v=7.0.15 sha=0 bits=64');
  expect(await findRedisServer({ REDIS_SERVER: named, PATH: folder })).toBe(named);
});

it('refuses a REDIS_SERVER that does not exist, and names it', async () => {
  await expect(findRedisServer({ REDIS_SERVER: '/no/such/server' })).rejects.toThrow(
    /REDIS_SERVER is \/no\/such\/server/,
  );
});

it('refuses a REDIS_SERVER that is another program', async () => {
  const named = await writeServer('other', 'GNU something 9.1');
  await expect(findRedisServer({ REDIS_SERVER: named })).rejects.toThrow(/does not answer --version/);
});

it('refuses a REDIS_SERVER older than 6.0, and says so', async () => {
  const named = await writeServer('old', 'Redis server v=5.0.14 sha=0 bits=64');
  await expect(findRedisServer({ REDIS_SERVER: named })).rejects.toThrow(/version 5; 6\.0 or newer/);
});

it('takes a valkey-server from the PATH', async () => {
  const valkey = await writeServer('valkey-server', 'Valkey server v=8.1.1 sha=0 bits=64');
  expect(await findRedisServer({ PATH: `/nowhere:${folder}` })).toBe(valkey);
});

it('passes over a server on the PATH that is too old', async () => {
  await writeServer('redis-server', 'Redis server v=5.0.14 sha=0 bits=64');
  const valkey = await writeServer('valkey-server', 'Valkey server v=8.1.1 sha=0 bits=64');
  expect(await findRedisServer({ PATH: folder })).toBe(valkey);
});

it('uses what the cache holds when nothing is installed', async () => {
  const cache = join(folder, 'redis-server', `${process.platform}-${process.arch}`);
  execFileSync('mkdir', ['-p', cache]);
  await writeServer(`redis-server/${process.platform}-${process.arch}/redis-server`, 'Redis server v=7.0.15');
  expect(await findRedisServer({ PATH: '', TAIRLIFT_CACHE: folder })).toBe(join(cache, 'redis-server'));
});

it('says in one sentence how to get a server when the cache cannot be filled', async () => {
  const file = join(folder, 'not-a-folder');
  await writeFile(file, '');
  const finding = findRedisServer({ PATH: '', TAIRLIFT_CACHE: file });
  await expect(finding).rejects.toThrow(/brew install redis.*apt-get install redis-server.*REDIS_SERVER/);
});
