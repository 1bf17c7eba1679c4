/** Who signed a request, in the two ways in which Function Compute's APIs are signed. */
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { ServiceError, type Request } from '../http.ts';
import type { Identity, Principal } from '../identity.ts';

/**
 * The caller of an API 2023-03-30 request, `ACS3-HMAC-SHA256`. Throws the service's own error for everything that is
 * wrong with key, token or signature.
 *
 * https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
 */
export function verifyAcs3(request: Request, body: Buffer, identity: Identity): Principal {
  const { headers } = request;
  const match =
    /^ACS3-HMAC-SHA256 Credential=([^,]+),\s*SignedHeaders=([^,]+),\s*Signature=([0-9a-f]+)$/.exec(
      headers['authorization'] ?? '',
    );
  if (match === null) throw missingHeader('Authorization');
  const [, accessKeyId = '', signedHeaders = '', signature = ''] = match;
  const principal = lookUp(identity, accessKeyId, headers['x-acs-security-token']);

  const names = signedHeaders.split(';');
  const needed = Object.keys(headers).filter((name) => name === 'host' || name.startsWith('x-acs-'));
  const bodyHash = createHash('sha256').update(body).digest('hex');
  const [path = '', query = ''] = request.rawUrl.split('?', 2);
  const canonicalRequest = [
    request.method,
    path,
    canonicalQuery(query),
    ...names.map((name) => `${name}:${(headers[name] ?? '').trim()}`),
    '',
    signedHeaders,
    bodyHash,
  ].join('\n');
  const canonicalHash = createHash('sha256').update(canonicalRequest).digest('hex');
  const expected = createHmac('sha256', principal.accessKeySecret)
    .update(`ACS3-HMAC-SHA256\n${canonicalHash}`)
    .digest('hex');
  if (
    !needed.every((name) => names.includes(name)) ||
    headers['x-acs-content-sha256'] !== bodyHash ||
    !equal(expected, signature)
  )
    throw signatureMismatch();
  return principal;
}

/**
 * The caller of an API 2016-08-15 request, `Authorization: FC <key>:<signature>`.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc-2-0/developer-reference/signature-authentication
 */
export function verifyFcSignature(request: Request, identity: Identity): Principal {
  const { headers } = request;
  const match = /^FC ([^:]+):(.+)$/.exec(headers['authorization'] ?? '');
  if (match === null) throw missingHeader('Authorization');
  if (headers['date'] === undefined) throw missingHeader('Date');
  const [, accessKeyId = '', signature = ''] = match;
  const principal = lookUp(identity, accessKeyId, headers['x-fc-security-token']);

  const fcHeaders = Object.keys(headers)
    .filter((name) => name.startsWith('x-fc-'))
    .sort()
    .map((name) => `${name}:${headers[name]}\n`);
  const source = [
    request.method,
    headers['content-md5'] ?? '',
    headers['content-type'] ?? '',
    headers['date'],
    fcHeaders.join('') + decodeURIComponent(request.url.pathname),
  ].join('\n');
  const expected = createHmac('sha256', principal.accessKeySecret).update(source).digest('base64');
  if (!equal(expected, signature)) throw signatureMismatch();
  return principal;
}

/** https://www.alibabacloud.com/help/en/function-compute/latest/error-codes */
function lookUp(identity: Identity, accessKeyId: string, token: string | undefined): Principal {
  const lookup = identity.lookup(accessKeyId, token);
  if (lookup.kind === 'found') return lookup.principal;
  if (lookup.kind === 'unknown-key')
    throw new ServiceError(403, 'InvalidAccessKeyID', `invalid access key ID '${accessKeyId}'`);
  if (lookup.kind === 'expired-token')
    throw new ServiceError(403, 'ExpiredSecurityToken', 'The security token has expired.');
  throw new ServiceError(403, 'InvalidSecurityToken', 'The security token is not valid.');
}

function canonicalQuery(query: string): string {
  return [...new URLSearchParams(query)]
    .map(([name, value]) => [encode(name), encode(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, value]) => `${name}=${value}`)
    .join('&');
}

/** RFC 3986: everything but letters, digits and `-_.~`. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

function equal(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}

function missingHeader(name: string): ServiceError {
  return new ServiceError(400, 'MissingRequiredHeader', `required HTTP header ${name} was not specified`);
}

function signatureMismatch(): ServiceError {
  return new ServiceError(
    403,
    'SignatureNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your access key and signing method.',
  );
}
