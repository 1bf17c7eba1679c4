import type { BucketAction } from '../action.ts';
import { xmlReply } from '../xml.ts';

/**
 * Without a status where versioning was never switched on.
 * https://www.alibabacloud.com/help/en/oss/developer-reference/getbucketversioning
 */
export const getBucketVersioning: BucketAction = {
  on: 'bucket',
  name: 'GetBucketVersioning',
  permission: 'oss:GetBucketVersioning',
  async perform({ bucket }) {
    return xmlReply('VersioningConfiguration', { Status: bucket.versioning });
  },
};
