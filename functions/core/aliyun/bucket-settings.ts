/** How a bucket is set up, as far as backups depend on it. Reads only, and only for the command line. */
import { BackupError } from '../errors.ts';
import type { BucketRule, BucketSettings } from '../repository/bucket-settings.ts';
import { createOssCaller, type OssCallerOptions, type Sdk, type SdkLifecycleRule } from './oss-call.ts';

/**
 * What may not be looked at is left out, for a run needs none of it. Throws what else keeps it from being looked at:
 * `NO_SUCH_BUCKET`, `CONFIG_INVALID`, …
 */
export async function readBucketSettings(
  options: OssCallerOptions,
  signal: AbortSignal,
): Promise<BucketSettings> {
  const { bucket } = options;
  const ask = createOssCaller(options);
  const denied: BackupError[] = [];

  async function unlessDenied<T>(action: string, read: (sdk: Sdk) => Promise<T>): Promise<T | undefined> {
    try {
      return await ask({ does: 'read the settings of', action, key: '' }, signal, read);
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'PERMISSION_DENIED') throw error;
      denied.push(error);
      return undefined;
    }
  }

  /** https://help.aliyun.com/en/oss/developer-reference/getbucketinfo */
  const region = await unlessDenied('oss:GetBucketInfo', async (sdk) =>
    ((await sdk.getBucketInfo(bucket)).bucket?.Location ?? '').replace(/^oss-/, ''),
  );
  /** https://help.aliyun.com/en/oss/developer-reference/getbucketversioning */
  const versioning = await unlessDenied(
    'oss:GetBucketVersioning',
    async (sdk) => (await sdk.getBucketVersioning(bucket)).versionStatus ?? 'Disabled',
  );
  /** https://help.aliyun.com/en/oss/developer-reference/getbucketlifecycle */
  const rules = await unlessDenied('oss:GetBucketLifecycle', async (sdk) =>
    ((await sdk.getBucketLifecycle(bucket)).rules ?? [])
      .filter(({ status }) => status === 'Enabled')
      .map(toRule),
  ).catch((error: unknown) => {
    if (error instanceof BackupError && error.details['code'] === 'NoSuchLifecycle') return [];
    throw error;
  });
  return {
    ...(region === undefined ? {} : { region }),
    ...(versioning === undefined ? {} : { versioning }),
    ...(rules === undefined ? {} : { rules }),
    denied,
  };
}

function toRule({ prefix, abortMultipartUpload, expiration }: SdkLifecycleRule): BucketRule {
  const endsUploadsAfterDays = toDays(abortMultipartUpload?.days);
  const expiresAfterDays = toDays(expiration?.days);
  return {
    prefix: typeof prefix === 'string' ? prefix : '',
    ...(endsUploadsAfterDays === undefined ? {} : { endsUploadsAfterDays }),
    ...(expiresAfterDays === undefined ? {} : { expiresAfterDays }),
  };
}

function toDays(value: string | undefined): number | undefined {
  const days = Number(value);
  return value !== undefined && Number.isInteger(days) && days > 0 ? days : undefined;
}
