/** A server below HTTP: a test writes each byte of an answer itself, well or badly, over TCP or TLS. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { TLSSocket, createSecureContext } from 'node:tls';

export interface RawServer {
  readonly url: string;
  readonly port: number;
  /** How many connections there have been. */
  connections(): number;
  /** How many there are. */
  open(): number;
  /** What happens on each connection from now on; `number` counts them from 1. What it throws ends the connection. */
  talk(script: (peer: Peer, number: number) => Promise<void> | void): void;
  close(): Promise<void>;
}

export interface Peer {
  /** The next whole request; rejects when the connection ends first. */
  request(): Promise<RawRequest>;
  /** The next head of a request; nothing of what follows is read. */
  head(): Promise<string>;
  /** Resolves when the bytes have left, or cannot. */
  send(...pieces: readonly (string | Buffer)[]): Promise<void>;
  /** Reads what is there, at least one byte, and drops it; resolves with how much it was. */
  drain(): Promise<number>;
  isSessionReused(): boolean;
  end(): void;
  reset(): void;
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>;
  /** How many bytes have been given to the connection and have left. */
  sent(): number;
}

export interface RawRequest {
  readonly head: string;
  readonly body: Buffer;
}

export interface Identity {
  readonly key: string;
  readonly cert: string;
}

export async function startRawServer(identity?: Identity, host = '127.0.0.1'): Promise<RawServer> {
  let script: Parameters<RawServer['talk']>[0] = () => undefined;
  let connections = 0;
  const sockets = new Set<Socket>();
  const context = identity === undefined ? undefined : createSecureContext(identity);
  const server = createServer((raw) => {
    connections++;
    sockets.add(raw);
    raw.on('error', () => undefined).on('close', () => void sockets.delete(raw));
    raw.setNoDelay(true);
    const socket =
      context === undefined ? raw : new TLSSocket(raw, { isServer: true, secureContext: context });
    const peer = createPeer(raw, socket);
    const work = async (): Promise<void> => script(peer, connections);
    work().catch(() => raw.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  const { port } = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    url: `${identity === undefined ? 'http' : 'https'}://${name}:${port}/`,
    port,
    connections: () => connections,
    open: () => sockets.size,
    talk: (next) => (script = next),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

function createPeer(raw: Socket, socket: Socket): Peer {
  let received = Buffer.alloc(0);
  let sent = 0;
  let wake = (): void => undefined;
  let isGone = false;
  const gone = new Promise<void>((resolve) => {
    raw.once('close', () => {
      isGone = true;
      wake();
      resolve();
    });
  });
  socket.on('error', () => undefined);

  async function until(isEnough: () => boolean): Promise<void> {
    const onData = (piece: Buffer): void => {
      received = Buffer.concat([received, piece]);
      wake();
    };
    socket.on('data', onData);
    socket.resume();
    try {
      while (!isEnough()) {
        if (isGone) throw new Error('the connection is gone');
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      socket.removeListener('data', onData);
      socket.pause();
    }
  }

  async function head(): Promise<string> {
    await until(() => received.includes('\r\n\r\n'));
    const end = received.indexOf('\r\n\r\n') + 4;
    const text = received.toString('latin1', 0, end);
    received = received.subarray(end);
    return text;
  }

  async function request(): Promise<RawRequest> {
    const first = await head();
    const length = Number(/^content-length: (\d+)/im.exec(first)?.[1] ?? 0);
    const pieces = [received];
    let missing = length - received.length;
    received = Buffer.alloc(0);
    // Large bodies: joined once.
    while (missing > 0) {
      await until(() => received.length > 0);
      pieces.push(received);
      missing -= received.length;
      received = Buffer.alloc(0);
    }
    return { head: first, body: Buffer.concat(pieces) };
  }

  return {
    request,
    head,
    send: async (...pieces) => {
      for (const piece of pieces) {
        await new Promise<void>((resolve) => {
          socket.write(piece, () => resolve());
          void gone.then(resolve);
        });
        sent += piece.length;
      }
    },
    drain: async () => {
      await until(() => received.length > 0);
      const { length } = received;
      received = Buffer.alloc(0);
      return length;
    },
    isSessionReused: () => socket instanceof TLSSocket && socket.isSessionReused(),
    end: () => void socket.end(),
    reset: () => void raw.resetAndDestroy(),
    gone,
    sent: () => sent,
  };
}
