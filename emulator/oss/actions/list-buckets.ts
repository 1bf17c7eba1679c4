import type { ServiceAction } from '../action.ts';
import { pageSize } from '../list-keys.ts';
import { endpointsOf } from '../endpoints.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/listbuckets */
export const listBuckets: ServiceAction = {
  on: 'service',
  name: 'ListBuckets',
  permission: 'oss:ListBuckets',
  async perform({ store, principal, query }) {
    const prefix = query.get('prefix') ?? '';
    const marker = query.get('marker') ?? '';
    const max = pageSize(query, 'max-keys', 100);
    const found = store
      .buckets()
      .filter(({ name, accountId }) => accountId === principal.accountId && name.startsWith(prefix))
      .filter(({ name }) => name > marker);
    const page = found.slice(0, max);
    const isTruncated = found.length > page.length;
    return xmlReply('ListAllMyBucketsResult', {
      Owner: { ID: principal.accountId, DisplayName: principal.accountId },
      ...(isTruncated
        ? { Prefix: prefix, Marker: marker, MaxKeys: max, IsTruncated: true, NextMarker: page.at(-1)?.name }
        : {}),
      Buckets: {
        Bucket: page.map((bucket) => ({
          CreationDate: new Date(bucket.createdAt).toISOString(),
          ...endpointsOf(bucket.region),
          Location: `oss-${bucket.region}`,
          Name: bucket.name,
          Region: bucket.region,
          StorageClass: 'Standard',
        })),
      },
    });
  },
};
