/** Where the keys of a call come from. Asked for at each use: keys of a role change while a long backup runs. */
import Credential, { RAMRoleARNCredentialsProvider } from '@alicloud/credentials';
import { systemClock, type Clock } from '../clock.ts';
import type { Account } from '../config.ts';
import type { WhoAmI } from '../denials.ts';
import { BackupError, describe } from '../errors.ts';
import { retry, type RetryPolicy } from '../transfer/retry.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** Of a temporary session; absent for a permanent key. */
  readonly securityToken?: string;
}

/**
 * Gives credentials that are valid now. Cheap to call often: a provider that has to ask a service keeps the answer.
 * @param refused what a service has just refused as not valid any more: not given again where there can be others
 */
export type CredentialsProvider = (refused?: Credentials) => Promise<Credentials>;

/** Always the same keys: those of a function's context, which outlive every invocation. */
export function fixedCredentials(credentials: Credentials): CredentialsProvider {
  return async () => credentials;
}

/**
 * The vendor's chain: environment, OIDC, profiles of the command line, the role of an ECS instance. For the CLI.
 * https://help.aliyun.com/zh/sdk/developer-reference/v2-manage-node-js-access-credentials
 */
export function chainedCredentials(): CredentialsProvider {
  let chain: Credential | undefined;
  return async () => {
    try {
      chain ??= new Credential();
      return toCredentials(await chain.getCredential());
    } catch (cause) {
      // A chain that has failed once sticks to its last link for ever: the next caller gets a new one.
      chain = undefined;
      throw new BackupError('CONFIG_INVALID', 'find credentials: none of the usual places has any', {
        cause,
        hint: 'set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (and ALIBABA_CLOUD_SECURITY_TOKEN), or run `aliyun configure`',
      });
    }
  };
}

/** What any role allows; a longer session would need the role's owner to raise its limit. */
const SESSION_SECONDS = 3600;
/** A session is not used in its last quarter of an hour: what begins with it should end with it. */
const RENEW_BEFORE_MS = 15 * 60_000;
/** While a session that holds cannot be renewed, this is how often that is tried, and how near its end it is given up. */
const RENEW_AGAIN_MS = 60_000;

const STS_TIMEOUT_MS = 10_000;
const STS_POLICY: RetryPolicy = { attempts: 4, firstDelayMs: 500, maxDelayMs: 4_000, totalMs: 20_000 };

/** Asks for a session. Throws a BackupError, retryable when the service may answer better a little later. */
export type Assume = (own: Credentials) => Promise<Credentials>;

interface Session {
  readonly credentials: Credentials;
  readonly renewAtMs: number;
  readonly endsAtMs: number;
}

/**
 * The role of another account, assumed with our own credentials. Its session is kept until shortly before it ends and
 * renewed once, for all who wait. A renewal that fails does no harm while the session still holds; a session that a
 * service refuses before its time (it was revoked, or clocks differ) is renewed at once.
 * @param clock of the day, by which sessions end
 */
export function assumedRole(
  own: CredentialsProvider,
  assume: Assume,
  clock: Pick<Clock, 'now'> = systemClock,
): CredentialsProvider {
  let session: Session | undefined;
  let asking: Promise<Credentials> | undefined;

  async function renew(): Promise<Credentials> {
    const askedAtMs = clock.now();
    try {
      const credentials = await assume(await own());
      const endsAtMs = askedAtMs + SESSION_SECONDS * 1000;
      session = { credentials, endsAtMs, renewAtMs: endsAtMs - RENEW_BEFORE_MS };
    } catch (error) {
      if (session === undefined || clock.now() >= session.endsAtMs - RENEW_AGAIN_MS) throw error;
      session = { ...session, renewAtMs: clock.now() + RENEW_AGAIN_MS };
    }
    return session.credentials;
  }

  return async (refused) => {
    if (refused !== undefined && session?.credentials.accessKeyId === refused.accessKeyId)
      session = undefined;
    if (session !== undefined && clock.now() < session.renewAtMs) return session.credentials;
    asking ??= renew().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

/**
 * AssumeRole, by the vendor's own client; its cache is not used: it goes on with a session that has ended when it
 * cannot be renewed, and hides why.
 * https://help.aliyun.com/zh/ram/developer-reference/api-sts-2015-04-01-assumerole
 * @param endpoint `https://host:port` in place of the service's public address
 * @param whoAmI who asks, for what an error says
 */
export function assumeBySts(account: Account, endpoint: string | undefined, whoAmI?: WhoAmI): Assume {
  const attempt = async ({
    accessKeyId,
    accessKeySecret,
    securityToken = '',
  }: Credentials): Promise<Credentials> => {
    const builder = RAMRoleARNCredentialsProvider.builder()
      .withCredentialsProvider({
        getCredentials: async () => ({
          accessKeyId,
          accessKeySecret,
          securityToken,
          providerName: 'tairlift',
        }),
        getProviderName: () => 'tairlift',
      })
      .withRoleArn(account.roleArn)
      .withRoleSessionName('tairlift')
      .withDurationSeconds(SESSION_SECONDS)
      .withReadTimeout(STS_TIMEOUT_MS)
      .withConnectTimeout(STS_TIMEOUT_MS);
    if (account.externalId !== undefined) builder.withExternalId(account.externalId);
    if (endpoint !== undefined) builder.withStsEndpoint(new URL(endpoint).host);
    try {
      return toCredentials(await builder.build().getCredentials());
    } catch (cause) {
      throw await namingAsker(refusal(account, cause), whoAmI);
    }
  };
  const { signal } = new AbortController(); // the policy ends it in time
  return async (own) => retry(async () => attempt(own), STS_POLICY, signal);
}

/** Whether it is the right to assume that is missing, or the trust, nobody tells: both are about who asks. */
async function namingAsker(error: BackupError, whoAmI: WhoAmI | undefined): Promise<BackupError> {
  const { code, message, retryable, details, hint } = error;
  if (whoAmI === undefined || !/^(NoPermission|AccessDenied|Forbidden)/.test(String(details['serviceCode'])))
    return error;
  const caller = await whoAmI();
  return new BackupError(code, `${message} (asked by ${caller})`, {
    retryable,
    details: { ...details, caller },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** By the service's own words, as far as there are any in what the client throws. */
function refusal({ roleArn, externalId }: Account, cause: unknown): BackupError {
  const text = describe(cause);
  const { code, message, requestId } = answerIn(text);
  const say = (is: BackupError['code'], retryable: boolean, hint?: string): BackupError =>
    new BackupError(is, `assume role ${roleArn}${code === '' ? '' : `: ${code} ${message}`}`, {
      retryable,
      details: { roleArn, ...(code === '' ? {} : { serviceCode: code, requestId }) },
      ...(code === '' ? { cause } : {}),
      ...(hint === undefined ? {} : { hint }),
    });
  if (/^(NoPermission|AccessDenied|Forbidden|EntityNotExist)/.test(code)) {
    const theirs =
      externalId === undefined ? 'demand no external id' : 'demand the external id that the plan names';
    return say(
      'PERMISSION_DENIED',
      false,
      `check that the role exists, that its trust policy names this account, that it does ${theirs}, and that our own role may sts:AssumeRole`,
    );
  }
  if (
    /^(InvalidAccessKeyId|InvalidSecurityToken|MissingSecurityToken|SignatureDoesNotMatch|InvalidTimeStamp)/.test(
      code,
    ) ||
    /access key secret is invalid/.test(text)
  )
    return say(
      'PERMISSION_DENIED',
      false,
      'it is our own credentials that are refused: check them, whether their token has expired, and the clock of this machine',
    );
  if (/^(InvalidParameter|MissingParameter)/.test(code))
    return say('CONFIG_INVALID', false, 'check roleArn and externalId in plans.yaml');
  if (/throttl/i.test(code)) return say('THROTTLED', true);
  return say('SERVICE_ERROR', true);
}

/** The client throws the answer as text behind words of its own. Empty texts when it is no answer of the service. */
function answerIn(text: string): {
  readonly code: string;
  readonly message: string;
  readonly requestId: string;
} {
  const field = (name: string): string => new RegExp(`"${name}"\\s*:\\s*"([^"]*)"`).exec(text)?.[1] ?? '';
  return { code: field('Code'), message: field('Message'), requestId: field('RequestId') };
}

interface VendorCredentials {
  readonly accessKeyId?: string;
  readonly accessKeySecret?: string;
  readonly securityToken?: string;
}

function toCredentials({
  accessKeyId = '',
  accessKeySecret = '',
  securityToken,
}: VendorCredentials): Credentials {
  if (accessKeyId === '' || accessKeySecret === '') throw new Error('the credentials have no key');
  return {
    accessKeyId,
    accessKeySecret,
    ...(securityToken === undefined || securityToken === '' ? {} : { securityToken }),
  };
}
