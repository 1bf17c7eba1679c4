import type { Request } from '../../http.ts';
import type { Identity, Principal } from '../../identity.ts';
import { accessDenied, invalidArgument, OssError } from '../oss-error.ts';
import { sameText, signV1, stringToSignV1, verifyPresignedV1, type SignedRequestV1 } from './v1.ts';
import {
  ALGORITHM_V4,
  parseCredentialV4,
  parseTimeV4,
  signaturesV4,
  type CredentialV4,
  type SignedRequestV4,
} from './v4.ts';

const MAX_SKEW_MS = 15 * 60_000;
const MAX_URL_SECONDS = 7 * 24 * 3600;

/**
 * Who signed this request for this resource; undefined when nobody did. Dates are compared with the clocks of those
 * who call, because that is what they sign with; whether a token has expired is for the identity store and its clock.
 *
 * @param signingRegion what version 4 must have signed for; not checked when undefined
 * @throws OssError InvalidAccessKeyId, InvalidSecurityToken, SecurityTokenExpired, SignatureDoesNotMatch,
 *   RequestTimeTooSkewed, AccessDenied (of a URL that is out of its time), InvalidArgument
 */
export function authenticate(
  request: Request,
  resource: string,
  identity: Identity,
  signingRegion: string | undefined,
): Principal | undefined {
  const authorization = request.headers['authorization'];
  const query = request.url.searchParams;
  if (authorization?.startsWith(`${ALGORITHM_V4} `) === true)
    return byHeaderV4(request, authorization, resource, identity, signingRegion);
  if (authorization?.startsWith('OSS ') === true)
    return byHeaderV1(request, authorization, resource, identity);
  if (authorization !== undefined)
    throw invalidArgument('Authorization', '', 'Authorization header is invalid.');
  if (query.has('x-oss-signature')) return byUrlV4(request, resource, identity, signingRegion);
  if (query.has('Signature') || query.has('OSSAccessKeyId')) return byUrlV1(request, resource, identity);
  return undefined;
}

function byHeaderV1(
  request: Request,
  authorization: string,
  resource: string,
  identity: Identity,
): Principal {
  const [, accessKeyId, signature] = /^OSS ([^:\s]+):(\S+)$/.exec(authorization) ?? [];
  if (accessKeyId === undefined || signature === undefined)
    throw invalidArgument('Authorization', '', 'Authorization header is invalid.');
  const principal = find(identity, accessKeyId, request.headers['x-oss-security-token']);
  const time = request.headers['x-oss-date'] ?? request.headers['date'] ?? '';
  checkSkew(identity, time, Date.parse(time));
  const signed = signedV1(request, resource);
  if (!sameText(signature, signV1(principal.accessKeySecret, signed, time)))
    throw mismatch(accessKeyId, signature, stringToSignV1(signed, time));
  return principal;
}

function byUrlV1(request: Request, resource: string, identity: Identity): Principal {
  const query = request.url.searchParams;
  const accessKeyId = query.get('OSSAccessKeyId');
  if (accessKeyId === null) throw accessDenied('Missing required URL parameter: OSSAccessKeyId.');
  const principal = find(identity, accessKeyId, query.get('security-token') ?? undefined);
  const signed = signedV1(request, resource);
  const expires = query.get('Expires') ?? '';
  const verdict = verifyPresignedV1(signed, principal.accessKeySecret, identity.callersNow());
  if (verdict === 'malformed')
    throw accessDenied('Invalid date (should be seconds since epoch).', '0002-00000070');
  if (verdict === 'expired') throw requestExpired(Number(expires) * 1000);
  if (verdict === 'mismatch')
    throw mismatch(accessKeyId, query.get('Signature') ?? '', stringToSignV1(signed, expires));
  return principal;
}

function byHeaderV4(
  request: Request,
  authorization: string,
  resource: string,
  identity: Identity,
  region: string | undefined,
): Principal {
  const fields = new Map(
    authorization
      .slice(ALGORITHM_V4.length)
      .split(',')
      .map((field) => field.trim())
      .map((field) => [field.slice(0, field.indexOf('=')), field.slice(field.indexOf('=') + 1)]),
  );
  const credential = parseCredentialV4(fields.get('Credential') ?? '');
  const signature = fields.get('Signature');
  if (credential === undefined || signature === undefined)
    throw invalidArgument('Authorization', '', 'Invalid credential or signature in Authorization header.');
  if (request.headers['x-oss-content-sha256'] !== 'UNSIGNED-PAYLOAD')
    throw invalidArgument(
      'x-oss-content-sha256',
      request.headers['x-oss-content-sha256'] ?? '',
      'x-oss-content-sha256 must be UNSIGNED-PAYLOAD.',
    );
  const principal = find(identity, credential.accessKeyId, request.headers['x-oss-security-token']);
  const time = request.headers['x-oss-date'] ?? toTimeV4(request.headers['date'] ?? '');
  checkSkew(identity, time, parseTimeV4(time) ?? Number.NaN);
  const signed: SignedRequestV4 = {
    ...unsignedPartsV4(request, resource),
    additionalHeaders: listOf(fields.get('AdditionalHeaders')),
    time,
  };
  checkV4(principal, credential, region, signed, signature);
  return principal;
}

function byUrlV4(
  request: Request,
  resource: string,
  identity: Identity,
  region: string | undefined,
): Principal {
  const query = request.url.searchParams;
  const credential = parseCredentialV4(query.get('x-oss-credential') ?? '');
  const time = query.get('x-oss-date') ?? '';
  const signedAt = parseTimeV4(time);
  const seconds = Number(query.get('x-oss-expires') ?? Number.NaN);
  if (query.get('x-oss-signature-version') !== ALGORITHM_V4 || credential === undefined)
    throw invalidArgument('x-oss-credential', '', 'Invalid credential or signature version in the URL.');
  if (signedAt === undefined || !Number.isInteger(seconds) || seconds < 1 || seconds > MAX_URL_SECONDS)
    throw invalidArgument(
      'x-oss-expires',
      query.get('x-oss-expires') ?? '',
      'x-oss-expires must be an integer from 1 to 604800, x-oss-date a time in ISO 8601.',
    );
  const token = query.get('x-oss-security-token') ?? request.headers['x-oss-security-token'];
  const principal = find(identity, credential.accessKeyId, token);
  if (signedAt - MAX_SKEW_MS > identity.callersNow())
    throw accessDenied('Request is not valid yet.', '0002-00000235');
  if (signedAt + seconds * 1000 < identity.callersNow()) throw requestExpired(signedAt + seconds * 1000);
  const signed: SignedRequestV4 = {
    ...unsignedPartsV4(request, resource),
    additionalHeaders: listOf(query.get('x-oss-additional-headers') ?? undefined),
    time,
  };
  checkV4(principal, credential, region, signed, query.get('x-oss-signature') ?? '');
  return principal;
}

function checkV4(
  principal: Principal,
  credential: CredentialV4,
  region: string | undefined,
  signed: SignedRequestV4,
  signature: string,
): void {
  if (!signed.time.startsWith(credential.day))
    throw invalidArgument(
      'Credential',
      credential.day,
      'The day in the credential is not that of the request.',
    );
  if (region !== undefined && credential.region !== region)
    throw invalidArgument('Credential', credential.region, 'Invalid signing region in Authorization header.');
  const missing = signed.additionalHeaders.find((name) => signed.headers[name] === undefined);
  const accepted = missing === undefined ? signaturesV4(principal.accessKeySecret, credential, signed) : [];
  if (!accepted.some((one) => sameText(signature, one))) throw mismatch(credential.accessKeyId, signature);
}

function find(identity: Identity, accessKeyId: string, token: string | undefined): Principal {
  const found = identity.lookup(accessKeyId, token);
  if (found.kind === 'wrong-token')
    throw new OssError(403, 'InvalidSecurityToken', 'The security token you provided is invalid.', {
      EC: '0002-00000006',
    });
  if (found.kind === 'expired-token')
    throw new OssError(403, 'SecurityTokenExpired', 'The security token you provided has expired.', {
      EC: '0002-00000007',
    });
  if (found.kind !== 'found') throw unknownKey(accessKeyId, '0002-00000902');
  // A token makes it a request with STS credentials, and among those there is no key of an account.
  if (token !== undefined && found.principal.securityToken === undefined)
    throw unknownKey(accessKeyId, '0002-00000002');
  return found.principal;
}

function checkSkew(identity: Identity, text: string, at: number): void {
  if (Number.isNaN(at)) throw accessDenied('OSS authentication requires a valid Date.');
  if (Math.abs(identity.callersNow() - at) <= MAX_SKEW_MS) return;
  throw new OssError(
    403,
    'RequestTimeTooSkewed',
    'The difference between the request time and the current time is too large.',
    {
      MaxAllowedSkewMilliseconds: String(MAX_SKEW_MS),
      RequestTime: text,
      ServerTime: new Date().toISOString(),
      EC: '0002-00000504',
    },
  );
}

const unknownKey = (accessKeyId: string, ec: string): OssError =>
  new OssError(
    403,
    'InvalidAccessKeyId',
    'The OSS Access Key Id you provided does not exist in our records.',
    { OSSAccessKeyId: accessKeyId, EC: ec },
  );

const mismatch = (accessKeyId: string, provided: string, stringToSign?: string): OssError =>
  new OssError(
    403,
    'SignatureDoesNotMatch',
    'The request signature we calculated does not match the signature you provided. Check your key and signing method.',
    {
      OSSAccessKeyId: accessKeyId,
      SignatureProvided: provided,
      // A token is part of what is signed, and must not come back in an error that somebody may log.
      ...(stringToSign === undefined || stringToSign.includes('security-token')
        ? {}
        : { StringToSign: stringToSign }),
      EC: '0002-00000040',
    },
  );

const requestExpired = (at: number): OssError =>
  new OssError(403, 'AccessDenied', 'Request has expired.', {
    Expires: new Date(at).toISOString(),
    ServerTime: new Date().toISOString(),
    EC: '0002-00000069',
  });

function signedV1(request: Request, resource: string): SignedRequestV1 {
  const { method, headers } = request;
  return { method, resource, headers, query: request.url.searchParams };
}

function unsignedPartsV4(
  request: Request,
  resource: string,
): Pick<SignedRequestV4, 'method' | 'resource' | 'headers' | 'query'> {
  const query = [...request.url.searchParams].filter(([name]) => name !== 'x-oss-signature');
  return { method: request.method, resource, headers: request.headers, query };
}

const listOf = (names: string | undefined): readonly string[] =>
  (names ?? '').split(';').filter((name) => name !== '');

function toTimeV4(date: string): string {
  const at = Date.parse(date);
  return Number.isNaN(at) ? '' : new Date(at).toISOString().replaceAll(/[-:]|\.\d+/g, '');
}
