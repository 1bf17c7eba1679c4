import type { ObjectAction } from '../action.ts';
import { noSuchKey } from '../oss-error.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/deleteobjecttagging */
export const deleteObjectTagging: ObjectAction = {
  on: 'object',
  name: 'DeleteObjectTagging',
  permission: 'oss:DeleteObjectTagging',
  async perform({ bucket, key }) {
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    await bucket.describe({ ...object, tags: {} });
    return { status: 204 };
  },
};
