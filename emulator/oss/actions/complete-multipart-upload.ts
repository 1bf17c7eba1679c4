import { createHash } from 'node:crypto';
import type { ObjectAction, ObjectCall } from '../action.ts';
import { combineCrc64 } from '../crc64.ts';
import { findUpload } from '../find-upload.ts';
import { keyEncoding } from '../list-keys.ts';
import { encryptionHeaders, forbidsOverwrite } from '../object-headers.ts';
import { fileAlreadyExists, noSuchUpload, OssError } from '../oss-error.ts';
import { checkDigest } from '../receive-body.ts';
import type { Part, StoredObject, Upload } from '../store.ts';
import { listOf, malformed, parseXml, textOf, xmlReply } from '../xml.ts';

const MIN_PART_BYTES = 100 * 1024;

/** https://www.alibabacloud.com/help/en/oss/developer-reference/completemultipartupload */
export const completeMultipartUpload: ObjectAction = {
  on: 'object',
  name: 'CompleteMultipartUpload',
  permission: 'oss:PutObject',
  async perform(call) {
    const { request, query, bucket, now } = call;
    const encode = keyEncoding(query);
    const body = await request.readBody();
    checkDigest(request, body);
    const upload = findUpload(call);
    const parts = takesAll(call) ? allParts(upload) : namedParts(upload, body.toString());
    const small = parts.slice(0, -1).find(({ size }) => size < MIN_PART_BYTES);
    if (small !== undefined)
      throw new OssError(
        400,
        'EntityTooSmall',
        'Your proposed upload smaller than the minimum allowed size.',
        {
          ProposedSize: String(small.size),
          MinSizeAllowed: String(MIN_PART_BYTES),
          PartNumber: String(small.number),
          ETag: small.etag,
        },
      );

    const object = assemble(upload, parts, now);
    const outcome = await bucket.complete(upload.uploadId, object, {
      unlessExists: forbidsOverwrite(request.headers, bucket, object.key),
    });
    if (outcome === 'gone') throw noSuchUpload(upload.uploadId);
    if (outcome === 'exists') throw fileAlreadyExists('0042-00000214');
    const reply = xmlReply('CompleteMultipartUploadResult', {
      EncodingType: query.get('encoding-type') ?? undefined,
      Location: `http://${bucket.name}.oss-${bucket.region}.aliyuncs.com/${encodeURI(object.key)}`,
      Bucket: bucket.name,
      Key: encode(object.key),
      ETag: `"${object.etag}"`,
    });
    return {
      ...reply,
      headers: {
        ...reply.headers,
        etag: `"${object.etag}"`,
        'x-oss-hash-crc64ecma': object.crc64,
        ...encryptionHeaders(object),
      },
    };
  },
};

const takesAll = ({ request }: ObjectCall): boolean =>
  request.headers['x-oss-complete-all']?.toLowerCase() === 'yes';

function allParts(upload: Upload): readonly Part[] {
  const parts = [...upload.parts.values()].sort((a, b) => a.number - b.number);
  if (parts.length === 0) throw invalidPart();
  return parts;
}

function namedParts(upload: Upload, xml: string): readonly Part[] {
  const named = listOf(parseXml('CompleteMultipartUpload', xml), 'Part');
  if (named.length === 0) throw malformed();
  let before = 0;
  return named.map((element) => {
    const number = Number(textOf(element, 'PartNumber') ?? Number.NaN);
    if (!Number.isInteger(number)) throw malformed();
    if (number <= before)
      throw new OssError(
        400,
        'InvalidPartOrder',
        'The list of parts was not in ascending order. The parts list must be specified in order by part number.',
      );
    before = number;
    const part = upload.parts.get(number);
    const etag = textOf(element, 'ETag')?.replaceAll('"', '').toUpperCase();
    if (part === undefined || etag !== part.etag) throw invalidPart(number, etag);
    return part;
  });
}

function assemble(upload: Upload, parts: readonly Part[], now: number): StoredObject {
  const { headers, storageClass, tags, key } = upload;
  const etags = createHash('md5');
  let crc64 = 0n;
  let size = 0;
  for (const part of parts) {
    etags.update(Buffer.from(part.etag, 'hex'));
    crc64 = combineCrc64(crc64, BigInt(part.crc64), part.size);
    size += part.size;
  }
  return {
    headers,
    storageClass,
    tags,
    key,
    size,
    etag: `${etags.digest('hex').toUpperCase()}-${parts.length}`,
    crc64: crc64.toString(),
    type: 'Multipart',
    lastModifiedAt: now,
    segments: parts.map(({ file, size }) => ({ file, size })),
  };
}

const invalidPart = (number?: number, etag?: string): OssError =>
  new OssError(
    400,
    'InvalidPart',
    "One or more of the specified parts could not be found or the specified entity tag might not have matched the part's entity tag.",
    {
      ...(number === undefined ? {} : { PartNumber: String(number) }),
      ...(etag === undefined ? {} : { ETag: etag }),
    },
  );
