/**
 * The wire between a client and a service: a server on loopback that passes every request on as it came, and every
 * answer back byte for byte, unless a script wants the exchange for itself. A script has the raw connection in its
 * hands: it may cut it, fall silent on it, send what no HTTP library would, ask the service twice or not at all.
 *
 * Requests and answers are held as a whole, so it is made for small ones: parts of some MiB.
 */
import { once } from 'node:events';
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';

export interface WireRequest {
  readonly method: string;
  /** Path and query as they came. */
  readonly url: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface WireAnswer {
  readonly status: number;
  readonly reason: string;
  /** As the service wrote them, in its order. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** One request on its connection. Everything here may be left undone; an exchange without an answer ends its connection. */
export interface Exchange {
  readonly request: WireRequest;
  /** The body, or no more than its first bytes: the rest then stays unread on the connection. Safe to call twice. */
  receive(atMostBytes?: number): Promise<Buffer>;
  /** Passes the request on to the service, with this body instead of its own, and returns the answer. */
  ask(body?: Buffer): Promise<WireAnswer>;
  /** Writes to the client exactly these bytes; resolves when they have left, or when the client has. */
  send(bytes: Buffer | string): Promise<void>;
  /** Ends the connection with a reset, as the loss of a host does. */
  reset(): void;
  /** Ends the connection in order, whether or not the answer was complete. */
  hangUp(): void;
  /** Resolves when the client has given the connection up. */
  readonly gone: Promise<void>;
  isGone(): boolean;
}

export type Trouble = (exchange: Exchange) => Promise<void>;

export interface Script {
  readonly on: (request: WireRequest) => boolean;
  /** Requests that it lets pass first. Default 0. */
  readonly skip?: number;
  /** How many it takes after that. Default 1. */
  readonly times?: number;
  readonly trouble: Trouble;
}

/** How often a script was met. A trouble that never came about proves nothing. */
export interface Witness {
  readonly met: number;
}

export interface Wire {
  readonly port: number;
  /** `http://127.0.0.1:<port>` */
  readonly url: string;
  /** The first script that wants a request gets it. */
  script(script: Script): Witness;
  /** Forgets all scripts and refusals; what they have begun goes on. */
  clear(): void;
  /** Resets so many of the next connections as they come in. */
  refuse(connections: number): Witness;
  /** Does not listen for so long: connections are refused by the system itself. Connections that are open end. */
  vanish(ms: number): Promise<void>;
  /** Ends all connections. Safe to call twice. */
  close(): Promise<void>;
}

/** @param service its address, asked for when it is needed */
export async function openWire(service: () => string): Promise<Wire> {
  const agent = new Agent({ keepAlive: true });
  const scripts: { readonly script: Script; seen: number; met: number }[] = [];
  const refusals: { left: number; met: number }[] = [];
  const sockets = new Set<Socket>();
  let closed: Promise<void> | undefined;
  let server = await listenOn(0);
  const { port } = server.address() as AddressInfo;

  async function listenOn(wantedPort: number): Promise<Server> {
    const listening = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.once('close', () => sockets.delete(socket));
      const refusal = refusals.find(({ left }) => left > 0);
      if (refusal !== undefined) {
        refusal.left--;
        refusal.met++;
        socket.resetAndDestroy();
        return;
      }
      // What comes out of it is a connection that ended in the middle of a request: there is nobody to answer.
      serve(socket).catch(() => socket.destroy());
    });
    listening.listen(wantedPort, '127.0.0.1');
    await once(listening, 'listening');
    return listening;
  }

  async function serve(socket: Socket): Promise<void> {
    const reader = createReader(socket);
    const gone = new Promise<void>((resolve) => socket.once('close', () => resolve()));
    for (;;) {
      const head = await reader.readHead();
      if (head === undefined) return void socket.end();
      const request = parseHead(head);
      const exchange = createExchange(request, socket, reader, gone);
      await (take(request) ?? passOn)(exchange);
      if (socket.destroyed || socket.writableEnded) return;
      // A connection on which something was left unsaid or unread cannot carry another request.
      if (!exchange.isAnswered() || !exchange.isRead()) return void socket.resetAndDestroy();
    }
  }

  function take(request: WireRequest): Trouble | undefined {
    for (const entry of scripts) {
      const { script } = entry;
      if (entry.met >= (script.times ?? 1) || !script.on(request)) continue;
      entry.seen++;
      if (entry.seen <= (script.skip ?? 0)) continue;
      entry.met++;
      return script.trouble;
    }
    return undefined;
  }

  function createExchange(
    request: WireRequest,
    socket: Socket,
    reader: Reader,
    gone: Promise<void>,
  ): Exchange & { isAnswered(): boolean; isRead(): boolean } {
    const declared = Number(request.headers['content-length'] ?? 0);
    let received: Buffer = Buffer.alloc(0);
    let hasAnswered = false;

    async function receive(atMostBytes = declared): Promise<Buffer> {
      const wanted = Math.min(declared, atMostBytes) - received.length;
      if (wanted <= 0) return received;
      const more = await reader.read(wanted);
      received = received.length === 0 ? more : Buffer.concat([received, more]);
      return received;
    }

    return {
      request,
      receive,
      ask: async (body) => ask(service(), agent, request, body ?? (await receive())),
      send: async (bytes) => {
        hasAnswered = true;
        if (socket.destroyed || socket.write(bytes)) return;
        await Promise.race([once(socket, 'drain'), gone]).catch(() => undefined);
      },
      reset: () => void socket.resetAndDestroy(),
      hangUp: () => void socket.end(),
      gone,
      isGone: () => socket.destroyed,
      isAnswered: () => hasAnswered,
      isRead: () => received.length === declared,
    };
  }

  async function close(): Promise<void> {
    agent.destroy();
    await stopListening();
  }

  async function stopListening(): Promise<void> {
    const ended = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await ended;
  }

  return {
    port,
    url: `http://127.0.0.1:${port}`,
    script: (script) => {
      const entry = { script, seen: 0, met: 0 };
      scripts.push(entry);
      return entry;
    },
    clear: () => {
      scripts.length = 0;
      refusals.length = 0;
    },
    refuse: (connections) => {
      const entry = { left: connections, met: 0 };
      refusals.push(entry);
      return entry;
    },
    vanish: async (ms) => {
      await stopListening();
      await new Promise((resolve) => setTimeout(resolve, ms));
      if (closed === undefined) server = await listenOn(port);
    },
    close: async () => (closed ??= close()),
  };
}

async function passOn(exchange: Exchange): Promise<void> {
  await answerWith(exchange, await exchange.ask());
}

/** The answer as it goes over the wire. */
export async function answerWith(exchange: Exchange, answer: WireAnswer): Promise<void> {
  await exchange.send(encodeHead(answer));
  await exchange.send(answer.body);
}

export function encodeAnswer(answer: WireAnswer): Buffer {
  return Buffer.concat([encodeHead(answer), answer.body]);
}

export function encodeHead({ status, reason, headers }: WireAnswer): Buffer {
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  return Buffer.from(`HTTP/1.1 ${status} ${reason}\r\n${lines}\r\n`, 'latin1');
}

/** Everything is closed under the script's hands when the case ends: then it never settles, and nobody waits. */
async function ask(
  service: string,
  agent: Agent,
  { method, url, headers }: WireRequest,
  body: Buffer,
): Promise<WireAnswer> {
  const { hostname, port } = new URL(service);
  const outgoing = httpRequest({ hostname, port, agent, method, path: url, headers: { ...headers } });
  outgoing.end(body);
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  const pieces: Buffer[] = [];
  for await (const piece of incoming) pieces.push(piece as Buffer);
  const { rawHeaders } = incoming;
  return {
    status: incoming.statusCode ?? 0,
    reason: incoming.statusMessage ?? '',
    headers: rawHeaders.flatMap((name, at) =>
      // How the service and the wire keep their own connection is nothing to the client.
      at % 2 === 0 && !/^(connection|keep-alive|transfer-encoding)$/i.test(name)
        ? [[name, rawHeaders[at + 1] ?? ''] as const]
        : [],
    ),
    body: Buffer.concat(pieces),
  };
}

interface Reader {
  /** Up to and without the empty line; undefined when the client ends the connection between two requests. */
  readHead(): Promise<string | undefined>;
  /** Throws when the connection ends before that. */
  read(bytes: number): Promise<Buffer>;
}

const MAX_HEAD_BYTES = 64 * 1024;

/** Takes from the connection only what is asked for, so that a client that nobody listens to feels it. */
function createReader(socket: Socket): Reader {
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let rest: Buffer = Buffer.alloc(0);

  async function more(): Promise<boolean> {
    const { value, done } = await chunks.next();
    if (done === true) return false;
    rest = rest.length === 0 ? value : Buffer.concat([rest, value]);
    return true;
  }

  async function readHead(): Promise<string | undefined> {
    let end = rest.indexOf('\r\n\r\n');
    while (end < 0) {
      if (rest.length > MAX_HEAD_BYTES) throw new Error('the head of a request does not end');
      if (!(await more())) return undefined;
      end = rest.indexOf('\r\n\r\n');
    }
    const head = rest.toString('latin1', 0, end);
    rest = rest.subarray(end + 4);
    return head;
  }

  async function read(bytes: number): Promise<Buffer> {
    const whole = Buffer.allocUnsafe(bytes);
    let filled = 0;
    while (filled < bytes) {
      if (rest.length === 0 && !(await more())) throw new Error('the request ends early');
      const taken = rest.copy(whole, filled);
      rest = rest.subarray(taken);
      filled += taken;
    }
    return whole;
  }

  return { readHead, read };
}

function parseHead(head: string): WireRequest {
  const [first = '', ...lines] = head.split('\r\n');
  const [method = '', url = ''] = first.split(' ');
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  if (headers['transfer-encoding'] !== undefined)
    throw new Error('requests in chunks do not pass here: none of the clients sends any');
  return { method, url, headers };
}
