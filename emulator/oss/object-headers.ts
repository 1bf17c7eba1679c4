/** Between an object's headers on the wire and what is stored of it. */
import { invalidArgument, OssError } from './oss-error.ts';
import type { Bucket, Description, StoredObject } from './store.ts';

type Headers = Readonly<Record<string, string>>;

const STORAGE_CLASSES = ['Standard', 'IA', 'Archive', 'ColdArchive', 'DeepColdArchive'];
const ENCRYPTIONS = ['AES256', 'KMS', 'SM4'];
const KEPT = new Set([
  'content-type',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'expires',
  'x-oss-server-side-encryption',
  'x-oss-server-side-encryption-key-id',
  'x-oss-server-side-data-encryption',
]);

/** What the headers of PutObject, InitiateMultipartUpload or CopyObject say about the object to be. */
export function describeObject(headers: Headers, { encryption }: Pick<Bucket, 'encryption'>): Description {
  const storageClass = oneOf(headers, 'x-oss-storage-class', STORAGE_CLASSES) ?? 'Standard';
  oneOf(headers, 'x-oss-server-side-encryption', ENCRYPTIONS);
  const kept = Object.entries(headers).filter(([name]) => KEPT.has(name) || name.startsWith('x-oss-meta-'));
  return {
    headers: {
      'content-type': 'application/octet-stream',
      ...(headers['x-oss-server-side-encryption'] === undefined ? ofBucket(encryption) : {}),
      ...Object.fromEntries(kept),
    },
    storageClass,
    tags: readTags([...new URLSearchParams(headers['x-oss-tagging'] ?? '')]),
  };
}

function ofBucket(encryption: Bucket['encryption']): Headers {
  if (encryption === undefined) return {};
  const { algorithm, keyId } = encryption;
  return {
    'x-oss-server-side-encryption': algorithm,
    ...(keyId === undefined ? {} : { 'x-oss-server-side-encryption-key-id': keyId }),
  };
}

/** The headers of GetObject and HeadObject. */
export function objectHeaders(object: StoredObject): Record<string, string> {
  const tagCount = Object.keys(object.tags).length;
  return {
    ...object.headers,
    'content-length': String(object.size),
    'accept-ranges': 'bytes',
    etag: `"${object.etag}"`,
    'last-modified': new Date(object.lastModifiedAt).toUTCString(),
    'x-oss-object-type': object.type,
    'x-oss-hash-crc64ecma': object.crc64,
    'x-oss-storage-class': object.storageClass,
    ...(tagCount > 0 ? { 'x-oss-tagging-count': String(tagCount) } : {}),
  };
}

/** Says how an object was encrypted in the answers of the actions that create one. */
export function encryptionHeaders({ headers }: Description): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => name.startsWith('x-oss-server-side-')),
  );
}

/**
 * By the request's header or by a rule of the bucket. Not with versioning, also if it is suspended: then every write is
 * a version, and neither means anything.
 */
export function forbidsOverwrite(headers: Headers, bucket: Bucket, key: string): boolean {
  if (bucket.versioning !== undefined) return false;
  if (headers['x-oss-forbid-overwrite']?.toLowerCase() === 'true') return true;
  const { overwriteRules = [] } = bucket;
  return overwriteRules.some(
    ({ prefix = '', suffix = '' }) => key.startsWith(prefix) && key.endsWith(suffix),
  );
}

/** https://www.alibabacloud.com/help/en/oss/user-guide/object-tagging-8 */
export function readTags(pairs: readonly (readonly [string, string])[]): Readonly<Record<string, string>> {
  const isWrong =
    pairs.length > 10 ||
    new Set(pairs.map(([name]) => name)).size < pairs.length ||
    pairs.some(([name, value]) => name === '' || name.length > 128 || value.length > 256);
  if (isWrong)
    throw new OssError(400, 'InvalidTag', 'The tags you provided are too many, too long or not unique.');
  return Object.fromEntries(pairs);
}

function oneOf(headers: Headers, name: string, allowed: readonly string[]): string | undefined {
  const value = headers[name];
  if (value !== undefined && !allowed.includes(value))
    throw invalidArgument(name, value, `The ${name} you specified is not supported.`);
  return value;
}
