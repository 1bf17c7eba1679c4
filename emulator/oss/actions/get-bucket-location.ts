import type { BucketAction } from '../action.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketlocation */
export const getBucketLocation: BucketAction = {
  on: 'bucket',
  name: 'GetBucketLocation',
  permission: 'oss:GetBucketLocation',
  async perform({ bucket }) {
    return xmlReply('LocationConstraint', `oss-${bucket.region}`);
  },
};
