import type { ObjectAction } from '../action.ts';
import { findUpload } from '../find-upload.ts';
import { noSuchUpload } from '../oss-error.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/abortmultipartupload */
export const abortMultipartUpload: ObjectAction = {
  on: 'object',
  name: 'AbortMultipartUpload',
  permission: 'oss:AbortMultipartUpload',
  async perform(call) {
    const { uploadId } = findUpload(call);
    if (!(await call.bucket.abort(uploadId))) throw noSuchUpload(uploadId);
    return { status: 204 };
  },
};
