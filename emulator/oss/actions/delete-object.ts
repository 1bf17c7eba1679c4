import type { ObjectAction } from '../action.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/deleteobject: an object that is not there counts as deleted. */
export const deleteObject: ObjectAction = {
  on: 'object',
  name: 'DeleteObject',
  permission: 'oss:DeleteObject',
  async perform({ bucket, key }) {
    await bucket.remove(key);
    return { status: 204 };
  },
};
