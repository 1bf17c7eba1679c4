/**
 * Version 3 of the OpenAPI signature, ACS3-HMAC-SHA256: method, path, sorted query, the signed headers and the
 * body's hash.
 * https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
 */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import type { Request } from '../http.ts';

const ALGORITHM = 'ACS3-HMAC-SHA256';

export interface Acs3Authorization {
  readonly accessKeyId: string;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
}

/** The parts of an `Authorization` header; undefined when it is of another kind or incomplete. */
export function parseAcs3(authorization: string): Acs3Authorization | undefined {
  if (!authorization.startsWith(`${ALGORITHM} `)) return undefined;
  const fields = new Map(
    authorization
      .slice(ALGORITHM.length)
      .split(',')
      .map((field) => field.trim())
      .map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)]),
  );
  const accessKeyId = fields.get('Credential');
  const signedHeaders = fields.get('SignedHeaders');
  const signature = fields.get('Signature');
  if (accessKeyId === undefined || signedHeaders === undefined || signature === undefined) return undefined;
  return { accessKeyId, signedHeaders: signedHeaders.split(';'), signature };
}

/** Is it this secret that signed this request with this body? Every header that must be signed has to be. */
export function verifyAcs3(
  request: Request,
  body: Uint8Array,
  authorization: Acs3Authorization,
  accessKeySecret: string,
): boolean {
  const { signedHeaders } = authorization;
  const mustBeSigned = Object.keys(request.headers).filter(
    (name) => name === 'host' || name.startsWith('x-acs-'),
  );
  if (!mustBeSigned.every((name) => signedHeaders.includes(name))) return false;

  const bodyHash = createHash('sha256').update(body).digest('hex');
  if (request.headers['x-acs-content-sha256'] !== bodyHash) return false;
  const [path = '/', query = ''] = request.rawUrl.split(/\?(.*)/s);
  const canonicalRequest = [
    request.method,
    path,
    canonicalQuery([...new URLSearchParams(query)]),
    signedHeaders.map((name) => `${name}:${(request.headers[name] ?? '').trim()}\n`).join(''),
    signedHeaders.join(';'),
    bodyHash,
  ].join('\n');
  const hash = createHash('sha256').update(canonicalRequest).digest('hex');
  const expected = createHmac('sha256', accessKeySecret).update(`${ALGORITHM}\n${hash}`).digest('hex');
  return sameText(expected, authorization.signature);
}

/** Sorted by name, encoded as RFC 3986 has it: the form in which all versions of the signature see a query. */
export function canonicalQuery(pairs: readonly (readonly [string, string])[]): string {
  return [...pairs]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${percentEncode(name)}=${percentEncode(value)}`)
    .join('&');
}

export function percentEncode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Compares in a time that does not depend on where the two differ. */
export function sameText(a: string, b: string): boolean {
  const left = Buffer.from(a);
  const right = Buffer.from(b);
  return left.length === right.length && timingSafeEqual(left, right);
}
