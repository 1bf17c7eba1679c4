import type { BucketAction } from '../action.ts';
import { OssError } from '../oss-error.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/deletebucket */
export const deleteBucket: BucketAction = {
  on: 'bucket',
  name: 'DeleteBucket',
  permission: 'oss:DeleteBucket',
  async perform({ store, bucket }) {
    if (bucket.objects.size > 0 || bucket.uploads.size > 0)
      throw new OssError(409, 'BucketNotEmpty', 'The bucket you tried to delete is not empty.', {
        BucketName: bucket.name,
        EC: '0015-00000301',
      });
    await store.deleteBucket(bucket.name);
    return { status: 204 };
  },
};
