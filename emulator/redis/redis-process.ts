/**
 * A real redis-server as a child process: started on a port of its own, answered for, and gone when its parent is.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isNativeError } from 'node:util/types';
import { Redis } from 'ioredis';
import { findRedisServer } from './find-redis-server.ts';

export interface RedisProcess {
  readonly pid: number;
  /** On 127.0.0.1. */
  readonly port: number;
  readonly folder: string;
  /** A connection that lives as long as the process. */
  readonly client: Redis;
  /** The last lines that the server wrote, oldest first. */
  log(): readonly string[];
  /** Ends the process and waits until it is gone. Safe to call twice, also when the server has died by itself. */
  stop(): Promise<void>;
}

export interface StartOptions {
  /** Exists already; the server's working directory, where its RDB files are written. */
  readonly folder: string;
  /** Further options, as on the command line: `['--databases', '256']`. */
  readonly args?: readonly string[];
  /** Until the server answers PING; loading counts. Default two minutes. */
  readonly timeoutMs?: number;
}

const PORT_ATTEMPTS = 8;
const DEFAULT_TIMEOUT_MS = 120_000;
const TERMINATE_TIMEOUT_MS = 5_000;

/** Starts an empty server, or one that loads what `args` name. Resolves when it answers PING, never earlier. */
export async function startRedis(options: StartOptions): Promise<RedisProcess> {
  const binary = await findRedisServer();
  for (let attempt = 1; ; attempt++) {
    const started = await tryStart(binary, options, await freePort());
    if (started !== 'port taken') return started;
    if (attempt === PORT_ATTEMPTS)
      throw new Error(`start redis-server: ${PORT_ATTEMPTS} ports in a row were taken by others`);
  }
}

/**
 * Starts a server on an RDB file, in a temporary folder that goes with it. The server's exit code is never looked
 * at (it is 0 on several load failures): resolved means that the file is loaded and the server answers, anything
 * else rejects with the server's own words. Enough databases for any file that a default server could not hold.
 */
export async function loadRdb(file: string): Promise<RedisProcess> {
  const { size } = await stat(file);
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-load-'));
  try {
    await symlink(resolve(file), join(folder, 'dump.rdb'));
    const server = await startRedis({ folder, args: ['--dbfilename', 'dump.rdb', '--databases', '256'] });
    const stop = async (): Promise<void> => {
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    };
    // A server that does not find its file starts empty, and content.
    if (!server.log().some((line) => /DB loaded from|Done loading RDB/.test(line))) {
      await stop();
      throw new Error(`the server started without reading the file's ${size} bytes`);
    }
    return { ...server, stop };
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    throw new Error(`load ${file}: ${isNativeError(cause) ? cause.message : 'unknown error'}`, { cause });
  }
}

async function tryStart(
  binary: string,
  options: StartOptions,
  port: number,
): Promise<RedisProcess | 'port taken'> {
  const child = spawnWatched(binary, [...serverArguments(options.folder, port), ...(options.args ?? [])]);
  const exited = once(child, 'exit');
  const log = collectLog(child);
  const stop = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGTERM');
      const slow = setTimeout(() => child.kill('SIGKILL'), TERMINATE_TIMEOUT_MS);
      await exited;
      clearTimeout(slow);
    }
  };
  try {
    const { pid } = child;
    if (pid === undefined) await exited;
    if (pid === undefined || !(await answersPing(child, port, options.timeoutMs ?? DEFAULT_TIMEOUT_MS)))
      return afterFailure(log);
    const client = new Redis({
      host: '127.0.0.1',
      port,
      maxRetriesPerRequest: 1,
      // Of a connection that is already lost, `disconnect` would keep a timer for two seconds.
      disconnectTimeout: 50,
    });
    // Without a listener a lost connection would be an unhandled error; commands reject anyway.
    client.on('error', () => undefined);
    return {
      pid,
      port,
      folder: options.folder,
      client,
      log: () => log,
      stop: async () => {
        if (client.status !== 'end') client.disconnect();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function serverArguments(folder: string, port: number): readonly string[] {
  const options = {
    port: String(port),
    bind: '127.0.0.1',
    dir: folder,
    save: '',
    appendonly: 'no',
    daemonize: 'no',
  };
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, value]);
}

/**
 * Waits on descriptor 3, whose other end is ours: a line means that all is well, its end without one that we died
 * (also by SIGKILL, where no handler runs), and then the server dies too. The shell itself becomes the server, so
 * that the child's pid is the server's.
 */
const WATCHED = '{ read -r _ <&3 || kill -9 $$; } >/dev/null 2>&1 & exec 3<&-; exec "$0" "$@"';

function spawnWatched(binary: string, args: readonly string[]): ChildProcess {
  const child = spawn('/bin/sh', ['-c', WATCHED, binary, ...args], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  const lifeline = child.stdio[3] as Socket; // Descriptors above 2 that are pipes are sockets on our side.
  lifeline.on('error', () => undefined);
  const kill = (): void => void child.kill('SIGKILL');
  process.once('exit', kill);
  child.once('exit', () => {
    process.removeListener('exit', kill);
    lifeline.end('over\n', () => lifeline.destroy());
  });
  return child;
}

const LOG_LINES = 200;

function collectLog(child: ChildProcess): string[] {
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.setEncoding('utf8').on('data', (text: string) => {
      const complete = (rest + text).split('\n');
      rest = complete.pop() ?? '';
      lines.push(...complete.filter((line) => line.trim() !== ''));
      lines.splice(0, lines.length - LOG_LINES);
    });
  }
  return lines;
}

/** False when the server has ended; throws when it does neither end nor answer in time. */
async function answersPing(child: ChildProcess, port: number, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (child.exitCode === null && child.signalCode === null) {
    // A foreign server may have been quicker to take the port: then it would answer, and ours is about to end.
    const reply = await ask(port, 'INFO server\r\n');
    if (reply.includes(`process_id:${child.pid}\r\n`) && (await ask(port, 'PING\r\n')).startsWith('+PONG'))
      return true;
    if (Date.now() > deadline)
      throw new Error(`redis-server does not answer PING after ${timeoutMs / 1000} s`);
    await delay(10);
  }
  return false;
}

const PROBE_TIMEOUT_MS = 1_000;

/** The first piece of the answer to an inline command; empty when there is none. */
async function ask(port: number, command: string): Promise<string> {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(command));
    let reply = '';
    socket.setEncoding('utf8').setTimeout(PROBE_TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (text: string) => {
      reply += text;
      socket.destroy();
    });
    socket.on('error', () => undefined).once('close', () => done(reply));
  });
}

/** Why the server ended, from its own log: another port may help, anything else is final. */
function afterFailure(log: readonly string[]): 'port taken' {
  const message = log.map((line) => line.replace(/^\d+:\w \d+ \w+ \d+ [\d:.]+ /, ''));
  if (message.some((line) => /address already in use/i.test(line))) return 'port taken';
  throw new Error(`redis-server ended: ${reasons(message) || 'it said nothing'}`);
}

/** The warnings, without the greeting that every start writes. */
function reasons(lines: readonly string[]): string {
  const greeting =
    /redis is starting|server initialized|version=|configuration loaded|overcommit|tcp backlog|transparent huge|oO0Oo/i;
  const warnings = lines.filter((line) => line.startsWith('#') && !greeting.test(line));
  const said = warnings.length > 0 ? warnings : lines.slice(-3);
  return said.map((line) => line.replace(/^[#*-] /, '')).join(' ');
}

/** A port that is free now, as is the one that a cluster node opens beside it, 10000 above. */
async function freePort(): Promise<number> {
  for (let attempt = 1; attempt <= 100; attempt++) {
    const port = await tryListen(0);
    if (port !== undefined && port + 10_000 <= 65_535 && (await tryListen(port + 10_000)) !== undefined)
      return port;
  }
  throw new Error('start redis-server: no free port on 127.0.0.1');
}

async function tryListen(wanted: number): Promise<number | undefined> {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(undefined));
    server.listen(wanted, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
}
