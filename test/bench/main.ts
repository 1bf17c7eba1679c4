/**
 * The bench: one large file through the uploader, beside the template's method and a plain `curl | curl`, over
 * loopback, every method in processes of its own, in turns. `--size 1GB --runs 3 --json`.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import Table from 'cli-table3';
import { startLeanServers } from './lean-servers.ts';
import { measureCurl, measureRole, usageSince, type Measured } from './measure.ts';
import { streamedPut, upload, wholeFileInMemory, type Ends } from './methods.ts';
import { writeRdbFile, type RdbFile } from './rdb-file.ts';

const METHODS = ['tairlift', 'template', 'streamed', 'curl | curl'] as const;
type Method = (typeof METHODS)[number];

const DESCRIPTIONS: Readonly<Record<Method, string>> = {
  tairlift: 'tairlift uploader, 256 MB, everything verified',
  template: 'template’s method: whole file in memory, one put',
  streamed: 'the same, streamed into one put; verifies nothing',
  'curl | curl': 'curl | curl -T -, verifies nothing',
};

interface Row {
  readonly method: Method;
  readonly runs: readonly Measured[];
  /** Why it was not measured. */
  readonly missing?: string;
}

async function main(args: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      size: { type: 'string', default: '1GB' },
      runs: { type: 'string', default: '3' },
      json: { type: 'boolean', default: false },
      role: { type: 'string' },
      ends: { type: 'string' },
      file: { type: 'string' },
    },
  });
  if (values.role !== undefined) return play(values.role, values.ends ?? '', values.file ?? '');
  const runs = Number(values.runs);
  if (!Number.isInteger(runs) || runs < 1) throw new Error(`--runs: a whole number, not "${values.runs}"`);
  await bench(parseSize(values.size), runs, values.json);
}

async function bench(bytes: number, runs: number, json: boolean): Promise<void> {
  const say = (line: string): void => void process.stderr.write(`${line}\n`);
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-bench-'));
  let servers: ChildProcess | undefined;
  try {
    say(`writing an RDB file of ${values(bytes)}`);
    const file = await writeRdbFile(join(folder, 'big.rdb'), bytes);
    servers = spawn(process.execPath, [__filename, '--role', 'servers', '--file', JSON.stringify(file)], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const ends = await firstMessage(servers);
    const rows = await measureAll(ends, runs, say);
    const report = toReport(file, rows);
    process.stdout.write(json ? `${JSON.stringify(report, null, 2)}\n` : `${toTable(report)}\n`);
  } finally {
    servers?.kill();
    await rm(folder, { recursive: true, force: true });
  }
}

/** In turns, so that what else the machine does meets all alike. */
async function measureAll(ends: Ends, runs: number, say: (line: string) => void): Promise<readonly Row[]> {
  const measured = new Map<Method, Measured[]>(METHODS.map((method) => [method, []]));
  const hasCurl = spawnSync('curl', ['--version']).status === 0;
  for (let run = 1; run <= runs; run++) {
    for (const method of METHODS) {
      if (method === 'curl | curl' && !hasCurl) continue;
      await fetch(`${ends.oss}/forget`);
      say(`run ${run} of ${runs}: ${method}`);
      measured.get(method)?.push(await measure(method, ends));
    }
  }
  return METHODS.map((method) => ({
    method,
    runs: measured.get(method) ?? [],
    ...(method === 'curl | curl' && !hasCurl ? { missing: 'curl is not installed' } : {}),
  }));
}

async function measure(method: Method, ends: Ends): Promise<Measured> {
  if (method === 'curl | curl') return measureCurl(ends.download, ends.oss);
  return measureRole(__filename, ['--role', method, '--ends', JSON.stringify(ends)]);
}

/** What a child of the bench does. */
async function play(role: string, ends: string, file: string): Promise<void> {
  if (role === 'servers') {
    process.send?.(await startLeanServers(JSON.parse(file) as RdbFile));
    // The parent's end is the signal to stop, however it ends.
    process.once('disconnect', () => process.exit(0));
    return;
  }
  const startedAt = performance.now() - process.uptime() * 1000;
  await workOf(role)(JSON.parse(ends) as Ends);
  process.send?.(usageSince(startedAt), () => process.exit(0));
}

function workOf(role: string): (ends: Ends) => Promise<void> {
  if (role === 'tairlift') return upload;
  return role === 'streamed' ? streamedPut : wholeFileInMemory;
}

async function firstMessage(child: ChildProcess): Promise<Ends> {
  return new Promise((resolve, reject) => {
    child.once('message', (message) => resolve(message as Ends));
    child.once('exit', (code) => reject(new Error(`the servers ended with ${String(code)}`)));
  });
}

interface Report {
  readonly bytes: number;
  readonly keys: number;
  readonly node: string;
  readonly cpu: string;
  readonly cores: number;
  readonly servers: string;
  readonly methods: readonly {
    readonly method: Method;
    readonly missing?: string;
    readonly runs: number;
    readonly mbPerSecond?: number;
    readonly cpuSecondsPerGb?: number;
    readonly peakRssMb?: number;
    /** Throughput by that of `curl | curl` in the same round: the median of the rounds. */
    readonly vsCurl?: number;
  }[];
}

function toReport(file: RdbFile, rows: readonly Row[]): Report {
  const speedOf = (row: Row | undefined): number | undefined =>
    row === undefined || row.runs.length === 0
      ? undefined
      : file.bytes / 1e6 / median(row.runs.map(({ seconds }) => seconds));
  const curl = rows.find(({ method }) => method === 'curl | curl')?.runs ?? [];
  return {
    bytes: file.bytes,
    keys: file.keys,
    node: process.version,
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    servers: 'lean download host and lean OSS in one process of their own; the OSS drops bodies',
    methods: rows.map((row) => {
      const speed = speedOf(row);
      const peaks = row.runs.flatMap(({ peakRssMb }) => peakRssMb ?? []);
      return {
        method: row.method,
        runs: row.runs.length,
        ...(row.missing === undefined ? {} : { missing: row.missing }),
        ...(speed === undefined
          ? {}
          : {
              mbPerSecond: round(speed, 1),
              cpuSecondsPerGb: round(
                median(row.runs.map(({ cpuSeconds }) => cpuSeconds)) / (file.bytes / 1e9),
                2,
              ),
              ...(curl.length === 0
                ? {}
                : {
                    vsCurl: round(
                      median(row.runs.map((run, n) => (curl[n]?.seconds ?? NaN) / run.seconds)),
                      2,
                    ),
                  }),
            }),
        ...(peaks.length === 0 ? {} : { peakRssMb: Math.ceil(Math.max(...peaks)) }),
      };
    }),
  };
}

function toTable(report: Report): string {
  const table = new Table({
    head: ['', 'MB/s', 'CPU-s/GB', 'peak RSS MB', 'vs curl | curl'],
    colAligns: ['left', 'right', 'right', 'right', 'right'],
    style: { head: [], border: [] },
  });
  for (const row of report.methods) {
    table.push([
      DESCRIPTIONS[row.method],
      ...(row.missing === undefined
        ? [row.mbPerSecond, row.cpuSecondsPerGb, row.peakRssMb, row.vsCurl].map((value) =>
            String(value ?? '-'),
          )
        : [{ colSpan: 4, content: row.missing }]),
    ]);
  }
  const runs = Math.max(...report.methods.map((row) => row.runs));
  return [
    table.toString(),
    `${values(report.bytes)} in ${report.keys} keys, medians of ${runs} interleaved runs (peak RSS: the largest).`,
    `Loopback, Node ${report.node}, ${report.cores} cores. Servers: ${report.servers}.`,
  ].join('\n');
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? Number.NaN)
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
}

const round = (value: number, digits: number): number => Number(value.toFixed(digits));
const values = (bytes: number): string => `${(bytes / 1e9).toFixed(bytes < 1e9 ? 3 : 2)} GB`;

function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([MG])B$/i.exec(text);
  if (match === null) throw new Error(`--size: such as 256MB or 1GB, not "${text}"`);
  return Math.round(Number(match[1]) * (match[2]?.toUpperCase() === 'G' ? 1e9 : 1e6));
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
