/** A role of RAM with what its policies say. Reads only, and only for the command line. */
import type { RetryPolicy } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { createRpcCaller, type RpcAnswer } from './rpc.ts';

export interface RamOptions {
  readonly credentials: CredentialsProvider;
  readonly accountId: string;
  /** `http(s)://host:port` in place of the public address. */
  readonly endpoint?: string | undefined;
}

export interface RoleFacts {
  /** ARN. */
  readonly arn: string;
  /** Who may take it on: a policy document, as JSON. */
  readonly trust: string;
  readonly policies: readonly PolicyFacts[];
}

export interface PolicyFacts {
  readonly name: string;
  /** A policy document, as JSON. */
  readonly document: string;
}

const VERSION = '2015-05-01';
const READ_TIMEOUT_MS = 5_000;
const POLICY: RetryPolicy = { attempts: 3, firstDelayMs: 300, maxDelayMs: 2_000, totalMs: 10_000 };

/** @throws BackupError `NOT_FOUND` when there is no such role, `PERMISSION_DENIED`, `SERVICE_ERROR`, … */
export async function readRole(
  { credentials, accountId, endpoint = 'https://ram.aliyuncs.com' }: RamOptions,
  name: string,
  signal: AbortSignal,
): Promise<RoleFacts> {
  const ask = createRpcCaller({
    credentials,
    region: '',
    endpoint,
    readTimeoutMs: READ_TIMEOUT_MS,
    policy: POLICY,
  });
  const read = async (
    action: string,
    what: string,
    query: Readonly<Record<string, string>>,
  ): Promise<RpcAnswer> =>
    ask(
      {
        attempt: `read ${what.replace('/', ' ')}`,
        action: `ram:${action}`,
        resource: `acs:ram:*:${accountId}:${what}`,
        version: VERSION,
        query,
      },
      signal,
    );

  /** https://help.aliyun.com/en/ram/developer-reference/api-ram-2015-05-01-getrole */
  const role = read('GetRole', `role/${name}`, { RoleName: name });
  /** https://help.aliyun.com/en/ram/developer-reference/api-ram-2015-05-01-listpoliciesforrole */
  const list = read('ListPoliciesForRole', `role/${name}`, { RoleName: name });
  const [{ Role }, { Policies }] = await Promise.all([role, list]);
  const rows = record(Policies)['Policy'];
  const policies = (Array.isArray(rows) ? rows : []).map(async (row: unknown) => {
    const { PolicyName, PolicyType } = record(row);
    const query = { PolicyName: text(PolicyName), PolicyType: text(PolicyType) };
    /** https://help.aliyun.com/en/ram/developer-reference/api-ram-2015-05-01-getpolicy */
    const { DefaultPolicyVersion } = await read('GetPolicy', `policy/${query.PolicyName}`, query);
    return { name: query.PolicyName, document: text(record(DefaultPolicyVersion)['PolicyDocument']) };
  });
  return {
    arn: text(record(Role)['Arn']),
    trust: text(record(Role)['AssumeRolePolicyDocument']),
    policies: await Promise.all(policies),
  };
}

function record(value: unknown): RpcAnswer {
  return typeof value === 'object' && value !== null ? (value as RpcAnswer) : {}; // JSON, whose members are unknown
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
