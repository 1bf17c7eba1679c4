/** Backups that take longer than an uploader may run, and uploaders that are killed half-way, with the built functions. */
import { readFile } from 'node:fs/promises';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { Clock } from '../../functions/core/clock.ts';
import { composeCloud, composeFunctions } from '../../functions/core/compose.ts';
import { planNamed, readEnvironment, readPlans } from '../../functions/core/config.ts';
import { createFunctionInvoker } from '../../functions/core/invoker.ts';
import { silentLog } from '../../functions/core/log.ts';
import { parseManifest, type Manifest } from '../../functions/core/repository/manifest.ts';
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import { orchestrate } from '../../functions/orchestrator/orchestrate.ts';
import type { Continued, Summary } from '../../functions/orchestrator/summary.ts';
import { writeRdbFile, type RdbFile } from '../bench/rdb-file.ts';
import { checksumOf } from '../doubles/memory-store.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
/** Seconds of the orchestrator in one. */
const HURRY = 10;
const PART_BYTES = 8 * 1024 ** 2;
const PLANS = `plans: { nightly: {
  targets: [{ region: ${REGION} }], destination: { region: ${REGION}, bucket: ${BUCKET} } } }`;

/** Ends with each test, so that what waits for something that does not come does not wait for ever. */
let ending: AbortController;
let signal: AbortSignal;
let folder: string;
let emulator: Emulator;
beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'tairlift-hand-over-'))));
afterAll(async () => rm(folder, { recursive: true, force: true }));
beforeEach(() => {
  ending = new AbortController();
  ({ signal } = ending);
});
afterEach(async () => {
  ending.abort();
  await emulator.stop();
});

async function start(file: RdbFile, timeoutSeconds: number, memoryMb = 256): Promise<void> {
  emulator = await startEmulator({
    buckets: [{ name: BUCKET, region: REGION }],
    instances: [{ region: REGION, id: 'r-one', rdbFiles: [file.path] }],
    functions: (world) => [
      {
        name: 'uploader',
        region: REGION,
        codeFolder: join(__dirname, '..', '..', 'dist', 'uploader'),
        memoryMb,
        timeoutSeconds,
        maxAsyncRetryAttempts: 0,
        role: functionRole(world, 'uploader'),
        environment: {
          TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
          TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
        },
      },
    ],
  });
}

/** The orchestrator in this process, on a clock that hurries. */
function run(): { readonly store: ObjectStore; readonly running: Promise<Summary | Continued> } {
  const environment = readEnvironment(emulator.environment);
  const platform = { region: REGION, accountId: emulator.world.accountId, credentials: emulator.accessKey };
  const cloud = composeCloud(environment, platform);
  const plan = planNamed(readPlans(PLANS, 'plans.yaml', environment, {}), 'nightly');
  const store = cloud.storeFor(plan.destination);
  const begunAtMs = Date.now();
  const clock: Clock = {
    now: () => begunAtMs + (Date.now() - begunAtMs) * HURRY,
    sleep: async (ms, stop) => {
      await sleepFor(ms / HURRY, undefined, { signal: stop });
    },
  };
  const running = orchestrate(
    { plan, runId: '20261120T180000Z-nightly', dryRun: false, retryFailed: false },
    {
      sourceFor: (reach) => cloud.sourceFor(reach),
      store,
      invoker: createFunctionInvoker(composeFunctions(environment, platform)('uploader'), 'uploader'),
      invokeSelf: async () => undefined,
      uploaderLimitMs: 3600_000,
      clock,
      log: silentLog,
    },
    signal,
  );
  return { store, running };
}

async function expectStored(
  summary: Summary | Continued,
  store: ObjectStore,
  file: RdbFile,
): Promise<Manifest> {
  expect(summary).toMatchObject({ status: 'succeeded', counts: { stored: 1 } });
  if (summary.status === 'continued') throw new Error('the run was handed over');
  const [instance] = summary.instances;
  const key = instance?.status === 'stored' ? instance.manifest : '';
  const manifest = parseManifest((await store.get(key, signal)) ?? Buffer.alloc(0), key);
  const truth = await readFile(file.path);
  expect(manifest).toMatchObject({
    level: 'parsed',
    files: [{ bytes: file.bytes, crc64: checksumOf(truth), rdb: { verdict: 'sound', keys: file.keys } }],
  });
  const pieces: Buffer[] = [];
  for await (const piece of store.read(manifest.files[0]?.key ?? '', signal)) pieces.push(piece);
  expect(Buffer.concat(pieces).equals(truth)).toBe(true);
  return manifest;
}

/** Of parts, those included that were sent in vain. */
function bytesSent(): number {
  return emulator.world.journal
    .entries({ service: 'oss', action: 'UploadPart' })
    .reduce((sum, entry) => sum + entry.received, 0);
}

function bytesDownloaded(): number {
  return emulator.world.journal
    .entries()
    .filter(({ service }) => service === 'download')
    .reduce((sum, entry) => sum + entry.sent, 0);
}

it('a backup that takes longer than an uploader may run is handed from one to the next', async () => {
  const file = await writeRdbFile(join(folder, 'slow.rdb'), 18 * PART_BYTES);
  await start(file, 10);
  // Four lanes bring two rounds of parts in an invocation, and a part of the next; on a busy machine only one.
  emulator.world.faults.add({
    service: 'download',
    times: -1,
    effect: { kind: 'drip', bytesPerSecond: 4e6 },
  });
  const { store, running } = run();

  await expectStored(await running, store, file);

  const outcomes = emulator.fc.invocations('uploader').map(({ outcome }) => outcome);
  expect(outcomes.length).toBeGreaterThan(2);
  expect(new Set(outcomes)).toEqual(new Set(['returned']));
  // What a lane had in hand when its time was over is read again, and nothing else is.
  const lanes = 4;
  expect(bytesDownloaded()).toBeLessThan(file.bytes + outcomes.length * lanes * PART_BYTES);
  expect(bytesSent()).toBeLessThan(file.bytes + outcomes.length * lanes * PART_BYTES);
}, 120_000);

it('an uploader that is killed half-way is followed by one that sends at most one part a lane again', async () => {
  const file = await writeRdbFile(join(folder, 'killed.rdb'), 16 * PART_BYTES);
  await start(file, 300);
  emulator.world.faults.add({
    service: 'download',
    times: -1,
    effect: { kind: 'drip', bytesPerSecond: 20e6 },
  });
  const { store, running } = run();
  while (emulator.world.journal.entries({ action: 'UploadPart' }).length < 9) {
    signal.throwIfAborted();
    await sleepFor(5);
  }
  expect(emulator.fc.killRunning('uploader')).toBe(1);

  await expectStored(await running, store, file);

  expect(emulator.fc.invocations('uploader').map(({ outcome }) => outcome)).toEqual(['exited', 'returned']);
  expect(bytesSent()).toBeGreaterThanOrEqual(file.bytes);
  expect(bytesSent()).toBeLessThanOrEqual(file.bytes + 4 * PART_BYTES);
}, 120_000);
