import type { ObjectAction } from '../action.ts';
import { checkConditions } from '../conditions.ts';
import { objectHeaders } from '../object-headers.ts';
import { noSuchKey } from '../oss-error.ts';
import { parseRange } from '../range.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getobject */
export const getObject: ObjectAction = {
  on: 'object',
  name: 'GetObject',
  permission: 'oss:GetObject',
  async perform({ request, query, bucket, key }) {
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    const instead = checkConditions(request, object);
    if (instead !== undefined) return instead;
    const isStandard = request.headers['x-oss-range-behavior'] === 'standard';
    const range = parseRange(request.headers['range'], object.size, isStandard);
    const headers = { ...objectHeaders(object), ...overriddenHeaders(query) };
    if (range === undefined) return { status: 200, headers, body: bucket.read(object) };
    return {
      status: 206,
      // The checksum stays that of the whole object.
      headers: {
        ...headers,
        'content-length': String(range.end - range.start),
        'content-range': `bytes ${range.start}-${range.end - 1}/${object.size}`,
      },
      body: bucket.read(object, range.start, range.end),
    };
  },
};

/** `response-content-type` and its like set a header of this answer only. */
function overriddenHeaders(query: URLSearchParams): Record<string, string> {
  const prefix = 'response-';
  return Object.fromEntries(
    [...query]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, value]) => [name.slice(prefix.length).toLowerCase(), value]),
  );
}
