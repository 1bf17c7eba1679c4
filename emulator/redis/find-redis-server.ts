/**
 * Finds a real redis-server (or valkey-server) without asking anything of the machine: the one that is named, the
 * one that is installed, or one that is unpacked from the distribution's own package into a cache, without root.
 */
import { execFile } from 'node:child_process';
import {
  access,
  chmod,
  constants,
  mkdir,
  readdir,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { isNativeError } from 'node:util/types';

const OLDEST_MAJOR_VERSION = 6;

const HOW_TO_GET_IT =
  'install it (macOS: brew install redis; Debian and Ubuntu: sudo apt-get install redis-server; ' +
  'Fedora: sudo dnf install redis), or set REDIS_SERVER to the path of a redis-server or valkey-server binary, version 6.0 or newer';

const VERSION_TIMEOUT_MS = 10_000;
/** A cold mirror over a slow line; ordinarily each of these takes seconds. */
const UPDATE_TIMEOUT_MS = 180_000;
const DOWNLOAD_TIMEOUT_MS = 180_000;
const UNPACK_TIMEOUT_MS = 60_000;
const ABANDONED_AFTER_MS = 3_600_000;

/**
 * Path of a server that can be executed as it is. Looks in this order: `REDIS_SERVER`, the PATH, and a cache
 * (`TAIRLIFT_CACHE`, else `$XDG_CACHE_HOME/tairlift`, else `~/.cache/tairlift`), which is filled on first use where
 * there is apt. Several processes may do so at once. Throws one sentence that says how to get a server.
 */
export async function findRedisServer(environment: NodeJS.ProcessEnv = process.env): Promise<string> {
  const named = environment['REDIS_SERVER'];
  if (named !== undefined && named !== '') return checkNamed(named);
  return (await findOnPath(environment['PATH'] ?? '')) ?? (await findInCache(environment));
}

async function checkNamed(named: string): Promise<string> {
  const path = named.includes('/') ? resolve(named) : named;
  const major = await majorVersion(path);
  if (major === undefined)
    throw new Error(
      `find redis-server: REDIS_SERVER is ${named}, which does not answer --version as a server does`,
    );
  if (major < OLDEST_MAJOR_VERSION)
    throw new Error(
      `find redis-server: REDIS_SERVER is ${named}, version ${major}; ${OLDEST_MAJOR_VERSION}.0 or newer is needed`,
    );
  return path;
}

async function findOnPath(searchPath: string): Promise<string | undefined> {
  for (const path of candidates(searchPath, ['redis-server', 'valkey-server']))
    if (await isUsable(path)) return path;
  return undefined;
}

function candidates(searchPath: string, names: readonly string[]): readonly string[] {
  const folders = searchPath.split(delimiter).filter((folder) => folder !== '');
  return folders.flatMap((folder) => names.map((name) => resolve(folder, name)));
}

async function isUsable(path: string): Promise<boolean> {
  return (await isExecutable(path)) && ((await majorVersion(path)) ?? 0) >= OLDEST_MAJOR_VERSION;
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

/** The major number of `Redis server v=7.0.15 …`; undefined when it is no server, or does not answer. */
async function majorVersion(path: string): Promise<number | undefined> {
  const output = await run(path, ['--version'], VERSION_TIMEOUT_MS).catch(() => '');
  const [, major] = /\bv=(\d+)\./.exec(output) ?? [];
  return major === undefined ? undefined : Number(major);
}

async function findInCache(environment: NodeJS.ProcessEnv): Promise<string> {
  const cache = cacheFolder(environment);
  const folder = join(cache, `${process.platform}-${process.arch}`);
  const server = join(folder, 'redis-server');
  if (await isUsable(server)) return server;

  const tools = await findTools(environment['PATH'] ?? '');
  if (tools === undefined)
    throw new Error(`find redis-server: there is none on this machine; ${HOW_TO_GET_IT}`);
  try {
    await fillCache(tools, cache, folder);
  } catch (cause) {
    throw new Error(
      `find redis-server: there is none on this machine and unpacking the distribution's package into ${cache} failed ` +
        `(${isNativeError(cause) ? cause.message : 'unknown error'}); ${HOW_TO_GET_IT}`,
      { cause },
    );
  }
  if (await isUsable(server)) return server;
  throw new Error(
    `find redis-server: the distribution's server does not run or is older than 6.0; ${HOW_TO_GET_IT}`,
  );
}

/** Paths of what unpacks a package. */
interface Tools {
  readonly apt: string;
  readonly dpkg: string;
}

async function findTools(searchPath: string): Promise<Tools | undefined> {
  const found: (string | undefined)[] = [];
  for (const name of ['apt-get', 'dpkg-deb']) {
    const executable = await Promise.all(
      candidates(searchPath, [name]).map(async (path) => ((await isExecutable(path)) ? [path] : [])),
    );
    found.push(executable.flat()[0]);
  }
  const [apt, dpkg] = found;
  return apt === undefined || dpkg === undefined ? undefined : { apt, dpkg };
}

function cacheFolder(environment: NodeJS.ProcessEnv): string {
  const given = environment['TAIRLIFT_CACHE'];
  if (given !== undefined && given !== '') return resolve(given, 'redis-server');
  const xdg = environment['XDG_CACHE_HOME'];
  const base =
    xdg !== undefined && xdg.startsWith('/') ? xdg : join(environment['HOME'] ?? homedir(), '.cache');
  return join(base, 'tairlift', 'redis-server');
}

/**
 * Fills a folder of its own and renames it when all is there: whoever comes second finds the name taken, which is
 * as good, and a process that dies half-way leaves nothing that looks complete.
 */
async function fillCache(tools: Tools, cache: string, folder: string): Promise<void> {
  await mkdir(cache, { recursive: true });
  await removeAbandoned(cache);
  const partial = join(cache, `partial-${process.pid}-${process.hrtime.bigint().toString(36)}`);
  await mkdir(partial);
  try {
    try {
      await unpackServer(tools, partial);
    } catch (error) {
      if (process.getuid?.() !== 0) throw error;
      await installServer(tools, partial);
    }
    await moveIntoPlace(partial, folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

async function moveIntoPlace(partial: string, folder: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await rename(partial, folder);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if ((code !== 'ENOTEMPTY' && code !== 'EEXIST') || attempt === 3) throw error;
    }
    if (await isUsable(join(folder, 'redis-server'))) return;
    // What stands there does not run, after an upgrade of the machine for instance.
    await rm(folder, { recursive: true, force: true });
  }
}

async function removeAbandoned(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!name.startsWith('partial-')) continue;
    const path = join(cache, name);
    const { mtimeMs } = await stat(path).catch(() => ({ mtimeMs: Infinity }));
    if (Date.now() - mtimeMs > ABANDONED_AFTER_MS) await rm(path, { recursive: true, force: true });
  }
}

/**
 * Downloads redis-tools with the libraries it needs, with apt's state and cache in a folder of our own and the
 * machine's own sources and keys, and unpacks them. redis-tools carries the server's binary, under the name of
 * redis-check-rdb: one program that looks at the name it is called by. The package redis-server is left alone
 * because installing it starts a service.
 */
async function unpackServer(tools: Tools, folder: string): Promise<void> {
  const apt = join(folder, 'apt');
  for (const name of ['lists/partial', 'archives/partial']) await mkdir(join(apt, name), { recursive: true });
  // An empty list of installed packages makes apt fetch all libraries, so that none is missing.
  await writeFile(join(apt, 'status'), '');
  await writeFile(join(apt, 'apt.conf'), aptConfiguration(apt));

  // One broken third-party source makes this fail although ours are fine; the download tells.
  await runApt(tools, ['-c', join(apt, 'apt.conf'), 'update'], UPDATE_TIMEOUT_MS).catch(() => undefined);
  const install = ['install', '--download-only', '--yes', '--no-install-recommends', 'redis-tools'];
  await runApt(tools, ['-c', join(apt, 'apt.conf'), ...install], DOWNLOAD_TIMEOUT_MS);

  const root = join(folder, 'root');
  for (const file of await readdir(join(apt, 'archives'))) {
    // The C library must be the one that the machine's own loader belongs to.
    if (!file.endsWith('.deb') || /^(libc6|libc-bin|libcrypt1)_/.test(file)) continue;
    await run(tools.dpkg, ['--extract', join(apt, 'archives', file), root], UNPACK_TIMEOUT_MS);
  }
  await rm(apt, { recursive: true, force: true });
  await rm(join(root, 'usr/share'), { recursive: true, force: true });

  const binary = join(root, 'usr/bin/redis-server');
  await rename(join(root, 'usr/bin/redis-check-rdb'), binary);
  const libraries = (await libraryFolders(root)).map((path) => `$here${path.slice(folder.length)}`);
  const wrapper = [
    '#!/bin/sh',
    'here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)',
    `LD_LIBRARY_PATH="${libraries.join(':')}" exec "$here${binary.slice(folder.length)}" "$@"`,
  ];
  await writeFile(join(folder, 'redis-server'), `${wrapper.join('\n')}\n`);
  await chmod(join(folder, 'redis-server'), 0o755);
}

function aptConfiguration(apt: string): string {
  return `Dir::State "${apt}";
Dir::State::Lists "${apt}/lists";
Dir::State::status "${apt}/status";
Dir::Cache "${apt}";
Dir::Cache::archives "${apt}/archives";
Dir::Log "${apt}";
Debug::NoLocking "true";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
Binary::apt-get::APT::Keep-Downloaded-Packages "true";
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Pre-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Invoke;
`;
}

async function libraryFolders(root: string): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const folders = entries.filter((entry) => /\.so(\.|$)/.test(entry.name)).map((entry) => entry.parentPath);
  // Plug-ins (OpenSSL's engines, for example) lie deeper and are found by the libraries themselves.
  return [...new Set(folders)].filter((path) =>
    /^(\/usr)?\/lib(64)?(\/[\w-]+-linux-\w+)?$/.test(path.slice(root.length)),
  );
}

/** The last resort of a root user: apt itself. The binary is then reached under the name that makes it a server. */
async function installServer(tools: Tools, folder: string): Promise<void> {
  await runApt(tools, ['update'], UPDATE_TIMEOUT_MS).catch(() => undefined);
  await runApt(tools, ['install', '--yes', '--no-install-recommends', 'redis-tools'], DOWNLOAD_TIMEOUT_MS);
  await rm(join(folder, 'redis-server'), { force: true });
  await symlink('/usr/bin/redis-check-rdb', join(folder, 'redis-server'));
}

async function runApt(tools: Tools, args: readonly string[], timeoutMs: number): Promise<string> {
  return run(tools.apt, ['--quiet', '--quiet', ...args], timeoutMs);
}

/** Standard output; rejects with the command's last words. */
async function run(command: string, args: readonly string[], timeoutMs: number): Promise<string> {
  return new Promise((done, fail) => {
    const options = {
      timeout: timeoutMs,
      killSignal: 'SIGKILL' as const,
      maxBuffer: 16 * 1024 * 1024,
      env: { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
    };
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) return done(stdout);
      const words = stderr.trim().split('\n').at(-1) ?? '';
      const reason = error.killed === true ? `no end after ${timeoutMs / 1000} s` : words || error.message;
      fail(new Error(`${command} ${args.at(-1) ?? ''}: ${reason}`, { cause: error }));
    });
    child.stdin?.end();
  });
}
