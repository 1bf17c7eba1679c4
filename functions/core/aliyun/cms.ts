/** CloudMonitor: custom events of our own, on which alarm rules are set. */
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { BackupError, redact } from '../errors.ts';
import type { Events, OwnEvent } from '../events.ts';
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

export interface CmsOptions {
  readonly credentials: CredentialsProvider;
  readonly region: string;
  /** `http(s)://host:port` in place of the region's public address. */
  readonly endpoint?: string | undefined;
  readonly clock?: RetryClock;
}

/** An event is worth a few seconds of a run that has ended, and no more. */
const READ_TIMEOUT_MS = 4_000;
const POLICY: RetryPolicy = { attempts: 3, firstDelayMs: 300, maxDelayMs: 2_000, totalMs: 8_000 };

/** Belongs to no application group. */
const NO_GROUP = '0';

export function createCmsEvents(options: CmsOptions): Events {
  const endpoint = options.endpoint ?? `https://metrics.${options.region}.aliyuncs.com`;
  const client = new OpenApi(openApiConfig({ ...options, endpoint, readTimeoutMs: READ_TIMEOUT_MS }));

  /** https://www.alibabacloud.com/help/en/cms/developer-reference/api-putcustomevent */
  async function put({ name, content, atMs }: OwnEvent, signal: AbortSignal): Promise<void> {
    const params = new $OpenApiUtil.Params({
      action: 'PutCustomEvent',
      version: '2019-01-01',
      protocol: 'HTTPS',
      pathname: '/',
      method: 'POST',
      authType: 'AK',
      style: 'RPC',
      reqBodyType: 'formData',
      bodyType: 'json',
    });
    const request = new $OpenApiUtil.OpenApiRequest({
      query: {
        'EventInfo.1.EventName': name,
        'EventInfo.1.Content': content,
        'EventInfo.1.GroupId': NO_GROUP,
        'EventInfo.1.Time': String(atMs),
      },
    });
    let answer: { readonly body?: { readonly Code?: unknown; readonly Message?: unknown } };
    try {
      answer = await abandonOnAbort(client.callApi(params, request, NO_RUNTIME_OPTIONS), signal);
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw toEventError(toCallFailure(error), name);
    }
    // A refusal may also come as HTTP 200; the code is a text here and a number there.
    const { Code: code, Message: message } = answer.body ?? {};
    if (String(code) === '200') return;
    throw toEventError(
      {
        kind: 'refused',
        status: 200,
        code: String(code),
        message: typeof message === 'string' ? message : '',
        requestId: '',
      },
      name,
    );
  }

  return {
    raise: async (event, signal) =>
      retry(async () => put(event, signal), POLICY, signal, options.clock ?? systemClock),
  };
}

function toEventError(failure: CallFailure, name: string): BackupError {
  const attempt = `raise event ${name}`;
  if (failure.kind !== 'refused')
    return new BackupError('SERVICE_ERROR', redact(`${attempt}: ${failure.reason}`), {
      retryable: true,
      hint: 'check that CloudMonitor can be reached from here, or set TAIRLIFT_ENDPOINT_CMS',
    });
  const { status, code, message, requestId } = failure;
  const text = redact(`${attempt}: ${code} ${message}`.trim());
  const details = { status, serviceCode: code, ...(requestId === '' ? {} : { requestId }) };
  if (isThrottling(failure)) return new BackupError('THROTTLED', text, { retryable: true, details });
  if (status === 401 || status === 403 || /^(Forbidden|NoPermission|AccessDenied)/i.test(code))
    return new BackupError('PERMISSION_DENIED', text, { details, hint: 'allow cms:PutCustomEvent on *' });
  return new BackupError('SERVICE_ERROR', text, { retryable: status >= 500, details });
}
