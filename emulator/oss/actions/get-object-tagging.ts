import type { ObjectAction } from '../action.ts';
import { noSuchKey } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getobjecttagging */
export const getObjectTagging: ObjectAction = {
  on: 'object',
  name: 'GetObjectTagging',
  permission: 'oss:GetObjectTagging',
  async perform({ bucket, key }) {
    const object = bucket.objects.get(key);
    if (object === undefined) throw noSuchKey(key);
    const tags = Object.entries(object.tags).map(([name, value]) => ({ Key: name, Value: value }));
    return xmlReply('Tagging', { TagSet: { Tag: tags } });
  },
};
