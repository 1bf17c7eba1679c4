/**
 * The one error type of the product. A code from a closed list says what happened, the message says what was
 * attempted, on what, and where it stopped; the hint says what to do now. Nothing in it is ever a secret: no
 * signed query string, no token, no key.
 */
import { inspect } from 'node:util';

/** Every way in which tairlift can fail, by name. Add here first; docs and exit codes follow this list. */
export type ErrorCode =
  /** An event, a flag, `plans.yaml` or the environment is wrong. Found before any call is made. */
  | 'CONFIG_INVALID'
  /** A plan selected no instance at all. */
  | 'NOTHING_SELECTED'
  /** A named instance does not exist, or was there when listed and is gone. */
  | 'INSTANCE_NOT_FOUND'
  /** The instance cannot be backed up now: a changing state that did not end before the deadline. */
  | 'INSTANCE_NOT_READY'
  /** The service reports the backup as failed, or a shard of it is missing. */
  | 'BACKUP_FAILED'
  /** The backup did not finish within `backup.timeoutMinutes`. */
  | 'BACKUP_TIMEOUT'
  /** The instance has had its 30 manual backups of the day. */
  | 'BACKUP_QUOTA'
  /** The backup is finished, but no file of it can be downloaded. */
  | 'NO_DOWNLOAD_URL'
  /** The download URL is not accepted any more, also not after it was renewed. */
  | 'URL_EXPIRED'
  /** A server does not let itself be replicated: a managed service, a proxy, or something that is none. */
  | 'REPLICATION_REFUSED'
  /** The source could not be read: connection errors, stalls or 5xx beyond the retry budget. */
  | 'SOURCE_UNAVAILABLE'
  /** The source answers with something else than the bytes that were asked for. */
  | 'SOURCE_INVALID'
  /** The source ended before its own announced length. */
  | 'SOURCE_TRUNCATED'
  /** The source is not the same object any more as at the first read. */
  | 'SOURCE_CHANGED'
  /** What arrived and what was sent differ. */
  | 'CHECKSUM_MISMATCH'
  /** The destination refused or lost the upload beyond the retry budget. */
  | 'UPLOAD_FAILED'
  /** The destination already holds other bytes under this key; backup objects are write-once. */
  | 'DESTINATION_CONFLICT'
  /** The destination bucket does not exist. */
  | 'NO_SUCH_BUCKET'
  /** The RDB file ends before its end marker. */
  | 'RDB_TRUNCATED'
  /** The RDB file's structure or its own checksum is wrong. */
  | 'RDB_CORRUPT'
  /** The RDB file is of a version or has a type that cannot be read without guessing. */
  | 'RDB_UNSUPPORTED'
  /** The files of a cluster's backup cannot be of one moment: a slot has keys in two of them, or a shard is not there. */
  | 'SHARDS_DISAGREE'
  /** Credentials or role lack a permission. */
  | 'PERMISSION_DENIED'
  /** The service throttles beyond the retry budget. */
  | 'THROTTLED'
  /** A remote service failed or answered nonsense, beyond the retry budget. */
  | 'SERVICE_ERROR'
  /** A function could not be invoked, or ended without leaving a result. */
  | 'INVOKE_FAILED'
  /** The platform's deadline is too near to finish; the work was stopped in order. */
  | 'DEADLINE_NEAR'
  /** Not started: the run's `maxErrors` was reached first, its window has closed, or another run holds the plan's lock. */
  | 'NOT_STARTED'
  /** Another run of the same plan was at work, and this one was skipped, waited in vain, or lost its place to it. */
  | 'RUN_OVERLAPS'
  /** The run ended, and not every instance is stored. */
  | 'RUN_INCOMPLETE'
  /** A stored backup does not agree with its manifest. */
  | 'BACKUP_DAMAGED'
  /** A thing asked for by name (a run, a manifest, an object) is not there. */
  | 'NOT_FOUND'
  /** The caller asked to stop. */
  | 'INTERRUPTED'
  /** A defect of tairlift itself: something that cannot happen did. */
  | 'INTERNAL';

export type ErrorDetails = Readonly<Record<string, string | number | boolean>>;

export interface BackupErrorOptions {
  /** May the same attempt, unchanged, succeed a little later? Defaults to false. */
  readonly retryable?: boolean;
  /** A small record for machines: instance, file, byte, HTTP status, request id. */
  readonly details?: ErrorDetails;
  /** What a person should do now, one sentence. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** Message style: verb, object, position; lower case, no full stop: `download file 2 of r-bp1 at byte 10485760`. */
export class BackupError extends Error {
  override readonly name = 'BackupError';
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: BackupErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
    this.hint = options.hint;
  }
}

/** How an error is written into JSON: summaries, outcome objects, `--json` output. */
export interface ErrorRecord {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly details?: ErrorDetails;
  readonly hint?: string;
}

/** Anything thrown, as a BackupError: what is not one already is `INTERNAL`, with itself as the cause. */
export function asBackupError(thrown: unknown): BackupError {
  if (thrown instanceof BackupError) return thrown;
  return new BackupError('INTERNAL', redact(textOf(thrown)), { cause: thrown });
}

export function toErrorRecord(thrown: unknown): ErrorRecord {
  const error = asBackupError(thrown);
  return {
    code: error.code,
    message: redact(describe(error)),
    retryable: error.retryable,
    ...(Object.keys(error.details).length > 0 ? { details: error.details } : {}),
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

/** The error that was written down; its causes are in its message. */
export function fromErrorRecord({ code, message, retryable, details, hint }: ErrorRecord): BackupError {
  return new BackupError(code, message, {
    retryable,
    ...(details === undefined ? {} : { details }),
    ...(hint === undefined ? {} : { hint }),
  });
}

/**
 * What a function throws at its platform, which prints it in its own way: the error in words, and of its causes
 * nothing that was not looked through for secrets. What nobody has foreseen keeps the place where it happened.
 */
export function toFunctionError(error: BackupError): Error {
  const hint = error.hint === undefined ? '' : ` (${error.hint})`;
  const thrown = new Error(redact(`${error.code}: ${describe(error)}${hint}`));
  const { cause } = error;
  if (error.code === 'INTERNAL' && cause instanceof Error && cause.stack !== undefined)
    thrown.stack = `Error: ${thrown.message}\n${redact(framesOf(cause.stack))}`;
  return thrown;
}

function framesOf(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => /^\s+at /.test(line))
    .join('\n');
}

/** The message with its causes, outermost first: `upload part 3: connect: ECONNREFUSED`. */
export function describe(error: unknown): string {
  const seen: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current !== undefined && depth < 5; depth++) {
    const text = redact(textOf(current));
    if (text !== '' && !seen.includes(text)) seen.push(text);
    current = current instanceof Error ? current.cause : undefined;
  }
  return seen.join(': ');
}

/** Whatever somebody has thrown: nothing at all, or something that JSON cannot say. */
function textOf(thrown: unknown): string {
  if (thrown instanceof Error) return thrown.message;
  try {
    return JSON.stringify(thrown) ?? inspect(thrown);
  } catch {
    return inspect(thrown);
  }
}

/**
 * Takes out of a text what must never be seen: query strings of URLs (they carry signatures), STS tokens,
 * access keys and authorization values, also in the encoded text that a service says it has signed. Links into the OSS
 * console stay: their query is the folder to show. Applied to everything that is logged or stored and came from outside.
 */
export function redact(text: string): string {
  return text
    .replaceAll(/(https?:\/\/(?!oss\.console\.aliyun\.com\/)[^\s"'<>?]+)\?[^\s"'<>]+/gi, '$1?<redacted>')
    .replaceAll(/\b((?:redis|http)s?:\/\/)[^\s"'@/]*@/gi, '$1<redacted>@')
    .replaceAll(/\b(STS|LTAI|TMP)[.\w-]{12,}/g, '$1<redacted>')
    .replaceAll(SECRET_VALUE, '$1$2<redacted>');
}

const SECRET_NAME =
  '(?<![a-z])(signature|security-?token|x-acs-security-token|authorization|accesskey(?:id|secret)|ossaccesskeyid|password)';

/** What follows such a name; of an authorization, also what stands behind the name of its scheme. */
const SECRET_VALUE = new RegExp(
  `${SECRET_NAME}(["']?\\s*(?:[=:]|%(?:25)*3[ad])\\s*["']?)(?:(?:OSS|FC|acs|Bearer|Basic) )?[^\\s"'&,}]+`,
  'gi',
);

/** Is the value of a member with this name a secret, whatever it looks like? */
export function isSecretName(name: string): boolean {
  return new RegExp(`${SECRET_NAME}$`, 'i').test(name);
}
