import type { ObjectAction } from '../action.ts';
import { objectHeaders } from '../object-headers.ts';
import { noSuchKey } from '../oss-error.ts';

const SHOWN = ['content-length', 'etag', 'last-modified', 'x-oss-hash-crc64ecma'];

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getobjectmeta */
export const getObjectMeta: ObjectAction = {
  on: 'object',
  name: 'GetObjectMeta',
  permission: 'oss:GetObject',
  async perform({ bucket, key }) {
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    const shown = Object.entries(objectHeaders(object)).filter(([name]) => SHOWN.includes(name));
    return { status: 200, headers: Object.fromEntries(shown) };
  },
};
