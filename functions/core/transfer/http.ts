/**
 * One HTTP exchange over node:http, for both legs of the transfer. It adds what the plain client lacks: idle
 * timeouts instead of absolute ones (a slow transfer that moves is healthy, a silent one is not), a signal that
 * really ends the exchange, and one kind of failure for everything a connection can do wrong.
 */
import { setMaxListeners } from 'node:events';
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { Agent as SecureAgent, request as httpsRequest } from 'node:https';
import { BackupError } from '../errors.ts';
import { stopReason, throwIfStopped } from './retry.ts';

export interface HttpRequest {
  readonly method: string;
  readonly url: string;
  /** Sent as they are; nothing is added but `Host`, `Connection`, and the length of a body that is whole. */
  readonly headers?: Readonly<Record<string, string>>;
  /**
   * The length of an iterable must be in `headers` as `content-length`, and must be kept. It may arrive slowly (it may
   * be a download in progress): waiting for its next piece is no silence of the other side. It is asked for a piece
   * when the one before has left, and told by `return()` when no more is wanted. Its bytes must not change until
   * the exchange has ended.
   */
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
  /**
   * Like `receive`, but the body goes straight into `into`, from its start. `onFilled` is told how many bytes lie there
   * for good, whenever more have come. While a promise that it returned is pending it is not called again, nothing
   * more is asked of the connection (that is how bandwidth is limited), and that time is no silence of the other side.
   * Resolves with the number of bytes when the body has ended. Throws ConnectionFailure when it ends early, and one
   * of the kind `too-long` as soon as more arrives than fits; nothing beyond `into` is written then, and nothing at
   * all is written into it once the promise has settled. Throws whatever `onFilled` throws.
   */
  fill(into: Uint8Array, onFilled?: (filled: number) => void | Promise<void>): Promise<number>;
  /** Ends the exchange without reading the body; the connection is given up. Safe to call at any time. */
  discard(): void;
}

export interface HttpClient {
  /**
   * Sends the request and resolves with the head of the answer, whatever its status. The caller then calls `receive`,
   * `fill` or `discard`, once. An answer that comes before the whole request was sent ends the sending. Throws
   * ConnectionFailure, the signal's reason, or what the request's body threw; the signal counts until the answer's
   * body has been read.
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
  /** Certificates (PEM) that are trusted, instead of the platform's own list: for a private endpoint. */
  readonly ca?: string;
}

/**
 * `untrusted`: the other side's certificate is not accepted. It will not be later either, so that is never tried again.
 * `too-long`: the answer does not fit into what was given for it.
 */
type FailureKind = 'connect' | 'untrusted' | 'stalled' | 'broken' | 'too-long';

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
export const KEEP_ALIVE_MS = 15_000;

/** The longest head of an answer. */
export const MAX_HEAD_BYTES = 64 * 1024;

export function createHttpClient(options: HttpOptions = {}): HttpClient {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS, ca } = options;
  const keeping = { keepAlive: true, scheduling: 'lifo', timeout: KEEP_ALIVE_MS } as const;
  const agent = new Agent(keeping);
  const secureAgent = new SecureAgent({ ...keeping, ...(ca === undefined ? {} : { ca }) });
  // Nothing was asked for on a connection that rests: what comes must not become the next answer.
  for (const each of [agent, secureAgent])
    each.on('free', (socket: Socket) => void socket.on('data', destroyThis));

  async function exchange(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    throwIfStopped(signal);
    const headers = sendableHeaders(request);
    const url = new URL(request.url);
    const { method, body } = request;
    const wanted = { method, headers, maxHeaderSize: MAX_HEAD_BYTES };
    const outgoing =
      url.protocol === 'https:'
        ? httpsRequest(url, { ...wanted, agent: secureAgent })
        : httpRequest(url, { ...wanted, agent });
    const stop = (): void => void outgoing.destroy();
    // A head that comes slowly is not seen before it is whole.
    let readBefore = 0;
    outgoing.once('socket', (socket) => {
      socket.removeListener('data', destroyThis);
      readBefore = socket.bytesRead;
    });
    const moved = (): number => (outgoing.socket?.bytesRead ?? readBefore) - readBefore;
    const watch = createWatch(idleTimeoutMs, signal, stop, moved);
    watchConnecting(outgoing, connectTimeoutMs, watch);
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once('response', resolve);
      outgoing.once('close', () => reject(watch.failure()));
    });
    send(outgoing, body, watch).catch((error: unknown) => watch.fail(error));
    const incoming = await answered;
    watch.touch();
    return toAnswer(outgoing, incoming, watch);
  }

  return {
    exchange,
    close: () => {
      for (const each of [agent, secureAgent]) {
        each.maxFreeSockets = 0;
        for (const socket of Object.values(each.freeSockets).flat()) socket?.destroy();
      }
    },
  };
}

function destroyThis(this: Socket): void {
  this.destroy();
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

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * The caller's headers, and the length of a body that is whole.
 *
 * @throws BackupError (INTERNAL) when something in the request would be read as more than it is, or when the length
 *   of its body is not told or is told wrongly
 */
export function sendableHeaders({ method, url, headers = {}, body }: HttpRequest): Record<string, string> {
  const refuse = (what: string): BackupError => new BackupError('INTERNAL', `send a request: ${what}`);
  if (!TOKEN.test(method)) throw refuse('its method is none');
  if (/\p{Cc}/u.test(url)) throw refuse('its URL holds a control character');
  let announced: string | undefined;
  for (const [name, value] of Object.entries(headers)) {
    if (!TOKEN.test(name)) throw refuse('the name of a header holds a character that none may hold');
    if (!FIELD_VALUE.test(value)) throw refuse(`the header ${name} holds a character that none may hold`);
    if (name.toLowerCase() === 'content-length') announced = value;
  }
  if (body === undefined) return { ...headers };
  if (!(body instanceof Uint8Array)) {
    if (announced === undefined) throw refuse('its body comes in pieces, and its length is not told');
    return { ...headers };
  }
  if (announced === undefined) return { ...headers, 'content-length': String(body.length) };
  if (announced !== String(body.length)) throw notAsAnnounced(body.length, announced);
  return { ...headers };
}

/** Follows one exchange: remembers the first failure, and ends the exchange when it stalls or is called off. */
export interface Watch {
  /** Something moved. */
  touch(): void;
  /** From now until the same number of releases it is not the other side that is waited for. */
  hold(): void;
  release(): void;
  /** Ends the exchange. Only the first failure counts, and none after the end. */
  fail(error: unknown): void;
  hasFailed(): boolean;
  /** Why the exchange ended; when nobody said why, the connection did. */
  failure(): unknown;
  /** Calls the listener, the only one, when the exchange fails from now on. */
  whenFailed(listener: () => void): void;
  end(): void;
}

/**
 * `stop` is called once, when the exchange has failed. `moved` is a number that changes when something has moved of
 * which nobody says so.
 */
export function createWatch(
  idleTimeoutMs: number,
  signal: AbortSignal,
  stop: () => void,
  moved: () => number = () => 0,
): Watch {
  let failed: { readonly error: unknown } | undefined;
  let ended = false;
  let holds = 0;
  let lastMoved = 0;
  let onFailed = (): void => undefined;
  const fail = (error: unknown): void => {
    if (ended) return;
    failed = { error };
    end();
    stop();
    onFailed();
  };
  const onAbort = (): void => fail(stopReason(signal));
  const idle = setTimeout(() => {
    const isMoving = holds > 0 || moved() !== lastMoved;
    lastMoved = moved();
    if (isMoving) idle.refresh();
    else fail(new ConnectionFailure('stalled', `nothing moved for ${idleTimeoutMs} ms`));
  }, idleTimeoutMs);
  const end = (): void => {
    ended = true;
    clearTimeout(idle);
    signal.removeEventListener('abort', onAbort);
  };
  // Every lane listens to the same signal; that is no leak.
  setMaxListeners(0, signal);
  signal.addEventListener('abort', onAbort);
  const touch = (): void => void (ended || idle.refresh());
  return {
    touch,
    hold: () => void holds++,
    release: () => {
      holds--;
      touch();
    },
    fail,
    hasFailed: () => failed !== undefined,
    failure: () => (failed === undefined ? broken(undefined) : failed.error),
    whenFailed: (listener) => (onFailed = listener),
    end,
  };
}

function watchConnecting(outgoing: ClientRequest, connectTimeoutMs: number, watch: Watch): void {
  let isConnected = false;
  const connecting = setTimeout(() => watch.fail(connectedTooLate(connectTimeoutMs)), connectTimeoutMs);
  outgoing.once('close', () => clearTimeout(connecting));
  outgoing.on('error', (error) => watch.fail(isConnected ? broken(error) : notConnected(error)));
  outgoing.once('socket', (socket) => {
    const onConnected = (): void => {
      isConnected = true;
      clearTimeout(connecting);
    };
    if (!socket.connecting) onConnected();
    else socket.once('encrypted' in socket ? 'secureConnect' : 'connect', onConnected);
  });
}

/** Small enough that each piece that leaves proves that the connection moves, large enough to cost nothing. */
export const PIECE_BYTES = 512 * 1024;

async function send(outgoing: ClientRequest, body: HttpRequest['body'], watch: Watch): Promise<void> {
  if (body === undefined) return void outgoing.end();
  if (body instanceof Uint8Array && body.length <= PIECE_BYTES) return void outgoing.end(body);
  const outlet: Outlet = {
    write: (piece, written) => void outgoing.write(piece, written),
    end: () => void outgoing.end(),
    unwanted: new Promise<undefined>((resolve) => {
      for (const event of ['response', 'close']) outgoing.once(event, () => resolve(undefined));
    }),
  };
  await sendBody(body, Number(outgoing.getHeader('content-length')), outlet, watch);
}

/** Where the bytes of a request go. */
export interface Outlet {
  /** Says when the piece has left, or that it could not. */
  write(piece: Uint8Array, written: (error?: Error | null) => void): void;
  /** All of the body has left. */
  end(): void;
  /** Resolves when no more is wanted: an answer came before the body's end, which is a refusal, or nobody is there. */
  readonly unwanted: Promise<undefined>;
}

/** Throws what the body throws, and BackupError (INTERNAL) when it is not as long as announced. */
export async function sendBody(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  announced: number,
  outlet: Outlet,
  watch: Watch,
): Promise<void> {
  const pieces = body instanceof Uint8Array ? [body].values() : body[Symbol.asyncIterator]();
  for (let bytes = 0; ;) {
    if (bytes === announced) outlet.end();
    else watch.hold();
    const next = await Promise.race([pieces.next(), outlet.unwanted]);
    if (bytes < announced) watch.release();
    if (next === undefined) return letGo(pieces);
    if (next.done === true) {
      if (bytes < announced) throw notAsAnnounced(bytes, announced);
      return;
    }
    bytes += next.value.length;
    if (bytes > announced) {
      letGo(pieces);
      throw notAsAnnounced(bytes, announced);
    }
    for (let at = 0; at < next.value.length; at += PIECE_BYTES) {
      const left = written(outlet, next.value.subarray(at, at + PIECE_BYTES));
      if ((await Promise.race([left, outlet.unwanted])) === undefined) return letGo(pieces);
      watch.touch();
    }
  }
}

/** A piece that could not leave is left to the end of the exchange, which comes with the reason. */
async function written(outlet: Outlet, piece: Uint8Array): Promise<'written'> {
  return new Promise((resolve) => {
    outlet.write(piece, (error) => {
      if (error === undefined || error === null) resolve('written');
    });
  });
}

/** Says that no more is wanted. A body that is still waiting for its next piece learns it then, and is not waited for. */
function letGo(pieces: Iterator<Uint8Array> | AsyncIterator<Uint8Array>): void {
  void (async () => pieces.return?.())().catch(() => undefined);
}

function notAsAnnounced(bytes: number, announced: string | number): BackupError {
  return new BackupError(
    'INTERNAL',
    `send a request: its body has ${bytes} bytes, and ${announced} were announced`,
  );
}

function toAnswer(outgoing: ClientRequest, incoming: IncomingMessage, watch: Watch): HttpAnswer {
  // Without a listener, a connection that breaks between the head and `receive` would end the process.
  incoming.on('error', (error) => watch.fail(broken(error)));

  let isTaken = false;

  async function receive(sink: (piece: Buffer) => void | Promise<void>): Promise<void> {
    if (isTaken) throw new BackupError('INTERNAL', 'read an answer: it was read before');
    isTaken = true;
    let pause: Promise<void> | undefined;
    await new Promise<void>((resolve, reject) => {
      const stop = (): void => reject(watch.failure());
      if (incoming.destroyed) return stop();
      watch.whenFailed(stop);
      const onClose = (): void => stop();
      incoming.once('close', onClose);
      incoming.once('end', () => {
        incoming.removeListener('close', onClose);
        // Also when its reader needs time for the last piece; one that refuses it has failed the exchange.
        void Promise.resolve(pause).then(() => {
          watch.end();
          resolve();
        }, stop);
      });
      incoming.on('data', (piece: Buffer) => {
        watch.touch();
        try {
          pause = sink(piece) ?? undefined;
        } catch (error) {
          return watch.fail(error);
        }
        if (pause === undefined) return;
        incoming.pause();
        watch.hold();
        pause.then(
          () => {
            watch.release();
            incoming.resume();
          },
          (error: unknown) => watch.fail(error),
        );
      });
    });
    // A connection whose request was not sent to its end cannot be used again.
    if (!outgoing.writableFinished) outgoing.destroy();
  }

  async function fill(
    into: Uint8Array,
    onFilled?: (filled: number) => void | Promise<void>,
  ): Promise<number> {
    let filled = 0;
    await receive((piece) => {
      if (piece.length > into.length - filled) throw tooLong(into.length);
      into.set(piece, filled);
      filled += piece.length;
      return onFilled?.(filled);
    });
    return filled;
  }

  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers)) {
    headers[name] = Array.isArray(value) ? value.join(', ') : (value ?? '');
  }
  return {
    status: incoming.statusCode ?? 0,
    headers,
    receive: async (sink) =>
      receive((piece) => {
        // Whatever it returns: only `fill` waits.
        sink(piece);
      }),
    fill,
    discard: () => watch.fail(notWanted()),
  };
}

export function connectedTooLate(connectTimeoutMs: number): ConnectionFailure {
  return new ConnectionFailure('connect', `no connection within ${connectTimeoutMs} ms`);
}

export function notWanted(): ConnectionFailure {
  return new ConnectionFailure('broken', 'the answer was not wanted');
}

export function tooLong(bytes: number): ConnectionFailure {
  return new ConnectionFailure('too-long', `the answer is longer than ${bytes} bytes`);
}

/** https://nodejs.org/docs/latest-v20.x/api/tls.html#x509-certificate-error-codes */
const CERTIFICATE_ERRORS =
  /^(ERR_TLS_CERT|CERT_|UNABLE_TO_(GET|VERIFY|DECRYPT)|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_MISMATCH|INVALID_CA)/;

export function notConnected(error: Error): ConnectionFailure {
  const reason = reasonOf(error);
  return CERTIFICATE_ERRORS.test(reason)
    ? new ConnectionFailure('untrusted', `the certificate is not accepted (${reason})`, error)
    : new ConnectionFailure('connect', reason, error);
}

export function broken(error: unknown): ConnectionFailure {
  return new ConnectionFailure(
    'broken',
    `the connection broke${error === undefined ? '' : ` (${reasonOf(error)})`}`,
  );
}

function reasonOf(error: unknown): string {
  if (typeof error !== 'object' || error === null) return 'unknown reason';
  // By its members: where tests run, Node's own errors are of another class Error.
  const { code, message, name }: Partial<NodeJS.ErrnoException> = error;
  return code ?? (message || name || 'unknown reason');
}
