/**
 * The main job on this machine: real Redis servers are backed up into a local OSS by the built functions, and the
 * copies are loaded into fresh servers and compared. `npm run demo`, with `--json` or `--keep`.
 */
import { join } from 'node:path';
import { Command, CommanderError } from 'commander';
import { exportLines } from '../cli/emulator.ts';
import { EXIT, type ExitCode } from '../cli/exit-codes.ts';
import { showSummary } from '../cli/summary-table.ts';
import { duration, note, outliveReaders, print, printJson, size, table, taken } from '../cli/terminal.ts';
import { findRedisServer } from '../emulator/redis/find-redis-server.ts';
import {
  ORCHESTRATOR,
  startSampleCloud,
  TIMER,
  UPLOADER,
  type SampleCloud,
} from '../emulator/sample/sample-cloud.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { readEnvironment } from '../functions/core/config.ts';
import { BackupError, toErrorRecord } from '../functions/core/errors.ts';
import { readManifest } from '../functions/core/repository/catalogue.ts';
import { makeRunId, summaryKey } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import type { Summary } from '../functions/orchestrator/summary.ts';
import { followRun } from './follow-run.ts';
import { proveFile, type Comparison } from './prove.ts';

interface DemoOptions {
  readonly json?: true;
  readonly keep?: true;
}

const BULK_BYTES = 40 * 1024 * 1024;
const BIG_VALUE_BYTES = 48 * 1024 * 1024;

async function demo(options: DemoOptions, signal: AbortSignal): Promise<ExitCode> {
  const startedAtMs = Date.now();
  const say = options.json === true ? note : print;
  say(`redis-server: ${await findRedisServer()}`);
  say('starting a local cloud with three instances, one a cluster of three shards, and filling them …');
  const cloud = await startSampleCloud({
    distFolder: join(__dirname, '..'),
    bulkBytes: BULK_BYTES,
    bigValueBytes: BIG_VALUE_BYTES,
  });
  try {
    signal.throwIfAborted();
    say(
      table(
        ['INSTANCE', 'ARCHITECTURE', 'SERVERS', 'KEYS'],
        cloud.tair
          .describe()
          .map((one) => [one.id, one.architecture, one.ports.length, cloud.keys[one.id] ?? 0]),
      ),
    );
    const store = storeOf(cloud);
    const summary = await run(cloud, store, signal, say);
    const comparisons = await prove(cloud, store, summary, signal, say);

    const equal = comparisons.filter((one) => one.equalsManifest && one.equalsSource).length;
    const proven = summary.status === 'succeeded' && comparisons.length > 0 && equal === comparisons.length;
    const verdict = `${proven ? 'PROVEN' : 'NOT PROVEN'}: ${summary.counts.stored} of ${summary.counts.selected} instances stored, ${equal} of ${comparisons.length} files loaded and equal to their manifest and their source, in ${duration(Date.now() - startedAtMs)}`;
    if (options.json === true) printJson({ verdict, proven, summary, comparisons, memory: memoryOf(cloud) });
    else print(`\n${verdict}`);
    if (options.keep === true) await keep(cloud, signal, say);
    return proven ? EXIT.done : EXIT.error;
  } finally {
    await cloud.stop();
  }
}

async function run(
  cloud: SampleCloud,
  store: ObjectStore,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<Summary> {
  const triggerTime = new Date(cloud.world.clock.now()).toISOString().replace(/\.\d+Z$/, 'Z');
  const runId = makeRunId(Date.parse(triggerTime), cloud.plan);
  say(`\nfiring the timer: plan ${cloud.plan}, run ${runId}`);
  const following = followRun(cloud, say);
  try {
    const requestId = await cloud.fc.fireTimer(ORCHESTRATOR, TIMER, triggerTime);
    await Promise.race([cloud.fc.whenIdle(), aborted(signal)]);
    const bytes = await store.get(summaryKey('', runId), signal);
    if (bytes === undefined) {
      throw new BackupError('INVOKE_FAILED', `run ${runId}: it left no summary`, {
        hint: cloud.fc.logs(requestId).slice(-2000),
      });
    }
    // The orchestrator wrote it a moment ago, from this very type.
    const summary = JSON.parse(bytes.toString('utf8')) as Summary;
    say(`\n${showSummary(summary)}`);
    say(
      `\npeak memory: ${memoryOf(cloud)
        .map(({ name, peakRssMb, memoryMb }) => `${name} ${peakRssMb} MB of ${memoryMb} MB`)
        .join(', ')}`,
    );
    say('\nthe bucket:');
    const objects: [string, string][] = [];
    let records = 0;
    for await (const entry of store.list('', signal)) {
      if (entry.key.includes('/instances/')) records++;
      else objects.push([entry.key, size(entry.bytes)]);
    }
    say(table(['OBJECT', 'SIZE'], objects));
    say(`and ${records} records of the run's steps`);
    return summary;
  } finally {
    following.end();
  }
}

async function prove(
  cloud: SampleCloud,
  store: ObjectStore,
  summary: Summary,
  signal: AbortSignal,
  say: (text: string) => void,
): Promise<Comparison[]> {
  say('\nloading every stored file into a fresh redis-server and comparing …');
  const comparisons: Comparison[] = [];
  for (const instance of summary.instances) {
    if (instance.status !== 'stored') continue;
    const manifest = await readManifest(store, instance.manifest, signal);
    for (const file of manifest.files) {
      const sourcePort = cloud.tair.instance(manifest.instance.id).shards[file.shard]?.port;
      if (sourcePort === undefined)
        throw new BackupError('INTERNAL', `compare ${file.key}: shard ${file.shard} is not there`);
      comparisons.push(await proveFile(store, manifest, file, sourcePort, signal));
    }
  }
  say(
    table(
      ['INSTANCE', 'SHARD', 'SIZE', 'KEYS', 'MANIFEST', 'SOURCE'],
      comparisons.map((one) => [
        one.instance,
        one.shard,
        size(one.bytes),
        one.keys,
        one.equalsManifest ? 'equal' : 'DIFFERENT',
        one.equalsSource ? 'equal' : 'DIFFERENT',
      ]),
    ),
  );
  for (const one of comparisons) for (const difference of one.differences) note(`${one.key}: ${difference}`);
  return comparisons;
}

function storeOf(cloud: SampleCloud): ObjectStore {
  // The CLI's way to the bucket: the environment that `tairlift emulator` prints.
  for (const [name, value] of Object.entries(cloud.environment)) process.env[name] = value;
  return composeCloud(readEnvironment(cloud.environment)).storeFor({
    region: cloud.region,
    bucket: cloud.bucket,
    prefix: '',
  });
}

function memoryOf(cloud: SampleCloud): readonly { name: string; memoryMb: number; peakRssMb: number }[] {
  return cloud.fc
    .describe()
    .filter(({ name }) => name === ORCHESTRATOR || name === UPLOADER)
    .map(({ name, memoryMb, peakRssMb }) => ({ name, memoryMb, peakRssMb: Math.round(peakRssMb) }));
}

async function keep(cloud: SampleCloud, signal: AbortSignal, say: (text: string) => void): Promise<void> {
  say(
    `\nstill running; in another terminal:\n\n${exportLines(cloud.environment)}\n\n  npx tairlift list\n  npx tairlift backup --plan ${cloud.plan}\n\nCtrl-C ends it`,
  );
  await aborted(signal).catch(() => undefined);
}

async function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const stop = (): void => reject(new BackupError('INTERRUPTED', 'stopped'));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
}

async function main(): Promise<ExitCode> {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (interrupted.signal.aborted) process.exit(EXIT.interrupted);
      note('stopping; press Ctrl-C again to end at once');
      interrupted.abort();
    });
  }
  const command = new Command('npm run demo --')
    .description('Back up real Redis servers into a local OSS, load the copies, compare.')
    .option('--json', 'print the summary and the comparison as one JSON document')
    .option('--keep', 'leave everything running and print what to export for the CLI')
    .exitOverride();
  try {
    command.parse();
    const code = await demo(command.opts<DemoOptions>(), interrupted.signal);
    return interrupted.signal.aborted && command.opts<DemoOptions>().keep !== true ? EXIT.interrupted : code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    if (interrupted.signal.aborted) return EXIT.interrupted;
    const record = toErrorRecord(error);
    note(`demo: ${record.code}: ${record.message}${record.hint === undefined ? '' : `\n  ${record.hint}`}`);
    return EXIT.error;
  }
}

outliveReaders();
void main().then(async (code) => {
  await Promise.all([taken(process.stdout), taken(process.stderr)]);
  process.exit(code);
});
