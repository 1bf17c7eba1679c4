import type { ObjectAction } from '../action.ts';
import { addPart, findUpload, partNumberOf } from '../find-upload.ts';
import { receiveBody } from '../receive-body.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/uploadpart: the size of a part is only judged when the upload is completed. */
export const uploadPart: ObjectAction = {
  on: 'object',
  name: 'UploadPart',
  permission: 'oss:PutObject',
  async perform(call) {
    partNumberOf(call.query);
    const { uploadId } = findUpload(call);
    const part = await addPart(call, uploadId, await receiveBody(call.request, call.bucket));
    return {
      status: 200,
      headers: {
        etag: `"${part.etag}"`,
        'content-md5': Buffer.from(part.etag, 'hex').toString('base64'),
        'x-oss-hash-crc64ecma': part.crc64,
      },
    };
  },
};
