import { OssError } from './oss-error.ts';

/** Bytes [start, end) of an object. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * What a `Range` header asks for; undefined means the whole object, with status 200. OSS does not know "as far as
 * there is": a range that is malformed or does not lie within the object altogether is ignored, unless the request
 * carries `x-oss-range-behavior: standard`.
 * https://www.alibabacloud.com/help/en/oss/how-to-obtain-oss-resources-by-segmenting-http-range-requests
 */
export function parseRange(
  header: string | undefined,
  size: number,
  isStandard: boolean,
): ByteRange | undefined {
  if (header === undefined) return undefined;
  if (header.includes(',')) throw invalidRange(header, size);
  const match = /^bytes=(\d*)-(\d*)$/.exec(header.trim());
  if (match === null) return undefined;
  const [, from = '', to = ''] = match;
  if (from === '' && to === '') return undefined;
  const start = from === '' ? size - Number(to) : Number(from);
  const end = from === '' || to === '' ? size : Number(to) + 1;
  if (from !== '' && to !== '' && end <= start) return undefined;
  if (start >= 0 && start < end && end <= size) return { start, end };
  if (!isStandard) return undefined;
  if (start >= size) throw invalidRange(header, size);
  return { start: Math.max(start, 0), end: Math.min(end, size) };
}

const invalidRange = (header: string, size: number): OssError =>
  new OssError(416, 'InvalidRange', 'The requested range cannot be satisfied.', {
    ActualObjectSize: String(size),
    RangeRequested: header,
  });
