/** CloudMonitor: custom events of our own, on which alarm rules are set. */
import type { WhoAmI } from '../denials.ts';
import type { Events } from '../events.ts';
import type { RetryClock, RetryPolicy } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { createRpcCaller, toRpcError, type RpcCall } from './rpc.ts';

export interface CmsOptions {
  readonly credentials: CredentialsProvider;
  readonly region: string;
  /** `http(s)://host:port` in place of the region's public address. */
  readonly endpoint?: string | undefined;
  readonly clock?: RetryClock;
  readonly whoAmI?: WhoAmI;
}

/** An event is worth a few seconds of a run that has ended, and no more. */
const READ_TIMEOUT_MS = 4_000;
const POLICY: RetryPolicy = { attempts: 3, firstDelayMs: 300, maxDelayMs: 2_000, totalMs: 8_000 };

/** Belongs to no application group. */
const NO_GROUP = '0';

export function createCmsEvents(options: CmsOptions): Events {
  const endpoint = options.endpoint ?? `https://metrics.${options.region}.aliyuncs.com`;
  const ask = createRpcCaller({ ...options, endpoint, readTimeoutMs: READ_TIMEOUT_MS, policy: POLICY });
  return {
    /** https://www.alibabacloud.com/help/en/cms/developer-reference/api-putcustomevent */
    async raise({ name, content, atMs }, signal) {
      const call: RpcCall = {
        attempt: `raise event ${name}`,
        action: 'cms:PutCustomEvent',
        resource: '*',
        version: '2019-01-01',
        query: {
          'EventInfo.1.EventName': name,
          'EventInfo.1.Content': content,
          'EventInfo.1.GroupId': NO_GROUP,
          'EventInfo.1.Time': String(atMs),
        },
      };
      const { Code: code, Message: message } = await ask(call, signal);
      // A refusal may also come as HTTP 200; the code is a text here and a number there.
      if (String(code) === '200') return;
      const text = typeof message === 'string' ? message : '';
      const failure = {
        kind: 'refused',
        status: 200,
        code: String(code),
        message: text,
        requestId: '',
      } as const;
      throw toRpcError(failure, call, endpoint);
    },
  };
}
