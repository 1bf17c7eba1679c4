import type { BucketAction } from '../action.ts';
import { OssError } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketlifecycle */
export const getBucketLifecycle: BucketAction = {
  on: 'bucket',
  name: 'GetBucketLifecycle',
  permission: 'oss:GetBucketLifecycle',
  async perform({ bucket }) {
    if (bucket.lifecycle.length === 0)
      throw new OssError(404, 'NoSuchLifecycle', 'No Row found in Lifecycle Table.', {
        BucketName: bucket.name,
      });
    return xmlReply('LifecycleConfiguration', {
      Rule: bucket.lifecycle.map(({ prefix, isEnabled, abortUploadsAfterDays, expireAfterDays }, index) => ({
        ID: `rule-${index + 1}`,
        Prefix: prefix,
        Status: isEnabled ? 'Enabled' : 'Disabled',
        Expiration: expireAfterDays === undefined ? undefined : { Days: expireAfterDays },
        AbortMultipartUpload:
          abortUploadsAfterDays === undefined ? undefined : { Days: abortUploadsAfterDays },
      })),
    });
  },
};
