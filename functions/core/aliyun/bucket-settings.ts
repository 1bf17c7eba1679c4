/** How a bucket is set up, as far as backups depend on it. Reads only, and only for the command line. */
import { BackupError } from '../errors.ts';
import type { BucketRule, BucketSettings } from '../repository/bucket-settings.ts';
import { createOssCaller, type OssCallerOptions, type SdkLifecycleRule } from './oss-call.ts';

/** Throws what keeps it from being looked at: `NO_SUCH_BUCKET`, `PERMISSION_DENIED`, `CONFIG_INVALID`, … */
export async function readBucketSettings(
  options: OssCallerOptions,
  signal: AbortSignal,
): Promise<BucketSettings> {
  const { bucket } = options;
  const ask = createOssCaller(options);
  const does = 'read the settings of';

  /** https://help.aliyun.com/en/oss/developer-reference/getbucketinfo */
  const located = await ask({ does, action: 'oss:GetBucketInfo', key: '' }, signal, async (sdk) =>
    sdk.getBucketInfo(bucket),
  );
  /** https://help.aliyun.com/en/oss/developer-reference/getbucketversioning */
  const versioned = await ask({ does, action: 'oss:GetBucketVersioning', key: '' }, signal, async (sdk) =>
    sdk.getBucketVersioning(bucket),
  );
  return {
    region: (located.bucket?.Location ?? '').replace(/^oss-/, ''),
    versioning: versioned.versionStatus ?? 'Disabled',
    rules: await readRules(),
  };

  /** https://help.aliyun.com/en/oss/developer-reference/getbucketlifecycle */
  async function readRules(): Promise<readonly BucketRule[]> {
    try {
      const { rules } = await ask({ does, action: 'oss:GetBucketLifecycle', key: '' }, signal, async (sdk) =>
        sdk.getBucketLifecycle(bucket),
      );
      return (rules ?? []).filter(({ status }) => status === 'Enabled').map(toRule);
    } catch (error) {
      if (error instanceof BackupError && error.details['code'] === 'NoSuchLifecycle') return [];
      throw error;
    }
  }
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
