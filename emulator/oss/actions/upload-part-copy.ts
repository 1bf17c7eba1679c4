import type { ObjectAction } from '../action.ts';
import { findCopySource } from '../copy-source.ts';
import { addPart, findUpload, partNumberOf } from '../find-upload.ts';
import { parseRange } from '../range.ts';
import { storeBytes } from '../receive-body.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpartcopy */
export const uploadPartCopy: ObjectAction = {
  on: 'object',
  name: 'UploadPartCopy',
  permission: 'oss:PutObject',
  async perform(call) {
    partNumberOf(call.query);
    const { uploadId } = findUpload(call);
    const source = findCopySource(call);
    const range = parseRange(call.request.headers['x-oss-copy-source-range'], source.object.size, false);
    const bytes = source.bucket.read(source.object, range?.start, range?.end);
    const part = await addPart(call, uploadId, await storeBytes(bytes, call.bucket));
    const reply = xmlReply('CopyPartResult', {
      LastModified: new Date(part.lastModifiedAt).toISOString(),
      ETag: `"${part.etag}"`,
    });
    // `ali-oss` reads the ETag from the header.
    return { ...reply, headers: { ...reply.headers, etag: `"${part.etag}"` } };
  },
};
