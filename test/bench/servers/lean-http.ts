/**
 * HTTP/1.1 straight on sockets, no more of it than the clients of the bench use, and as cheap as Node can be: a body
 * that arrives is read into one buffer that all connections share, and a body that leaves is handed to the kernel in
 * one write where it is one piece of memory. What is measured is the client; `node:http` here would be what limits it.
 */
import { once } from 'node:events';
import { Server, Socket, type AddressInfo, type SocketConstructorOpts } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPace, type Pace, type Shape } from './pace.ts';

export interface Asked {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
}

export interface Exchange {
  /** A piece of the request's body, in order. It is valid during the call only. */
  take?(piece: Buffer): void;
  /** The body has ended. */
  answer(): Answer;
  /** The connection ended before the body did. */
  cut?(): void;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** Pieces come with their length. None is sent to HEAD, but their length is told. */
  readonly body?: string | Buffer | { readonly bytes: number; readonly pieces: Iterable<Buffer> };
}

export interface LeanServer {
  readonly url: string;
  /** Also ends all connections. */
  close(): void;
}

const READ_BYTES = 512 * 1024;
/** With a rate to keep, smaller steps: four milliseconds at 60 MB/s. */
const PACED_BYTES = 256 * 1024;
/** Small pieces leave together. */
const BATCH_BYTES = 4 * 1024 ** 2;
const MAX_HEAD_BYTES = 32 * 1024;

/** @param begin is called with each request's head, before its body is read */
export async function startLeanServer(
  begin: (asked: Asked) => Exchange,
  shape: Shape | undefined,
): Promise<LeanServer> {
  const buffer = Buffer.allocUnsafeSlow(shape === undefined ? READ_BYTES : PACED_BYTES);
  const sockets = new Set<Socket>();
  // Paused, so that nothing is read before the handle has a buffer of ours.
  const server = new Server({ pauseOnConnect: true, noDelay: true }, (accepted) => {
    const socket = serve(accepted, buffer, begin, shape);
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  // It listens on TCP, so this is no path.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/**
 * Where the reader stands: in a head, in a body of known length, in the parts of a chunked body, or done reading
 * because the answer is being made (none of the clients sends its next request before that).
 */
type Place = 'head' | 'body' | 'chunk size' | 'chunk' | 'chunk end' | 'trailer' | 'answering';

function serve(
  accepted: Socket,
  buffer: Buffer,
  begin: (asked: Asked) => Exchange,
  shape: Shape | undefined,
): Socket {
  const pace = shape === undefined ? undefined : createPace(shape);
  let place: Place = 'head';
  let head = '';
  let asked: Asked | undefined;
  let exchange: Exchange | undefined;
  /** Bytes of the body or chunk that are still to come; in a trailer, the length of the line so far. */
  let left = 0;

  const socket = takeOver(accepted, buffer, (piece) => {
    const isBody = place !== 'head';
    consume(piece);
    const ms = isBody ? (pace?.spend(piece.length) ?? 0) : 0;
    if (ms < 1) return true;
    setTimeout(() => socket.resume(), ms);
    return false;
  });
  socket.on('error', () => undefined);
  socket.once('close', () => {
    if (place !== 'head' && place !== 'answering') exchange?.cut?.();
  });
  socket.once('end', () => socket.end());

  function consume(piece: Buffer): void {
    for (let at = 0; at < piece.length;) {
      if (place === 'head') at = readHead(piece, at);
      else if (place === 'answering') return void socket.destroy();
      else at = readBody(piece, at);
    }
  }

  function readHead(piece: Buffer, at: number): number {
    const known = head.length;
    head += piece.toString('latin1', at, Math.min(piece.length, at + MAX_HEAD_BYTES));
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) {
      if (head.length >= MAX_HEAD_BYTES) socket.destroy();
      return piece.length;
    }
    asked = parseHead(head.slice(0, end));
    head = '';
    exchange = begin(asked);
    pace?.begin();
    if (asked.headers.get('expect')?.toLowerCase() === '100-continue')
      socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    left = Number(asked.headers.get('content-length') ?? 0);
    place = asked.headers.get('transfer-encoding') === 'chunked' ? 'chunk size' : 'body';
    if (place === 'body' && left === 0) endBody();
    return at + end + 4 - known;
  }

  function readBody(piece: Buffer, at: number): number {
    if (place === 'body' || place === 'chunk') {
      const end = Math.min(piece.length, at + left);
      exchange?.take?.(piece.subarray(at, end));
      left -= end - at;
      if (left === 0 && place === 'body') endBody();
      else if (left === 0) place = 'chunk end';
      return end;
    }
    const byte = piece[at] ?? 0;
    if (place === 'chunk end') {
      if (byte === LINE_FEED) place = 'chunk size';
    } else if (place === 'chunk size') {
      if (byte === LINE_FEED) place = left === 0 ? 'trailer' : 'chunk';
      else if (byte !== CARRIAGE_RETURN) left = left * 16 + Number.parseInt(String.fromCharCode(byte), 16);
    } else if (byte !== LINE_FEED) {
      if (byte !== CARRIAGE_RETURN) left++;
    } else if (left === 0) {
      endBody();
    } else {
      left = 0;
    }
    return at + 1;
  }

  function endBody(): void {
    place = 'answering';
    left = 0;
    const request = asked;
    const answer = exchange?.answer();
    if (request === undefined || answer === undefined) return;
    void sendAnswer(request, answer).catch(() => socket.destroy());
  }

  async function sendAnswer(
    { method, headers }: Asked,
    { status, headers: own, body }: Answer,
  ): Promise<void> {
    if (shape !== undefined) await sleep(shape.latencyMs);
    const whole = typeof body === 'string' ? Buffer.from(body) : (body ?? Buffer.alloc(0));
    const bytes = Buffer.isBuffer(whole) ? whole.length : whole.bytes;
    const lines = Object.entries({ 'content-length': bytes, ...own }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    // The next request may arrive before the last byte of this answer has left.
    const isLast = headers.get('connection') === 'close';
    place = 'head';
    socket.write(`HTTP/1.1 ${status} ${status < 400 ? 'OK' : 'Error'}\r\n${lines.join('\r\n')}\r\n\r\n`);
    if (method !== 'HEAD') await sendPieces(socket, Buffer.isBuffer(whole) ? [whole] : whole.pieces, pace);
    if (isLast) socket.end();
  }

  return socket;
}

const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * The same connection, read into a buffer of ours. Node offers that for sockets that connect, not for those that are
 * accepted; so a second socket takes the handle of the first, which nobody reads.
 * @param read whether to go on reading; `resume()` does later
 */
function takeOver(accepted: Socket, buffer: Buffer, read: (piece: Buffer) => boolean): Socket {
  // Both are options of the constructor that its published types lack.
  const options = {
    handle: (accepted as unknown as { readonly _handle: unknown })._handle,
    onread: { buffer, callback: (bytes: number): boolean => read(buffer.subarray(0, bytes)) },
  } as unknown as SocketConstructorOpts;
  return new Socket(options);
}

function parseHead(text: string): Asked {
  const [first = '', ...lines] = text.split('\r\n');
  const [method = '', target = '/'] = first.split(' ');
  const url = new URL(target, 'http://localhost');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  return {
    method,
    path: decodeURIComponent(url.pathname),
    query: url.searchParams,
    headers: new Map(headers),
  };
}

async function sendPieces(socket: Socket, pieces: Iterable<Buffer>, pace: Pace | undefined): Promise<void> {
  if (pace === undefined) return sendBatches(socket, pieces);
  pace.begin();
  for (const piece of pieces) {
    for (let at = 0; at < piece.length; at += PACED_BYTES) {
      const step = piece.subarray(at, at + PACED_BYTES);
      if (!socket.write(step)) await drained(socket);
      const ms = pace.spend(step.length);
      if (ms >= 1) await sleep(ms);
      if (socket.destroyed) return;
    }
  }
}

async function sendBatches(socket: Socket, pieces: Iterable<Buffer>): Promise<void> {
  let batch = 0;
  let isFull = false;
  socket.cork();
  for (const piece of pieces) {
    if (socket.destroyed) return;
    isFull = !socket.write(piece);
    batch += piece.length;
    if (batch < BATCH_BYTES) continue;
    socket.uncork();
    if (isFull && socket.writableNeedDrain) await drained(socket);
    batch = 0;
    socket.cork();
  }
  socket.uncork();
  if (socket.writableNeedDrain) await drained(socket);
}

/** Also when the connection ends instead. */
async function drained(socket: Socket): Promise<void> {
  if (socket.destroyed || !socket.writableNeedDrain) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
