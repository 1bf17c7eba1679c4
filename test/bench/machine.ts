/** Cores: which to use, and how busy they are. Most of it is known on Linux only; elsewhere it is undefined. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Cores {
  readonly client: number;
  readonly servers: number;
}

/** The words before a command that keep it to a core. */
export function pinned(core: number | undefined): readonly string[] {
  return core === undefined ? [] : ['taskset', '-c', String(core)];
}

/** Two cores that this process may use, the client's and the servers'; undefined where they cannot be chosen. */
export function twoCores(): Cores | undefined {
  if (spawnSync('taskset', ['--version']).status !== 0) return undefined;
  try {
    const list = /Cpus_allowed_list:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'latin1'))?.[1] ?? '';
    const [client, servers] = list.split(',').flatMap((range) => {
      const [first = 0, last = first] = range.split('-').map(Number);
      return Array.from({ length: Math.min(2, last - first + 1) }, (_, n) => first + n);
    });
    return client === undefined || servers === undefined ? undefined : { client, servers };
  } catch {
    return undefined;
  }
}

/** Linux counts in hundredths of a second, whatever the kernel's own clock: proc(5). */
const TICKS_PER_SECOND = 100;

/** What all cores together have worked since the machine started. */
export function allCpuSeconds(): number | undefined {
  const fields = readFields('/proc/stat', /^cpu +(.*)$/m);
  if (fields === undefined) return undefined;
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0] = fields;
  return (user + nice + system + interrupts + softInterrupts) / TICKS_PER_SECOND;
}

/** User and system time of one process so far. */
export function cpuSecondsOf(pid: number | undefined): number | undefined {
  // Behind the name, which may hold anything: state, ppid, and so on; the times are the 14th and 15th field of all.
  const fields = pid === undefined ? undefined : readFields(`/proc/${pid}/stat`, /\) \w (.*)$/m);
  return fields === undefined ? undefined : ((fields[10] ?? 0) + (fields[11] ?? 0)) / TICKS_PER_SECOND;
}

function readFields(path: string, line: RegExp): readonly number[] | undefined {
  try {
    return line.exec(readFileSync(path, 'latin1'))?.[1]?.split(' ').map(Number);
  } catch {
    return undefined;
  }
}
