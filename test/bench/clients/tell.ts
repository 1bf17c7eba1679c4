/** What a client of the bench tells its parent, a line of JSON each, over a descriptor of its own. */
import { readFileSync, writeSync } from 'node:fs';

export interface Told {
  readonly pid?: number;
  /** Of this process alone, at its end; undefined where the system does not tell. */
  readonly peakRssKb?: number | undefined;
  /** The manifest's key. */
  readonly manifest?: string;
}

export const TELL_ON = 3;

export function tell(told: Told): void {
  writeSync(TELL_ON, `${JSON.stringify(told)}\n`);
}

/** `maxRSS` of getrusage(2) would do, were it not inherited from the process that forked this one. */
export function peakRssKb(pid: number | 'self' = 'self'): number | undefined {
  try {
    const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return peak === undefined ? undefined : Number(peak);
  } catch {
    // No /proc, or the process is gone.
    return undefined;
  }
}
