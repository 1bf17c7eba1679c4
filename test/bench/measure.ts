/** Runs one client and says what it took. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { peakRssKb, TELL_ON, type Told } from './clients/tell.ts';
import { pinned } from './machine.ts';

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

export interface Measured {
  /** From the start of the client's first process to the end of its last. */
  readonly seconds: number;
  /** User and system time of all of the client's processes, their start included. */
  readonly cpuSeconds: number;
  /** Of the largest process; undefined where the system does not tell. */
  readonly peakRssMb: number | undefined;
  readonly told: Told;
}

export interface MeasureOptions {
  /** The core that the client must keep to; any if left out. */
  readonly core?: number | undefined;
  readonly signal: AbortSignal;
  readonly onTold?: (told: Told) => void;
}

/** The longest, a gigabyte through one connection of 60 MB/s, takes twenty seconds. */
const TIMEOUT_MS = 3 * 60_000;
const MAX_WORDS = 4_000;
const LOOK_EVERY_MS = 20;
/** The shell waits for its child with its times, which is what getrusage(2) knows of the whole of it. */
const TIMED = 'TIMEFORMAT=\'took %R %U %S\'; time "$@"';

/** Throws with the client's own last words when it fails, is stopped, or does not end in time. */
export async function measure(
  { program, args, environment = {} }: Command,
  { core, signal, onTold }: MeasureOptions,
): Promise<Measured> {
  signal.throwIfAborted();
  const child = spawn('bash', ['-c', TIMED, 'bash', ...pinned(core), program, ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], TZ: 'UTC', ...environment },
    // A group of its own, so that all of it can be ended.
    detached: true,
  });
  const closed = new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  const stop = (): void => endGroup(child.pid);
  let isLate = false;
  const limit = setTimeout(() => {
    isLate = true;
    stop();
  }, TIMEOUT_MS);
  signal.addEventListener('abort', stop, { once: true });

  let words = '';
  child.stderr?.on('data', (piece: Buffer) => (words = (words + piece.toString()).slice(-MAX_WORDS)));
  let told: Told = {};
  // Descriptors above 2 that are pipes are sockets on our side.
  createInterface({ input: child.stdio[TELL_ON] as Readable }).on('line', (line) => {
    const news = JSON.parse(line) as Told; // from tell.ts
    told = { ...told, ...news };
    onTold?.(news);
  });
  let seenKb = 0;
  const look = setInterval(
    () => (seenKb = Math.max(seenKb, ...descendantsOf(child.pid).map(peakOf))),
    LOOK_EVERY_MS,
  );
  try {
    const code = await closed;
    signal.throwIfAborted();
    if (isLate) throw new Error(`it did not end within ${TIMEOUT_MS / 1000} s`);
    const took = /took ([\d.]+) ([\d.]+) ([\d.]+)\s*$/.exec(words);
    if (code !== 0 || took === null) throw new Error(lastWords(words) || `exit ${String(code)}`);
    const peakKb = told.peakRssKb ?? (seenKb === 0 ? undefined : seenKb);
    return {
      seconds: Number(took[1]),
      cpuSeconds: Number(took[2]) + Number(took[3]),
      peakRssMb: peakKb === undefined ? undefined : (peakKb * 1024) / 1e6,
      told,
    };
  } finally {
    clearTimeout(limit);
    clearInterval(look);
    signal.removeEventListener('abort', stop);
    stop();
  }
}

/** Ends what is left of a group of processes that was started here; nothing if all have ended. */
function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

function lastWords(words: string): string {
  return words
    .replace(/took [\d. ]+\s*$/, '')
    .trim()
    .split('\n')
    .slice(-3)
    .join(' ');
}

const peakOf = (pid: number): number => peakRssKb(pid) ?? 0;

function descendantsOf(pid: number | undefined): readonly number[] {
  if (pid === undefined) return [];
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const direct = text.split(' ').filter(Boolean).map(Number);
    return [...direct, ...direct.flatMap(descendantsOf)];
  } catch {
    return [];
  }
}
