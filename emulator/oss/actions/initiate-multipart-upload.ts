import { randomBytes } from 'node:crypto';
import type { ObjectAction } from '../action.ts';
import { describeObject, encryptionHeaders, forbidsOverwrite } from '../object-headers.ts';
import { fileAlreadyExists } from '../oss-error.ts';
import { keyEncoding } from '../list-keys.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/initiatemultipartupload */
export const initiateMultipartUpload: ObjectAction = {
  on: 'object',
  name: 'InitiateMultipartUpload',
  permission: 'oss:PutObject',
  async perform({ request, query, bucket, key, now, demand }) {
    if (request.headers['x-oss-tagging'] !== undefined) demand('oss:PutObjectTagging');
    const encode = keyEncoding(query);
    const description = describeObject(request.headers, bucket);
    if (forbidsOverwrite(request.headers, bucket, key) && bucket.objects.has(key))
      throw fileAlreadyExists('0042-00000214');
    const uploadId = randomBytes(16).toString('hex').toUpperCase();
    await bucket.addUpload({ ...description, uploadId, key, initiatedAt: now, parts: new Map() });
    const reply = xmlReply('InitiateMultipartUploadResult', {
      EncodingType: query.get('encoding-type') ?? undefined,
      Bucket: bucket.name,
      Key: encode(key),
      UploadId: uploadId,
    });
    return { ...reply, headers: { ...reply.headers, ...encryptionHeaders(description) } };
  },
};
