import type { ObjectAction } from '../action.ts';
import { describeObject, encryptionHeaders, forbidsOverwrite } from '../object-headers.ts';
import { fileAlreadyExists } from '../oss-error.ts';
import { receiveBody } from '../receive-body.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/putobject */
export const putObject: ObjectAction = {
  on: 'object',
  name: 'PutObject',
  permission: 'oss:PutObject',
  async perform({ request, bucket, key, now, demand }) {
    if (request.headers['x-oss-tagging'] !== undefined) demand('oss:PutObjectTagging');
    const description = describeObject(request.headers, bucket);
    const unlessExists = forbidsOverwrite(request.headers, bucket, key);
    if (unlessExists && bucket.objects.has(key)) throw fileAlreadyExists('0026-00000002');
    const received = await receiveBody(request, bucket);
    const object = {
      ...description,
      key,
      size: received.size,
      etag: received.md5.toString('hex').toUpperCase(),
      crc64: received.crc64,
      type: 'Normal' as const,
      lastModifiedAt: now,
      segments: [{ file: received.file, size: received.size }],
    };
    if (!(await bucket.put(object, { unlessExists }))) {
      await bucket.discard([received]);
      throw fileAlreadyExists('0026-00000002');
    }
    return {
      status: 200,
      headers: {
        etag: `"${object.etag}"`,
        'content-md5': received.md5.toString('base64'),
        'x-oss-hash-crc64ecma': object.crc64,
        ...encryptionHeaders(object),
      },
    };
  },
};
