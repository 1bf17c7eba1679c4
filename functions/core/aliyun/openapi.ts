/**
 * What all of the vendor's OpenAPI clients have in common here: explicit timeouts (the SDK's own default is 3 s),
 * no retries of their own (the callers decide what is safe to repeat), and failures told apart by what they prove.
 */
import Credential from '@alicloud/credentials';
import { $OpenApiUtil, type default as OpenApi } from '@alicloud/openapi-core';
import { stopReason } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';

/** The control planes answer within a second or two; a long list of a busy account takes longest. */
const READ_TIMEOUT_MS = 20_000;

export interface OpenApiOptions {
  readonly credentials: CredentialsProvider;
  readonly region: string;
  /** `http(s)://host:port`; the service's own public address if left out. */
  readonly endpoint?: string | undefined;
  readonly readTimeoutMs?: number;
}

export function openApiConfig(options: OpenApiOptions): $OpenApiUtil.Config {
  const { protocol, host } = new URL(options.endpoint ?? 'https://unset');
  const timeoutMs = options.readTimeoutMs ?? READ_TIMEOUT_MS;
  return new $OpenApiUtil.Config({
    credential: new Credential(null, {
      getCredentials: async () => ({ ...(await options.credentials()), providerName: 'tairlift' }),
      getProviderName: () => 'tairlift',
    }),
    regionId: options.region,
    protocol: protocol.replace(':', ''),
    ...(options.endpoint === undefined ? {} : { endpoint: host }),
    readTimeout: timeoutMs,
    // The HTTP client below takes this for a limit of silence on the socket, also after it is connected: a shorter one
    // would cut off answers that take long, and call it a failed connection.
    connectTimeout: timeoutMs,
  });
}

/**
 * No settings for a single call: everything is in the Config. The SDK only reads plain fields of it, and its class
 * is not exported by a package that we depend on, so an empty object stands in for an instance.
 */
export const NO_RUNTIME_OPTIONS = {} as Parameters<OpenApi['callApi']>[2];

/** Why a call brought nothing, by what it proves about the request. */
export type CallFailure =
  /** The service answered with an error of its own. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly code: string;
      readonly message: string;
      readonly requestId: string;
      readonly retryAfterMs?: number;
    }
  /** No connection came about: the service has not seen the request. */
  | { readonly kind: 'unsent'; readonly reason: string }
  /** Sent, and no usable answer: it may or may not have been carried out. */
  | { readonly kind: 'unanswered'; readonly reason: string };

const NEVER_CONNECTED = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'ENETUNREACH', 'EHOSTUNREACH']);

/** Tells the SDK's many ways of failing apart. An HTML page of a gateway surfaces as a bare SyntaxError. */
export function toCallFailure(thrown: unknown): CallFailure {
  const error = thrown as {
    readonly code?: unknown;
    readonly statusCode?: unknown;
    readonly requestId?: unknown;
    readonly retryAfter?: unknown;
  };
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  if (typeof error.code === 'string' && NEVER_CONNECTED.has(error.code)) return { kind: 'unsent', reason };
  if (typeof error.statusCode !== 'number') return { kind: 'unanswered', reason };
  return {
    kind: 'refused',
    status: error.statusCode,
    code: typeof error.code === 'string' && error.code !== 'undefined' ? error.code : '',
    message: reason,
    requestId: typeof error.requestId === 'string' && error.requestId !== 'undefined' ? error.requestId : '',
    ...(typeof error.retryAfter === 'number' && Number.isFinite(error.retryAfter) && error.retryAfter > 0
      ? { retryAfterMs: error.retryAfter }
      : {}),
  };
}

/** Throttled, whichever way the service puts it: the codes differ by product, the status is 400, 429 or 503. */
export function isThrottling(failure: CallFailure): boolean {
  return (
    failure.kind === 'refused' && (/throttl|flow ?control/i.test(failure.code) || failure.status === 429)
  );
}

/** The SDK cannot be interrupted: on abort the call is left to its own timeout and its outcome is not awaited. */
export async function abandonOnAbort<T>(call: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    stop = (): void => reject(stopReason(signal));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([call, aborted]);
  } finally {
    if (stop !== undefined) signal.removeEventListener('abort', stop);
  }
}
