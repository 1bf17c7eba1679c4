/** Whose credentials are used. Without any, nothing else can be asked. */
import type { Caller, Inspection } from '../../functions/core/compose.ts';
import { asBackupError } from '../../functions/core/errors.ts';
import { attempt, failed, note, ok, type Check } from './check.ts';

export interface Identified {
  readonly checks: readonly Check[];
  /** Undefined when nobody told who it is. */
  readonly caller?: Caller;
  /** There are credentials, and they are not refused. */
  readonly isUsable: boolean;
}

export async function identify(inspection: Inspection, signal: AbortSignal): Promise<Identified> {
  const found = await attempt('credentials', '', signal, async () => {
    await inspection.findCredentials();
    return [ok('credentials', '', 'are there')];
  });
  if (found.some(({ status }) => status === 'error')) return { checks: found, isUsable: false };
  let caller: Caller | undefined;
  let isRefused = false;
  const identity = await attempt('identity', '', signal, async (limited) => {
    try {
      caller = await inspection.whoAmI(limited);
      return [describeCaller(caller)];
    } catch (error) {
      isRefused = asBackupError(error).code === 'PERMISSION_DENIED';
      // The other services may still be reached, and take the same keys.
      return [failed('identity', '', error, isRefused ? 'error' : 'warn')];
    }
  });
  return {
    checks: [...found, ...identity],
    isUsable: !isRefused,
    ...(caller === undefined ? {} : { caller }),
  };
}

function describeCaller({ arn, accountId }: Caller): Check {
  if (arn.endsWith(':root'))
    return note(
      'identity',
      accountId,
      'is the account itself, which may do everything',
      'use a RAM user or role with the rights of docs/permissions.md: keys of the account cannot be limited',
    );
  return ok('identity', accountId, arn);
}
