/** Who signed a request, in the two ways in which Function Compute's APIs are signed. */
import { createHmac } from 'node:crypto';
import { ServiceError, type Request } from '../http.ts';
import type { Identity, Principal } from '../identity.ts';
import { parseAcs3, sameText, verifyAcs3 } from '../openapi/acs3.ts';

/**
 * The caller of an API 2023-03-30 request, `ACS3-HMAC-SHA256`. Throws the service's own error for everything that is
 * wrong with key, token or signature; the codes are those of both generations.
 *
 * https://www.alibabacloud.com/help/en/sdk/product-overview/v3-request-structure-and-signature
 */
export function callerOfNewer(request: Request, body: Buffer, identity: Identity): Principal {
  const { headers } = request;
  const authorization = parseAcs3(headers['authorization'] ?? '');
  if (authorization === undefined) throw missingHeader('Authorization');
  const principal = lookUp(identity, authorization.accessKeyId, headers['x-acs-security-token']);
  if (!verifyAcs3(request, body, authorization, principal.accessKeySecret)) throw signatureMismatch();
  return principal;
}

/**
 * The caller of an API 2016-08-15 request, `Authorization: FC <key>:<signature>`.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc-2-0/developer-reference/signature-authentication
 */
export function callerOfOlder(request: Request, identity: Identity): Principal {
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
  if (!sameText(expected, signature)) throw signatureMismatch();
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
