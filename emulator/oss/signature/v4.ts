/**
 * Signature version 4: HMAC-SHA256 with a key derived from the day, the region and the product, over a canonical
 * form of the request. In the `Authorization` header or in the URL (`x-oss-signature` and its companions).
 * https://www.alibabacloud.com/help/en/oss/developer-reference/recommend-to-use-signature-version-4
 * https://www.alibabacloud.com/help/en/oss/developer-reference/add-signatures-to-urls
 */
import { createHash, createHmac } from 'node:crypto';
import { headerText } from './v1.ts';

export const ALGORITHM_V4 = 'OSS4-HMAC-SHA256';

/** `<key id>/<yyyymmdd>/<region>/oss/aliyun_v4_request` */
export interface CredentialV4 {
  readonly accessKeyId: string;
  readonly day: string;
  readonly region: string;
}

export interface SignedRequestV4 {
  readonly method: string;
  /** Bucket and key, not encoded: `/bucket/key`; `/bucket/` for a bucket, `/` for the service. */
  readonly resource: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Decoded, without `x-oss-signature`. */
  readonly query: readonly (readonly [string, string])[];
  /** Signed beside content-type, content-md5 and all of x-oss-*: lower case, sorted. */
  readonly additionalHeaders: readonly string[];
  /** `20231203T121212Z` */
  readonly time: string;
}

/** Undefined when it does not have the form of a credential of OSS. */
export function parseCredentialV4(text: string): CredentialV4 | undefined {
  const [, accessKeyId, day, region] =
    /^([^/\s]+)\/(\d{8})\/([a-z0-9-]+)\/oss\/aliyun_v4_request$/.exec(text) ?? [];
  if (accessKeyId === undefined || day === undefined || region === undefined) return undefined;
  return { accessKeyId, day, region };
}

/** Milliseconds since 1970 of `20231203T121212Z`; undefined when it is no such time. */
export function parseTimeV4(text: string): number | undefined {
  const match = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (match === null) return undefined;
  const [, year, month, day, hour, minute, second] = match.map(Number);
  const at = Date.UTC(year ?? 0, (month ?? 0) - 1, day, hour, minute, second);
  return Number.isNaN(at) ? undefined : at;
}

/** The signatures that are accepted: which query parameters carry a bare `=` is settled differently by SDKs. */
export function signaturesV4(
  accessKeySecret: string,
  credential: CredentialV4,
  request: SignedRequestV4,
): readonly string[] {
  const key = ['oss', 'aliyun_v4_request'].reduce(
    (secret, text) => hmac(secret, text),
    hmac(hmac(`aliyun_v4${accessKeySecret}`, credential.day), credential.region),
  );
  return canonicalRequests(request).map((canonical) =>
    hmac(key, stringToSignV4(credential, request, canonical)).toString('hex'),
  );
}

function stringToSignV4(
  credential: CredentialV4,
  request: SignedRequestV4,
  canonicalRequest: string,
): string {
  return [
    ALGORITHM_V4,
    request.time,
    `${credential.day}/${credential.region}/oss/aliyun_v4_request`,
    createHash('sha256').update(canonicalRequest).digest('hex'),
  ].join('\n');
}

/**
 * The documented form writes a parameter without a value as its name alone. `ali-oss` does so for subresources
 * (`uploads`), yet signs an empty `prefix` with its `=`, and sends both alike: the second form is that one.
 */
function canonicalRequests(request: SignedRequestV4): readonly string[] {
  const { method, resource, headers, query, additionalHeaders } = request;
  const signed = Object.keys(headers).filter(
    (name) =>
      name === 'content-type' ||
      name === 'content-md5' ||
      name.startsWith('x-oss-') ||
      additionalHeaders.includes(name),
  );
  const canonicalHeaders = signed
    .sort()
    .map((name) => `${name}:${headerText(headers[name])}\n`)
    .join('');
  const forms = [canonicalQuery(query, () => true), canonicalQuery(query, (name) => !LISTING.has(name))];
  return [...new Set(forms)].map((form) =>
    [
      method,
      encode(resource).replaceAll('%2F', '/'),
      form,
      canonicalHeaders,
      additionalHeaders.join(';'),
      headers['x-oss-content-sha256'] ?? 'UNSIGNED-PAYLOAD',
    ].join('\n'),
  );
}

function canonicalQuery(
  query: readonly (readonly [string, string])[],
  isBareWhenEmpty: (name: string) => boolean,
): string {
  return query
    .map(([name, value]) => ({ name: encode(name), value, isBare: value === '' && isBareWhenEmpty(name) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, value, isBare }) => (isBare ? name : `${name}=${encode(value)}`))
    .join('&');
}

/** Parameters that a client may well send empty. */
const LISTING: ReadonlySet<string> = new Set([
  'continuation-token',
  'delimiter',
  'encoding-type',
  'key-marker',
  'marker',
  'max-keys',
  'max-parts',
  'max-uploads',
  'part-number-marker',
  'prefix',
  'start-after',
  'upload-id-marker',
]);

/** RFC 3986: all but the unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
