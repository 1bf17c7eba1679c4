/** What is measured: each file in each setting, growth with size and number, and a kill. */
import { measure, type Command } from './measure.ts';
import { METHOD, METHODS, type Job, type MethodName } from './methods.ts';
import type { Options, Setting } from './options.ts';
import {
  median,
  rounded,
  summarize,
  toRun,
  type GrowthPoint,
  type KillResult,
  type Row,
  type Run,
  type Section,
} from './results.ts';
import type { Shape } from './servers/pace.ts';
import { UNCHECKED, type FileSpec } from './servers/served-file.ts';
import type { ListedBackup } from './servers/listing.ts';
import type { Cores } from './machine.ts';
import { move, openStand, requireManifest, type Stand } from './stand.ts';

/** What all of it needs. */
export interface Bench {
  readonly options: Options;
  readonly cores: Cores | undefined;
  readonly signal: AbortSignal;
  /** Tells what is being done. */
  progress(line: string): void;
}

/** A backup with what is known of it. */
export interface Subject {
  readonly name: string;
  readonly files: readonly FileSpec[];
  /** As its server counted them. */
  readonly keys?: number;
}

/** As large object stores hold a connection back. */
const SHAPES: Readonly<Record<Setting, Shape | undefined>> = {
  bare: undefined,
  shaped: { bytesPerSecond: 60e6, latencyMs: 10 },
};

const MIB = 1024 ** 2;
/** Four lanes of 8 MiB. */
const FOUR_LANES_MB = 256;
/** Eight: what a link with a limit for each connection is worth. */
const EIGHT_LANES_MB = 384;
/** The slow methods get so much, of the simplest file: at some megabytes a second that is enough to wait for. */
const SLOW_BYTES = { quick: MIB, full: 64 * MIB };
const SLOW_FILE = 'slow.rdb';

const METHODS_IN: Readonly<Record<Setting, readonly MethodName[]>> = {
  bare: METHODS.filter((method) => method !== 'one-lane'),
  // Through one connection of 60 MB/s all are alike, and take their time: a few stand for all.
  shaped: ['tairlift', 'unverified', 'one-lane', 'mended', 'put-stream', 'rclone', 'curl-curl'],
};
const QUICK_METHODS_IN: Readonly<Record<Setting, readonly MethodName[]>> = {
  bare: METHODS_IN.bare,
  shaped: ['tairlift', 'one-lane', 'curl-curl'],
};

/** Once is enough: another file does not make them faster. */
const WITH_SLOW_METHODS = ['quick', 'large'];

/** Every method in each round once, in turns, so that what else the machine does meets all alike. */
export async function measureSection(setting: Setting, subject: Subject, bench: Bench): Promise<Section> {
  const { options, cores, signal } = bench;
  const methods = methodsFor((options.isQuick ? QUICK_METHODS_IN : METHODS_IN)[setting], options, subject);
  const usual = backupOf('r-bench', subject);
  const slowly = { instanceId: 'r-slow', files: [SLOW_FILE] };
  const unchecked = backupOf(UNCHECKED, subject);
  const slow = { name: SLOW_FILE, syntheticBytes: SLOW_BYTES[options.isQuick ? 'quick' : 'full'] };
  const shape = SHAPES[setting];
  const plan = {
    files: [...subject.files, slow],
    backups: [usual, slowly, unchecked],
    ...(shape === undefined ? {} : { shape }),
  };
  const backupFor = (method: MethodName): ListedBackup => {
    if (method === 'unverified') return unchecked;
    return METHOD[method].isSlow === true ? slowly : usual;
  };
  const stand = await openStand(plan, cores, signal);
  try {
    const rows = methods.map((method) => startRow(method, backupFor(method), stand));
    for (let round = 1; round <= options.runs; round++) {
      for (const row of rows) {
        if (row.missing !== undefined || row.failed !== undefined) continue;
        bench.progress(
          `${setting}, ${subject.name}: round ${round} of ${options.runs}: ${METHOD[row.method].says}`,
        );
        await addRun(row, round, stand, { setting, subject, bench });
      }
    }
    const curl = rows.find(({ method }) => method === 'curl-curl');
    return {
      setting,
      file: subject.name,
      bytes: bytesOf(usual, stand),
      ...(subject.keys === undefined ? {} : { keys: subject.keys }),
      rounds: options.runs,
      rows: rows.map((row) => toRow(row, curl)),
    };
  } finally {
    stand.close();
  }
}

function methodsFor(
  all: readonly MethodName[],
  { only }: Options,
  { name, files }: Subject,
): readonly MethodName[] {
  const chosen = all.filter((method) => only.length === 0 || only.includes(method));
  return chosen.filter((method) => {
    if (METHOD[method].isSlow === true) return WITH_SLOW_METHODS.includes(name);
    return files.length === 1 || METHOD[method].isUploader === true || method === 'curl-curl';
  });
}

/** A row while it grows. */
interface OpenRow {
  readonly method: MethodName;
  readonly backup: ListedBackup;
  readonly bytes: number;
  readonly runs: Run[];
  readonly missing: string | undefined;
  failed?: string;
}

function startRow(method: MethodName, backup: ListedBackup, stand: Stand): OpenRow {
  return { method, backup, bytes: bytesOf(backup, stand), runs: [], missing: METHOD[method].missing() };
}

function bytesOf({ files }: ListedBackup, { ends }: Stand): number {
  return files.reduce((sum, name) => sum + (ends.bytes[name] ?? 0), 0);
}

async function addRun(
  row: OpenRow,
  round: number,
  stand: Stand,
  {
    setting,
    subject,
    bench,
  }: { readonly setting: Setting; readonly subject: Subject; readonly bench: Bench },
): Promise<void> {
  const method = METHOD[row.method];
  const job: Job = {
    ends: stand.ends,
    backup: row.backup,
    runId: `${setting}-${row.method}-${round}`,
    memoryMb: setting === 'shaped' ? EIGHT_LANES_MB : FOUR_LANES_MB,
  };
  try {
    const moved = await move(method, job, stand, {
      core: bench.cores?.client,
      signal: bench.signal,
      keys: method.isSlow === true ? undefined : subject.keys,
    });
    row.runs.push(toRun(round, moved));
  } catch (error) {
    bench.signal.throwIfAborted();
    // One method that fails must not cost the others their figures; the table and the exit code say it.
    row.failed = `round ${round}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function toRow({ method, bytes, runs, missing, failed }: OpenRow, curl: OpenRow | undefined): Row {
  const summary = summarize(bytes, runs, curl);
  return {
    method,
    bytes,
    runs,
    ...(missing === undefined ? {} : { missing }),
    ...(failed === undefined ? {} : { failed }),
    ...(summary === undefined ? {} : { summary }),
  };
}

const GROWTH_METHODS: readonly MethodName[] = ['tairlift', 'put-stream', 'curl-curl'];
const SIZES_MIB = { quick: [8, 16], full: [64, 128, 256, 512, 1024, 2048, 4096] };
const FILE_COUNTS = { quick: [1, 3], full: [1, 8, 64] };
const MANY_BYTES = { quick: 24 * MIB, full: 512 * MIB };
const MAX_GROWTH_RUNS = 3;

/** Made-up files of each size, four lanes in a function of 256 MB. */
export async function measureBySize(bench: Bench): Promise<readonly GrowthPoint[]> {
  const points: GrowthPoint[] = [];
  for (const mib of SIZES_MIB[bench.options.isQuick ? 'quick' : 'full'])
    points.push(...(await measureGrowth(`${mib} MiB`, manyFiles(1, mib * MIB), bench)));
  return points;
}

/** The same bytes in more and more files, as the shards of a cluster. */
export async function measureByFiles(bench: Bench): Promise<readonly GrowthPoint[]> {
  const mode = bench.options.isQuick ? 'quick' : 'full';
  const points: GrowthPoint[] = [];
  for (const files of FILE_COUNTS[mode])
    points.push(...(await measureGrowth(`${files} files`, manyFiles(files, MANY_BYTES[mode]), bench)));
  return points;
}

async function measureGrowth(
  name: string,
  subject: Omit<Subject, 'name'>,
  bench: Bench,
): Promise<readonly GrowthPoint[]> {
  const { options } = bench;
  const only = GROWTH_METHODS.filter((method) => options.only.length === 0 || options.only.includes(method));
  const few = { ...options, only, runs: Math.min(options.runs, MAX_GROWTH_RUNS) };
  if (only.length === 0) return [];
  const section = await measureSection('bare', { ...subject, name }, { ...bench, options: few });
  return section.rows.flatMap(({ method, runs, failed, missing }) => {
    if (failed !== undefined) throw new Error(`${name}: ${METHOD[method].says}: ${failed}`);
    if (missing !== undefined) return [];
    const peaks = runs.flatMap(({ peakRssMb }) => peakRssMb ?? []);
    return {
      method,
      bytes: section.bytes,
      files: subject.files.length,
      mbPerSecond: rounded(median(runs.map(({ seconds }) => section.bytes / 1e6 / seconds)), 1),
      ...(peaks.length === 0 ? {} : { peakRssMb: Math.max(...peaks) }),
    };
  });
}

const KILL_PARTS = { quick: 8, full: 32 };

/**
 * Kills the uploader when more than a third of the parts has arrived, starts it again, and counts. On the shaped link:
 * there a part takes its time, and the kill comes in the middle of some.
 */
export async function measureKill(bench: Bench): Promise<KillResult> {
  const { options, cores, signal } = bench;
  const parts = KILL_PARTS[options.isQuick ? 'quick' : 'full'];
  const subject = manyFiles(1, parts * 8 * MIB);
  const backup = backupOf('r-bench', subject);
  const shape = SHAPES.shaped;
  const stand = await openStand(
    { files: subject.files, backups: [backup], ...(shape === undefined ? {} : { shape }) },
    cores,
    signal,
  );
  try {
    const { tairlift } = METHOD;
    const job: Job = { ends: stand.ends, backup, runId: 'kill', memoryMb: FOUR_LANES_MB };
    const until = Math.ceil(parts / 3);
    bench.progress(`kill: until ${until} parts of ${parts} have arrived`);
    await runUntilKilled(tairlift.command(job), stand, until, bench);
    const arrived = (await stand.traffic(backup.files[0] ?? '')).parts;

    bench.progress('kill: the second start');
    const { told } = await measure(tairlift.command({ ...job, attempt: 2 }), { core: cores?.client, signal });
    const [key = ''] = await requireManifest(tairlift, job, told.manifest, undefined);
    const all = await stand.traffic(key);
    return {
      parts,
      lanes: all.lanes,
      arrived: new Set(arrived).size,
      sentAgain: all.parts.length - new Set(all.parts).size,
    };
  } finally {
    stand.close();
  }
}

/** Resolves when the process is gone; throws when it ends by itself. */
async function runUntilKilled(
  command: Command,
  stand: Stand,
  parts: number,
  { cores, signal }: Bench,
): Promise<void> {
  let pid: number | undefined;
  let isKilled = false;
  let arrived = 0;
  stand.onPart(() => {
    if (++arrived !== parts || pid === undefined) return;
    isKilled = true;
    process.kill(pid, 'SIGKILL');
  });
  try {
    await measure(command, { core: cores?.client, signal, onTold: (told) => (pid ??= told.pid) });
  } catch (error) {
    signal.throwIfAborted();
    if (isKilled) return;
    throw error;
  }
  throw new Error('kill the uploader: it ended before that');
}

function manyFiles(count: number, bytes: number): Omit<Subject, 'name'> {
  const each = Math.ceil(bytes / count);
  return {
    files: Array.from({ length: count }, (_, shard) => ({
      name: `shard-${shard}.rdb`,
      syntheticBytes: each,
      // Files of one cluster never share a slot.
      ...(count === 1 ? {} : { hashTag: `shard-${shard}` }),
    })),
  };
}

function backupOf(instanceId: string, { files }: Pick<Subject, 'files'>): ListedBackup {
  return { instanceId, files: files.map(({ name }) => name) };
}
