import type { BucketAction } from '../action.ts';
import { OssError } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketoverwriteconfig */
export const getBucketOverwriteConfig: BucketAction = {
  on: 'bucket',
  name: 'GetBucketOverwriteConfig',
  permission: 'oss:GetBucketOverwriteConfig',
  async perform({ bucket }) {
    const { overwriteRules = [] } = bucket;
    if (overwriteRules.length === 0)
      throw new OssError(
        404,
        'NoSuchBucketOverwriteConfig',
        'The bucket does not have an overwrite configuration.',
        { BucketName: bucket.name },
      );
    return xmlReply('OverwriteConfiguration', {
      Rule: overwriteRules.map(({ id, prefix, suffix }, index) => ({
        ID: id ?? `rule-${index + 1}`,
        Action: 'forbid',
        Prefix: prefix,
        Suffix: suffix,
      })),
    });
  },
};
