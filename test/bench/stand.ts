/**
 * The measuring stand: the servers in a process of their own on one core, the clients one after the other on another.
 * Whatever happens, closing it ends what it has started.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import { allCpuSeconds, cpuSecondsOf } from './machine.ts';
import { measure, type Command, type Measured } from './measure.ts';
import { pinned, type Cores } from './machine.ts';
import type { Job, Method } from './methods.ts';
import { BUCKET, type Traffic } from './servers/bucket.ts';
import { startServers, type Ends, type ServersPlan } from './servers/servers.ts';

export interface Stand {
  readonly ends: Ends;
  /** What has become of the files in the bucket whose keys end so. */
  traffic(ending: string): Promise<Traffic>;
  /** Called for each part that arrives whole, from now on. */
  onPart(listener: () => void): void;
  /** What the servers have used so far; undefined where the system does not tell. */
  cpuSeconds(): number | undefined;
  close(): void;
}

/** What the parent asks its servers, and what they say. */
type Question = { readonly ending: string };
type News =
  | { readonly ends: Ends }
  | { readonly part: true }
  | { readonly ending: string; readonly traffic: Traffic };

/** Resolves when the servers listen. Rejects when they end before that, or the signal goes off. */
export async function openStand(
  plan: ServersPlan,
  cores: Cores | undefined,
  signal: AbortSignal,
): Promise<Stand> {
  signal.throwIfAborted();
  const [program, ...args] = [
    ...pinned(cores?.servers),
    process.execPath,
    __filename,
    'servers',
    JSON.stringify(plan),
  ];
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], detached: true });
  const close = (): void => void child.kill('SIGKILL');
  process.once('exit', close);
  try {
    return {
      ...speakWith(child, await firstNews(child, signal)),
      cpuSeconds: () => cpuSecondsOf(child.pid),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

async function firstNews(child: ChildProcess, signal: AbortSignal): Promise<Ends> {
  const ended = once(child, 'exit', { signal }).then(() => {
    throw new Error('start the servers: they ended');
  });
  const [news] = (await Promise.race([once(child, 'message', { signal }), ended])) as [News]; // from playServers
  ended.catch(() => undefined);
  if (!('ends' in news)) throw new Error('start the servers: they said something else first');
  return news.ends;
}

function speakWith(child: ChildProcess, ends: Ends): Omit<Stand, 'close' | 'cpuSeconds'> {
  const waiting = new Map<string, (traffic: Traffic) => void>();
  const listeners: (() => void)[] = [];
  child.on('message', (news: News) => {
    if ('traffic' in news) waiting.get(news.ending)?.(news.traffic);
    else for (const listener of listeners) listener();
  });
  return {
    ends,
    onPart: (listener) => void listeners.push(listener),
    traffic: async (ending) =>
      new Promise((resolve, reject) => {
        waiting.set(ending, resolve);
        child.send({ ending } satisfies Question, (error) => {
          if (error !== null) reject(error);
        });
      }),
  };
}

/** The servers' side, in the process that `openStand` starts. Lives as long as its parent. */
export async function playServers(plan: ServersPlan): Promise<void> {
  process.once('disconnect', () => process.exit(0));
  const say = (news: News): void => void process.send?.(news);
  const servers = await startServers(plan, () => say({ part: true }));
  process.on('message', ({ ending }: Question) => say({ ending, traffic: servers.traffic(ending) }));
  say({ ends: servers.ends });
}

export interface Moved extends Measured {
  readonly lanes: number;
  /** Cores that were busy with something else meanwhile. */
  readonly othersCores?: number;
}

/**
 * Moves a backup once. Throws when the method fails, or when what it leaves is not what it must leave: after the
 * uploader a manifest of the right length, which says `parsed` if all was to be verified.
 */
export async function move(
  method: Method,
  job: Job,
  stand: Stand,
  {
    keys,
    core,
    signal,
  }: { readonly keys?: number | undefined; readonly core: number | undefined; readonly signal: AbortSignal },
): Promise<Moved> {
  const command: Command = method.command(job);
  const before = busySeconds(stand);
  const measured = await measure(command, { core, signal });
  const after = busySeconds(stand);
  const [first = ''] =
    method.isUploader === true ? await requireManifest(method, job, measured.told.manifest, keys) : [];
  const { lanes } = await stand.traffic(first === '' ? `${job.runId}/${job.backup.files[0]}` : first);
  if (before === undefined || after === undefined) return { ...measured, lanes };
  const others = Math.max(0, after - before - measured.cpuSeconds);
  return { ...measured, lanes, othersCores: others / measured.seconds };
}

/** Reads the manifest from the bucket, not what the uploader says of it. Gives the keys of the files. */
export async function requireManifest(
  { isVerified, says }: Method,
  { ends, backup }: Job,
  key: string | undefined,
  keys: number | undefined,
): Promise<readonly string[]> {
  if (key === undefined) throw new Error(`${says}: no manifest`);
  const answer = await fetch(`${ends.oss}/${BUCKET}/${encodeURI(key)}`);
  if (!answer.ok) throw new Error(`${says}: the manifest is not in the bucket (${answer.status})`);
  const { level, files } = parseManifest(Buffer.from(await answer.arrayBuffer()), key);
  const bytes = sum(files.map((file) => file.bytes));
  const expected = sum(backup.files.map((name) => ends.bytes[name] ?? Number.NaN));
  if (bytes !== expected) throw new Error(`${says}: ${bytes} bytes are stored, not ${expected}`);
  if (isVerified !== true) return files.map((file) => file.key);
  if (level !== 'parsed') throw new Error(`${says}: the level is ${level}, not parsed`);
  const seen = sum(files.map((file) => file.rdb.keys));
  if (keys !== undefined && seen !== keys) throw new Error(`${says}: ${seen} keys were read, not ${keys}`);
  return files.map((file) => file.key);
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, number) => total + number, 0);

/** What all cores have worked so far, but for the servers. */
function busySeconds(stand: Stand): number | undefined {
  const all = allCpuSeconds();
  const ours = stand.cpuSeconds();
  return all === undefined || ours === undefined ? undefined : all - ours;
}
