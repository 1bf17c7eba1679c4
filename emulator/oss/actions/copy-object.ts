import type { ObjectAction } from '../action.ts';
import { findCopySource } from '../copy-source.ts';
import { describeObject, encryptionHeaders, forbidsOverwrite } from '../object-headers.ts';
import { fileAlreadyExists, OssError } from '../oss-error.ts';
import { storeBytes } from '../receive-body.ts';
import { xmlReply } from '../xml.ts';

const MAX_COPY_BYTES = 5 * 1024 ** 3;

/** https://www.alibabacloud.com/help/en/oss/developer-reference/copyobject */
export const copyObject: ObjectAction = {
  on: 'object',
  name: 'CopyObject',
  permission: 'oss:PutObject',
  async perform(call) {
    const { request, bucket, key, now } = call;
    const source = findCopySource(call);
    if (source.object.size > MAX_COPY_BYTES)
      throw new OssError(400, 'EntityTooLarge', 'The object is too large to be copied in one request.');
    const unlessExists = forbidsOverwrite(request.headers, bucket, key);
    if (unlessExists && bucket.objects.has(key)) throw fileAlreadyExists('0026-00000002');
    const replaces = request.headers['x-oss-metadata-directive']?.toUpperCase() === 'REPLACE';
    const given = describeObject(request.headers, bucket);
    const description = {
      headers: replaces ? given.headers : source.object.headers,
      storageClass:
        request.headers['x-oss-storage-class'] === undefined && !replaces
          ? source.object.storageClass
          : given.storageClass,
      tags:
        request.headers['x-oss-tagging-directive']?.toUpperCase() === 'REPLACE'
          ? given.tags
          : source.object.tags,
    };
    const stored = await storeBytes(source.bucket.read(source.object), bucket);
    const object = {
      ...description,
      key,
      size: stored.size,
      etag: source.object.etag,
      crc64: stored.crc64,
      type: 'Normal' as const,
      lastModifiedAt: now,
      segments: [{ file: stored.file, size: stored.size }],
    };
    if (!(await bucket.put(object, { unlessExists }))) {
      await bucket.discard([stored]);
      throw fileAlreadyExists('0026-00000002');
    }
    const reply = xmlReply('CopyObjectResult', {
      LastModified: new Date(now).toISOString(),
      ETag: `"${object.etag}"`,
    });
    return {
      ...reply,
      headers: {
        ...reply.headers,
        etag: `"${object.etag}"`,
        'x-oss-hash-crc64ecma': object.crc64,
        ...encryptionHeaders(object),
      },
    };
  },
};
