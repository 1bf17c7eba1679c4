/** Runs one method in a process of its own and says what it took. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Measured {
  readonly seconds: number;
  /** User and system time of all client processes, start-up included. */
  readonly cpuSeconds: number;
  /** Of the largest process; undefined where the system does not tell. */
  readonly peakRssMb?: number;
}

/** What a child that does a role sends to its parent when it has done it. */
export interface Usage {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssMb: number;
}

export function usageSince(startedAt: number): Usage {
  const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
  return {
    seconds: (performance.now() - startedAt) / 1000,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakRssMb: maxRSS / 1024,
  };
}

/** The same program again, as a child with a role. Throws with the child's own words when it fails. */
export async function measureRole(program: string, role: readonly string[]): Promise<Measured> {
  const child = spawn(process.execPath, [program, ...role], { stdio: ['ignore', 'inherit', 'pipe', 'ipc'] });
  let usage: Usage | undefined;
  let words = '';
  child.on('message', (message) => (usage = message as Usage));
  child.stderr?.on('data', (piece: Buffer) => (words += piece.toString()));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0 || usage === undefined)
    throw new Error(`${role.join(' ')}: exit ${String(code)}: ${words.trim()}`);
  return usage;
}

/** `curl | curl`: both processes' time by the shell, their memory by looking while they run. */
export async function measureCurl(download: string, oss: string): Promise<Measured> {
  const command = `TIMEFORMAT='%U %S'; set -o pipefail; time { curl -sS "$1" | curl -sS -f -T - -o /dev/null "$2/my-backups/curl/big.rdb"; }`;
  const startedAt = performance.now();
  const child = spawn('bash', ['-c', command, 'bash', download, oss], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let words = '';
  child.stderr.on('data', (piece: Buffer) => (words += piece.toString()));
  let peakKb = 0;
  const look = setInterval(
    () => (peakKb = Math.max(peakKb, ...childrenOf(child.pid ?? 0).map(peakRssKb))),
    25,
  );
  const code = await new Promise((resolve) => child.once('close', resolve));
  clearInterval(look);
  const seconds = (performance.now() - startedAt) / 1000;
  const times = /([\d.]+) ([\d.]+)\s*$/.exec(words);
  if (code !== 0 || times === null) throw new Error(`curl | curl: exit ${String(code)}: ${words.trim()}`);
  return {
    seconds,
    cpuSeconds: Number(times[1]) + Number(times[2]),
    ...(peakKb === 0 ? {} : { peakRssMb: peakKb / 1024 }),
  };
}

/** On Linux only; elsewhere nothing is seen. */
function childrenOf(pid: number): readonly number[] {
  try {
    const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
    const direct = text.split(' ').filter(Boolean).map(Number);
    return [...direct, ...direct.flatMap(childrenOf)];
  } catch {
    return [];
  }
}

function peakRssKb(pid: number): number {
  try {
    return Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}
