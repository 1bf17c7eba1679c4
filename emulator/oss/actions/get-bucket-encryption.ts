import type { BucketAction } from '../action.ts';
import { OssError } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketencryption */
export const getBucketEncryption: BucketAction = {
  on: 'bucket',
  name: 'GetBucketEncryption',
  permission: 'oss:GetBucketEncryption',
  async perform({ bucket }) {
    if (bucket.encryption === undefined)
      throw new OssError(
        404,
        'NoSuchServerSideEncryptionRule',
        'The server side encryption configuration does not exist.',
        { BucketName: bucket.name },
      );
    return xmlReply('ServerSideEncryptionRule', {
      ApplyServerSideEncryptionByDefault: {
        SSEAlgorithm: bucket.encryption.algorithm,
        KMSMasterKeyID: bucket.encryption.keyId,
      },
    });
  },
};
