import type { Bucket } from './store.ts';
import type { XmlContent } from './xml.ts';

/** An object as both generations of listings describe it. */
export function objectEntry(
  bucket: Bucket,
  key: string,
  encode: (key: string) => string,
  withOwner: boolean,
): XmlContent {
  const object = bucket.objects.get(key);
  if (object === undefined) return undefined;
  return {
    Key: encode(key),
    LastModified: new Date(object.lastModifiedAt).toISOString(),
    ETag: `"${object.etag}"`,
    Type: object.type,
    Size: object.size,
    StorageClass: object.storageClass,
    Owner: withOwner ? { ID: bucket.accountId, DisplayName: bucket.accountId } : undefined,
  };
}
