/** Flow control: each account has a bucket of tokens for each action, shared by all who call for it. */
import type { Clock } from '../clock.ts';
import { ServiceError } from '../http.ts';
import type { Action } from '../openapi/rpc-service.ts';
import type { TairOptions } from './options.ts';

interface Tokens {
  count: number;
  atMs: number;
}

/**
 * The same actions, refused with `Throttling.User` while the account's bucket is empty. A refused call takes nothing. Code
 * and message are documented, rates are not.
 */
export function throttled(
  clock: Clock,
  options: TairOptions,
  actions: Readonly<Record<string, Action>>,
): Readonly<Record<string, Action>> {
  const buckets = new Map<string, Tokens>();

  function take(accountId: string, name: string): void {
    if (options.throttle === undefined) return;
    const { burst, perSecond } = options.throttle.actions?.[name] ?? options.throttle;
    const key = `${accountId} ${name}`;
    const atMs = clock.now();
    const before = buckets.get(key) ?? { count: burst, atMs };
    const count = Math.min(burst, before.count + ((atMs - before.atMs) / 1000) * perSecond);
    buckets.set(key, { count: count < 1 ? count : count - 1, atMs });
    if (count < 1)
      throw new ServiceError(400, 'Throttling.User', 'Request was denied due to user flow control.');
  }

  return Object.fromEntries(
    Object.entries(actions).map(([name, action]) => [
      name,
      {
        ...action,
        perform: (call) => {
          take(call.principal.accountId, name);
          return action.perform(call);
        },
      },
    ]),
  );
}
