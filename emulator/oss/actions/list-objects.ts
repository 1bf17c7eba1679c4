import type { BucketAction } from '../action.ts';
import { keyEncoding, listKeys, pageSize } from '../list-keys.ts';
import { objectEntry } from '../object-entry.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/listobjects */
export const listObjects: BucketAction = {
  on: 'bucket',
  name: 'ListObjects',
  permission: 'oss:ListObjects',
  async perform({ bucket, query }) {
    const encode = keyEncoding(query);
    const prefix = query.get('prefix') ?? '';
    const marker = query.get('marker') ?? '';
    const delimiter = query.get('delimiter') ?? '';
    const max = pageSize(query, 'max-keys', 100);
    const page = listKeys(bucket.keys, { prefix, delimiter, after: marker, max });
    return xmlReply('ListBucketResult', {
      Name: bucket.name,
      Prefix: encode(prefix),
      Marker: encode(marker),
      MaxKeys: max,
      Delimiter: encode(delimiter),
      EncodingType: query.get('encoding-type') ?? undefined,
      IsTruncated: page.next !== undefined,
      NextMarker: page.next === undefined ? undefined : encode(page.next),
      Contents: page.keys.map((key) => objectEntry(bucket, key, encode, true)),
      CommonPrefixes: page.commonPrefixes.map((one) => ({ Prefix: encode(one) })),
    });
  },
};
