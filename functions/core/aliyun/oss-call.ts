/**
 * One call of OSS through `ali-oss`. The SDK knows the requests, their signatures (version 4) and their answers; how
 * bytes and time are handled is ours, because of what the SDK does there: its timeout is absolute, it cannot be
 * called off, it refreshes session tokens in a race, aborting one upload cancels others of the same client, and its
 * HTTP layer writes to the console. So each call gets a client of its own (an options object, no more), made with
 * the credentials of the moment and with our HTTP exchange in the place of the SDK's.
 */
import OSS from 'ali-oss';
import { namingCaller, type WhoAmI } from '../denials.ts';
import { BackupError } from '../errors.ts';
import { createHttpClient, type HttpClient } from '../transfer/http.ts';
import type { PartBody } from '../transfer/part-body.ts';
import { PATIENT, retry, type RetryPolicy } from '../transfer/retry.ts';
import type { Credentials, CredentialsProvider } from './credentials.ts';
import { areKeysRefused, toBackupError } from './oss-errors.ts';

export interface OssCallerOptions {
  /** Without `oss-`: `cn-hangzhou`. */
  readonly region: string;
  readonly bucket: string;
  readonly credentials: CredentialsProvider;
  /** `http(s)://host[:port]`, instead of the region's own: the emulator, or a private endpoint. */
  readonly endpoint?: string;
  /** Reach the region's endpoint from within Alibaba Cloud: for functions of the same region, free and without the public way. */
  readonly internal?: boolean;
  readonly http?: HttpClient;
  readonly policy?: RetryPolicy;
  /** Whose credentials they are, for what an error says. */
  readonly whoAmI?: WhoAmI;
}

/** What is being asked, for messages and hints. */
export interface OssCall {
  /** Verb, as in `store bucket/key`. */
  readonly does: string;
  /** The permission that it takes. */
  readonly action: string;
  readonly key: string;
  readonly writes?: boolean;
}

export interface OssCaller {
  /** Makes the call until it succeeds, within the policy. */
  <T>(call: OssCall, signal: AbortSignal, use: Use<T>): Promise<T>;
  /** Makes the call once. */
  once<T>(call: OssCall, signal: AbortSignal, use: Use<T>): Promise<T>;
}

/** @param send puts a body to a URL that the SDK has signed, without the SDK: it would want the body whole */
type Use<T> = (sdk: Sdk, send: (url: string, body: PartBody) => Promise<SdkAnswer>) => Promise<T>;

export function createOssCaller(options: OssCallerOptions): OssCaller {
  const { bucket, region, http = createHttpClient(), policy = PATIENT } = options;
  const endpoint = endpointOf(options);
  const currentKeys = singleFlight(options.credentials);

  async function once<T>(call: OssCall, signal: AbortSignal, use: Use<T>): Promise<T> {
    const keys = await currentKeys();
    try {
      return await askWith(keys, call, signal, use);
    } catch (error) {
      // Refused keys are replaced once; if there are no others, the refusal stands.
      if (!areKeysRefused(error)) throw error;
      const renewed = await currentKeys();
      if (renewed.accessKeyId === keys.accessKeyId && renewed.securityToken === keys.securityToken)
        throw error;
      return askWith(renewed, call, signal, use);
    }
  }

  async function askWith<T>(keys: Credentials, call: OssCall, signal: AbortSignal, use: Use<T>): Promise<T> {
    const wire = createWire(http, signal);
    try {
      return await use(connect(keys, wire), async (url, body) => sendTo(wire, url, body));
    } catch (error) {
      const known = toBackupError(wire.failure() ?? error, wire.headers(), call, { bucket, region }, signal);
      throw await namingCaller(known, options.whoAmI);
    }
  }

  function connect(keys: Credentials, wire: Wire): Sdk {
    const sdkOptions = {
      accessKeyId: keys.accessKeyId,
      accessKeySecret: keys.accessKeySecret,
      bucket,
      region: `oss-${region}`,
      authorizationV4: true,
      endpoint: endpoint.url,
      sldEnable: endpoint.isPathStyle,
      retryMax: 0,
      urllib: wire,
      // With an interval and no function to call, the SDK neither refreshes the token nor warns about it.
      ...(keys.securityToken === undefined
        ? {}
        : { stsToken: keys.securityToken, refreshSTSTokenInterval: Number.MAX_SAFE_INTEGER }),
    };
    // The published types know a part of the options and of the answers; Sdk is what is really there.
    return new OSS(sdkOptions) as unknown as Sdk;
  }

  const ask = async <T>(call: OssCall, signal: AbortSignal, use: Use<T>): Promise<T> =>
    retry(async () => once(call, signal, use), policy, signal);
  return Object.assign(ask, { once });
}

/** The region's own endpoint, or the given one. OSS takes the bucket from the host name; only an emulator on loopback has it in the path. */
function endpointOf({ region, endpoint, internal = false }: OssCallerOptions): {
  readonly url: string;
  readonly isPathStyle: boolean;
} {
  const url = endpoint ?? `https://oss-${region}${internal ? '-internal' : ''}.aliyuncs.com`;
  const { hostname } = new URL(url);
  return { url, isPathStyle: hostname === 'localhost' || /^[\d.]+$|^\[/.test(hostname) };
}

/** Calls that come while the answer is on its way share it. */
function singleFlight(provider: CredentialsProvider): CredentialsProvider {
  let pending: Promise<Credentials> | undefined;
  const ask = async (): Promise<Credentials> => {
    try {
      return await provider();
    } catch (cause) {
      if (cause instanceof BackupError) throw cause;
      throw new BackupError('SERVICE_ERROR', 'get credentials for OSS', { retryable: true, cause });
    }
  };
  return async () => {
    pending ??= ask().finally(() => (pending = undefined));
    return pending;
  };
}

/**
 * Is it OSS that answers? It puts `x-oss-request-id` on every answer; that it always will is stated nowhere, so any
 * header of its own, or the tag of an object, is proof enough. A proxy's or a portal's page has none of them.
 */
function isFromOss(headers: Readonly<Record<string, string>>): boolean {
  return (
    'etag' in headers ||
    headers['server'] === 'AliyunOSS' ||
    Object.keys(headers).some((name) => name.startsWith('x-oss-'))
  );
}

/** The largest answer that is read as a whole. */
const MAX_ANSWER_BYTES = 64 * 1024 ** 2;

/** What the SDK calls instead of `urllib.request`, and what it expects back. */
interface Wire {
  request(url: string, params: WireParams): Promise<WireAnswer>;
  /** What went wrong on the connection; the SDK makes something less exact of it. */
  failure(): unknown;
  /** The headers of the last answer; undefined when there was none. */
  headers(): Readonly<Record<string, string>> | undefined;
}

interface WireParams {
  readonly method: string;
  readonly headers: Readonly<Record<string, string | number>>;
  readonly content?: Uint8Array | string;
  readonly stream?: AsyncIterable<Uint8Array>;
}

interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Buffer;
  readonly res: {
    readonly status: number;
    readonly statusCode: number;
    readonly headers: Readonly<Record<string, string>>;
  };
}

function createWire(http: HttpClient, signal: AbortSignal): Wire {
  let failed: unknown;
  let headers: Readonly<Record<string, string>> | undefined;

  async function exchange(
    url: string,
    { method, headers: asked, content, stream }: WireParams,
  ): Promise<WireAnswer> {
    const body = typeof content === 'string' ? Buffer.from(content) : (content ?? stream);
    const answer = await http.exchange(
      {
        method,
        url,
        headers: withoutHost(asked),
        ...(body === undefined ? {} : { body }),
      },
      signal,
    );
    const { status } = answer;
    ({ headers } = answer);
    if (status < 300 && !isFromOss(headers)) {
      answer.discard();
      throw new BackupError('SERVICE_ERROR', 'read an answer: it is not from OSS', {
        retryable: true,
        details: { status },
        hint: 'something between the function and OSS answers in its place; check the endpoint',
      });
    }
    const pieces: Buffer[] = [];
    let length = 0;
    await answer.receive((piece) => {
      length += piece.length;
      if (length > MAX_ANSWER_BYTES)
        throw new BackupError('SERVICE_ERROR', 'read an answer: it is larger than 64 MiB');
      // A piece is the connection's own memory, and its next one.
      pieces.push(Buffer.from(piece));
    });
    return { status, headers, data: Buffer.concat(pieces), res: { status, statusCode: status, headers } };
  }

  return {
    request: async (url, params) => {
      try {
        return await exchange(url, params);
      } catch (error) {
        failed = error;
        throw error;
      }
    },
    failure: () => failed,
    headers: () => headers,
  };
}

/** What the SDK makes of an answer that is none of success, made here in the same way. */
async function sendTo(wire: Wire, url: string, body: PartBody): Promise<SdkAnswer> {
  const headers = { 'content-length': String(body.bytes) };
  const { status, data, res } = await wire.request(url, { method: 'PUT', headers, stream: body.pieces() });
  if (status >= 200 && status < 300) return { res };
  const told = (element: string): string | undefined =>
    new RegExp(`<${element}>([^<]{1,500})</${element}>`).exec(
      data.toString('latin1', 0, ERROR_BYTES_MAX),
    )?.[1];
  throw Object.assign(new Error(told('Message') ?? `status ${status}`), {
    status,
    code: told('Code'),
    ecCode: told('EC'),
    requestId: told('RequestId'),
  });
}

const ERROR_BYTES_MAX = 8 * 1024;

/**
 * For an IP address the SDK claims to talk to the region's own host; the signature does not cover it. Lengths it
 * gives as numbers.
 */
function withoutHost(headers: Readonly<Record<string, string | number>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      name.toLowerCase() === 'host' ? [] : [[name, String(value)]],
    ),
  );
}

/** The part of `ali-oss` that is used, with the types that it really has. */
export interface Sdk {
  head(name: string, options: SdkOptions): Promise<SdkAnswer>;
  get(name: string, options: SdkOptions): Promise<SdkAnswer & { readonly content: Buffer }>;
  put(name: string, body: Buffer, options: SdkOptions): Promise<SdkAnswer>;
  listV2(query: Record<string, string | number>, options: SdkOptions): Promise<SdkPage>;
  listUploads(
    query: Record<string, string | number>,
    options: SdkOptions,
  ): Promise<{ readonly bucket?: string; readonly uploads: readonly SdkUpload[] }>;
  initMultipartUpload(name: string, options: SdkOptions): Promise<SdkAnswer & { readonly uploadId?: string }>;
  signatureUrlV4(
    method: string,
    expiresSeconds: number,
    request: { readonly queries: Record<string, string | number> },
    name: string,
  ): Promise<string>;
  listParts(
    name: string,
    uploadId: string,
    query: Record<string, string | number>,
    options: SdkOptions,
  ): Promise<SdkParts>;
  completeMultipartUpload(
    name: string,
    uploadId: string,
    parts: { number: number; etag: string }[],
    options: SdkOptions,
  ): Promise<SdkAnswer>;
  abortMultipartUpload(name: string, uploadId: string, options: SdkOptions): Promise<SdkAnswer>;
  getBucketInfo(name: string): Promise<{ readonly bucket?: { readonly Location?: string } }>;
  getBucketVersioning(name: string): Promise<{ readonly versionStatus?: string }>;
  getBucketLifecycle(name: string): Promise<{ readonly rules: readonly SdkLifecycleRule[] | null }>;
  /** What its own methods are made with; some settings of buckets have no method. */
  _bucketRequestParams(method: string, bucket: string, setting: string, options: SdkOptions): SdkRequest;
  request(request: SdkRequest): Promise<SdkAnswer & { readonly data: Buffer }>;
}

interface SdkRequest {
  successStatuses?: readonly number[];
}

/** As the XML has it, with small first letters. */
export interface SdkLifecycleRule {
  /** An empty element is no text. */
  readonly prefix?: unknown;
  readonly status?: string;
  readonly abortMultipartUpload?: { readonly days?: string };
  readonly expiration?: { readonly days?: string };
  readonly transition?: SdkTransition | readonly SdkTransition[];
}

interface SdkTransition {
  readonly days?: string;
  readonly storageClass?: string;
}

interface SdkOptions {
  headers?: Record<string, string>;
  mime?: string;
}

export interface SdkAnswer {
  readonly res: { readonly status: number; readonly headers: Readonly<Record<string, string>> };
}

interface SdkUpload {
  readonly name: string;
  readonly uploadId: string;
  readonly initiated: string;
}

interface SdkParts {
  readonly uploadId?: string;
  readonly isTruncated: string;
  readonly nextPartNumberMarker?: string;
  /** As the XML has them: a single one is no list. */
  readonly parts: SdkPart | readonly SdkPart[];
}

interface SdkPart {
  readonly PartNumber: string;
  readonly ETag: string;
  readonly Size: string;
  readonly HashCrc64ecma?: string;
}

interface SdkPage {
  readonly objects: readonly {
    readonly name: string;
    readonly size: number;
    readonly lastModified: string;
  }[];
  /** NaN when the answer is no list. */
  readonly keyCount: number;
  readonly isTruncated: boolean;
  readonly nextContinuationToken: string | null;
}
