/**
 * One HTTP exchange over node:http, for both legs of the transfer. It adds what the plain client lacks: idle
 * timeouts instead of absolute ones (a slow transfer that moves is healthy, a silent one is not), a signal that
 * really ends the exchange, and one kind of failure for everything a connection can do wrong.
 */
import { setMaxListeners } from 'node:events';
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as SecureAgent, request as httpsRequest } from 'node:https';
import { stopReason, throwIfStopped } from './retry.ts';

export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  /** Sent as they are; nothing is added but `Host` and `Connection`. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Its length must be in `headers` as `content-length` when it is a stream. Must not change until the exchange ends. */
  readonly body?: Uint8Array | AsyncIterable<Uint8Array>;
}

export interface HttpAnswer {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Hands over the body piece by piece, in order, until it has ended. Throws ConnectionFailure when the connection
   * breaks or goes silent first, and whatever `sink` throws. A piece is valid during the call only.
   */
  receive(sink: (piece: Buffer) => void): Promise<void>;
  /** Ends the exchange without reading the body; the connection is given up. Safe to call at any time. */
  discard(): void;
}

export interface HttpClient {
  /**
   * Sends the request and resolves with the head of the answer, whatever its status. The caller then calls `receive`
   * or `discard`. Throws ConnectionFailure, or the signal's reason; the signal counts until the body has been read.
   */
  exchange(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer>;
  /** Ends idle connections. Exchanges that are under way go on. */
  close(): void;
}

export interface HttpOptions {
  /** Name lookup, connecting and the TLS handshake together. */
  readonly connectTimeoutMs?: number;
  /** Longest silence in either direction. */
  readonly idleTimeoutMs?: number;
}

/** `untrusted`: the other side's certificate is not accepted. It will not be later either, so that is never tried again. */
type FailureKind = 'connect' | 'untrusted' | 'stalled' | 'broken';

/** The connection failed, or nothing moved on it for too long. Whether the request was carried out is unknown. */
export class ConnectionFailure extends Error {
  override readonly name = 'ConnectionFailure';
  readonly kind: FailureKind;
  constructor(kind: FailureKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

export const CONNECT_TIMEOUT_MS = 10_000;
export const IDLE_TIMEOUT_MS = 30_000;
/** Servers drop idle connections after a minute or so; ours go first, so that they rarely die in use. */
const KEEP_ALIVE_MS = 15_000;

export function createHttpClient(options: HttpOptions = {}): HttpClient {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS } = options;
  const agent = new Agent({ keepAlive: true, scheduling: 'lifo', timeout: KEEP_ALIVE_MS });
  const secureAgent = new SecureAgent({ keepAlive: true, scheduling: 'lifo', timeout: KEEP_ALIVE_MS });

  async function exchange(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    throwIfStopped(signal);
    const url = new URL(request.url);
    const outgoing =
      url.protocol === 'https:'
        ? httpsRequest(url, { method: request.method, headers: request.headers, agent: secureAgent })
        : httpRequest(url, { method: request.method, headers: request.headers, agent });
    const watch = watchOver(outgoing, idleTimeoutMs, connectTimeoutMs, signal);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('close', () => reject(watch.failure() ?? broken(undefined)));
    });
    // Both may fail at once; the answer's failure is the one that is reported.
    const sent = sendBody(outgoing, request.body, () => watch.touch()).catch((error: unknown) =>
      watch.fail(error),
    );
    try {
      const incoming = await answered;
      watch.touch();
      return toAnswer(outgoing, incoming, watch);
    } catch (error) {
      await sent;
      throw error;
    }
  }

  return {
    exchange,
    close: () => {
      agent.destroy();
      secureAgent.destroy();
    },
  };
}

/**
 * How long the service asks to be left alone: in milliseconds where OSS throttles
 * (https://help.aliyun.com/en/oss/product-overview/limits), in seconds as HTTP has it. Undefined when it does not ask,
 * or asks by date.
 */
export function askedDelayMs(headers: Readonly<Record<string, string>>): number | undefined {
  const ms = Number(headers['x-oss-qos-delay-time'] ?? Number(headers['retry-after']) * 1000);
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}

/** Follows one exchange: remembers the first failure, and ends the exchange when it stalls or is called off. */
interface Watch {
  touch(): void;
  fail(error: unknown): void;
  failure(): Error | undefined;
  end(): void;
}

function watchOver(
  outgoing: ClientRequest,
  idleTimeoutMs: number,
  connectTimeoutMs: number,
  signal: AbortSignal,
): Watch {
  let failed: Error | undefined;
  let ended = false;
  const fail = (error: unknown): void => {
    if (!ended) failed ??= error instanceof Error ? error : broken(error);
    end();
    outgoing.destroy();
  };
  const onAbort = (): void => fail(stopReason(signal));
  const idle = setTimeout(
    () => fail(new ConnectionFailure('stalled', `nothing moved for ${idleTimeoutMs} ms`)),
    idleTimeoutMs,
  );
  const connecting = setTimeout(
    () => fail(new ConnectionFailure('connect', `no connection within ${connectTimeoutMs} ms`)),
    connectTimeoutMs,
  );
  const end = (): void => {
    ended = true;
    clearTimeout(idle);
    clearTimeout(connecting);
    signal.removeEventListener('abort', onAbort);
  };
  // Every lane listens to the same signal; that is no leak.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', onAbort);

  let connected = false;
  outgoing.on('error', (error) => fail(connected ? broken(error) : notConnected(error)));
  outgoing.once('socket', (socket) => {
    const onConnected = (): void => {
      connected = true;
      clearTimeout(connecting);
    };
    if (!socket.connecting) onConnected();
    else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', onConnected);
  });
  return { touch: () => void (ended || idle.refresh()), fail, failure: () => failed, end };
}

/** Small enough that each piece that leaves proves that the connection moves, large enough to cost nothing. */
const PIECE_BYTES = 512 * 1024;

async function sendBody(
  outgoing: ClientRequest,
  body: HttpRequest['body'],
  touch: () => void,
): Promise<void> {
  if (body === undefined) return void outgoing.end();
  if (body instanceof Uint8Array && body.length <= PIECE_BYTES) return void outgoing.end(body);
  let answered = false;
  outgoing.once('response', () => (answered = true));
  for await (const chunk of body instanceof Uint8Array ? [body] : body) {
    for (let at = 0; at < chunk.length; at += PIECE_BYTES) {
      // An answer before the body's end is a refusal: the rest is not wanted.
      if (outgoing.destroyed || answered) return;
      if (!outgoing.write(chunk.subarray(at, at + PIECE_BYTES))) await drained(outgoing);
      touch();
    }
  }
  outgoing.end();
}

async function drained(outgoing: ClientRequest): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'close', 'response']) outgoing.removeListener(event, done);
      resolve();
    };
    for (const event of ['drain', 'close', 'response']) outgoing.once(event, done);
  });
}

function toAnswer(outgoing: ClientRequest, incoming: IncomingMessage, watch: Watch): HttpAnswer {
  // Without a listener, a connection that breaks between the head and `receive` would end the process.
  incoming.on('error', (error) => watch.fail(broken(error)));

  async function receive(sink: (piece: Buffer) => void): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => reject(watch.failure() ?? broken(undefined));
      if (incoming.destroyed) return stop();
      incoming.once('end', () => {
        // The sink may have refused the last piece.
        if (watch.failure() !== undefined) return stop();
        watch.end();
        resolve();
      });
      incoming.once('close', stop);
      incoming.on('data', (piece: Buffer) => {
        watch.touch();
        try {
          sink(piece);
        } catch (error) {
          watch.fail(error);
        }
      });
    });
    // A connection whose request was not sent to its end cannot be used again.
    if (!outgoing.writableFinished) outgoing.destroy();
  }

  function discard(): void {
    watch.end();
    outgoing.destroy();
  }

  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    headers[name] = Array.isArray(value) ? value.join(', ') : (value ?? '');
  }
  return { status: incoming.statusCode ?? 0, headers, receive, discard };
}

/** https://nodejs.org/docs/latest-v20.x/api/tls.html#x509-certificate-error-codes */
const CERTIFICATE_ERRORS =
  /^(ERR_TLS_CERT|CERT_|UNABLE_TO_(GET|VERIFY|DECRYPT)|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA)/;

function notConnected(error: Error): ConnectionFailure {
  const reason = reasonOf(error);
  return CERTIFICATE_ERRORS.test(reason)
    ? new ConnectionFailure('untrusted', `the certificate is not accepted (${reason})`, error)
    : new ConnectionFailure('connect', reason, error);
}

function broken(error: unknown): ConnectionFailure {
  return new ConnectionFailure(
    'broken',
    `the connection broke${error === undefined ? '' : ` (${reasonOf(error)})`}`,
  );
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown reason';
  const code = (error as NodeJS.ErrnoException).code;
  return code ?? (error.message === '' ? error.name : error.message);
}
