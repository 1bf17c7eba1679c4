import type { BucketAction } from '../action.ts';
import { keyEncoding, listKeys, pageSize } from '../list-keys.ts';
import { objectEntry } from '../object-entry.ts';
import { invalidArgument } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/listobjects-v2 */
export const listObjectsV2: BucketAction = {
  on: 'bucket',
  name: 'ListObjectsV2',
  permission: 'oss:ListObjects',
  async perform({ bucket, query }) {
    const encode = keyEncoding(query);
    const prefix = query.get('prefix') ?? '';
    const delimiter = query.get('delimiter') ?? '';
    const startAfter = query.get('start-after') ?? '';
    const token = query.get('continuation-token') ?? '';
    const max = pageSize(query, 'max-keys', 100);
    const after = token === '' ? startAfter : readToken(token);
    const page = listKeys(bucket.keys, { prefix, delimiter, after, max });
    return xmlReply('ListBucketResult', {
      Name: bucket.name,
      Prefix: encode(prefix),
      StartAfter: startAfter === '' ? undefined : encode(startAfter),
      MaxKeys: max,
      Delimiter: encode(delimiter),
      EncodingType: query.get('encoding-type') ?? undefined,
      IsTruncated: page.next !== undefined,
      ContinuationToken: token === '' ? undefined : token,
      NextContinuationToken: page.next === undefined ? undefined : writeToken(page.next),
      KeyCount: page.keys.length + page.commonPrefixes.length,
      Contents: page.keys.map((key) => objectEntry(bucket, key, encode, query.get('fetch-owner') === 'true')),
      CommonPrefixes: page.commonPrefixes.map((one) => ({ Prefix: encode(one) })),
    });
  },
};

/** Opaque to clients; here the last key or common prefix of the page, marked so that keys are no tokens. */
const writeToken = (last: string): string => Buffer.from(`after:${last}`).toString('base64');

function readToken(token: string): string {
  const text = Buffer.from(token, 'base64').toString();
  if (!text.startsWith('after:'))
    throw invalidArgument('continuation-token', token, 'The continuation token provided is incorrect.');
  return text.slice('after:'.length);
}
