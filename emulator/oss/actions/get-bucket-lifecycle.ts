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
      Rule: bucket.lifecycle.map((rule, index) => ({
        ID: rule.id ?? `rule-${index + 1}`,
        Prefix: rule.prefix,
        Status: rule.isEnabled ? 'Enabled' : 'Disabled',
        Expiration: rule.expireAfterDays === undefined ? undefined : { Days: rule.expireAfterDays },
        Transition: (rule.transitions ?? []).map(({ days, storageClass }) => ({
          Days: days,
          StorageClass: storageClass,
        })),
        AbortMultipartUpload:
          rule.abortUploadsAfterDays === undefined ? undefined : { Days: rule.abortUploadsAfterDays },
      })),
    });
  },
};
