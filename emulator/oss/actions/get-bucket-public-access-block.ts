import type { BucketAction } from '../action.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketpublicaccessblock */
export const getBucketPublicAccessBlock: BucketAction = {
  on: 'bucket',
  name: 'GetBucketPublicAccessBlock',
  permission: 'oss:GetBucketPublicAccessBlock',
  async perform({ bucket }) {
    return xmlReply('PublicAccessBlockConfiguration', {
      BlockPublicAccess: bucket.blocksPublicAccess ?? false,
    });
  },
};
