import type { ServiceAction } from '../action.ts';
import { OssError } from '../oss-error.ts';
import { checkDigest } from '../receive-body.ts';
import { parseXml, textOf } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/putbucket */
export const putBucket: ServiceAction = {
  on: 'service',
  name: 'PutBucket',
  permission: 'oss:PutBucket',
  async perform({ store, principal, request, bucketName, region, now }) {
    if (!/^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/.test(bucketName))
      throw new OssError(400, 'InvalidBucketName', 'The specified bucket is not valid.', {
        BucketName: bucketName,
      });
    const body = await request.readBody();
    checkDigest(request, body);
    const configuration = body.length === 0 ? {} : parseXml('CreateBucketConfiguration', body.toString());
    const location = textOf(configuration, 'LocationConstraint')?.replace(/^oss-/, '');
    const spec = { name: bucketName, region: location ?? region, accountId: principal.accountId };
    const bucket = await store.createBucket(spec, now);
    if (bucket.accountId !== principal.accountId)
      throw new OssError(
        409,
        'BucketAlreadyExists',
        'The requested bucket name is not available. The bucket namespace is shared by all users of the system.',
        { BucketName: bucketName, EC: '0015-00000104' },
      );
    return { status: 200, headers: { location: `/${bucketName}` } };
  },
};
