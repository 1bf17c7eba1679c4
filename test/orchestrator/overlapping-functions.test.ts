/** Runs that overlap, with the built orchestrator in the emulated cloud, where the bucket's clock decides who is dead. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { SMALL } from '../scenarios/files.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const FIRST = '20261120T180000Z-nightly';
const SECOND = '20261120T190000Z-nightly';
const PLANS = `plans: { nightly: { targets: [{ region: ${REGION} }], destination: { region: ${REGION}, bucket: ${BUCKET} } } }`;
const { signal } = new AbortController();

let folder: string;
let emulator: Emulator;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-overlapping-'));
  await writeFile(join(folder, 'plans.yaml'), PLANS);
  emulator = await startEmulator({
    buckets: [{ name: BUCKET, region: REGION }],
    instances: [{ region: REGION, id: 'r-one', rdbFiles: [SMALL] }],
    functions: (world) =>
      ['orchestrator', 'uploader'].map((name) => ({
        name,
        region: REGION,
        codeFolder: join(__dirname, '..', '..', 'dist', name),
        memoryMb: 512,
        timeoutSeconds: 24 * 3600,
        maxAsyncRetryAttempts: 0,
        role: functionRole(world, name),
        environment: {
          TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
          TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
          TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
          TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
          TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
          TAIRLIFT_UPLOADER: 'uploader',
          TAIRLIFT_PLANS: join(folder, 'plans.yaml'),
        },
      })),
  });
});
afterEach(async () => {
  await emulator.stop();
  await rm(folder, { recursive: true, force: true });
});

async function run(runId: string): Promise<Summary> {
  const platform = { region: REGION, accountId: emulator.world.accountId, credentials: emulator.accessKey };
  const functions = composeFunctions(readEnvironment(emulator.environment), platform)('orchestrator');
  const event = Buffer.from(JSON.stringify({ plan: 'nightly', runId }));
  return JSON.parse((await functions.call('orchestrator', event, signal)).toString()) as Summary;
}

const isThere = (end: string): boolean => emulator.oss.list(BUCKET).some(({ key }) => key.endsWith(end));
const asked = (): readonly (string | undefined)[] =>
  emulator.world.journal
    .entries({ service: 'tair', action: 'CreateBackup' })
    .map(({ code, status }) => (status === 0 ? 'open' : code));
const until = async (holds: () => boolean): Promise<void> => {
  while (!holds()) await sleepFor(20);
};

it('a run takes the place of one that was killed, adopts its backup, and that one can still be gone on with', async () => {
  const release = emulator.tair.holdBackup('r-one');
  const first = run(FIRST).catch((error: unknown) => error);
  await until(() => isThere(`${FIRST}/instances/${REGION}/r-one/backup-answer-1.json`));
  expect(emulator.fc.killRunning('orchestrator')).toBe(1);
  await first;

  const second = run(SECOND);
  await until(() => isThere(`${SECOND}/waits.json`));
  expect(asked()).toEqual([undefined]);
  emulator.world.clock.advance(17 * 60_000);
  await until(() => asked().length === 2);
  release();

  expect(await second).toMatchObject({ runId: SECOND, status: 'succeeded' });
  expect(asked()).toEqual([undefined, 'BackupJobExists']);
  expect(await run(FIRST)).toMatchObject({ runId: FIRST, status: 'succeeded' });
  expect(asked()).toHaveLength(2);
  expect(emulator.tair.backups('r-one')).toHaveLength(1);
  const locks = emulator.oss.list(BUCKET).filter(({ key }) => key.includes('/plans/nightly/lock-'));
  const holders = await Promise.all(
    locks.map(async ({ key }) => JSON.parse((await emulator.oss.read(BUCKET, key)).toString()) as object),
  );
  expect(holders).toMatchObject([{ runId: FIRST }, { runId: SECOND }, { runId: FIRST }]);
}, 90_000);

it('two runs that begin at once work one after the other', async () => {
  const summaries = await Promise.all([run(FIRST), run(SECOND)]);

  expect(summaries.map(({ status }) => status)).toEqual(['succeeded', 'succeeded']);
  const [one, other] = emulator.tair.backups('r-one');
  expect(emulator.tair.backups('r-one')).toHaveLength(2);
  expect(Math.abs((one?.startedAt ?? 0) - (other?.startedAt ?? 0))).toBeGreaterThan(5_000);
}, 90_000);
