/** Uploaders that die in clouds that do not tell: the bucket alone has to show it. */
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { Clock } from '../../functions/core/clock.ts';
import { composeCloud, composeFunctions } from '../../functions/core/compose.ts';
import { planNamed, readEnvironment, readPlans } from '../../functions/core/config.ts';
import { createFunctionInvoker } from '../../functions/core/invoker.ts';
import { silentLog } from '../../functions/core/log.ts';
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import { orchestrate } from '../../functions/orchestrator/orchestrate.ts';
import type { Continued, Summary } from '../../functions/orchestrator/summary.ts';
import { functionRole } from '../doubles/function-role.ts';

const REGION = 'cn-hangzhou';
const BUCKET = 'my-backups';
const DIST = join(__dirname, '..', '..', 'dist');
const RDB = join(__dirname, '..', 'fixtures', 'rdb');
const PLANS = `plans: { nightly: {
  targets: [{ region: ${REGION} }], destination: { region: ${REGION}, bucket: ${BUCKET} } } }`;

/** The orchestrator's minutes are seconds here. The uploader's are not: its second sign of life would come too late. */
const HURRY = 60;
function hurriedClock(): Clock {
  const begunAtMs = Date.now();
  return {
    now: () => begunAtMs + (Date.now() - begunAtMs) * HURRY,
    sleep: async (ms, signal) => {
      await sleepFor(ms / HURRY, undefined, { signal });
    },
  };
}

const CLOUDS = [
  ['Function Compute 2.0', 'backup/uploader', { service: 'backup' }],
  ['Function Compute 3.0 without asynchronous tasks', 'uploader', {}],
] as const;

const { signal } = new AbortController();

// Most of the time passes in silence: both clouds are waited for together.
it.concurrent.each(CLOUDS)(
  'an uploader that is killed on %s is missed by its signs of life, and the next one stores the backup',
  async (_cloud, uploader, service) => {
    const emulator = await start(service);
    try {
      emulator.world.faults.add({ service: 'download', effect: { kind: 'stall' } });
      const { store, running } = run(emulator, uploader);
      while (!isStalled(emulator) || !(await hasSignOfLife(store))) await sleepFor(20);
      expect(emulator.fc.killRunning('uploader')).toBe(1);

      expect(await running).toMatchObject({ status: 'succeeded', counts: { stored: 1 } });
      await emulator.fc.whenIdle();
      const outcomes = emulator.fc.invocations('uploader').map(({ outcome }) => outcome);
      expect([outcomes[0], outcomes.at(-1)]).toEqual(['exited', 'returned']);
    } finally {
      await emulator.stop();
    }
  },
);

async function start(service: { readonly service?: string }): Promise<Emulator> {
  const emulator = await startEmulator({
    buckets: [{ name: BUCKET, region: REGION }],
    instances: [{ region: REGION, id: 'r-one', rdbFiles: [join(RDB, 'gen__gen-redis7.0.15.rdb')] }],
    functions: (world) => [
      {
        name: 'uploader',
        ...service,
        region: REGION,
        codeFolder: join(DIST, 'uploader'),
        memoryMb: 512,
        timeoutSeconds: 300,
        maxAsyncRetryAttempts: 0,
        role: functionRole(world, 'uploader'),
        environment: {
          TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
          TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
        },
      },
    ],
  });
  // Without asynchronous tasks there is none to ask for.
  emulator.world.faults.add({
    service: 'fc',
    action: 'GetAsyncTask',
    effect: { kind: 'error', status: 400, code: 'InvalidArgument' },
    times: -1,
  });
  return emulator;
}

/** The orchestrator in this process, on a clock that hurries. */
function run(
  { environment: variables, world, accessKey }: Emulator,
  uploader: string,
): { readonly store: ObjectStore; readonly running: Promise<Summary | Continued> } {
  const environment = readEnvironment(variables);
  const platform = { region: REGION, accountId: world.accountId, credentials: accessKey };
  const cloud = composeCloud(environment, platform);
  const plan = planNamed(readPlans(PLANS, 'plans.yaml', environment, {}), 'nightly');
  const store = cloud.storeFor(plan.destination);
  const running = orchestrate(
    { plan, runId: '20261120T180000Z-nightly', dryRun: false, retryFailed: false },
    {
      sourceFor: (reach) => cloud.sourceFor(reach),
      store,
      invoker: createFunctionInvoker(composeFunctions(environment, platform)(uploader), uploader),
      invokeSelf: async () => undefined,
      uploaderLimitMs: 24 * 3600_000,
      clock: hurriedClock(),
      log: silentLog,
    },
    signal,
  );
  return { store, running };
}

function isStalled({ world }: Emulator): boolean {
  return world.faults.list().some(({ script, applied }) => script.service === 'download' && applied > 0);
}

async function hasSignOfLife(store: ObjectStore): Promise<boolean> {
  const steps = '.tairlift/runs/20261120T180000Z-nightly/instances/cn-hangzhou/r-one/progress-1-';
  for await (const _entry of store.list(steps, signal)) return true;
  return false;
}
