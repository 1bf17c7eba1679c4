import type { ObjectAction } from '../action.ts';
import { readTags } from '../object-headers.ts';
import { noSuchKey } from '../oss-error.ts';
import { checkDigest } from '../receive-body.ts';
import { child, listOf, malformed, parseXml, textOf } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/putobjecttagging */
export const putObjectTagging: ObjectAction = {
  on: 'object',
  name: 'PutObjectTagging',
  permission: 'oss:PutObjectTagging',
  async perform({ request, bucket, key }) {
    const body = await request.readBody();
    checkDigest(request, body);
    const tags = listOf(child(parseXml('Tagging', body.toString()), 'TagSet'), 'Tag').map((tag) => {
      const name = textOf(tag, 'Key');
      if (name === undefined) throw malformed();
      return [name, textOf(tag, 'Value') ?? ''] as const;
    });
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    await bucket.describe({ ...object, tags: readTags(tags) });
    return { status: 200 };
  },
};
