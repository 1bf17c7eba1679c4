/** Where the keys of a call come from. Asked for at each use: keys of a role change while a long backup runs. */
import Credential, { RAMRoleARNCredentialsProvider } from '@alicloud/credentials';
import type { Account } from '../config.ts';
import { BackupError, describe } from '../errors.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** Of a temporary session; absent for a permanent key. */
  readonly securityToken?: string;
}

/** Gives credentials that are valid now. Cheap to call often: a provider that has to ask a service keeps the answer. */
export type CredentialsProvider = () => Promise<Credentials>;

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

/** The client refreshes 15 minutes before the end: shorter sessions would be asked for at every call. */
const SESSION_SECONDS = 3600;
const STS_TIMEOUT_MS = 10_000;

/**
 * The role of another account, assumed with our own credentials and kept until shortly before its session ends.
 * https://help.aliyun.com/zh/ram/developer-reference/api-sts-2015-04-01-assumerole
 * @param endpoint `https://host:port` in place of the service's public address
 */
export function assumedRole(
  own: CredentialsProvider,
  account: Account,
  endpoint: string | undefined,
): CredentialsProvider {
  const builder = RAMRoleARNCredentialsProvider.builder()
    .withCredentialsProvider({
      getCredentials: async () => {
        const { accessKeyId, accessKeySecret, securityToken } = await own();
        return { accessKeyId, accessKeySecret, securityToken: securityToken ?? '', providerName: 'tairlift' };
      },
      getProviderName: () => 'tairlift',
    })
    .withRoleArn(account.roleArn)
    .withRoleSessionName('tairlift')
    .withDurationSeconds(SESSION_SECONDS)
    .withReadTimeout(STS_TIMEOUT_MS)
    .withConnectTimeout(STS_TIMEOUT_MS);
  if (account.externalId !== undefined) builder.withExternalId(account.externalId);
  if (endpoint !== undefined) builder.withStsEndpoint(new URL(endpoint).host);
  const provider = builder.build();

  // The client asks once for each caller that waits; all of ours wait for the same answer.
  let asking: Promise<Credentials> | undefined;
  return async () => {
    asking ??= assume(provider, account).finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

async function assume(provider: RAMRoleARNCredentialsProvider, { roleArn }: Account): Promise<Credentials> {
  try {
    return toCredentials(await provider.getCredentials());
  } catch (cause) {
    const isRefused = /NoPermission|AccessDenied|EntityNotExist/.test(describe(cause));
    throw new BackupError(isRefused ? 'PERMISSION_DENIED' : 'SERVICE_ERROR', `assume role ${roleArn}`, {
      cause,
      retryable: !isRefused,
      ...(isRefused
        ? { hint: 'the role must exist, trust this account, and demand the external id that the plan names' }
        : {}),
    });
  }
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
