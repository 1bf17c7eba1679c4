import type { ObjectAction } from '../action.ts';
import { findUpload } from '../find-upload.ts';
import { keyEncoding, pageSize } from '../list-keys.ts';
import { invalidArgument } from '../oss-error.ts';
import { xmlReply } from '../xml.ts';

/** https://www.alibabacloud.com/help/en/oss/developer-reference/listparts */
export const listParts: ObjectAction = {
  on: 'object',
  name: 'ListParts',
  permission: 'oss:ListParts',
  async perform(call) {
    const { query, bucket } = call;
    const upload = findUpload(call);
    const encode = keyEncoding(query);
    const max = pageSize(query, 'max-parts', 1000);
    const marker = Number(query.get('part-number-marker') ?? 0);
    if (!Number.isInteger(marker) || marker < 0)
      throw invalidArgument('part-number-marker', String(marker), 'The marker must be a part number.');
    const parts = [...upload.parts.values()]
      .filter(({ number }) => number > marker)
      .sort((a, b) => a.number - b.number);
    const page = parts.slice(0, max);
    return xmlReply('ListPartsResult', {
      Bucket: bucket.name,
      EncodingType: query.get('encoding-type') ?? undefined,
      Key: encode(upload.key),
      UploadId: upload.uploadId,
      StorageClass: upload.storageClass,
      PartNumberMarker: marker,
      NextPartNumberMarker: page.at(-1)?.number ?? marker,
      MaxParts: max,
      IsTruncated: parts.length > page.length,
      Part: page.map((part) => ({
        PartNumber: part.number,
        LastModified: new Date(part.lastModifiedAt).toISOString(),
        ETag: `"${part.etag}"`,
        HashCrc64ecma: part.crc64,
        Size: part.size,
      })),
    });
  },
};
