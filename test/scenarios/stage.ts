/**
 * One run over many instances of an emulated cloud, each with a trouble of its own, and a judge who believes nothing
 * but the bytes in the bucket. The product's own code and the vendor's clients, in this process.
 */
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Effect, ServiceName } from '../../emulator/faults.ts';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { InstanceSpec } from '../../emulator/world.ts';
import { systemClock } from '../../functions/core/clock.ts';
import { composeCloud } from '../../functions/core/compose.ts';
import { planNamed, readEnvironment, readPlans, type Plan } from '../../functions/core/config.ts';
import type { ErrorCode } from '../../functions/core/errors.ts';
import { createInProcessInvoker } from '../../functions/core/in-process-invoker.ts';
import { createLog } from '../../functions/core/log.ts';
import { parseManifest, type Level } from '../../functions/core/repository/manifest.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import type { RetryPolicy } from '../../functions/core/transfer/retry.ts';
import { orchestrate } from '../../functions/orchestrator/orchestrate.ts';
import { parseEvent } from '../../functions/orchestrator/parse-event.ts';
import type { InstanceResult, Summary } from '../../functions/orchestrator/summary.ts';
import { runUpload } from '../../functions/uploader/run-upload.ts';

export const REGION = 'cn-hangzhou';
export const BUCKET = 'my-backups';

/** As patient as a short test may be; the product's own policy is tested where it is made. */
const POLICY: RetryPolicy = { attempts: 6, firstDelayMs: 50, maxDelayMs: 500, totalMs: 10_000 };

/** Silence of a connection that counts as a stall here; the product waits longer. */
const IDLE_TIMEOUT_MS = 1_500;

export interface Scenario {
  /** A sentence about what goes wrong. */
  readonly when: string;
  /** One RDB file for each shard. */
  readonly files: readonly string[];
  readonly spec?: Partial<InstanceSpec>;
  /** Sets the trouble up. */
  readonly arrange?: (place: Place) => void | Promise<void>;
  readonly ends: Ending;
  /** Accepted requests to create a backup; exactly one if left out. */
  readonly created?: number;
}

/** How it has to end: a verified backup of this level, or a failure of this code whose message says these words. */
export type Ending = { readonly stored: Level } | { readonly fails: ErrorCode; readonly saying?: RegExp };

export interface Place {
  readonly id: string;
  readonly emulator: Emulator;
  /** A fault of the instance's requests to r-kvstore, of its downloads, of its objects. */
  readonly fault: (
    service: 'tair' | 'download' | 'oss',
    action: string,
    effect: Effect,
    more?: { times?: number; skip?: number; key?: string },
  ) => void;
}

/** Scripts of faults, by instance: a trouble that did not come about proves nothing. */
type Troubles = Map<string, string[]>;

export interface Stage {
  readonly emulator: Emulator;
  readonly summary: Summary;
  /** Throws when it did not end as it has to: the test's assertion. */
  judge(scenario: Scenario): Promise<void>;
  stop(): Promise<void>;
}

export function idOf(scenario: Scenario): string {
  return `r-${createHash('sha256').update(scenario.when).digest('hex').slice(0, 10)}`;
}

/** Runs all scenarios as one night: one plan, one run. */
export async function stage(scenarios: readonly Scenario[]): Promise<Stage> {
  const emulator = await startEmulator({
    buckets: [{ name: BUCKET, region: REGION }],
    instances: scenarios.map((scenario) => ({
      region: REGION,
      id: idOf(scenario),
      rdbFiles: scenario.files,
      ...(scenario.files.length > 1 ? { architecture: 'cluster' as const } : {}),
      ...scenario.spec,
    })),
  });
  try {
    const troubles: Troubles = new Map();
    for (const scenario of scenarios) await scenario.arrange?.(await placeOf(emulator, scenario, troubles));
    const lines: string[] = [];
    const summary = await runPlan(emulator, (line) => lines.push(line));
    return {
      emulator,
      summary,
      judge: async (scenario) => {
        expectTrouble(emulator, troubles.get(idOf(scenario)) ?? []);
        await judge(emulator, scenario, summary, lines);
      },
      stop: async () => emulator.stop(),
    };
  } catch (error) {
    await emulator.stop();
    throw error;
  }
}

const LONG_AGO_MS = 20 * 24 * 3600_000;

async function placeOf(emulator: Emulator, scenario: Scenario, troubles: Troubles): Promise<Place> {
  const id = idOf(scenario);
  // An old backup shows the folder from which this instance's files are downloaded.
  const old = await emulator.tair.plantBackup(id, {
    startedAt: Date.now() - LONG_AGO_MS,
    files: scenario.files,
  });
  const folder = old.shards[0]?.path.replace(/[^/]+$/, '') ?? '';
  const targets = { tair: `^${id}$`, download: folder, oss: `Backup_${id}/` } satisfies Partial<
    Record<ServiceName, string>
  >;
  return {
    id,
    emulator,
    fault: (service, action, effect, { times, skip, key = '' } = {}) => {
      const fault = emulator.world.faults.add({
        service,
        action,
        target: key === '' ? targets[service] : `${targets[service]}.*${key}`,
        effect,
        ...(times === undefined ? {} : { times }),
        ...(skip === undefined ? {} : { skip }),
      });
      troubles.set(id, [...(troubles.get(id) ?? []), fault]);
    },
  };
}

export async function runPlan(
  emulator: Emulator,
  log: (line: string) => void,
  event: object = {},
  plansText = PLANS,
): Promise<Summary> {
  const variables = { ...emulator.environment, TAIRLIFT_BUCKET: BUCKET, TAIRLIFT_OSS_REGION: REGION };
  const environment = readEnvironment(variables);
  const plan: Plan = planNamed(readPlans(plansText, 'plans.yaml', environment, variables), 'nightly');
  const { accessKeyId, accessKeySecret } = emulator.accessKey;
  const cloud = composeCloud(environment, {
    region: REGION,
    accountId: emulator.world.accountId,
    credentials: { accessKeyId, accessKeySecret },
  });
  const store = cloud.storeFor(plan.destination);
  const http = createLeanHttpClient({ idleTimeoutMs: IDLE_TIMEOUT_MS });
  const { signal } = new AbortController();
  const logger = createLog(log);
  const invoker = createInProcessInvoker({
    concurrency: plan.rate.concurrency,
    signal,
    log: logger,
    upload: async (request, uploadSignal) => {
      const parts = {
        source: cloud.sourceFor(request),
        store,
        target: store,
        http,
        policy: POLICY,
        log: logger,
      };
      await runUpload(request, randomUUID(), parts, uploadSignal);
    },
  });
  const request = parseEvent(JSON.stringify({ plan: 'nightly', ...event }), Date.now());
  const result = await orchestrate(
    { ...request, plan },
    {
      sourceFor: (reach) => cloud.sourceFor(reach),
      store,
      invoker,
      invokeSelf: async () => Promise.reject(new Error('there is no deadline to hand over before')),
      uploaderLimitMs: 120_000,
      clock: systemClock,
      log: logger,
    },
    signal,
  );
  await invoker.settled();
  http.close();
  cloud.http.close();
  if (result.status === 'continued') throw new Error('handed over without a deadline');
  return result;
}

const PLANS = `plans:
  nightly:
    targets: [{ region: ${REGION} }]
    rate: { concurrency: 100 }
    backup: { timeoutMinutes: 0.5 }
`;

async function judge(
  emulator: Emulator,
  scenario: Scenario,
  summary: Summary,
  lines: readonly string[],
): Promise<void> {
  const id = idOf(scenario);
  const result = summary.instances.find(({ instanceId }) => instanceId === id);
  const objects = emulator.oss.list(BUCKET).filter(({ key }) => key.startsWith(`Backup_${id}/`));
  const manifests = objects.filter(({ key }) => key.endsWith('/manifest.json'));

  expect(emulator.oss.uploads(BUCKET).filter(({ key }) => key.startsWith(`Backup_${id}/`))).toEqual([]);
  expect(acceptedBackups(emulator, id)).toBe(scenario.created ?? 1);
  if ('stored' in scenario.ends)
    await expectVerified(emulator, scenario, result, manifests[0]?.key, scenario.ends.stored);
  else expectLoud(scenario, result, manifests.length, scenario.ends);
  await expectNoSecrets(emulator, id, lines);
}

function expectTrouble(emulator: Emulator, faults: readonly string[]): void {
  const states = emulator.world.faults.list();
  for (const fault of faults) expect(states.find(({ id }) => id === fault)?.applied).toBeGreaterThan(0);
}

/** Manual backups that the service has on record, planted ones not among them. */
function acceptedBackups(emulator: Emulator, id: string): number {
  return emulator.world.journal
    .entries({ service: 'tair', action: 'CreateBackup', target: id })
    .filter(
      ({ code, fault, status }) =>
        code === undefined && (status === 200 || fault === 'lose-answer' || fault === 'stall'),
    ).length;
}

async function expectVerified(
  emulator: Emulator,
  scenario: Scenario,
  result: InstanceResult | undefined,
  key: string | undefined,
  level: Level,
): Promise<void> {
  expect(result).toMatchObject({ status: 'stored', level, files: scenario.files.length, manifest: key });
  const manifest = parseManifest(await emulator.oss.read(BUCKET, key ?? ''), key ?? '');
  const stored = await Promise.all(
    manifest.files.map(async (file) => ({ file, bytes: await emulator.oss.read(BUCKET, file.key) })),
  );
  expect(stored.map(({ bytes }) => sha256(bytes)).sort()).toEqual(
    scenario.files.map((path) => sha256(readFileSync(path))).sort(),
  );
  for (const { file, bytes } of stored) {
    expect(file.bytes).toBe(bytes.length);
    expect(emulator.oss.list(BUCKET).find((object) => object.key === file.key)?.crc64).toBe(file.crc64);
  }
}

function expectLoud(
  scenario: Scenario,
  result: InstanceResult | undefined,
  manifests: number,
  { fails, saying }: Extract<Ending, { fails: unknown }>,
): void {
  expect(result).toMatchObject({
    status: 'failed',
    error: { code: fails, message: expect.stringContaining(idOf(scenario)) },
  });
  if (saying !== undefined && result?.status === 'failed') expect(result.error.message).toMatch(saying);
  expect(manifests).toBe(0);
}

/** Nothing that was logged or stored may help anybody to sign a request. */
async function expectNoSecrets(emulator: Emulator, id: string, lines: readonly string[]): Promise<void> {
  const texts = lines.filter((line) => line.includes(id));
  for (const { key, size } of emulator.oss.list(BUCKET)) {
    if (key.includes(id) && key.endsWith('.json') && size < 1_000_000)
      texts.push((await emulator.oss.read(BUCKET, key)).toString());
  }
  expect(texts.length).toBeGreaterThan(0);
  const { accessKeyId, accessKeySecret } = emulator.accessKey;
  for (const text of texts) {
    for (const secret of [
      accessKeySecret,
      accessKeyId,
      'Signature=',
      'x-oss-signature=',
      'OSSAccessKeyId=',
      'security-token=',
    ])
      expect(text).not.toContain(secret);
  }
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
