/** What an error says when a right is missing: who lacks which action on what, and what it would be needed for. */
import { BackupError, type ErrorDetails } from './errors.ts';
import { PERMISSIONS } from './permissions.ts';

/** A right that a service has just said is missing. */
export interface Lack {
  /** `oss:PutObject` */
  readonly action: string;
  /** An ARN, or `*` for actions that know no resources. */
  readonly resource: string;
}

/**
 * The caller's name, looked up after a refusal and never before: an ARN, or words that tell which role it is when
 * nobody could be asked in time. Cheap to call again; never throws.
 */
export type WhoAmI = () => Promise<string>;

/** Why the details of an error and its hint name a right. */
export interface Denial {
  readonly details: ErrorDetails;
  readonly hint: string;
}

export function denialOf({ action, resource }: Lack): Denial {
  const permission = PERMISSIONS.find((known) => known.action === action);
  const on = permission?.on.includes('everything') === true ? '*' : resource;
  const without = permission?.without === undefined ? '' : `; without it, ${permission.without}`;
  return {
    details: { lacks: action, on },
    hint: `allow ${action} on ${on}${without}`,
  };
}

/** The same error, with the name of the caller in its message and details; any other error as it is. */
export async function namingCaller(error: BackupError, whoAmI: WhoAmI | undefined): Promise<BackupError> {
  const name = await callerOf(error, whoAmI);
  if (name === undefined) return error;
  return new BackupError(error.code, withCaller(error.message, error.details, name), {
    retryable: error.retryable,
    details: { ...error.details, caller: name },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.cause === undefined ? {} : { cause: error.cause }),
  });
}

/** Undefined where the error does not name a right that is missing. */
export async function callerOf(
  { code, details }: Pick<BackupError, 'code' | 'details'>,
  whoAmI: WhoAmI | undefined,
): Promise<string | undefined> {
  if (whoAmI === undefined || code !== 'PERMISSION_DENIED' || details['lacks'] === undefined)
    return undefined;
  return whoAmI();
}

/** Behind what was attempted and before what the service says of it, which is long, and cut where room is short. */
export function withCaller(message: string, { lacks, on }: ErrorDetails, caller: string): string {
  const [attempt = '', ...said] = message.split(': ');
  return [attempt, `${caller} lacks ${String(lacks)} on ${String(on)}`, ...said].join(': ');
}
