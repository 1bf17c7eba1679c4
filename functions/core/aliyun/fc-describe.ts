/**
 * What Function Compute says of a function that is deployed. Asked with the plain client: a function that never asks
 * must not carry the classes of this answer, and it would if the client for invocations named them.
 */
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { BackupError } from '../errors.ts';
import { PATIENT, retry, systemClock } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { toInvokeError } from './fc-answers.ts';
import { NO_RUNTIME_OPTIONS, abandonOnAbort, openApiConfig, toCallFailure } from './openapi.ts';

export interface FunctionOptions {
  readonly credentials: CredentialsProvider;
  readonly accountId: string;
  readonly region: string;
  /** `http(s)://host:port` in place of the account's public address. */
  readonly endpoint?: string | undefined;
}

export interface FunctionFacts {
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
}

/**
 * https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-getfunction
 * @throws BackupError as `toInvokeError` has it
 */
export async function describeFunction(
  options: FunctionOptions,
  name: string,
  signal: AbortSignal,
): Promise<FunctionFacts> {
  const endpoint = options.endpoint ?? `https://${options.accountId}.${options.region}.fc.aliyuncs.com`;
  const client = new OpenApi(openApiConfig({ ...options, endpoint }));
  const params = new $OpenApiUtil.Params({
    action: 'GetFunction',
    version: '2023-03-30',
    protocol: 'HTTPS',
    pathname: `/2023-03-30/functions/${encodeURIComponent(name)}`,
    method: 'GET',
    authType: 'AK',
    style: 'ROA',
    reqBodyType: 'json',
    bodyType: 'json',
  });
  const look = async (): Promise<FunctionFacts> => {
    try {
      const call = client.callApi(params, new $OpenApiUtil.OpenApiRequest({}), NO_RUNTIME_OPTIONS);
      const { body } = (await abandonOnAbort(call, signal)) as { readonly body?: Record<string, unknown> };
      return {
        memoryMb: Number(body?.['memorySize'] ?? 0),
        timeoutSeconds: Number(body?.['timeout'] ?? 0),
      };
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw toInvokeError(toCallFailure(error), name, 'fc:GetFunction', options);
    }
  };
  return retry(look, PATIENT, signal, systemClock);
}
