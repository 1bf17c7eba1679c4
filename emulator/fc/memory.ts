/** How much memory a process holds and has held. Linux tells in /proc; elsewhere `ps` knows the present only. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const HAS_PROC = existsSync('/proc/self/status');

/** `ps` is a process of its own: not twenty times a second. */
export const MEMORY_INTERVAL_MS = HAS_PROC ? 50 : 250;

/** Forgets the process's peak, so that the next reading tells the peak since now. Harmless where it is not permitted. */
export async function forgetPeak(pid: number): Promise<void> {
  // proc(5), /proc/pid/clear_refs: 5 resets the peak of the resident set.
  if (HAS_PROC) await writeFile(`/proc/${pid}/clear_refs`, '5').catch(() => undefined);
}

/** The resident set's peak in MiB, as far as it is known; 0 when the process is gone. */
export async function readPeakMb(pid: number): Promise<number> {
  if (!HAS_PROC) {
    const kilobytes = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]).then(
      ({ stdout }) => Number(stdout.trim()),
      () => 0,
    );
    return kilobytes / 1024;
  }
  const status = await readFile(`/proc/${pid}/status`, 'latin1').catch(() => '');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1024;
}
