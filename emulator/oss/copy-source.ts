import type { ObjectCall } from './action.ts';
import { preconditionFailed } from './conditions.ts';
import { accessDenied, invalidArgument, noSuchBucket, noSuchKey } from './oss-error.ts';
import type { Bucket, StoredObject } from './store.ts';

/** The object that `x-oss-copy-source` names, after the caller's right to read it and the conditions were checked. */
export function findCopySource({ request, store, principal, bucket, demand }: ObjectCall): {
  readonly bucket: Bucket;
  readonly object: StoredObject;
} {
  const { headers } = request;
  const text = headers['x-oss-copy-source'] ?? '';
  const [, bucketName, key] = /^\/([^/]+)\/(.+)$/s.exec(decode(text)) ?? [];
  if (bucketName === undefined || key === undefined)
    throw invalidArgument('x-oss-copy-source', text, 'Copy source must be /bucket/key, without a version.');
  const source = store.bucket(bucketName);
  if (source === undefined) throw noSuchBucket(bucketName);
  if (source.accountId !== principal.accountId)
    throw accessDenied('The bucket you access does not belong to you.');
  if (source.region !== bucket.region)
    throw accessDenied('Target object does not reside in the same data center as source object.');
  demand('oss:GetObject', { bucket: bucketName, key });
  const object = source.objects.get(key);
  if (object === undefined) throw noSuchKey(key);
  const match = headers['x-oss-copy-source-if-match'];
  if (match !== undefined && match.replaceAll('"', '') !== object.etag)
    throw preconditionFailed('x-oss-copy-source-if-match');
  return { bucket: source, object };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
