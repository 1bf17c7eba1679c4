import type { BucketAction } from '../action.ts';
import { OssError } from '../oss-error.ts';

/** The one answer that is JSON. https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketpolicy */
export const getBucketPolicy: BucketAction = {
  on: 'bucket',
  name: 'GetBucketPolicy',
  permission: 'oss:GetBucketPolicy',
  async perform({ bucket }) {
    if (bucket.policy === undefined)
      throw new OssError(404, 'NoSuchBucketPolicy', 'The bucket policy does not exist.', {
        BucketName: bucket.name,
      });
    return {
      status: 200,
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(bucket.policy),
    };
  },
};
