/** The other end of a Redis connection, on a socket: a test says what is answered to which command, byte by byte. */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { TLSSocket, createSecureContext } from 'node:tls';
import type { Identity } from './raw-server.ts';

export interface RedisPeer {
  readonly port: number;
  /** The commands that came, of all connections, as words. */
  readonly commands: readonly (readonly string[])[];
  /** How many connections are open. */
  open(): number;
  close(): Promise<void>;
}

/** What is sent for a command; undefined: nothing. */
export type Answer = string | Buffer | readonly (string | Buffer)[] | undefined;

/**
 * @param answer called for each command. Several pieces leave as packets of their own. What it throws ends the connection.
 */
export async function startRedisPeer(
  answer: (words: readonly string[], socket: Socket) => Answer | Promise<Answer>,
  identity?: Identity,
  host = '127.0.0.1',
): Promise<RedisPeer> {
  const commands: (readonly string[])[] = [];
  const sockets = new Set<Socket>();
  const context = identity === undefined ? undefined : createSecureContext(identity);
  const server = createServer((raw) => {
    sockets.add(raw);
    raw.setNoDelay(true);
    raw.on('error', () => undefined).on('close', () => void sockets.delete(raw));
    const socket =
      context === undefined ? raw : new TLSSocket(raw, { isServer: true, secureContext: context });
    socket.on('error', () => undefined);
    let received = Buffer.alloc(0);
    let work = Promise.resolve();
    socket.on('data', (piece: Buffer) => {
      received = Buffer.concat([received, piece]);
      for (;;) {
        const command = parseCommand(received);
        if (command === undefined) return;
        received = received.subarray(command.bytes);
        commands.push(command.words);
        work = work
          .then(async () => say(socket, await answer(command.words, socket)))
          .catch(() => void raw.destroy());
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return {
    port: (server.address() as AddressInfo).port,
    commands,
    open: () => sockets.size,
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function say(socket: Socket, answer: Answer): Promise<void> {
  if (answer === undefined) return;
  const pieces = typeof answer === 'string' || Buffer.isBuffer(answer) ? [answer] : answer;
  for (const piece of pieces) {
    await new Promise<void>((resolve) => socket.write(piece, () => resolve()));
    // So that the next piece is a packet of its own.
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}

function parseCommand(
  bytes: Buffer,
): { readonly words: readonly string[]; readonly bytes: number } | undefined {
  const text = bytes.toString('latin1');
  const head = /^\*(\d+)\r\n/.exec(text);
  if (head === null) return undefined;
  const words: string[] = [];
  let at = head[0].length;
  for (let left = Number(head[1]); left > 0; left--) {
    const length = /^\$(\d+)\r\n/.exec(text.slice(at, at + 16));
    if (length === null) return undefined;
    at += length[0].length;
    const end = at + Number(length[1]);
    if (bytes.length < end + 2) return undefined;
    words.push(bytes.toString('utf8', at, end));
    at = end + 2;
  }
  return { words, bytes: at };
}

export const MARK = '0123456789abcdef0123456789abcdef01234567';
export const RESYNC = `+FULLRESYNC ${'ab'.repeat(20)} 4711\r\n`;

/** Answers a handshake as a server does that has no password, and a PSYNC with these pieces. */
export function snapshotOf(
  ...pieces: readonly (string | Buffer)[]
): (words: readonly string[], socket: Socket) => Answer {
  return ([command = ''], socket) => {
    if (command === 'PING') return '+PONG\r\n';
    if (command === 'REPLCONF') return '+OK\r\n';
    if (command !== 'PSYNC') return `-ERR unknown command '${command}'\r\n`;
    // As with rdb-only: the server ends the connection when all is sent.
    void new Promise<void>((resolve) => setImmediate(resolve)).then(async () => {
      await say(socket, pieces);
      socket.end();
    });
    return undefined;
  };
}
