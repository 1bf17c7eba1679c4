/**
 * What the failures of OSS mean. Codes: https://help.aliyun.com/en/oss/developer-reference/error-responses and the
 * pages of each action.
 */
import { BackupError, type ErrorCode, type ErrorDetails } from '../errors.ts';
import { ConnectionFailure } from '../transfer/http.ts';
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
  const attempt = `${call.does} ${place.bucket}/${call.key}`;
  const failed: ErrorCode = call.writes === true ? 'UPLOAD_FAILED' : 'SERVICE_ERROR';
  if (thrown instanceof ConnectionFailure) {
    return new BackupError(failed, attempt, {
      retryable: true,
      details: { bucket: place.bucket, key: call.key, failure: thrown.kind },
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

function meaningOf(
  { status, code, message }: Answer,
  { action, key }: OssCall,
  { bucket, region }: Place,
): Meaning {
  const byCode = code === undefined ? undefined : BY_CODE.get(code);
  if (byCode !== undefined) return byCode;
  if (code === 'NoSuchBucket') {
    return {
      code: 'NO_SUCH_BUCKET',
      hint: `create it with "ossutil mb oss://${bucket} --region ${region}", or correct the destination's bucket`,
    };
  }
  if (
    (code === 'AccessDenied' && /endpoint/i.test(message)) ||
    (code === 'InvalidArgument' && /region/i.test(message))
  )
    return {
      code: 'CONFIG_INVALID',
      hint: `the bucket is not in ${region}; correct the destination's region`,
    };
  if (code === 'AccessDenied' || status === 403)
    return { code: 'PERMISSION_DENIED', hint: `allow ${action} on acs:oss:*:*:${bucket}/${key}` };
  // OSS throttles with 503 and one of many codes; the codes change, the status does not.
  if (status === 429 || status === 503) return { code: 'THROTTLED', retryable: true };
  if (status === undefined || status === 408 || status >= 500) return { retryable: true };
  // Without a code it is not OSS that answers but something on the way; it may get out of the way.
  return { retryable: code === undefined };
}

const REFUSED_KEYS: Meaning = {
  code: 'PERMISSION_DENIED',
  reason: KEYS_REFUSED,
  hint: 'the credentials have expired or do not exist; check the role of the function, or the access key',
};
const SPOILED_ON_THE_WAY: Meaning = { retryable: true };

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
  ['RequestTimeTooSkewed', SPOILED_ON_THE_WAY],
]);

interface Answer {
  readonly status: number | undefined;
  readonly code: string | undefined;
  readonly requestId: string | undefined;
  readonly message: string;
  readonly retryAfterMs: number | undefined;
}

/** HEAD has no body: OSS puts the error document, in base64, into a header, which the SDK does not read on 404. */
function readAnswer(thrown: unknown, headers: Readonly<Record<string, string>>): Answer {
  // The SDK's errors are plain ones with these members added.
  const { status, code, requestId, message } = thrown as Partial<Record<keyof Answer, unknown>>;
  const document = Buffer.from(headers['x-oss-err'] ?? '', 'base64').toString();
  const told = /<Code>(\w+)<\/Code>/.exec(document)?.[1];
  return {
    status: typeof status === 'number' && status > 0 ? status : undefined,
    code: told ?? (typeof code === 'string' ? code : undefined),
    requestId: typeof requestId === 'string' ? requestId : headers['x-oss-request-id'],
    message: typeof message === 'string' ? (message.split('\n')[0] ?? '') : 'unknown error',
    retryAfterMs: retryAfterOf(headers),
  };
}

function detailsOf({ status, code, requestId, retryAfterMs }: Answer): ErrorDetails {
  return {
    ...(status === undefined ? {} : { status }),
    ...(code === undefined ? {} : { code }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}

/** Seconds as HTTP has it, or the milliseconds that OSS puts on throttled answers. */
function retryAfterOf(headers: Readonly<Record<string, string>>): number | undefined {
  const ms = Number(headers['x-oss-qos-delay-time'] ?? Number(headers['retry-after']) * 1000);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
