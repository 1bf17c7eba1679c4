/** What a run of the bench has found out: written as JSON, and read again for tables and plots. */
import { instanceFor, usdPerTb } from './cost.ts';
import type { Measured } from './measure.ts';
import type { MethodName } from './methods.ts';
import type { Setting } from './options.ts';

export interface Results {
  readonly machine: Machine;
  readonly isQuick: boolean;
  readonly sections: readonly Section[];
  readonly bySize: readonly GrowthPoint[];
  readonly byFiles: readonly GrowthPoint[];
  readonly kill?: KillResult;
}

export interface Machine {
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  /** Which core does what; or why nobody keeps to one. */
  readonly pinning: string;
}

/** One file, in one setting, moved in several ways in turns. */
export interface Section {
  readonly setting: Setting;
  readonly file: string;
  readonly bytes: number;
  readonly keys?: number;
  readonly rounds: number;
  readonly rows: readonly Row[];
}

export interface Row {
  readonly method: MethodName;
  /** Less than the section's where the method is slow. */
  readonly bytes: number;
  readonly runs: readonly Run[];
  /** Why there are no runs, or fewer. */
  readonly missing?: string;
  readonly failed?: string;
  readonly summary?: Summary;
}

export interface Run {
  readonly round: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssMb?: number;
  /** Bodies on their way into the bucket at the same time. */
  readonly lanes: number;
  /** How many cores were busy with something else meanwhile, on average; undefined where the system does not tell. */
  readonly othersCores?: number;
}

/** Medians. */
export interface Summary {
  readonly mbPerSecond: number;
  /** Throughput by that of `curl | curl` in the same round. */
  readonly vsCurl?: number;
  readonly cpuSecondsPerGb: number;
  /** The largest. */
  readonly peakRssMb?: number;
  readonly lanes: number;
  readonly vcpu?: number;
  readonly memoryGb?: number;
  readonly usdPerTb?: number;
}

export interface GrowthPoint {
  readonly method: MethodName;
  /** All files together. */
  readonly bytes: number;
  readonly files: number;
  readonly mbPerSecond: number;
  readonly peakRssMb?: number;
}

export interface KillResult {
  readonly parts: number;
  readonly lanes: number;
  /** Parts that had arrived when the process was gone. */
  readonly arrived: number;
  /** Of these, how many arrived once more. */
  readonly sentAgain: number;
}

export function toRun(
  round: number,
  { lanes, othersCores, seconds, cpuSeconds, peakRssMb }: Measured & Pick<Run, 'lanes' | 'othersCores'>,
): Run {
  return {
    round,
    seconds,
    cpuSeconds: rounded(cpuSeconds, 3),
    ...(peakRssMb === undefined ? {} : { peakRssMb: rounded(peakRssMb, 1) }),
    lanes,
    ...(othersCores === undefined ? {} : { othersCores: rounded(othersCores, 2) }),
  };
}

/** Undefined without a run. @param curl the runs of `curl | curl` of the same section, and what they moved */
export function summarize(
  bytes: number,
  runs: readonly Run[],
  curl: Pick<Row, 'bytes' | 'runs'> | undefined,
): Summary | undefined {
  if (runs.length === 0) return undefined;
  const mbPerSecond = median(runs.map(({ seconds }) => bytes / 1e6 / seconds));
  const ratios = runs.flatMap((run) => {
    const other = curl?.runs.find(({ round }) => round === run.round);
    return curl === undefined || other === undefined
      ? []
      : [bytes / run.seconds / (curl.bytes / other.seconds)];
  });
  const peaks = runs.flatMap(({ peakRssMb }) => peakRssMb ?? []);
  const cost = peaks.length === 0 ? {} : costOf(bytes, runs, Math.max(...peaks));
  return {
    mbPerSecond: rounded(mbPerSecond, 1),
    ...(ratios.length === 0 ? {} : { vsCurl: rounded(median(ratios), 3) }),
    cpuSecondsPerGb: rounded(median(runs.map(({ cpuSeconds }) => cpuSeconds)) / (bytes / 1e9), 2),
    ...(peaks.length === 0 ? {} : { peakRssMb: Math.ceil(Math.max(...peaks)) }),
    lanes: Math.max(...runs.map(({ lanes }) => lanes)),
    ...cost,
  };
}

function costOf(
  bytes: number,
  runs: readonly Run[],
  peakRssMb: number,
): Pick<Summary, 'vcpu' | 'memoryGb' | 'usdPerTb'> {
  const busyCores = median(runs.map(({ cpuSeconds, seconds }) => cpuSeconds / seconds));
  const instance = instanceFor({ busyCores, peakRssMb });
  const bytesPerSecond = median(runs.map(({ seconds }) => bytes / seconds));
  return {
    vcpu: rounded(instance.vcpu, 2),
    memoryGb: rounded(instance.memoryGb, 4),
    usdPerTb: rounded(usdPerTb(instance, bytesPerSecond), 3),
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

export const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));
