/**
 * A small cloud to try tairlift on: a bucket, three instances with varied data (one a cluster of three shards), and
 * the built functions deployed with a role each and a timer. The demo runs on it, and `tairlift emulator` serves it.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Redis } from 'ioredis';
import { startEmulator, type Emulator, type EmulatorOptions } from '../start-emulator.ts';
import type { FunctionSpec, InstanceSpec, World } from '../world.ts';
import { fill } from './fill.ts';

export interface SampleOptions extends Pick<EmulatorOptions, 'folder' | 'ports'> {
  /** Where the bundles are: `<dist>/orchestrator/index.js`, `<dist>/uploader/index.js`. */
  readonly distFolder: string;
  /** Random bytes to add to each instance. Default 1 MiB. */
  readonly bulkBytes?: number;
  /** Without bucket, roles and functions, for a deployment of one's own. Default false. */
  readonly isEmpty?: boolean;
  /** One value of this size in the first instance. */
  readonly bigValueBytes?: number;
}

export interface SampleCloud extends Emulator {
  readonly region: string;
  readonly bucket: string;
  readonly plan: string;
  readonly plansPath: string;
  /** What to export for the CLI: the emulator's environment and the destination. */
  readonly environment: Readonly<Record<string, string>>;
  /** By instance id. */
  readonly keys: Readonly<Record<string, number>>;
}

export const ORCHESTRATOR = 'tairlift-orchestrator';
export const UPLOADER = 'tairlift-uploader';
export const TIMER = 'nightly';

const REGION = 'cn-hangzhou';
const BUCKET = 'tairlift-sample';
const PLAN = 'nightly';
const INSTANCES: readonly InstanceSpec[] = [
  { region: REGION, id: 'r-sample-sessions', name: 'sessions', tags: { backup: 'nightly' } },
  {
    region: REGION,
    id: 'r-sample-catalogue',
    name: 'catalogue',
    tags: { backup: 'nightly' },
    deployment: 'classic',
  },
  {
    region: REGION,
    id: 'r-sample-orders',
    name: 'orders',
    tags: { backup: 'nightly' },
    architecture: 'cluster',
    shards: 3,
  },
];

/** Starts and fills it. Everything ends with `stop`. */
export async function startSampleCloud(options: SampleOptions): Promise<SampleCloud> {
  for (const name of ['orchestrator', 'uploader', 'function-host']) {
    if (!existsSync(join(options.distFolder, name, 'index.js')))
      throw new Error(`${options.distFolder} has no ${name}: run \`npm run build\` first`);
  }
  const emulator = await startEmulator({
    ...(options.folder === undefined ? {} : { folder: options.folder }),
    ...(options.ports === undefined ? {} : { ports: options.ports }),
    instances: INSTANCES,
    ...(options.isEmpty === true
      ? {}
      : {
          buckets: [{ name: BUCKET, region: REGION }],
          functions: (world) => functionsOf(world, options.distFolder),
        }),
  });
  try {
    const plansPath = plansFile(emulator.world);
    await mkdir(emulator.world.folder, { recursive: true });
    await writeFile(plansPath, plansText());
    const keys: Record<string, number> = {};
    for (const [index, { id }] of INSTANCES.entries())
      keys[id] = await fillInstance(emulator, id, options, index === 0);
    return {
      ...emulator,
      region: REGION,
      bucket: BUCKET,
      plan: PLAN,
      plansPath,
      keys,
      environment: {
        ...emulator.environment,
        FC_ACCOUNT_ID: emulator.world.accountId,
        FC_REGION: REGION,
        TAIRLIFT_BUCKET: BUCKET,
        TAIRLIFT_OSS_REGION: REGION,
        TAIRLIFT_PLANS: plansPath,
        TAIRLIFT_UPLOADER: UPLOADER,
      },
    };
  } catch (error) {
    await emulator.stop();
    throw error;
  }
}

async function fillInstance(
  emulator: Emulator,
  id: string,
  options: SampleOptions,
  isFirst: boolean,
): Promise<number> {
  const { shards } = emulator.tair.instance(id);
  const bulkBytes = Math.floor((options.bulkBytes ?? 1024 * 1024) / shards.length);
  let keys = 0;
  for (const { client, slots } of shards) {
    keys += await fill(client, {
      databases: slots === undefined ? [0, 1, 5] : [0],
      bulkBytes,
      name: slots === undefined ? (plain) => plain : await namesIn(client, slots),
      ...(isFirst && options.bigValueBytes !== undefined ? { bigValueBytes: options.bigValueBytes } : {}),
    });
  }
  return keys;
}

/** Hash tags of one shard: enough of them to spread its keys over many slots. */
const TAGS_PER_SHARD = 64;

/** Names with a hash tag whose slot the shard owns. */
async function namesIn(
  client: Redis,
  [first, last]: readonly [number, number],
): Promise<(plain: string) => string> {
  const tags: string[] = [];
  for (let n = 0; tags.length < TAGS_PER_SHARD; n++) {
    const slot = await client.cluster('KEYSLOT', `t${n}`);
    if (slot >= first && slot <= last) tags.push(`t${n}`);
  }
  let next = 0;
  const chosen = new Map<string, string>();
  return (plain) => {
    const known = chosen.get(plain) ?? `{${tags[next++ % tags.length]}}:${plain}`;
    chosen.set(plain, known);
    return known;
  };
}

function plansFile(world: World): string {
  return join(world.folder, 'plans.yaml');
}

function plansText(): string {
  return `plans:
  ${PLAN}:
    targets:
      - { region: ${REGION}, tags: { backup: nightly } }
    backup: { timeoutMinutes: 10 }
    rate: { concurrency: 3 }
    timeZone: Asia/Shanghai
`;
}

/** As docs/permissions.md lists it, with the reason for each. */
const ORCHESTRATOR_MAY = [
  'kvstore:DescribeRegions',
  'kvstore:DescribeInstances',
  'kvstore:DescribeInstanceAttribute',
  'kvstore:DescribeLogicInstanceTopology',
  'kvstore:CreateBackup',
  'kvstore:DescribeBackupTasks',
  'kvstore:DescribeBackups',
  'kvstore:DescribeClusterBackupList',
  'oss:ListObjects',
  'oss:GetObject',
  'oss:PutObject',
  'fc:InvokeFunction',
  'fc:GetAsyncTask',
  'cms:PutCustomEvent',
];
const UPLOADER_MAY = [
  'kvstore:DescribeBackups',
  'kvstore:DescribeClusterBackupList',
  'oss:GetObject',
  'oss:PutObject',
  'oss:AbortMultipartUpload',
  'oss:ListMultipartUploads',
  'oss:ListParts',
];

/** Each function with what it needs and no more. */
function functionsOf(world: World, distFolder: string): readonly FunctionSpec[] {
  const role = (name: string, allow: readonly string[]): string =>
    world.identity.addRole({ accountId: world.accountId, name, trusts: ['fc.aliyuncs.com'], allow }).arn;
  const environment = {
    TAIRLIFT_BUCKET: BUCKET,
    TAIRLIFT_OSS_REGION: REGION,
    TAIRLIFT_PLANS: plansFile(world),
    TAIRLIFT_UPLOADER: UPLOADER,
    TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair,
    TAIRLIFT_ENDPOINT_OSS: world.endpoints.oss,
    TAIRLIFT_ENDPOINT_FC: world.endpoints.fc,
    TAIRLIFT_ENDPOINT_STS: world.endpoints.sts,
    TAIRLIFT_ENDPOINT_CMS: world.endpoints.cms,
  };
  return [
    {
      name: ORCHESTRATOR,
      region: REGION,
      codeFolder: join(distFolder, 'orchestrator'),
      memoryMb: 256,
      timeoutSeconds: 3600,
      role: role('tairlift-orchestrator', ORCHESTRATOR_MAY),
      environment,
      maxAsyncRetryAttempts: 0,
      timers: [
        { name: TIMER, cron: 'CRON_TZ=Asia/Shanghai 0 0 2 * * *', payload: JSON.stringify({ plan: PLAN }) },
      ],
    },
    {
      name: UPLOADER,
      region: REGION,
      codeFolder: join(distFolder, 'uploader'),
      memoryMb: 256,
      timeoutSeconds: 3600,
      role: role('tairlift-uploader', UPLOADER_MAY),
      environment,
      maxAsyncRetryAttempts: 0,
    },
  ];
}
