/**
 * Starts a local cloud on loopback: r-kvstore with its backup download host, OSS, Function Compute, STS, RAM, ROS and
 * CloudMonitor, each on a port of its own, sharing one clock, one identity store, one journal and one list of faults.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createClock, type Hurry } from './clock.ts';
import { createCms, type Cms } from './cms/cms-service.ts';
import { createControl, type Control } from './control.ts';
import { createFaults, type ServiceName } from './faults.ts';
import type { DestinationMessage } from './fc/destination.ts';
import { createFc, type Fc, type FcOptions } from './fc/fc-service.ts';
import { listen, type Listening } from './http.ts';
import { createIdentity, type AccessKey } from './identity.ts';
import { createJournal } from './journal.ts';
import { createOss, type Oss } from './oss/oss-service.ts';
import { createRam } from './ram/ram-service.ts';
import type { RosOptions } from './ros/resource.ts';
import { createRos, type Ros } from './ros/ros-service.ts';
import { createSts } from './sts/sts-service.ts';
import { createCertificate } from './sts/certificate.ts';
import type { TairOptions } from './tair/options.ts';
import { createTair, type Tair } from './tair/tair-service.ts';
import { noEndpoints, type BucketSpec, type FunctionSpec, type InstanceSpec, type World } from './world.ts';

/** Every service has a port; OSS has a second one, with TLS, for buckets that refuse everything else. */
export type PortName = ServiceName | 'secureOss' | 'control';

export interface EmulatorOptions {
  /** Keeps the state; a second start in the same folder finds buckets and backups again. Default: a temporary folder, removed at the end. */
  readonly folder?: string;
  /** Default: all chosen by the system. */
  readonly ports?: Partial<Record<PortName, number>>;
  readonly accountId?: string;
  /** The account's access key; random if left out. */
  readonly accessKey?: AccessKey;
  readonly instances?: readonly InstanceSpec[];
  readonly buckets?: readonly BucketSpec[];
  /** May need the endpoints and roles of the world, so it is a function of it. */
  readonly functions?: (world: World) => readonly FunctionSpec[];
  /** Limits and waiting times of Function Compute. */
  readonly fc?: FcOptions;
  readonly tair?: Partial<TairOptions>;
  readonly ros?: Partial<RosOptions>;
  /** Time passes faster here, and has to for the functions too. */
  readonly hurry?: Hurry;
}

export interface Emulator {
  readonly world: World;
  readonly accessKey: AccessKey;
  readonly tair: Tair;
  readonly oss: Oss;
  readonly fc: Fc;
  readonly cms: Cms;
  readonly ros: Ros;
  /** Events that Function Compute gave up and sent to the destination of their function, or could not send. */
  readonly deadLetters: readonly DestinationMessage[];
  /** OSS as `https://127.0.0.1:<port>`; `endpoints.oss` is without TLS. */
  readonly secureOssEndpoint: string;
  /** `http://127.0.0.1:<port>`: faults, journal, clock and state over HTTP, see docs/emulator.md. */
  readonly controlEndpoint: string;
  /** What a client exports to use this cloud: endpoints, region-independent, and credentials of the account. */
  readonly environment: Readonly<Record<string, string>>;
  /** What `s deploy` needs to deploy to it; the bucket's name and the like are for the user to choose. */
  readonly deployEnvironment: Readonly<Record<string, string>>;
  /** Ends every process and connection; removes the folder if it was temporary. Safe to call twice. */
  stop(): Promise<void>;
}

/** Their clients insist on https. */
const OVER_TLS: ReadonlySet<ServiceName> = new Set(['sts', 'ros']);
const DEFAULT_ACCOUNT_ID = '1234567890123456';

export async function startEmulator(options: EmulatorOptions = {}): Promise<Emulator> {
  const folder =
    options.folder === undefined
      ? await mkdtemp(join(tmpdir(), 'tairlift-emulator-'))
      : resolve(options.folder);
  await mkdir(folder, { recursive: true });

  const clock = createClock(options.hurry);
  const endpoints = noEndpoints();
  const world: World = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder,
    accountId: options.accountId ?? DEFAULT_ACCOUNT_ID,
    endpoints,
  };
  const accessKey = world.identity.addAccount(world.accountId, options.accessKey);

  const oss = await createOss(world, options.buckets ?? []);
  const tair = await createTair(world, options.instances ?? [], options.tair);
  const ros = createRos(world, oss, options.ros);
  const deadLetters: DestinationMessage[] = [];
  const certificate = await createCertificate(folder);
  const fc = createFc(world, {
    oss,
    hasLogstore: (...names) => ros.hasLogstore(...names),
    send: (message) => void deadLetters.push(lostWithoutQueue(message, ros)),
    platformVariables: () => ({ NODE_EXTRA_CA_CERTS: certificate.certFile }),
    ...options.fc,
  });
  const cms = createCms(world);
  const services = [
    oss.service,
    tair.service,
    tair.download,
    fc.service,
    createSts(world),
    createRam(world),
    ros.service,
    cms.service,
  ];

  const open: Listening[] = [];
  let control: Control | undefined;
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await fc.stop();
    await ros.whenIdle();
    await Promise.all([control?.close(), ...open.map(async (listening) => listening.close())]);
    await tair.stop();
    await oss.stop();
    if (options.folder === undefined) await rm(folder, { recursive: true, force: true });
  };

  try {
    for (const service of services) {
      const tls = OVER_TLS.has(service.name) ? { tls: certificate } : {};
      const listening = await listen(service, world, { port: options.ports?.[service.name] ?? 0, ...tls });
      open.push(listening);
      endpoints[service.name] =
        `${OVER_TLS.has(service.name) ? 'https' : 'http'}://127.0.0.1:${listening.port}`;
    }
    const secure = await listen(oss.service, world, {
      port: options.ports?.secureOss ?? 0,
      tls: certificate,
    });
    open.push(secure);
    const secureOssEndpoint = `https://127.0.0.1:${secure.port}`;
    await tair.start();
    fc.deploy(options.functions?.(world) ?? []);
    const emulator = { world, accessKey, tair, oss, fc, cms, ros, deadLetters, secureOssEndpoint };
    control = await createControl(emulator, options.ports?.control ?? 0);
    return {
      ...emulator,
      controlEndpoint: control.endpoint,
      environment: {
        TAIRLIFT_ENDPOINT_TAIR: endpoints.tair,
        TAIRLIFT_ENDPOINT_OSS: endpoints.oss,
        TAIRLIFT_ENDPOINT_FC: endpoints.fc,
        TAIRLIFT_ENDPOINT_STS: endpoints.sts,
        TAIRLIFT_ENDPOINT_RAM: endpoints.ram,
        TAIRLIFT_ENDPOINT_CMS: endpoints.cms,
        NODE_EXTRA_CA_CERTS: certificate.certFile,
        ALIBABA_CLOUD_ACCESS_KEY_ID: accessKey.accessKeyId,
        ALIBABA_CLOUD_ACCESS_KEY_SECRET: accessKey.accessKeySecret,
      },
      deployEnvironment: {
        AccountID: world.accountId,
        AccessKeyID: accessKey.accessKeyId,
        AccessKeySecret: accessKey.accessKeySecret,
        FC_CLIENT_CUSTOM_ENDPOINT: endpoints.fc,
        FC_CODE_TEMP_OSS_ENDPOINT: endpoints.oss,
        NODE_EXTRA_CA_CERTS: certificate.certFile,
        TAIRLIFT_ENDPOINT_ROS: new URL(endpoints.ros).host,
        TAIRLIFT_ENDPOINT_TAIR: endpoints.tair,
        // The bucket that is deployed refuses what comes without TLS.
        TAIRLIFT_ENDPOINT_OSS: secureOssEndpoint,
        TAIRLIFT_ENDPOINT_FC: endpoints.fc,
        TAIRLIFT_ENDPOINT_STS: endpoints.sts,
        TAIRLIFT_ENDPOINT_CMS: endpoints.cms,
      },
      stop: async () => (stopped ??= stop()),
    };
  } catch (error) {
    await (stopped ??= stop());
    throw error;
  }
}

/** A queue gets what is sent to it only when a stack has made it. */
function lostWithoutQueue(message: DestinationMessage, ros: Ros): DestinationMessage {
  const [, accountId = '', queue] =
    /^acs:mns:[^:]*:(\d+):\/queues\/([^/]+)\/messages$/.exec(message.destination) ?? [];
  if (queue === undefined || message.lostBecause !== undefined || ros.hasQueue(accountId, queue))
    return message;
  return { ...message, lostBecause: `there is no queue ${queue}` };
}
