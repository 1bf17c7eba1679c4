import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
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
  return writeScript(join(folder, name), `echo '${versionLine}'`);
}

async function writeScript(path: string, line: string): Promise<string> {
  await writeFile(path, `#!/bin/sh\nPATH=/usr/bin:/bin\n${line}\n`);
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
  await mkdir(cache, { recursive: true });
  await writeServer(`redis-server/${process.platform}-${process.arch}/redis-server`, 'Redis server v=7.0.15');
  expect(await findRedisServer({ PATH: '', TAIRLIFT_CACHE: folder })).toBe(join(cache, 'redis-server'));
});

it('says in one sentence how to get a server where there is neither one nor a package manager', async () => {
  const finding = findRedisServer({ PATH: folder, TAIRLIFT_CACHE: folder });
  await expect(finding).rejects.toThrow(/brew install redis.*apt-get install redis-server.*REDIS_SERVER/);
});

describe('with a package manager', () => {
  /** Stand-ins that leave a package where apt would, and unpack a server where dpkg would. */
  async function writeTools(apt: string): Promise<NodeJS.ProcessEnv> {
    const tools = join(folder, 'bin');
    await mkdir(tools);
    await writeScript(join(tools, 'apt-get'), apt);
    await writeScript(
      join(tools, 'dpkg-deb'),
      `mkdir -p "$3/usr/bin" && cp '${await writeServer('packed', 'Redis server v=7.0.15')}' "$3/usr/bin/redis-check-rdb"`,
    );
    return { PATH: tools, TAIRLIFT_CACHE: join(folder, 'cache') };
  }

  /** `apt-get --quiet --quiet -c <configuration> …` */
  const DOWNLOAD = `sleep 0.1; touch "$(dirname "$4")/archives/redis-tools_7.deb"`;

  it('fills the cache once for all who ask at the same time, and leaves nothing else in it', async () => {
    const environment = await writeTools(DOWNLOAD);
    const found = await Promise.all([1, 2, 3, 4].map(async () => findRedisServer(environment)));
    expect(new Set(found).size).toBe(1);
    expect(await findRedisServer({ ...environment, PATH: '' })).toBe(found[0]);
    expect(await readdir(join(folder, 'cache', 'redis-server'))).toEqual([
      `${process.platform}-${process.arch}`,
    ]);
  });

  it('replaces a cached server that does not run any more', async () => {
    const environment = await writeTools(DOWNLOAD);
    const server = await findRedisServer(environment);
    await writeScript(server, 'exit 127');
    expect(await findRedisServer(environment)).toBe(server);
    expect(execFileSync(server, ['--version'], { encoding: 'utf8' })).toContain('v=7.0.15');
  });

  it('says why it could not use it, how to get a server otherwise, and leaves nothing behind', async () => {
    const environment = await writeTools('echo "E: Unable to locate package redis-tools" >&2; exit 100');
    await expect(findRedisServer(environment)).rejects.toThrow(
      /Unable to locate package redis-tools.*brew install/,
    );
    expect(await readdir(join(folder, 'cache', 'redis-server'))).toEqual([]);
  });

  it('says so when the cache cannot be written', async () => {
    const environment = await writeTools(DOWNLOAD);
    await writeFile(join(folder, 'cache'), '');
    await expect(findRedisServer(environment)).rejects.toThrow(/ENOTDIR.*brew install/);
  });
});
