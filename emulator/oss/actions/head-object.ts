import type { ObjectAction } from '../action.ts';
import { checkConditions } from '../conditions.ts';
import { objectHeaders } from '../object-headers.ts';
import { noSuchKey } from '../oss-error.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/headobject */
export const headObject: ObjectAction = {
  on: 'object',
  name: 'HeadObject',
  permission: 'oss:GetObject',
  async perform({ request, bucket, key }) {
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    return checkConditions(request, object) ?? { status: 200, headers: objectHeaders(object) };
  },
};
