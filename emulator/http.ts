/**
 * The plumbing under every emulated service: one HTTP server each, requests recorded in the journal, faults
 * applied around the action, errors written in the service's own shape. Actions know nothing of sockets.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TLSSocket } from 'node:tls';
import type { Clock } from './clock.ts';
import type { Effect, Faults, ServiceName } from './faults.ts';
import type { Journal, JournalEntry } from './journal.ts';

/** A request as an action sees it. */
export interface Request {
  readonly method: string;
  /** Path and query as they came, not decoded: signatures need them so. */
  readonly rawUrl: string;
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** The body as a stream, to be read once. */
  readonly body: Readable;
  /** The whole body; for small ones. Throws beyond 64 MiB. */
  readBody(): Promise<Buffer>;
  /** Came over TLS. */
  readonly isSecure: boolean;
  /** Aborts when the client goes away or the emulator stops. */
  readonly signal: AbortSignal;
}

export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** A stream's length must be given as a `content-length` header. */
  readonly body?: Buffer | string | Readable;
}

/** Thrown by actions; rendered by the service in its own shape. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;
  constructor(status: number, code: string, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.headers = headers;
  }
}

/** What the router makes of a request: the action's name and target for journal and faults, and the action itself. */
export interface Route {
  readonly action: string;
  readonly target: string;
  /** Runs the action: checks the signature, then does the work. Throws ServiceError. May note the caller. */
  run(noteCaller: (arn: string) => void): Promise<Reply>;
}

export interface Service {
  readonly name: ServiceName;
  /** Never throws: what cannot be routed becomes a route whose `run` throws the service's own error. */
  route(request: Request): Route;
  renderError(error: ServiceError, requestId: string, request: Request): Reply;
  /** Headers that the service puts on every answer, its request id for instance. */
  commonHeaders(requestId: string): Readonly<Record<string, string>>;
}

export interface Surroundings {
  readonly clock: Clock;
  readonly faults: Faults;
  readonly journal: Journal;
}

export interface Listening {
  readonly port: number;
  /** Ends all connections. */
  close(): Promise<void>;
}

export interface ListenOptions {
  /** 0 or left out: the system chooses. */
  readonly port?: number;
  readonly tls?: { readonly key: string; readonly cert: string };
}

/** Clients of ROS send whole templates in the query. */
const MAX_HEADER_BYTES = 1024 * 1024;

export async function listen(
  service: Service,
  around: Surroundings,
  options: ListenOptions = {},
): Promise<Listening> {
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    // `answer` handles all of its failures itself; what still comes out is a defect and ends the connection.
    answer(service, around, request, response).catch(() => request.socket.destroy());
  };
  const server: Server =
    options.tls === undefined
      ? createServer({ keepAliveTimeout: 30_000, maxHeaderSize: MAX_HEADER_BYTES }, onRequest)
      : createTlsServer(
          { ...options.tls, keepAliveTimeout: 30_000, maxHeaderSize: MAX_HEADER_BYTES },
          onRequest,
        );
  server.requestTimeout = 0;
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port ?? 0, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

let requestCount = 0;

async function answer(
  service: Service,
  { clock, faults, journal }: Surroundings,
  incoming: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.once('close', () => gone.abort(new Error('the client went away')));
  response.on('error', () => gone.abort(new Error('the client went away')));
  incoming.on('error', () => gone.abort(new Error('the client went away')));

  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(incoming.headers))
    headers[name] = Array.isArray(value) ? value.join(',') : (value ?? '');
  const counter = { received: 0, flipAt: -1 };
  const request = toRequest(incoming, headers, counter, gone.signal);
  const route = service.route(request);
  const effect = faults.take(service.name, route.action, route.target);
  const entry: JournalEntry = {
    at: clock.now(),
    service: service.name,
    action: route.action,
    target: route.target,
    status: 0,
    received: 0,
    sent: 0,
    ...(effect === undefined ? {} : { fault: effect.kind }),
    ...(headers['range'] === undefined ? {} : { range: headers['range'] }),
  };
  journal.add(entry);

  if (effect?.kind === 'reset') return void incoming.socket.destroy();
  if (effect?.kind === 'flip-request') counter.flipAt = effect.atByte;
  if (effect?.kind === 'drop-request-headers') for (const name of effect.names) delete headers[name];
  if (effect?.kind === 'delay' && !(await slept(clock, effect.ms, gone.signal))) return;

  const requestId = `EMU-${(++requestCount).toString(16).toUpperCase().padStart(12, '0')}`;
  let reply: Reply;
  try {
    reply = await act(service, route, request, effect, requestId, entry);
  } catch {
    // The client left while its request was read: there is nobody to answer.
    return void incoming.socket.destroy();
  }
  entry.received = counter.received;
  if (effect?.kind === 'lose-answer') {
    discard(reply);
    return void incoming.socket.destroy();
  }
  if (!incoming.complete) await drain(incoming);
  await send(reply, service.commonHeaders(requestId), effect, entry, incoming, response, {
    clock,
    signal: gone.signal,
  });
}

async function act(
  service: Service,
  route: Route,
  request: Request,
  effect: Effect | undefined,
  requestId: string,
  entry: JournalEntry,
): Promise<Reply> {
  if (effect?.kind === 'reply')
    return {
      status: effect.status,
      ...(effect.headers === undefined ? {} : { headers: effect.headers }),
      body: effect.body,
    };
  try {
    if (effect?.kind === 'error')
      throw new ServiceError(
        effect.status,
        effect.code,
        effect.message ?? `The request fails as scripted: ${effect.code}.`,
        effect.headers,
      );
    return await route.run((arn) => {
      entry.caller = arn;
    });
  } catch (error) {
    if (error instanceof ServiceError) {
      entry.code = error.code;
      const rendered = service.renderError(error, requestId, request);
      return { ...rendered, headers: { ...rendered.headers, ...error.headers } };
    }
    if (error instanceof Error && (error.message === 'aborted' || error.message === 'the client went away'))
      throw error;
    entry.code = 'InternalError';
    // A defect of the emulator must be seen by whoever runs it, not only by the client.
    process.stderr.write(
      `emulator: ${service.name} ${route.action}: ${error instanceof Error ? (error.stack ?? error.message) : 'unknown error'}\n`,
    );
    return service.renderError(
      new ServiceError(500, 'InternalError', 'The emulator failed.'),
      requestId,
      request,
    );
  }
}

async function send(
  reply: Reply,
  common: Readonly<Record<string, string>>,
  effect: Effect | undefined,
  entry: JournalEntry,
  incoming: IncomingMessage,
  response: ServerResponse,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
): Promise<void> {
  const body = typeof reply.body === 'string' ? Buffer.from(reply.body) : reply.body;
  const headers: Record<string, string> = { ...common, ...reply.headers };
  if (!(body instanceof Readable)) headers['content-length'] ??= String(body?.length ?? 0);
  if (effect?.kind === 'short')
    headers['content-length'] = String(
      Math.min(effect.bytes, Number(headers['content-length'] ?? effect.bytes)),
    );
  if (effect?.kind === 'headers') {
    for (const [name, value] of Object.entries(effect.set)) {
      if (value === '') delete headers[name];
      else headers[name] = value;
    }
  }
  if (effect?.kind === 'stall' && effect.afterBytes === undefined) return discard(reply);

  entry.status = reply.status;
  // A request whose body did not come to its end must not poison a kept-alive connection.
  if (!incoming.complete) headers['connection'] = 'close';
  response.writeHead(reply.status, headers);
  if (incoming.method === 'HEAD' || body === undefined) {
    discard(reply);
    return void response.end();
  }
  const source = body instanceof Readable ? body : Readable.from(slices(body));
  try {
    await pipeline(source, spoil(effect, entry, clock, signal), response, {
      end: effect?.kind !== 'stall' && effect?.kind !== 'cut',
    });
  } catch {
    // The client left or a `cut` came: what was sent is in the journal.
  }
  if (effect?.kind === 'cut') incoming.socket.destroy();
}

/** An answer that is not sent must not keep its file open. */
function discard({ body }: Reply): void {
  if (body instanceof Readable) body.destroy();
}

const DRAIN_MS = 2000;

/**
 * Lets the rest of a body come in that the action did not want, but not for long: a client that is still sending
 * when the connection closes would lose the answer on its way.
 */
async function drain(incoming: IncomingMessage): Promise<void> {
  incoming.unpipe();
  incoming.resume();
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, DRAIN_MS);
    incoming.once('end', resolve).once('close', resolve);
    incoming.once('close', () => clearTimeout(timer)).once('end', () => clearTimeout(timer));
  });
}

/** Passes an answer's body on, counted, and altered as the effect says. */
function spoil(
  effect: Effect | undefined,
  entry: JournalEntry,
  clock: Clock,
  signal: AbortSignal,
): Transform {
  const limit =
    effect?.kind === 'cut' || effect?.kind === 'stall'
      ? (effect.afterBytes ?? 0)
      : effect?.kind === 'short'
        ? effect.bytes
        : Infinity;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let piece = chunk.subarray(0, Math.max(0, limit - entry.sent));
      if (
        effect?.kind === 'flip' &&
        effect.atByte >= entry.sent &&
        effect.atByte < entry.sent + piece.length
      ) {
        piece = Buffer.from(piece);
        const at = effect.atByte - entry.sent;
        piece.writeUInt8(piece.readUInt8(at) ^ 1, at);
      }
      entry.sent += piece.length;
      if (effect?.kind !== 'drip') return done(null, piece);
      slept(clock, (piece.length / effect.bytesPerSecond) * 1000, signal).then(() => done(null, piece), done);
    },
  });
}

function* slices(body: Buffer): Generator<Buffer> {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536);
}

/** False when the client left meanwhile. */
async function slept(clock: Clock, ms: number, signal: AbortSignal): Promise<boolean> {
  try {
    await clock.sleep(ms, signal);
    return true;
  } catch {
    return false;
  }
}

const MAX_READ_BODY_BYTES = 64 * 1024 * 1024;

function toRequest(
  incoming: IncomingMessage,
  headers: Record<string, string>,
  counter: { received: number; flipAt: number },
  signal: AbortSignal,
): Request {
  const counted = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const at = counter.flipAt - counter.received;
      counter.received += chunk.length;
      if (at < 0 || at >= chunk.length) return done(null, chunk);
      const altered = Buffer.from(chunk);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      done(null, altered);
    },
  });
  incoming.pipe(counted);
  incoming.once('aborted', () => counted.destroy(new Error('aborted')));
  counted.on('error', () => undefined);
  const rawUrl = incoming.url ?? '/';
  return {
    method: incoming.method ?? 'GET',
    rawUrl,
    url: new URL(rawUrl.startsWith('/') ? `http://localhost${rawUrl}` : rawUrl),
    headers,
    body: counted,
    isSecure: incoming.socket instanceof TLSSocket,
    signal,
    async readBody() {
      const pieces: Buffer[] = [];
      let length = 0;
      for await (const piece of counted) {
        const bytes = piece as Buffer;
        length += bytes.length;
        if (length > MAX_READ_BODY_BYTES)
          throw new ServiceError(413, 'EntityTooLarge', 'The body is too large to be read at once.');
        pieces.push(bytes);
      }
      return Buffer.concat(pieces);
    },
  };
}
