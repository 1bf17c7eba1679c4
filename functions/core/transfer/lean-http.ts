/**
 * The same exchange as `http.ts`, over plain sockets. `node:http` copies every piece on its way and makes a buffer for
 * each; here the kernel writes into the caller's place and sends from it, which is less than half of the work. Only what a
 * transfer needs is spoken: five methods, whole or chunked answers, kept connections. Every request that asks for
 * more goes through `node:http`.
 */
import {
  CONNECT_TIMEOUT_MS,
  ConnectionFailure,
  IDLE_TIMEOUT_MS,
  KEEP_ALIVE_MS,
  createHttpClient,
  createWatch,
  sendableHeaders,
  type HttpAnswer,
  type HttpClient,
  type HttpOptions,
  type HttpRequest,
} from './http.ts';
import { openConnection, type Connection } from './lean-connection.ts';
import { Exchange, READ_BYTES } from './lean-exchange.ts';
import { throwIfStopped } from './retry.ts';

export function createLeanHttpClient(options: HttpOptions = {}): HttpClient {
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS, ca } = options;
  const plain = createHttpClient(options);
  // Windows writes into the place of a read at a time of its own choosing; elsewhere it happens during the call.
  if (process.platform === 'win32') return plain;
  const idle = createIdleConnections();
  const sessions = createSessions();
  const scratch = Buffer.allocUnsafeSlow(READ_BYTES);

  async function exchange(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    throwIfStopped(signal);
    const headers = sendableHeaders(request);
    const url = new URL(request.url);
    if (!isSpoken(request, url)) return plain.exchange(request, signal);
    const connection = idle.take(url.origin) ?? open(url);
    const watch = createWatch(idleTimeoutMs, signal, () => current.stop());
    const current = new Exchange({
      connection,
      watch,
      connectTimeoutMs,
      method: request.method,
      head: headOf(request, url, headers),
      body: request.body,
      announced: lengthIn(headers),
      scratch,
      release: (released, keepAliveMs) => idle.put(url.origin, released, keepAliveMs),
    });
    try {
      return await current.answered();
    } catch (error) {
      if (error instanceof ConnectionFailure && !connection.isConnected()) sessions.forget(url.origin);
      throw error;
    }
  }

  function open(url: URL): Connection {
    const session = sessions.of(url.origin);
    return openConnection(url, {
      ...(ca === undefined ? {} : { ca }),
      ...(session === undefined ? {} : { session }),
      onSession: (next) => sessions.keep(url.origin, next),
    });
  }

  return {
    exchange,
    close: () => {
      plain.close();
      idle.close();
    },
  };
}

const METHODS = new Set(['GET', 'HEAD', 'PUT', 'POST', 'DELETE']);
/** Headers that change how the connection is used. */
const OF_THE_CONNECTION = new Set([
  'connection',
  'expect',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

function isSpoken({ method, headers = {} }: HttpRequest, { protocol, username, password }: URL): boolean {
  return (
    METHODS.has(method) &&
    (protocol === 'http:' || protocol === 'https:') &&
    username + password === '' &&
    !Object.keys(headers).some((name) => OF_THE_CONNECTION.has(name.toLowerCase()))
  );
}

function headOf(
  { method, body }: HttpRequest,
  { host, pathname, search }: URL,
  headers: Readonly<Record<string, string>>,
): Buffer {
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const lines = [`${method} ${pathname}${search} HTTP/1.1`];
  if (!names.has('host')) lines.push(`Host: ${host}`);
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value}`);
  // A server may wait for a body where one is usual.
  if (body === undefined && !names.has('content-length') && (method === 'PUT' || method === 'POST'))
    lines.push('Content-Length: 0');
  lines.push('Connection: keep-alive', '', '');
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

function lengthIn(headers: Readonly<Record<string, string>>): number {
  return Number(Object.entries(headers).find(([name]) => name.toLowerCase() === 'content-length')?.[1] ?? 0);
}

/** More lie idle only after a burst; those are not worth their memory. */
const MAX_IDLE_CONNECTIONS = 64;

interface IdleConnections {
  /** The one that was used last: the others may rest until they are dropped. */
  take(origin: string): Connection | undefined;
  put(origin: string, connection: Connection, keepAliveMs: number): void;
  close(): void;
}

function createIdleConnections(): IdleConnections {
  interface Resting {
    readonly origin: string;
    readonly connection: Connection;
    readonly timer: NodeJS.Timeout;
  }
  let resting: Resting[] = [];
  let isClosed = false;

  function drop(each: Resting): void {
    clearTimeout(each.timer);
    each.connection.destroy();
    resting = resting.filter((other) => other !== each);
  }

  return {
    take: (origin) => {
      for (const each of resting.toReversed()) {
        if (!each.connection.isOpen()) drop(each);
        else if (each.origin === origin) {
          clearTimeout(each.timer);
          resting = resting.filter((other) => other !== each);
          each.connection.keepAwake(true);
          return each.connection;
        }
      }
      return undefined;
    },
    put: (origin, connection, keepAliveMs) => {
      if (isClosed) return connection.destroy();
      connection.keepAwake(false);
      const timer = setTimeout(() => drop(each), Math.min(keepAliveMs, KEEP_ALIVE_MS)).unref();
      const each: Resting = { origin, connection, timer };
      resting.push(each);
      const [oldest] = resting;
      if (resting.length > MAX_IDLE_CONNECTIONS && oldest !== undefined) drop(oldest);
    },
    close: () => {
      isClosed = true;
      for (const each of resting) drop(each);
    },
  };
}

const MAX_SESSIONS = 64;

/** TLS sessions by origin: the next connection to a host that is known is cheaper. */
function createSessions(): {
  of(origin: string): Buffer | undefined;
  keep(origin: string, session: Buffer): void;
  forget(origin: string): void;
} {
  const sessions = new Map<string, Buffer>();
  return {
    of: (origin) => sessions.get(origin),
    keep: (origin, session) => {
      sessions.delete(origin);
      sessions.set(origin, session);
      for (const oldest of sessions.keys()) if (sessions.size > MAX_SESSIONS) sessions.delete(oldest);
    },
    forget: (origin) => void sessions.delete(origin),
  };
}
