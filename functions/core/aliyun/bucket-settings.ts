/** How a bucket is set up, as far as backups depend on it. Reads only, and only for the command line. */
import { BackupError } from '../errors.ts';
import type { BucketEncryption, BucketRule, BucketSettings } from '../repository/bucket-settings.ts';
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
  const [encryption, publicAccess, policy, overwrite] = await Promise.all([
    /** https://help.aliyun.com/en/oss/developer-reference/getbucketencryption */
    setting('oss:GetBucketEncryption', 'encryption', 'NoSuchServerSideEncryptionRule'),
    /** https://help.aliyun.com/en/oss/developer-reference/getbucketpublicaccessblock */
    setting('oss:GetBucketPublicAccessBlock', 'publicAccessBlock', 'NoSuchPublicAccessBlockConfiguration'),
    /** https://help.aliyun.com/en/oss/developer-reference/getbucketpolicy */
    setting('oss:GetBucketPolicy', 'policy', 'NoSuchBucketPolicy'),
    /** https://help.aliyun.com/en/oss/developer-reference/getbucketoverwriteconfig */
    setting('oss:GetBucketOverwriteConfig', 'overwriteConfig', 'NoSuchBucketOverwriteConfig'),
  ]);

  /** The document of a setting; empty when there is none, undefined when it may not be looked at. */
  async function setting(action: string, name: string, none: string): Promise<string | undefined> {
    const read = unlessDenied(action, async (sdk) => {
      const request = sdk._bucketRequestParams('GET', bucket, name, {});
      return (await sdk.request({ ...request, successStatuses: [200] })).data.toString();
    });
    return read.catch((error: unknown) => {
      if (error instanceof BackupError && error.details['code'] === none) return '';
      throw error;
    });
  }

  return {
    ...(region === undefined ? {} : { region }),
    ...(versioning === undefined ? {} : { versioning }),
    ...(rules === undefined ? {} : { rules }),
    ...(encryption === undefined ? {} : { encryption: toEncryption(encryption) }),
    ...(publicAccess === undefined
      ? {}
      : { blocksPublicAccess: textIn(publicAccess, 'BlockPublicAccess') === 'true' }),
    ...(policy === undefined ? {} : { policy }),
    ...(overwrite === undefined ? {} : { writeOncePrefixes: toPrefixes(overwrite) }),
    denied,
  };
}

function toEncryption(document: string): BucketEncryption {
  const algorithm = textIn(document, 'SSEAlgorithm') ?? 'none';
  const key = textIn(document, 'KMSMasterKeyID') ?? '';
  return { algorithm, ...(key === '' ? {} : { key }) };
}

/** Those of rules that are for every object below a prefix, whatever its name ends in. */
function toPrefixes(document: string): readonly string[] {
  return [...document.matchAll(/<Rule>([^]*?)<\/Rule>/g)]
    .map(([, rule = '']) => rule)
    .filter((rule) => (textIn(rule, 'Suffix') ?? '') === '' && !/<Principal>/.test(rule))
    .map((rule) => textIn(rule, 'Prefix') ?? '');
}

/** Of a small document of OSS, whose texts have nothing to escape but `&`. */
function textIn(document: string, element: string): string | undefined {
  return new RegExp(`<${element}>([^<]*)</${element}>`).exec(document)?.[1]?.replaceAll('&amp;', '&');
}

function toRule({ prefix, abortMultipartUpload, expiration, transition }: SdkLifecycleRule): BucketRule {
  const endsUploadsAfterDays = toDays(abortMultipartUpload?.days);
  const expiresAfterDays = toDays(expiration?.days);
  return {
    prefix: typeof prefix === 'string' ? prefix : '',
    ...(endsUploadsAfterDays === undefined ? {} : { endsUploadsAfterDays }),
    ...(expiresAfterDays === undefined ? {} : { expiresAfterDays }),
    transitions: [transition ?? []].flat().flatMap(({ days, storageClass = '' }) => {
      const afterDays = toDays(days);
      return afterDays === undefined ? [] : [{ afterDays, storageClass }];
    }),
  };
}

function toDays(value: string | undefined): number | undefined {
  const days = Number(value);
  return value !== undefined && Number.isInteger(days) && days > 0 ? days : undefined;
}
