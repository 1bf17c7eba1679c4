import type { ObjectCall } from './action.ts';
import { invalidArgument, noSuchUpload } from './oss-error.ts';
import type { Received } from './receive-body.ts';
import type { Part, Upload } from './store.ts';

/** The upload that the request's `uploadId` names, if it is one of this key. */
export function findUpload({ bucket, key, query }: ObjectCall): Upload {
  const uploadId = query.get('uploadId') ?? '';
  const upload = bucket.uploads.get(uploadId);
  if (upload === undefined || upload.key !== key) throw noSuchUpload(uploadId);
  return upload;
}

const MAX_PART_NUMBER = 10_000;

export function partNumberOf(query: URLSearchParams): number {
  const text = query.get('partNumber') ?? '';
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < 1 || number > MAX_PART_NUMBER)
    throw invalidArgument(
      'partNumber',
      text,
      'Part number must be an integer between 1 and 10000, inclusive.',
    );
  return number;
}

/** Makes received bytes a part; one with the same number is replaced. */
export async function addPart(call: ObjectCall, uploadId: string, received: Received): Promise<Part> {
  const part: Part = {
    number: partNumberOf(call.query),
    file: received.file,
    size: received.size,
    etag: received.md5.toString('hex').toUpperCase(),
    crc64: received.crc64,
    lastModifiedAt: call.now,
  };
  // The upload may have been completed or aborted while the bytes came in.
  if (await call.bucket.putPart(uploadId, part)) return part;
  await call.bucket.discard([part]);
  throw noSuchUpload(uploadId);
}
