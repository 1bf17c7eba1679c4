import type { BucketAction } from '../action.ts';
import { keyEncoding } from '../list-keys.ts';
import { checkDigest } from '../receive-body.ts';
import { listOf, malformed, parseXml, textOf, xmlReply } from '../xml.ts';

const MAX_KEYS = 1000;

/** https://www.alibabacloud.com/help/en/oss/developer-reference/deletemultipleobjects */
export const deleteMultipleObjects: BucketAction = {
  on: 'bucket',
  name: 'DeleteMultipleObjects',
  permission: 'oss:DeleteObject',
  async perform({ request, query, bucket }) {
    const encode = keyEncoding(query);
    const body = await request.readBody();
    checkDigest(request, body);
    const wanted = parseXml('Delete', body.toString());
    const keys = listOf(wanted, 'Object').map((object) => textOf(object, 'Key'));
    if (keys.length === 0 || keys.length > MAX_KEYS) throw malformed();
    const deleted: string[] = [];
    for (const key of keys) {
      if (key === undefined || key === '') throw malformed();
      await bucket.remove(key);
      deleted.push(key);
    }
    if (textOf(wanted, 'Quiet') === 'true') return { status: 200 };
    return xmlReply('DeleteResult', {
      EncodingType: query.get('encoding-type') ?? undefined,
      Deleted: deleted.map((key) => ({ Key: encode(key) })),
    });
  },
};
