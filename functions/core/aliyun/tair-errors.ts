/** What the errors of the r-kvstore API mean, in one place. */
import { denialOf, withCaller, type Denial } from '../denials.ts';
import { BackupError, redact } from '../errors.ts';
import { isThrottling, type CallFailure } from './openapi.ts';

/** A call that failed, already as the product's error; keeps what the start of a backup has to know about it. */
export class TairFailure extends BackupError {
  readonly failure: CallFailure;
  readonly serviceCode: string;

  constructor(
    failure: CallFailure,
    attempt: string,
    action: string,
    region: string,
    instanceId: string | undefined,
    caller?: string,
  ) {
    const { code, retryable, hint, details = {} } = classify(failure, action, region, instanceId);
    const refused = failure.kind === 'refused' ? failure : undefined;
    const reason = failure.kind === 'refused' ? `${failure.code} ${failure.message}`.trim() : failure.reason;
    const message = redact(`${attempt}: ${reason}`);
    super(code, caller === undefined ? message : withCaller(message, details, caller), {
      retryable,
      ...(hint === undefined ? {} : { hint }),
      details: {
        action,
        region,
        ...(instanceId === undefined ? {} : { instanceId }),
        ...(refused === undefined ? {} : { status: refused.status, serviceCode: refused.code }),
        ...(refused === undefined || refused.requestId === '' ? {} : { requestId: refused.requestId }),
        ...(refused?.retryAfterMs === undefined ? {} : { retryAfterMs: refused.retryAfterMs }),
        ...details,
        ...(caller === undefined ? {} : { caller }),
      },
    });
    this.failure = failure;
    this.serviceCode = refused?.code ?? '';
  }
}

interface Classified {
  readonly code: BackupError['code'];
  readonly retryable: boolean;
  readonly hint?: string;
  readonly details?: Denial['details'];
}

/**
 * By the service's code, not by the HTTP status: throttling comes as 400, permissions and wrong methods as 403.
 * https://help.aliyun.com/zh/redis/developer-reference/error-codes
 */
function classify(
  failure: CallFailure,
  action: string,
  region: string,
  instanceId: string | undefined,
): Classified {
  if (failure.kind === 'unsent')
    return {
      code: 'SERVICE_ERROR',
      retryable: true,
      hint: `check whether there is a region "${region}", and whether the service can be reached from here`,
    };
  if (failure.kind !== 'refused') return { code: 'SERVICE_ERROR', retryable: true };
  const { code, status } = failure;
  if (isThrottling(failure)) return { code: 'THROTTLED', retryable: true };
  if (code === 'BackupTimesExceeded')
    return {
      code: 'BACKUP_QUOTA',
      retryable: false,
      hint: 'an instance has 30 manual backups a day; set backup.adoptWithinHours so that existing ones are taken',
    };
  if (/^Invalid(DB)?InstanceId/i.test(code)) return { code: 'INSTANCE_NOT_FOUND', retryable: false };
  if (/^(IncorrectDBInstanceState|OperationDeniedDBStatus|Task\.Conflict|LockTimeout)/i.test(code))
    return { code: 'INSTANCE_NOT_READY', retryable: true };
  if (/^IncorrectDBInstance(LockMode|Type)/i.test(code))
    return { code: 'INSTANCE_NOT_READY', retryable: false };
  if (/^(Forbidden|NoPermission|UnauthorizedOperation)/i.test(code))
    return {
      code: 'PERMISSION_DENIED',
      retryable: false,
      ...denialOf({
        action: `kvstore:${action}`,
        resource: `acs:kvstore:${region}:*:instance/${instanceId ?? '*'}`,
      }),
    };
  if (
    /^(InvalidAccessKeyId|InvalidSecurityToken|SignatureDoesNotMatch|IncompleteSignature|InvalidTimeStamp)/i.test(
      code,
    )
  )
    return {
      code: 'PERMISSION_DENIED',
      retryable: false,
      hint: 'check the credentials, whether their token has expired, and the clock of this machine',
    };
  if (/^InvalidRegion/i.test(code))
    return { code: 'CONFIG_INVALID', retryable: false, hint: `check the region "${region}" in plans.yaml` };
  return {
    code: 'SERVICE_ERROR',
    retryable: status >= 500 || /^(ServiceUnavailable|InternalError|SignatureNonceUsed)/i.test(code),
  };
}
