/**
 * Signature version 1: HMAC-SHA1 over method, MD5, type, date, x-oss headers and the resource with its subresources.
 * In the `Authorization` header (`OSS <key id>:<signature>`) or in the URL (`OSSAccessKeyId`, `Expires`,
 * `Signature`, `security-token`).
 * https://www.alibabacloud.com/help/en/oss/developer-reference/include-signatures-in-the-authorization-header
 * https://www.alibabacloud.com/help/en/oss/developer-reference/ddd-signatures-to-urls
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** The parts of a request that version 1 signs. */
export interface SignedRequestV1 {
  readonly method: string;
  /** Bucket and key, not encoded: `/bucket/key`; `/bucket/` for a bucket, `/` for the service. */
  readonly resource: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded. Parameters that are not subresources do not matter. */
  readonly query: URLSearchParams;
}

/** @param time the `Date` (or `x-oss-date`) header's value, or `Expires` of a signed URL */
export function signV1(accessKeySecret: string, request: SignedRequestV1, time: string): string {
  return createHmac('sha1', accessKeySecret).update(stringToSignV1(request, time)).digest('base64');
}

export function stringToSignV1({ method, resource, headers, query }: SignedRequestV1, time: string): string {
  const ossHeaders = Object.keys(headers)
    .filter((name) => name.startsWith('x-oss-'))
    .sort()
    .map((name) => `${name}:${headerText(headers[name])}\n`)
    .join('');
  const subresources = [...query]
    .filter(([name]) => SUBRESOURCES.has(name) || name.startsWith('x-oss-ac-'))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => (value === '' ? name : `${name}=${value}`))
    .join('&');
  return [
    method,
    headerText(headers['content-md5']),
    headerText(headers['content-type']),
    time,
    `${ossHeaders}${resource}${subresources === '' ? '' : `?${subresources}`}`,
  ].join('\n');
}

/**
 * The query of a URL that allows this request until `expiresAt` (milliseconds since 1970; whole seconds count).
 * A session's token belongs into the query, under `security-token`, before signing: it is signed like a subresource.
 */
export function presignV1(
  key: { readonly accessKeyId: string; readonly accessKeySecret: string; readonly securityToken?: string },
  request: Pick<SignedRequestV1, 'method' | 'resource'> & Partial<SignedRequestV1>,
  expiresAt: number,
): URLSearchParams {
  const query = new URLSearchParams(request.query);
  if (key.securityToken !== undefined) query.set('security-token', key.securityToken);
  const expires = String(Math.floor(expiresAt / 1000));
  const signature = signV1(key.accessKeySecret, { headers: {}, ...request, query }, expires);
  query.set('Expires', expires);
  query.set('OSSAccessKeyId', key.accessKeyId);
  query.set('Signature', signature);
  return query;
}

/** What is wrong with a URL's signature, if something is. Who the key belongs to is the caller's business. */
export type PresignVerdict = 'valid' | 'malformed' | 'expired' | 'mismatch';

/** @param nowMs expiry is judged against this clock */
export function verifyPresignedV1(
  request: SignedRequestV1,
  accessKeySecret: string,
  nowMs: number,
): PresignVerdict {
  const expires = request.query.get('Expires') ?? '';
  const signature = request.query.get('Signature');
  if (!/^\d{1,12}$/.test(expires) || signature === null) return 'malformed';
  if (Number(expires) * 1000 < nowMs) return 'expired';
  return sameText(signature, signV1(accessKeySecret, request, expires)) ? 'valid' : 'mismatch';
}

/** Compares in a time that does not depend on where the two differ. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

/** Header values arrive as Latin-1; what was signed are their bytes, read as UTF-8. */
export function headerText(value: string | undefined): string {
  return Buffer.from(value ?? '', 'latin1')
    .toString('utf8')
    .trim();
}

/** Query parameters that belong to the resource, and so to what is signed. */
const SUBRESOURCES: ReadonlySet<string> = new Set([
  'acl',
  'append',
  'asyncFetch',
  'bucketInfo',
  'callback',
  'callback-var',
  'cname',
  'comp',
  'continuation-token',
  'cors',
  'delete',
  'encryption',
  'endTime',
  'inventory',
  'inventoryId',
  'lifecycle',
  'live',
  'location',
  'logging',
  'objectMeta',
  'partNumber',
  'policy',
  'position',
  'qos',
  'qosInfo',
  'referer',
  'replication',
  'replicationLocation',
  'replicationProgress',
  'requestPayment',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
  'restore',
  'security-token',
  'sequential',
  'startTime',
  'stat',
  'status',
  'style',
  'styleName',
  'symlink',
  'tagging',
  'transferAcceleration',
  'uploadId',
  'uploads',
  'versionId',
  'versioning',
  'versions',
  'vod',
  'website',
  'worm',
  'wormExtend',
  'wormId',
  'x-oss-async-process',
  'x-oss-process',
  'x-oss-request-payer',
  'x-oss-traffic-limit',
]);
