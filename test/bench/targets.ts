/** What the uploader is meant to reach, beside what was measured. */
import type { GrowthPoint, Results, Row, Section, Summary } from './results.ts';
import type { MethodName } from './methods.ts';
import type { Setting } from './options.ts';

export interface Target {
  readonly says: string;
  readonly wanted: string;
  readonly measured: string;
  readonly outcome: 'met' | 'missed' | 'not measured';
}

const FILES = ['large', 'mixed', 'tiny'] as const;
const WANTED_VS_CURL = { large: 0.6, mixed: 0.33, tiny: 0.33 } as const;
const WANTED_CPU = { large: 1.4, mixed: 2.8, tiny: 3.6 } as const;
const MAX_RSS_MB = 130;
const MEMORY_SIZES_MIB = [256, 1024, 4096];
const MAX_RSS_SPREAD = 0.1;
const SMALL_FUNCTION_MB = 256;

/** A quick run measures nothing, and meets nothing either. */
export function judge(results: Results): readonly Target[] {
  const speedBy = (method: MethodName, setting: Setting, file: string): number | undefined =>
    ratio(
      find(results, setting, file, 'tairlift')?.mbPerSecond,
      find(results, setting, file, method)?.mbPerSecond,
    );
  return [
    ...FILES.map((file) =>
      atLeast(
        `speed by curl | curl, ${file}`,
        WANTED_VS_CURL[file],
        find(results, 'bare', file, 'tairlift')?.vsCurl,
      ),
    ),
    ...FILES.flatMap((file) => [
      atLeast(`speed by ali-oss putStream, ${file}`, 1, speedBy('put-stream', 'bare', file)),
      atLeast(`speed by rclone copyurl, ${file}`, 1, speedBy('rclone', 'bare', file)),
    ]),
    atLeast('speed by the template’s method in JavaScript, large', 50, speedBy('template', 'bare', 'large')),
    atLeast(
      'speed by the template’s method in Python, large',
      50,
      speedBy('template-python', 'bare', 'large'),
    ),
    ...FILES.flatMap((file) => [
      atLeast(`speed by the mended template in JavaScript, ${file}`, 2, speedBy('mended', 'bare', file)),
      atLeast(`speed by the mended template in Python, ${file}`, 2, speedBy('mended-python', 'bare', file)),
    ]),
    ...FILES.map((file) =>
      atMost(
        `CPU seconds for a GB, ${file}`,
        WANTED_CPU[file],
        find(results, 'bare', file, 'tairlift')?.cpuSecondsPerGb,
      ),
    ),
    ...shapedTargets(results, speedBy('unverified', 'shaped', 'large')),
    ...memoryTargets(results.bySize.filter(({ method }) => method === 'tairlift')),
    killTarget(results),
  ];
}

/** The faster of the two that use one connection counts. */
function shapedTargets(results: Results, byUnverified: number | undefined): readonly Target[] {
  const eight = find(results, 'shaped', 'large', 'tairlift');
  const one = find(results, 'shaped', 'large', 'one-lane');
  const curl = find(results, 'shaped', 'large', 'curl-curl');
  const fastest = Math.max(one?.lanes === 1 ? one.mbPerSecond : 0, curl?.mbPerSecond ?? 0);
  return [
    atLeast(
      'shaped: eight lanes by one connection',
      6,
      eight?.lanes === 8 && fastest > 0 ? eight.mbPerSecond / fastest : undefined,
    ),
    atLeast('shaped: speed by the same without verification', 0.95, byUnverified),
  ];
}

function memoryTargets(points: readonly GrowthPoint[]): readonly Target[] {
  const peaks = MEMORY_SIZES_MIB.map(
    (mib) => points.find(({ bytes }) => Math.round(bytes / 1024 ** 2) === mib)?.peakRssMb,
  );
  const known = peaks.flatMap((peak) => peak ?? []);
  const isWhole = known.length === MEMORY_SIZES_MIB.length;
  const [largest, smallest] = [Math.max(...known), Math.min(...known)];
  return [
    atMost('peak resident memory of four lanes, MB', MAX_RSS_MB, isWhole ? largest : undefined),
    atMost(
      'its spread over 256 MiB, 1 GiB and 4 GiB',
      MAX_RSS_SPREAD,
      isWhole ? largest / smallest - 1 : undefined,
    ),
    atMost(`4 GiB in a function of ${SMALL_FUNCTION_MB} MB, peak MB`, SMALL_FUNCTION_MB, peaks.at(-1)),
  ];
}

function killTarget({ kill }: Results): Target {
  const says = 'parts sent again after a kill';
  if (kill === undefined)
    return { says, wanted: 'one for each lane', measured: '-', outcome: 'not measured' };
  return {
    says,
    wanted: `at most ${kill.lanes}`,
    measured: `${kill.sentAgain} of ${kill.arrived}`,
    outcome: kill.sentAgain <= kill.lanes ? 'met' : 'missed',
  };
}

function find(results: Results, setting: Setting, file: string, method: MethodName): Summary | undefined {
  const section = results.sections.find((one: Section) => one.setting === setting && one.file === file);
  return section?.rows.find((row: Row) => row.method === method)?.summary;
}

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a / b;

function atLeast(says: string, wanted: number, measured: number | undefined): Target {
  return compare(says, `at least ${wanted}`, measured, (value) => value >= wanted);
}

function atMost(says: string, wanted: number, measured: number | undefined): Target {
  return compare(says, `at most ${wanted}`, measured, (value) => value <= wanted);
}

function compare(
  says: string,
  wanted: string,
  measured: number | undefined,
  isMet: (value: number) => boolean,
): Target {
  if (measured === undefined) return { says, wanted, measured: '-', outcome: 'not measured' };
  return { says, wanted, measured: measured.toFixed(2), outcome: isMet(measured) ? 'met' : 'missed' };
}
