/** Whose credentials these are, as STS tells it. Needs no permission, only the way to STS. */
import { BackupError } from '../errors.ts';
import type { WhoAmI } from '../denials.ts';
import type { RetryPolicy } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { createRpcCaller } from './rpc.ts';

export interface Caller {
  /** `acs:ram::<accountId>:root`, `:user/<name>` or `:assumed-role/<role>/<session>`. */
  readonly arn: string;
  readonly accountId: string;
}

export interface CallerOptions {
  readonly credentials: CredentialsProvider;
  readonly region?: string | undefined;
  /** `https://host:port` in place of the region's public address. */
  readonly endpoint?: string | undefined;
}

const READ_TIMEOUT_MS = 3_000;
const ONCE: RetryPolicy = { attempts: 1, firstDelayMs: 0, maxDelayMs: 0, totalMs: 0 };

/**
 * https://help.aliyun.com/zh/ram/developer-reference/api-sts-2015-04-01-getcalleridentity
 * @throws BackupError `PERMISSION_DENIED` when the keys are not accepted, `SERVICE_ERROR` when STS cannot be asked
 */
export async function getCaller(
  { credentials, region, endpoint }: CallerOptions,
  signal: AbortSignal,
): Promise<Caller> {
  const ask = createRpcCaller({
    credentials,
    region: region ?? '',
    endpoint: endpoint ?? stsEndpoint(region),
    readTimeoutMs: READ_TIMEOUT_MS,
    policy: ONCE,
  });
  const call = {
    attempt: 'ask who the caller is',
    action: 'sts:GetCallerIdentity',
    resource: '*',
    version: '2015-04-01',
    query: {},
  };
  const { Arn: arn, AccountId: accountId } = await ask(call, signal);
  if (typeof arn === 'string' && arn !== '') return { arn, accountId: String(accountId) };
  throw new BackupError('SERVICE_ERROR', 'ask who the caller is: the answer names nobody');
}

export function stsEndpoint(region: string | undefined): string {
  return `https://sts.${region === undefined ? '' : `${region}.`}aliyuncs.com`;
}

/** How long an error waits for a name. */
const NAME_LIMIT_MS = 4_000;

/** Asks once, however many errors want to know. @param otherwise what is said when nobody answers in time */
export function callerOnce(options: CallerOptions, otherwise: string): WhoAmI {
  let name: Promise<string> | undefined;
  const ask = async (): Promise<string> => {
    try {
      return withoutSession((await getCaller(options, AbortSignal.timeout(NAME_LIMIT_MS))).arn);
    } catch {
      // The error that wants the name is worth more than why nobody told it.
      return otherwise;
    }
  };
  return async () => (name ??= ask());
}

/** The session's name is a request's; the role is what somebody gives rights to. */
function withoutSession(arn: string): string {
  return arn.replace(/(:assumed-role\/[^/]+)\/.*$/, '$1');
}
