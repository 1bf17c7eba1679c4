import type { BucketAction } from '../action.ts';
import { compareKeys } from '../key-order.ts';
import { keyEncoding, pageSize } from '../list-keys.ts';
import { OssError } from '../oss-error.ts';
import type { Upload } from '../store.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/listmultipartuploads */
export const listMultipartUploads: BucketAction = {
  on: 'bucket',
  name: 'ListMultipartUploads',
  permission: 'oss:ListMultipartUploads',
  async perform({ query, bucket }) {
    const encode = keyEncoding(query);
    const prefix = query.get('prefix') ?? '';
    const keyMarker = query.get('key-marker') ?? '';
    // Without a key marker it means nothing.
    const idMarker = keyMarker === '' ? '' : (query.get('upload-id-marker') ?? '');
    const max = pageSize(query, 'max-uploads', 1000);
    if ((query.get('delimiter') ?? '') !== '')
      throw new OssError(501, 'NotImplemented', 'The emulator does not group uploads by a delimiter.');
    const uploads = [...bucket.uploads.values()]
      .filter((upload) => upload.key.startsWith(prefix) && isBehind(upload, keyMarker, idMarker))
      .sort((a, b) => compareKeys(a.key, b.key) || (a.uploadId < b.uploadId ? -1 : 1));
    const page = uploads.slice(0, max);
    const isTruncated = uploads.length > page.length;
    const last = isTruncated ? page.at(-1) : undefined;
    return xmlReply('ListMultipartUploadsResult', {
      Bucket: bucket.name,
      EncodingType: query.get('encoding-type') ?? undefined,
      KeyMarker: encode(keyMarker),
      UploadIdMarker: idMarker,
      NextKeyMarker: encode(last?.key ?? ''),
      NextUploadIdMarker: last?.uploadId ?? '',
      Delimiter: '',
      Prefix: encode(prefix),
      MaxUploads: max,
      IsTruncated: isTruncated,
      Upload: page.map((upload) => ({
        Key: encode(upload.key),
        UploadId: upload.uploadId,
        StorageClass: upload.storageClass,
        Initiated: new Date(upload.initiatedAt).toISOString(),
      })),
    });
  },
};

function isBehind(upload: Upload, keyMarker: string, idMarker: string): boolean {
  const order = compareKeys(upload.key, keyMarker);
  return order > 0 || (order === 0 && idMarker !== '' && upload.uploadId > idMarker);
}
