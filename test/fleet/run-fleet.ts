/**
 * Hundreds of instances of two accounts in three regions, clusters among them, backed up by one run of the built functions
 * in the emulated cloud, whose API refuses what is too much, while the orchestrator is killed again and again. Time
 * passes faster for everybody. The bucket and the service's own count of backups are the witnesses.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, InstanceSpec, World } from '../../emulator/world.ts';
import { composeFunctions } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { encodeEvent } from '../../functions/core/invoker.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { rootFolder } from '../faults/kit.ts';
import { writeShardFiles } from '../doubles/shard-file.ts';
import { functionRole } from '../doubles/function-role.ts';

export interface FleetOptions {
  readonly instances: number;
  readonly concurrency: number;
  /** How often the orchestrator is killed on the way. */
  readonly kills: number;
}

export interface FleetReport {
  readonly instances: number;
  readonly files: number;
  readonly status: Summary['status'] | 'none';
  readonly stored: number;
  /** What the witnesses object to: none, when each instance has exactly one backup. */
  readonly objections: readonly string[];
  /** Calls of the services, those that were refused included. */
  readonly calls: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly perInstance: { readonly tair: number; readonly fc: number; readonly oss: number };
  /** Calls of r-kvstore that were refused as too many. */
  readonly throttled: number;
  readonly invocations: { readonly orchestrator: number; readonly uploader: number };
  readonly kills: number;
  readonly handOvers: number;
  readonly orchestratorPeakMb: number;
  /** By the clocks of the world, and by this machine's. */
  readonly seconds: { readonly world: number; readonly machine: number };
}

const REGIONS = ['cn-hangzhou', 'cn-shanghai', 'ap-southeast-1'];
const HOME = 'cn-hangzhou';
const THEIRS = '2222222222222222';
const BUCKET = 'my-backups';
const RUN_ID = '20261120T180000Z-nightly';
const FOLDER = `.tairlift/runs/${RUN_ID}/`;

/** Ten seconds pass in one. Much faster, and a busy machine would look like a service that does not answer. */
const HURRY = 10;
const BACKUP_MS = 5_000;
/** The real rates are not published: these are low enough to be met. */
const THROTTLE = { burst: 10, perSecond: 5, actions: { CreateBackup: { burst: 5, perSecond: 2 } } };
/** Uploaders at once: each is a process here. */
const PROCESSES = 6;
/** Short enough that a run is handed over. */
const ORCHESTRATOR_SECONDS = 300;

export async function runFleet(options: FleetOptions): Promise<FleetReport> {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-fleet-'));
  const sinceMs = Date.now();
  let emulator: Emulator | undefined;
  try {
    const specs = fleetOf(options.instances, folder);
    const plans = join(folder, 'plans.yaml');
    emulator = await startEmulator({
      hurry: { rate: HURRY, sinceMs },
      tair: { backupDurationMs: BACKUP_MS, throttle: THROTTLE },
      fc: { idlePerFunction: PROCESSES, retryDelayMs: () => 1000 },
      buckets: [{ name: BUCKET, region: HOME }],
      instances: specs,
      functions: (world) => functionsOf(world, plans, sinceMs),
    });
    emulator.world.identity.addAccount(THEIRS);
    const { arn } = emulator.world.identity.addRole({
      accountId: THEIRS,
      name: 'tairlift-source',
      trusts: [emulator.world.accountId],
      allow: ['kvstore:*'],
    });
    await writeFile(plans, plansText(arn, options.concurrency));
    emulator.fc.reserve('uploader', PROCESSES);

    const beganAtMs = Date.now();
    await start(emulator);
    const kills = await killOnTheWay(emulator, options);
    await emulator.fc.whenIdle();
    return await report(emulator, specs, kills, Date.now() - beganAtMs);
  } finally {
    await emulator?.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

/** Every fifth instance is a cluster, cloud-native or classic, with one job or one for each shard. */
function fleetOf(count: number, folder: string): readonly InstanceSpec[] {
  const [standard = ''] = writeShardFiles(folder, 1);
  const two = writeShardFiles(folder, 2);
  const three = writeShardFiles(folder, 3);
  const clusters: readonly Partial<InstanceSpec>[] = [
    { architecture: 'cluster', rdbFiles: two },
    { architecture: 'cluster', rdbFiles: three },
    { architecture: 'cluster', rdbFiles: two, deployment: 'classic' },
    { architecture: 'cluster', rdbFiles: three, deployment: 'classic', jobPerShard: true },
  ];
  return Array.from({ length: count }, (_, index): InstanceSpec => ({
    id: `r-${String(index).padStart(4, '0')}`,
    region: REGIONS[index % REGIONS.length] ?? HOME,
    ...(index % 2 === 0 ? {} : { accountId: THEIRS }),
    ...(index % 5 === 0 ? clusters[(index / 5) % clusters.length] : { rdbFiles: [standard] }),
  }));
}

function plansText(roleArn: string, concurrency: number): string {
  return `plans:
  nightly:
    targets: [{ region: "*" }, { region: "*", account: { roleArn: "${roleArn}" } }]
    rate: { concurrency: ${concurrency} }
    backup: { timeoutMinutes: 120 }
    destination: { region: ${HOME}, bucket: ${BUCKET} }
`;
}

function functionsOf(world: World, plans: string, sinceMs: number): readonly FunctionSpec[] {
  const dist = join(rootFolder(), 'dist');
  const role = functionRole(world, 'function');
  const environment = {
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
    TAIRLIFT_UPLOADER: 'uploader',
    TAIRLIFT_PLANS: plans,
    NODE_EXTRA_CA_CERTS: join(world.folder, 'sts-certificate.pem'),
    NODE_OPTIONS: `--require=${join(dist, 'fast-time', 'index.js')}`,
    FAST_TIME_RATE: String(HURRY),
    FAST_TIME_SINCE: String(sinceMs),
  };
  const specOf = (name: string, timeoutSeconds: number, maxAsyncRetryAttempts: number): FunctionSpec => ({
    name,
    region: HOME,
    codeFolder: join(dist, name),
    memoryMb: 512,
    timeoutSeconds,
    maxAsyncRetryAttempts,
    role,
    environment,
  });
  return [specOf('orchestrator', ORCHESTRATOR_SECONDS, 8), specOf('uploader', 3600, 0)];
}

async function start({ environment, world, accessKey, fc }: Emulator): Promise<void> {
  const platform = { region: HOME, accountId: world.accountId, credentials: accessKey };
  // The machine's own clock signs this one request, and it is the right one for some minutes.
  const functions = composeFunctions(readEnvironment(environment), platform)('orchestrator');
  const event = encodeEvent({ plan: 'nightly', runId: RUN_ID });
  await functions.start('orchestrator', event, 't-first', new AbortController().signal);
  if (fc.tasks('orchestrator').length !== 1) throw new Error('the run was not accepted');
}

/** Evenly over the work, as the results in the bucket show it. */
async function killOnTheWay({ oss, fc }: Emulator, { kills, instances }: FleetOptions): Promise<number> {
  let killed = 0;
  for (let kill = 1; kill <= kills; kill++) {
    const due = Math.floor((kill * instances) / (kills + 1));
    while (oss.list(BUCKET).filter(({ key }) => key.endsWith('/result.json')).length < due) {
      if (oss.list(BUCKET).some(({ key }) => key === `${FOLDER}summary.json`)) return killed;
      await sleepFor(100);
    }
    killed += fc.killRunning('orchestrator');
  }
  return killed;
}

async function report(
  emulator: Emulator,
  specs: readonly InstanceSpec[],
  kills: number,
  tookMs: number,
): Promise<FleetReport> {
  const { oss, fc, world } = emulator;
  const keys = oss.list(BUCKET).map(({ key }) => key);
  const isThere = keys.includes(`${FOLDER}summary.json`);
  const summary = isThere
    ? (JSON.parse((await oss.read(BUCKET, `${FOLDER}summary.json`)).toString()) as Summary)
    : undefined;
  const entries = world.journal.entries();
  const calls: Record<string, Record<string, number>> = {};
  for (const { service, action } of entries) {
    const own = (calls[service] ??= {});
    own[action] = (own[action] ?? 0) + 1;
  }
  const perInstance = (service: string): number =>
    Number((entries.filter((entry) => entry.service === service).length / specs.length).toFixed(1));
  const orchestrator = fc.invocations('orchestrator');
  return {
    instances: specs.length,
    files: specs.reduce((sum, { rdbFiles = [] }) => sum + rdbFiles.length, 0),
    status: summary?.status ?? 'none',
    stored: summary?.counts.stored ?? 0,
    objections: (await Promise.all(specs.map(async (spec) => objectionsTo(spec, emulator, keys)))).flat(),
    calls,
    perInstance: { tair: perInstance('tair'), fc: perInstance('fc'), oss: perInstance('oss') },
    throttled: entries.filter(({ service, code }) => service === 'tair' && code === 'Throttling.User').length,
    invocations: { orchestrator: orchestrator.length, uploader: fc.invocations('uploader').length },
    kills,
    handOvers: keys.filter((key) => key.startsWith(`${FOLDER}handover-`)).length,
    orchestratorPeakMb: Math.round(Math.max(...orchestrator.map(({ peakRssMb }) => peakRssMb))),
    seconds: { world: Math.round((tookMs * HURRY) / 1000), machine: Math.round(tookMs / 1000) },
  };
}

/** One backup at the service, one verified copy in the bucket, of all shards. */
async function objectionsTo(
  { id, rdbFiles = [] }: InstanceSpec,
  { tair, oss, world }: Emulator,
  keys: readonly string[],
): Promise<readonly string[]> {
  const objections: string[] = [];
  const made = tair.backups(id).length;
  if (made !== 1) objections.push(`${id}: the service has made ${made} backups`);
  const accepted = world.journal
    .entries({ service: 'tair', action: 'CreateBackup', target: id })
    .filter(({ code }) => code === undefined).length;
  if (accepted !== 1) objections.push(`${id}: ${accepted} requests for a backup were accepted`);
  const manifests = keys.filter((key) => key.startsWith(`Backup_${id}/`) && key.endsWith('/manifest.json'));
  if (manifests.length !== 1) return [...objections, `${id}: ${manifests.length} manifests`];
  const key = manifests[0] ?? '';
  const manifest = parseManifest(await oss.read(BUCKET, key), key);
  if (manifest.level !== 'parsed') objections.push(`${id}: the level is ${manifest.level}`);
  if (manifest.files.length !== rdbFiles.length) objections.push(`${id}: ${manifest.files.length} files`);
  return objections;
}
