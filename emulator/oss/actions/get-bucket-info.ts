import type { BucketAction } from '../action.ts';
import { endpointsOf } from '../endpoints.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketinfo */
export const getBucketInfo: BucketAction = {
  on: 'bucket',
  name: 'GetBucketInfo',
  permission: 'oss:GetBucketInfo',
  async perform({ bucket }) {
    return xmlReply('BucketInfo', {
      Bucket: {
        AccessMonitor: 'Disabled',
        BlockPublicAccess: bucket.blocksPublicAccess ?? false,
        CreationDate: new Date(bucket.createdAt).toISOString(),
        CrossRegionReplication: 'Disabled',
        DataRedundancyType: 'LRS',
        ...endpointsOf(bucket.region),
        Location: `oss-${bucket.region}`,
        Name: bucket.name,
        StorageClass: 'Standard',
        Owner: { DisplayName: bucket.accountId, ID: bucket.accountId },
        AccessControlList: { Grant: 'private' },
        ServerSideEncryptionRule: {
          SSEAlgorithm: bucket.encryption?.algorithm ?? 'None',
          KMSMasterKeyID: bucket.encryption?.keyId,
        },
        BucketPolicy: { LogBucket: '', LogPrefix: '' },
      },
    });
  },
};
