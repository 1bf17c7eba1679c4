/** Single calls of the vendor's RPC-style services, without the service's own SDK: a question, its answer as JSON. */
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { denialOf, namingCaller, type WhoAmI } from '../denials.ts';
import { BackupError, redact } from '../errors.ts';
import { retry, systemClock, type RetryClock, type RetryPolicy } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import {
  NO_RUNTIME_OPTIONS,
  abandonOnAbort,
  isThrottling,
  openApiConfig,
  toCallFailure,
  type CallFailure,
} from './openapi.ts';

export interface RpcOptions {
  readonly credentials: CredentialsProvider;
  readonly region: string;
  /** `http(s)://host[:port]` */
  readonly endpoint: string;
  readonly readTimeoutMs: number;
  readonly policy: RetryPolicy;
  readonly clock?: RetryClock | undefined;
  readonly whoAmI?: WhoAmI | undefined;
}

export interface RpcCall {
  /** What is attempted, for messages: `read role tairlift-prod-uploader`. */
  readonly attempt: string;
  /** As permissions name it: `ram:GetRole`. */
  readonly action: string;
  /** What the permission has to be for, as an ARN. */
  readonly resource: string;
  /** Of the API: `2015-05-01`. */
  readonly version: string;
  readonly query: Readonly<Record<string, string>>;
}

export type RpcAnswer = Readonly<Record<string, unknown>>;

/** Makes the call until it succeeds, within the policy. Throws a BackupError. */
export type RpcCaller = (call: RpcCall, signal: AbortSignal) => Promise<RpcAnswer>;

export function createRpcCaller(options: RpcOptions): RpcCaller {
  const client = new OpenApi(openApiConfig(options));

  async function once(call: RpcCall, signal: AbortSignal): Promise<RpcAnswer> {
    const params = new $OpenApiUtil.Params({
      action: call.action.slice(call.action.indexOf(':') + 1),
      version: call.version,
      protocol: 'HTTPS',
      pathname: '/',
      method: 'POST',
      authType: 'AK',
      style: 'RPC',
      reqBodyType: 'formData',
      bodyType: 'json',
    });
    const request = new $OpenApiUtil.OpenApiRequest({ query: call.query });
    try {
      const { body } = await abandonOnAbort(client.callApi(params, request, NO_RUNTIME_OPTIONS), signal);
      return typeof body === 'object' && body !== null ? (body as RpcAnswer) : {}; // JSON, read by the SDK
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw await namingCaller(toRpcError(toCallFailure(error), call, options.endpoint), options.whoAmI);
    }
  }

  return async (call, signal) =>
    retry(async () => once(call, signal), options.policy, signal, options.clock ?? systemClock);
}

/** By the service's code: https://api.aliyun.com/troubleshoot lists them for each product. */
export function toRpcError(failure: CallFailure, call: RpcCall, endpoint: string): BackupError {
  const { attempt, action, resource } = call;
  if (failure.kind !== 'refused')
    return new BackupError('SERVICE_ERROR', redact(`${attempt}: ${failure.reason}`), {
      retryable: true,
      hint: `check that ${new URL(endpoint).host} can be reached from here`,
    });
  const { status, code, message, requestId } = failure;
  const text = redact(`${attempt}: ${code} ${message}`.trim());
  const details = { status, serviceCode: code, ...(requestId === '' ? {} : { requestId }) };
  if (isThrottling(failure)) return new BackupError('THROTTLED', text, { retryable: true, details });
  if (
    /^(InvalidAccessKeyId|InvalidSecurityToken|MissingSecurityToken|SignatureDoesNotMatch|IncompleteSignature|InvalidTimeStamp)/i.test(
      code,
    )
  )
    return new BackupError('PERMISSION_DENIED', text, {
      details,
      hint: 'check the credentials, whether their token has expired, and the clock of this machine',
    });
  if (status === 401 || status === 403 || /^(Forbidden|NoPermission|AccessDenied)/i.test(code)) {
    const { hint, details: lack } = denialOf({ action, resource });
    return new BackupError('PERMISSION_DENIED', text, { details: { ...details, ...lack }, hint });
  }
  if (status === 404 || /^EntityNotExist/i.test(code)) return new BackupError('NOT_FOUND', text, { details });
  return new BackupError('SERVICE_ERROR', text, { retryable: status >= 500, details });
}
