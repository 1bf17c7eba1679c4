/**
 * What the failures of OSS mean. Codes: https://help.aliyun.com/en/oss/developer-reference/error-responses and the
 * pages of each action.
 */
import { denialOf } from '../denials.ts';
import { BackupError, type ErrorCode, type ErrorDetails } from '../errors.ts';
import { ConnectionFailure, askedDelayMs } from '../transfer/http.ts';
import { stopReason } from '../transfer/retry.ts';
import { UPLOAD_GONE } from '../transfer/upload-target.ts';
import type { OssCall } from './oss-call.ts';

interface Place {
  readonly bucket: string;
  readonly region: string;
}

interface Meaning {
  /** Left out: the call's own, UPLOAD_FAILED when it writes and SERVICE_ERROR when it reads. */
  readonly code?: ErrorCode;
  readonly retryable?: boolean;
  readonly reason?: string;
  readonly hint?: string;
  readonly details?: ErrorDetails;
}

/**
 * @param thrown the SDK's error, or the connection's
 * @param headers of the last answer; undefined when there was none
 */
export function toBackupError(
  thrown: unknown,
  headers: Readonly<Record<string, string>> | undefined,
  call: OssCall,
  place: Place,
  signal: AbortSignal,
): BackupError {
  if (signal.aborted) return stopReason(signal);
  if (thrown instanceof BackupError) return thrown;
  const attempt = `${call.does} ${call.key === '' ? place.bucket : `${place.bucket}/${call.key}`}`;
  const failed: ErrorCode = call.writes === true ? 'UPLOAD_FAILED' : 'SERVICE_ERROR';
  if (thrown instanceof ConnectionFailure) {
    return new BackupError(failed, attempt, {
      retryable: thrown.kind !== 'untrusted',
      details: { bucket: place.bucket, key: call.key, failure: thrown.kind },
      ...(thrown.kind === 'untrusted'
        ? { hint: 'check TAIRLIFT_ENDPOINT_OSS; a private authority is made known by NODE_EXTRA_CA_CERTS' }
        : {}),
      ...(thrown.kind === 'connect'
        ? {
            hint: `check the destination's region (${place.region}) and that its endpoint can be reached from here`,
          }
        : {}),
      cause: thrown,
    });
  }
  if (headers === undefined) {
    // Nothing was sent: the SDK itself does not accept the bucket's name, or the keys.
    return new BackupError('CONFIG_INVALID', attempt, { details: { bucket: place.bucket }, cause: thrown });
  }
  const answer = readAnswer(thrown, headers);
  const meaning = meaningOf(answer, call, place);
  return new BackupError(
    meaning.code ?? failed,
    `${attempt}: ${answer.code ?? `status ${answer.status ?? 'unknown'}`}`,
    {
      retryable: meaning.retryable ?? false,
      ...(meaning.hint === undefined ? {} : { hint: meaning.hint }),
      details: {
        bucket: place.bucket,
        key: call.key,
        ...detailsOf(answer),
        ...(meaning.reason === undefined ? {} : { reason: meaning.reason }),
        ...meaning.details,
      },
      cause: new Error(answer.message),
    },
  );
}

/** The keys of the call were not accepted: others may be. */
export function areKeysRefused(error: unknown): boolean {
  return error instanceof BackupError && error.details['reason'] === KEYS_REFUSED;
}

const KEYS_REFUSED = 'keys-refused';

function meaningOf(answer: Answer, { action, key }: OssCall, { bucket, region }: Place): Meaning {
  const { status, code, message } = answer;
  const byCode = code === undefined ? undefined : BY_CODE.get(code);
  if (byCode !== undefined) return byCode;
  if (code === 'NoSuchBucket') {
    return {
      code: 'NO_SUCH_BUCKET',
      hint: `create it with "ossutil mb oss://${bucket} --region ${region}", or correct the destination's bucket`,
    };
  }
  if (code === 'RequestTimeTooSkewed') return { retryable: true, hint: skewHint(answer) };
  if (isElsewhere(answer)) {
    return {
      code: 'CONFIG_INVALID',
      hint: `the bucket is not in ${region}; correct the destination's region`,
    };
  }
  if (code === 'AccessDenied' && /kms/i.test(message)) {
    return {
      code: 'PERMISSION_DENIED',
      hint: `the bucket ${bucket} encrypts with KMS; allow kms:GenerateDataKey and kms:Decrypt on its key`,
    };
  }
  if (code === 'AccessDenied' || status === 403)
    return {
      code: 'PERMISSION_DENIED',
      ...denialOf({ action, resource: `acs:oss:*:*:${bucket}${key === '' ? '' : `/${key}`}` }),
    };
  // OSS throttles with 503 and one of many codes; the codes change, the status does not.
  if (status === 429 || status === 503) return { code: 'THROTTLED', retryable: true };
  if (status === undefined || status === 408 || status >= 500) return { retryable: true };
  // Without a code it is not OSS that answers but something on the way; it may get out of the way.
  return { retryable: code === undefined };
}

/** A bucket of another region is denied, not redirected: https://help.aliyun.com/en/oss/user-guide/http-403-error-code */
function isElsewhere({ status, code, message }: Answer): boolean {
  if (code === 'PermanentRedirect' || code === 'TemporaryRedirect' || status === 301 || status === 307)
    return true;
  return (
    (code === 'AccessDenied' && /addressed using the specified endpoint/i.test(message)) ||
    (code === 'InvalidArgument' && /region/i.test(message))
  );
}

/** OSS takes requests whose time is within 15 minutes of its own. */
function skewHint({ answeredAtMs }: Answer): string {
  if (answeredAtMs === undefined) return 'set the clock of this machine';
  const minutes = Math.round((Date.now() - answeredAtMs) / 60_000);
  if (minutes === 0) return 'the request was on its way for too long, or the clock was just set';
  const way = minutes > 0 ? 'ahead of' : 'behind';
  return `the clock of this machine is ${Math.abs(minutes)} minutes ${way} that of OSS; set it`;
}

const REFUSED_KEYS: Meaning = {
  code: 'PERMISSION_DENIED',
  reason: KEYS_REFUSED,
  hint: 'the credentials have expired or do not exist; check the role of the function, or the access key',
};
const SPOILED_ON_THE_WAY: Meaning = { retryable: true };
const CLOSED_ACCOUNT: Meaning = {
  code: 'PERMISSION_DENIED',
  hint: 'the account that owns the bucket is closed to use: look at its bills and messages in the console',
};
const FORBIDDEN_HOST: Meaning = {
  code: 'CONFIG_INVALID',
  hint: 'OSS does not serve this account under that host name; set TAIRLIFT_ENDPOINT_OSS to one that it serves',
};

const BY_CODE: ReadonlyMap<string, Meaning> = new Map<string, Meaning>([
  ['NoSuchKey', { code: 'NOT_FOUND' }],
  ['NoSuchUpload', { code: 'UPLOAD_FAILED', reason: UPLOAD_GONE }],
  ['FileAlreadyExists', { code: 'DESTINATION_CONFLICT' }],
  ['FileImmutable', { code: 'DESTINATION_CONFLICT' }],
  ['SecurityTokenExpired', REFUSED_KEYS],
  ['InvalidSecurityToken', REFUSED_KEYS],
  ['InvalidAccessKeyId', REFUSED_KEYS],
  [
    'SignatureDoesNotMatch',
    {
      code: 'PERMISSION_DENIED',
      hint: 'check the access key secret, and that the region is that of the bucket',
    },
  ],
  ['BadDigest', SPOILED_ON_THE_WAY],
  ['InvalidDigest', SPOILED_ON_THE_WAY],
  ['IncompleteBody', SPOILED_ON_THE_WAY],
  ['RequestTimeout', SPOILED_ON_THE_WAY],
  ['AbnormalBucketOwnerStatus', CLOSED_ACCOUNT],
  ['InDebt', CLOSED_ACCOUNT],
  ['InDebtOverdue', CLOSED_ACCOUNT],
  ['UserDisable', CLOSED_ACCOUNT],
  ['NonStandardHostForbidden', FORBIDDEN_HOST],
  ['SecondLevelDomainForbidden', FORBIDDEN_HOST],
  // Accounts opened since March 2025 have no public endpoints in the mainland; the code stands in no list of codes.
  ['PublicEndpointForbidden', FORBIDDEN_HOST],
  [
    'InvalidObjectState',
    {
      code: 'SERVICE_ERROR',
      hint: 'the object is in an archive class: restore it with "ossutil restore", wait, and try again',
    },
  ],
]);

interface Answer {
  readonly status: number | undefined;
  readonly code: string | undefined;
  /** Number of the page that explains the very case: https://help.aliyun.com/en/oss/support/ with it at the end. */
  readonly ec: string | undefined;
  readonly requestId: string | undefined;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
  /** By the clock of OSS. */
  readonly answeredAtMs: number | undefined;
}

/** HEAD has no body: OSS puts the error document, in base64, into a header, which the SDK does not read on 404. */
function readAnswer(thrown: unknown, headers: Readonly<Record<string, string>>): Answer {
  // The SDK's errors are plain ones with these members added.
  const said = thrown as Partial<Record<'status' | 'code' | 'ecCode' | 'requestId' | 'message', unknown>>;
  const document = Buffer.from(headers['x-oss-err'] ?? '', 'base64').toString();
  const told = (element: string): string | undefined =>
    new RegExp(`<${element}>([^<]{1,500})</${element}>`).exec(document)?.[1];
  const answeredAtMs = Date.parse(headers['date'] ?? '');
  return {
    status: typeof said.status === 'number' && said.status > 0 ? said.status : undefined,
    code: told('Code') ?? textOf(said.code),
    ec: told('EC') ?? textOf(said.ecCode) ?? headers['x-oss-ec'],
    requestId: textOf(said.requestId) ?? headers['x-oss-request-id'],
    message: told('Message') ?? textOf(said.message)?.split('\n')[0] ?? 'unknown error',
    retryAfterMs: askedDelayMs(headers),
    answeredAtMs: Number.isNaN(answeredAtMs) ? undefined : answeredAtMs,
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function detailsOf({ status, code, ec, requestId, retryAfterMs }: Answer): ErrorDetails {
  return {
    ...(status === undefined ? {} : { status }),
    ...(code === undefined ? {} : { code }),
    ...(ec === undefined ? {} : { ec }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}
