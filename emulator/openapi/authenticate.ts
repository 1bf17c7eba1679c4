/**
 * The gate in front of every OpenAPI service: who signed a request, with either version of the signature. Times are
 * compared with the machine's clock, because clients sign with theirs; whether a token has expired is for the
 * identity store and its clock.
 */
import { ServiceError, type Request } from '../http.ts';
import type { Identity, Lookup, Principal } from '../identity.ts';
import { parseAcs3, verifyAcs3 } from './acs3.ts';
import { verifyRpcV1 } from './rpc-v1.ts';

/** Remembers the nonces of the last quarter of an hour; one per service. */
export interface Nonces {
  /** False when it was used before. */
  use(accessKeyId: string, nonce: string): boolean;
}

/** A request with all that its signature covers. */
export interface SignedRequest {
  readonly request: Request;
  readonly body: Buffer;
  /** Of the query and of a form in the body. */
  readonly parameters: ReadonlyMap<string, string>;
}

const MAX_SKEW_MS = 15 * 60_000;

/**
 * @throws ServiceError IncompleteSignature, InvalidAccessKeyId.NotFound, MissingSecurityToken,
 *   InvalidSecurityToken.Malformed, InvalidSecurityToken.Expired, InvalidTimeStamp.Expired, SignatureDoesNotMatch,
 *   SignatureNonceUsed
 */
export function authenticate(signed: SignedRequest, identity: Identity, nonces: Nonces): Principal {
  const authorization = signed.request.headers['authorization'];
  return authorization === undefined
    ? byParameters(signed, identity, nonces)
    : byHeader(signed, authorization, identity, nonces);
}

function byHeader(
  { request, body }: SignedRequest,
  header: string,
  identity: Identity,
  nonces: Nonces,
): Principal {
  const { headers } = request;
  const authorization = parseAcs3(header);
  if (authorization === undefined) throw incompleteSignature();
  const principal = find(identity, authorization.accessKeyId, headers['x-acs-security-token']);
  checkTime(identity, headers['x-acs-date']);
  if (!verifyAcs3(request, body, authorization, principal.accessKeySecret)) throw mismatch();
  checkNonce(nonces, principal, headers['x-acs-signature-nonce']);
  return principal;
}

function byParameters({ request, parameters }: SignedRequest, identity: Identity, nonces: Nonces): Principal {
  const accessKeyId = parameters.get('AccessKeyId');
  if (accessKeyId === undefined || !parameters.has('Signature')) throw incompleteSignature();
  if (parameters.get('SignatureMethod') !== 'HMAC-SHA1' || parameters.get('SignatureVersion') !== '1.0')
    throw incompleteSignature();
  const principal = find(identity, accessKeyId, parameters.get('SecurityToken'));
  checkTime(identity, parameters.get('Timestamp'));
  if (!verifyRpcV1(request.method, parameters, principal.accessKeySecret)) throw mismatch();
  checkNonce(nonces, principal, parameters.get('SignatureNonce'));
  return principal;
}

function find(identity: Identity, accessKeyId: string, token: string | undefined): Principal {
  const found = identity.lookup(accessKeyId, token);
  if (found.kind === 'found') return found.principal;
  const [status, code, message] = UNRECOGNISED[found.kind];
  throw new ServiceError(status, code, message);
}

const UNRECOGNISED: Readonly<
  Record<Exclude<Lookup['kind'], 'found'>, readonly [status: number, code: string, message: string]>
> = {
  'unknown-key': [404, 'InvalidAccessKeyId.NotFound', 'Specified access key is not found.'],
  'missing-token': [400, 'MissingSecurityToken', 'SecurityToken is mandatory for this action.'],
  'wrong-token': [400, 'InvalidSecurityToken.Malformed', 'Specified SecurityToken is malformed.'],
  'expired-token': [400, 'InvalidSecurityToken.Expired', 'Specified SecurityToken is expired.'],
};

function checkTime(identity: Identity, text: string | undefined): void {
  const at = Date.parse(text ?? '');
  if (Number.isNaN(at))
    throw new ServiceError(
      400,
      'InvalidTimeStamp.Format',
      'Specified time stamp or date value is not well formatted.',
    );
  if (Math.abs(identity.callersNow() - at) > MAX_SKEW_MS)
    throw new ServiceError(400, 'InvalidTimeStamp.Expired', 'Specified time stamp or date value is expired.');
}

function checkNonce(nonces: Nonces, principal: Principal, nonce: string | undefined): void {
  if (nonce === undefined || nonce === '') throw incompleteSignature();
  if (!nonces.use(principal.accessKeyId, nonce))
    throw new ServiceError(400, 'SignatureNonceUsed', 'Specified signature nonce was used already.');
}

const incompleteSignature = (): ServiceError =>
  new ServiceError(400, 'IncompleteSignature', 'The request signature does not conform to Aliyun standards.');

/** The service adds its own string to sign; it holds tokens, and errors get logged. */
const mismatch = (): ServiceError =>
  new ServiceError(400, 'SignatureDoesNotMatch', 'Specified signature is not matched with our calculation.');

export function createNonces(): Nonces {
  const seen = new Map<string, number>();
  return {
    use(accessKeyId, nonce) {
      const now = Date.now();
      // The oldest come first: a map keeps the order of insertion.
      for (const [key, at] of seen) {
        if (now - at <= 2 * MAX_SKEW_MS) break;
        seen.delete(key);
      }
      const key = `${accessKeyId} ${nonce}`;
      if (seen.has(key)) return false;
      seen.set(key, now);
      return true;
    },
  };
}
