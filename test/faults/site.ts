/**
 * Where faults take place, one after the other: an emulated cloud with the built functions in it, and a wire between
 * the functions and each service. The functions know nothing of it: they run as they are deployed, in a time that
 * passes faster, and their processes are used again, as the platform does.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import type { FunctionSpec, World } from '../../emulator/world.ts';
import { composeCloud, composeFunctions, type FunctionsFor } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import type { UploadTarget } from '../../functions/core/transfer/upload-target.ts';
import { openWire, type Wire } from '../doubles/wire.ts';
import type { Kit } from './kit.ts';
import { functionRole } from '../doubles/function-role.ts';

export const REGION = 'cn-hangzhou';
export const BUCKET = 'my-backups';
export const UPLOADER = 'uploader';
export const ORCHESTRATOR = 'orchestrator';

/** How the functions of a fault differ from the usual ones. */
export interface Setting {
  readonly memoryMb?: number;
  readonly timeoutSeconds?: number;
  /** For `fast-time.ts`, without its prefix. What is asked for here must be felt. */
  readonly time?: Readonly<Record<string, string>>;
  /** The instance is another account's: the uploader takes on a role there. */
  readonly isOtherAccount?: boolean;
  /** The platform's own tries of a failed event, after the first. */
  readonly platformTries?: number;
  /** The plan's patience with a backup that does not finish. */
  readonly backupMinutes?: number;
}

export interface Site {
  readonly setting: Setting;
  readonly emulator: Emulator;
  /** Between the functions and … */
  readonly oss: Wire;
  readonly download: Wire;
  readonly tair: Wire;
  readonly functionsFor: FunctionsFor;
  /** The bucket past the wire, for whoever else is at work in it. */
  readonly bucket: ObjectStore & UploadTarget;
  /** What a request to back up another account's instance names; undefined for the own account. */
  readonly roleArn: string | undefined;
  /** For a case: a path that does not exist; when it does, what `fast-time.ts` was told to do is done. */
  readonly cue: string;
  /** A file that is there when something of `fast-time.ts` was felt. */
  readonly felt: string;
  /** A number that was not given before. */
  next(): number;
  close(): Promise<void>;
}

/**
 * Thirty seconds of silence pass in three. Much faster, and a busy machine would look like a broken connection. The
 * services keep the machine's time: within an invocation, the functions' clocks must gain less than the quarter of an
 * hour that signatures are accepted for.
 */
const UPLOADER_RATE = 10;
/** The orchestrator mostly waits. */
const ORCHESTRATOR_RATE = 20;

export async function openSite({ functions }: Kit, setting: Setting = {}): Promise<Site> {
  const folder = await mkdtemp(join(tmpdir(), 'tairlift-faults-'));
  const cue = join(folder, 'cue');
  const felt = join(folder, 'felt');
  const plans = join(folder, 'plans.yaml');
  await writeFile(
    plans,
    `plans: { nightly: { targets: [{ region: ${REGION} }], backup: { timeoutMinutes: ${setting.backupMinutes ?? 12} } } }`,
  );
  // The wires are laid before the services listen, and led to them afterwards.
  const services = { oss: '', download: '', tair: '' };
  const [oss, download, tair] = await Promise.all([
    openWire(() => services.oss),
    openWire(() => services.download),
    openWire(() => services.tair),
  ]);
  const variables = (rate: number): Record<string, string> => ({
    TAIRLIFT_ENDPOINT_OSS: hostOf(oss, setting),
    TAIRLIFT_ENDPOINT_TAIR: hostOf(tair, setting),
    TAIRLIFT_BUCKET: BUCKET,
    TAIRLIFT_OSS_REGION: REGION,
    NODE_OPTIONS: `--require=${functions.fastTime}`,
    FAST_TIME_RATE: String(rate),
  });

  function specsOf(world: World): readonly FunctionSpec[] {
    const role = functionRole(world, 'function');
    const uploader: FunctionSpec = {
      name: UPLOADER,
      region: REGION,
      codeFolder: functions.uploader,
      memoryMb: setting.memoryMb ?? 256,
      timeoutSeconds: setting.timeoutSeconds ?? 24 * 3600,
      maxAsyncRetryAttempts: setting.platformTries ?? 0,
      role,
      environment: {
        ...variables(UPLOADER_RATE),
        TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
        TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
        NODE_EXTRA_CA_CERTS: join(world.folder, 'sts-certificate.pem'),
        FAST_TIME_CUE: cue,
        FAST_TIME_WITNESS: felt,
        ...prefixed(setting.time ?? {}),
      },
    };
    const orchestrator: FunctionSpec = {
      name: ORCHESTRATOR,
      region: REGION,
      codeFolder: functions.orchestrator,
      memoryMb: 512,
      timeoutSeconds: 3600,
      maxAsyncRetryAttempts: 2,
      role,
      environment: {
        ...variables(ORCHESTRATOR_RATE),
        TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
        TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
        TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
        TAIRLIFT_UPLOADER: UPLOADER,
        TAIRLIFT_PLANS: plans,
      },
    };
    return [uploader, orchestrator];
  }

  const emulator = await startEmulator({
    folder: join(folder, 'cloud'),
    buckets: [{ name: BUCKET, region: REGION }],
    fc: { hostFile: functions.host, retryDelayMs: () => 50 },
    functions: specsOf,
  });
  const { world } = emulator;
  Object.assign(services, world.endpoints);
  // From now on, URLs of backups lead to the wire.
  Object.assign(world.endpoints, { download: hostOf(download, setting) });
  const role = world.identity.addRole({
    accountId: world.accountId,
    name: 'source',
    trusts: [world.accountId],
    allow: ['kvstore:*'],
  });
  const environment = readEnvironment(emulator.environment);
  const platform = { region: REGION, accountId: world.accountId, credentials: emulator.accessKey };
  let last = 0;

  return {
    setting,
    emulator,
    oss,
    download,
    tair,
    functionsFor: composeFunctions(environment, platform),
    bucket: composeCloud(environment, platform).storeFor({ region: REGION, bucket: BUCKET, prefix: '' }),
    roleArn: setting.isOtherAccount === true ? role.arn : undefined,
    cue,
    felt,
    next: () => ++last,
    close: async () => {
      await Promise.all([oss.close(), download.close(), tair.close()]);
      await emulator.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** By a name where names are to fail, else by the address. */
function hostOf({ port, url }: Wire, { time }: Setting): string {
  return time?.['NAMELESS'] === undefined ? url : `http://localhost:${port}`;
}

function prefixed(time: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(time).map(([name, value]) => [`FAST_TIME_${name}`, value]));
}
