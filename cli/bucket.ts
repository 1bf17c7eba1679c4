/** Which bucket a command means: `oss://bucket/prefix`, a plan's destination, or the environment's. */
import { readFile } from 'node:fs/promises';
import {
  planNamed,
  readPlans,
  type Destination,
  type Environment,
  type Plan,
} from '../functions/core/config.ts';
import { BackupError } from '../functions/core/errors.ts';

export interface PlanOptions {
  readonly plan?: string;
  readonly plans?: string;
}

/** Reads the plans from `--plans`, `TAIRLIFT_PLANS` or `plans.yaml` in the current folder. */
export async function loadPlans(
  options: PlanOptions,
  environment: Environment,
): Promise<ReadonlyMap<string, Plan>> {
  const path = options.plans ?? environment.plansPath ?? 'plans.yaml';
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', `read ${path}: no such file, or not readable`, {
      cause,
      hint: 'name the plans with --plans FILE or TAIRLIFT_PLANS',
    });
  }
  return readPlans(text, path, environment, process.env);
}

export interface OssAddress {
  readonly bucket: string;
  /** Key, prefix, or nothing. */
  readonly path: string;
}

/** Undefined when the text is no `oss://` address. */
export function parseOssAddress(text: string): OssAddress | undefined {
  const match = /^oss:\/\/([a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?:\/(.*))?$/.exec(text);
  return match?.[1] === undefined ? undefined : { bucket: match[1], path: match[2] ?? '' };
}

/** The destination that `--plan`, or else the environment, or else the only plan there is, names. */
export async function findDestination(options: PlanOptions, environment: Environment): Promise<Destination> {
  const { region, bucket, prefix = '' } = environment.destination;
  if (options.plan === undefined && region !== undefined && bucket !== undefined)
    return { region, bucket, prefix };
  const plans = await loadPlans(options, environment);
  if (options.plan !== undefined) return planNamed(plans, options.plan).destination;
  const [only, ...others] = plans.values();
  if (only === undefined || others.length > 0) {
    throw new BackupError('CONFIG_INVALID', 'find the bucket: there are several plans', {
      hint: `choose one with --plan (${[...plans.keys()].join(', ')}), or set TAIRLIFT_BUCKET and TAIRLIFT_OSS_REGION`,
    });
  }
  return only.destination;
}

/** The region of a bucket that was named by address. */
export function bucketRegion(environment: Environment): string {
  const { region } = environment.destination;
  if (region !== undefined) return region;
  throw new BackupError('CONFIG_INVALID', 'find the region of the bucket: TAIRLIFT_OSS_REGION is not set', {
    hint: 'set TAIRLIFT_OSS_REGION, for example to cn-hangzhou',
  });
}
