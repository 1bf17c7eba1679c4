/**
 * One connection to a Redis or Valkey server, of which little is asked: commands one at a time, each answered before the
 * next is sent, and then a stream of bytes. A client library cannot carry that stream: its parser takes it for replies.
 *
 * Protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/
 */
import { lookup } from 'node:dns';
import { connect as connectPlainly, isIP, type LookupFunction, type Socket } from 'node:net';
import { checkServerIdentity, connect as connectSecurely } from 'node:tls';
import { BackupError } from '../errors.ts';
import { stopReason, throwIfStopped } from '../transfer/retry.ts';

export interface Address {
  readonly host: string;
  readonly port: number;
  /** Where it is, if nobody here knows the host by its name: names of a cluster's nodes may be for its own network only. */
  readonly ip?: string;
}

export interface ConnectionOptions {
  readonly isSecure: boolean;
  /** Certificates (PEM) to trust instead of the usual ones. */
  readonly ca?: string;
  /** What we show to a server that asks who we are: certificate and private key (PEM). */
  readonly cert?: string;
  readonly key?: string;
  /**
   * The name that the operator gave. Nodes that were found by asking are often known by their IP address only, and show
   * a certificate for this name: it is accepted as well.
   */
  readonly knownHost?: string;
  readonly connectTimeoutMs?: number;
  /** Silence for so long, while something is waited for, is the end. */
  readonly idleTimeoutMs?: number;
}

/** A reply without an error; `undefined` is Redis's null. */
export type Reply = string | number | undefined | readonly Reply[];

/** An answer that begins with `-`. The text is the server's own: it may repeat what it was sent, so it is never shown as it is. */
export class ErrorReply extends Error {
  override readonly name = 'ErrorReply';
  readonly text: string;

  constructor(text: string) {
    super('the server answers with an error');
    this.text = text;
  }
}

export interface Connection {
  /** `redis://host:port`, for errors and logs. */
  readonly name: string;
  /** Sends a command and waits for its reply. Throws an ErrorReply when that is an error. */
  call(...words: readonly string[]): Promise<Reply>;
  /** Sends a command that is not answered as others are. */
  send(...words: readonly string[]): void;
  /** The next line, without its end; empty for a lone `\n`. */
  line(): Promise<string>;
  /** The next bytes, at least one; undefined when the other side has ended the connection. Valid until the next call. */
  piece(): Promise<Buffer | undefined>;
  /** Safe to call twice. */
  close(): void;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** A server that prepares a snapshot sends a sign of life every second; one that is merely busy may be silent for long. */
const IDLE_TIMEOUT_MS = 60_000;
/** As much as may wait here while nobody takes it; then the server has to wait. */
const HELD_BYTES_MAX = 1024 * 1024;
const LINE_BYTES_MAX = 64 * 1024;
/** The description of a cluster of a thousand nodes is some hundred kilobytes. */
const BULK_BYTES_MAX = 16 * 1024 * 1024;
const ELEMENTS_MAX = 100_000;
const DEPTH_MAX = 8;

const LF = 0x0a;

export function nameOf({ host, port }: Address, isSecure: boolean): string {
  return `${isSecure ? 'rediss' : 'redis'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
}

/**
 * @param signal ends the connection at any time
 * @throws BackupError SOURCE_UNAVAILABLE, CONFIG_INVALID, or the signal's reason
 */
export async function openConnection(
  address: Address,
  options: ConnectionOptions,
  signal: AbortSignal,
): Promise<Connection> {
  throwIfStopped(signal);
  const name = nameOf(address, options.isSecure);
  const { connectTimeoutMs = CONNECT_TIMEOUT_MS, idleTimeoutMs = IDLE_TIMEOUT_MS } = options;
  const socket = openSocketOrSayWhy(name, address, options);
  const inbox = createInbox(name, socket, idleTimeoutMs);
  const stop = (): void => inbox.fail(stopReason(signal));
  signal.addEventListener('abort', stop, { once: true });
  socket.once('close', () => signal.removeEventListener('abort', stop));

  await connected(name, socket, inbox, options, connectTimeoutMs);

  async function call(...words: readonly string[]): Promise<Reply> {
    send(...words);
    return reply(0);
  }

  function send(...words: readonly string[]): void {
    socket.write(encodeCommand(words));
  }

  async function reply(depth: number): Promise<Reply> {
    const line = await inbox.line();
    const rest = line.slice(1);
    switch (line.charAt(0)) {
      case '+':
        return rest;
      case '-':
        throw new ErrorReply(rest);
      case ':':
        return lengthOf(rest, Number.MAX_SAFE_INTEGER);
      case '$': {
        if (rest === '-1') return undefined;
        const bytes = lengthOf(rest, BULK_BYTES_MAX);
        return (await inbox.exactly(bytes + 2)).toString('utf8', 0, bytes);
      }
      case '*': {
        if (rest === '-1') return undefined;
        if (depth === DEPTH_MAX) throw nonsense(name);
        const elements: Reply[] = [];
        for (let left = lengthOf(rest, ELEMENTS_MAX); left > 0; left--) elements.push(await reply(depth + 1));
        return elements;
      }
      default:
        throw nonsense(name);
    }
  }

  function lengthOf(text: string, most: number): number {
    const length = /^-?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!(length <= most) || (length < 0 && most !== Number.MAX_SAFE_INTEGER)) throw nonsense(name);
    return length;
  }

  return {
    name,
    call,
    send,
    line: async () => inbox.line(),
    piece: async () => inbox.piece(),
    close: () => void socket.destroy(),
  };
}

/** Certificates and keys that cannot be read are refused before anything is sent. */
function openSocketOrSayWhy(name: string, address: Address, options: ConnectionOptions): Socket {
  try {
    return openSocket(address, options);
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', `connect to ${name}: its certificates or key cannot be used`, {
      details: { server: name },
      hint: 'check `ca`, `cert` and the variable that `keyFrom` names: each is PEM text',
      cause,
    });
  }
}

function openSocket({ host, port, ip }: Address, options: ConnectionOptions): Socket {
  const { isSecure, ca, cert, key, knownHost } = options;
  const where = { host, port, ...(ip === undefined ? {} : { lookup: lookupOr(ip) }) };
  if (!isSecure) return connectPlainly({ ...where, noDelay: true, keepAlive: true });
  const servername =
    isIP(host) === 0 ? host : knownHost !== undefined && isIP(knownHost) === 0 ? knownHost : '';
  const socket = connectSecurely({
    ...where,
    ...(servername === '' ? {} : { servername }),
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    checkServerIdentity: (_servername, certificate) => {
      const problem = checkServerIdentity(host, certificate);
      return problem === undefined || knownHost === undefined
        ? problem
        : checkServerIdentity(knownHost, certificate);
    },
  });
  return socket.setNoDelay(true).setKeepAlive(true);
}

/** Asks for the name's address, and takes this one if it has none. */
function lookupOr(ip: string): LookupFunction {
  return (name, options, callback) => {
    lookup(name, options, (error, address, family) => {
      if (error === null) callback(null, address, family);
      else if (options.all === true) callback(null, [{ address: ip, family: isIP(ip) }]);
      else callback(null, ip, isIP(ip));
    });
  };
}

async function connected(
  name: string,
  socket: Socket,
  inbox: Inbox,
  { isSecure }: ConnectionOptions,
  timeoutMs: number,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await new Promise<void>((resolve, reject) => {
      timer = setTimeout(
        () => inbox.fail(unavailable(name, `no connection within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
      socket.once(isSecure ? 'secureConnect' : 'connect', resolve);
      inbox.onFailure = reject;
      if (inbox.failure !== undefined) reject(inbox.failure);
    });
  } finally {
    clearTimeout(timer);
    delete inbox.onFailure;
  }
}

interface Inbox {
  failure: BackupError | undefined;
  onFailure?: (error: BackupError) => void;
  fail(error: BackupError): void;
  line(): Promise<string>;
  exactly(bytes: number): Promise<Buffer>;
  piece(): Promise<Buffer | undefined>;
  unread(rest: Buffer): void;
}

/** What has come and was not taken yet. It is bounded: a server that sends faster than we take has to wait. */
function createInbox(name: string, socket: Socket, idleTimeoutMs: number): Inbox {
  const pieces: Buffer[] = [];
  let heldBytes = 0;
  let hasEnded = false;
  let wake = (): void => undefined;

  const inbox: Inbox = {
    failure: undefined,
    fail: (error) => {
      inbox.failure ??= error;
      socket.destroy();
      inbox.onFailure?.(inbox.failure);
      wake();
    },
    line,
    exactly,
    piece,
    unread: (rest) => {
      if (rest.length === 0) return;
      pieces.unshift(rest);
      heldBytes += rest.length;
    },
  };

  socket.on('data', (piece: Buffer) => {
    pieces.push(piece);
    heldBytes += piece.length;
    if (heldBytes >= HELD_BYTES_MAX) socket.pause();
    wake();
  });
  socket.on('error', (error) => inbox.fail(broken(name, error)));
  const end = (): void => {
    hasEnded = true;
    inbox.onFailure?.(unavailable(name, 'the connection was closed'));
    wake();
  };
  socket.on('end', end).on('close', end);

  async function piece(): Promise<Buffer | undefined> {
    while (pieces.length === 0) {
      if (inbox.failure !== undefined) throw inbox.failure;
      if (hasEnded) return undefined;
      await more();
    }
    const first = pieces.shift();
    heldBytes -= first?.length ?? 0;
    if (heldBytes < HELD_BYTES_MAX && socket.isPaused()) socket.resume();
    return first;
  }

  async function more(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      wake = resolve;
      timer = setTimeout(
        () => inbox.fail(unavailable(name, `not a byte for ${idleTimeoutMs / 1000} s`)),
        idleTimeoutMs,
      );
    });
    clearTimeout(timer);
  }

  async function line(): Promise<string> {
    const before: Buffer[] = [];
    let bytes = 0;
    for (;;) {
      const next = await piece();
      if (next === undefined) throw closed(name);
      const end = next.indexOf(LF);
      bytes += end < 0 ? next.length : end;
      if (bytes > LINE_BYTES_MAX) throw nonsense(name);
      if (end < 0) {
        before.push(next);
        continue;
      }
      inbox.unread(next.subarray(end + 1));
      const text = Buffer.concat([...before, next.subarray(0, end)]).toString('utf8');
      return text.endsWith('\r') ? text.slice(0, -1) : text;
    }
  }

  async function exactly(bytes: number): Promise<Buffer> {
    const whole = Buffer.allocUnsafe(bytes);
    for (let at = 0; at < bytes;) {
      const next = await piece();
      if (next === undefined) throw closed(name);
      const copied = next.copy(whole, at);
      at += copied;
      inbox.unread(next.subarray(copied));
    }
    return whole;
  }

  return inbox;
}

function encodeCommand(words: readonly string[]): string {
  return `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`;
}

const UNREACHED_HINT =
  'is the server up, and can it be reached from where the functions run (VPC, security group, port)?';
const CLOSED_HINT =
  'rediss:// where the server speaks plain Redis ends like this, redis:// where it speaks TLS, and proxies that know no replication';

/** `details.reason` of an error that says that the server ended the connection instead of answering. */
export const CONNECTION_CLOSED = 'connection-closed';

function closed(name: string): BackupError {
  return new BackupError(
    'SOURCE_UNAVAILABLE',
    `talk to ${name}: it closed the connection without an answer`,
    {
      retryable: true,
      details: { server: name, reason: CONNECTION_CLOSED },
      hint: CLOSED_HINT,
    },
  );
}

function unavailable(name: string, reason: string): BackupError {
  return new BackupError('SOURCE_UNAVAILABLE', `talk to ${name}: ${reason}`, {
    retryable: true,
    details: { server: name },
    hint: UNREACHED_HINT,
  });
}

function nonsense(name: string): BackupError {
  return new BackupError(
    'SOURCE_INVALID',
    `talk to ${name}: what answers there does not speak the Redis protocol`,
    {
      details: { server: name },
      hint: 'check host and port; a TLS port needs rediss://',
    },
  );
}

/** Those that a second attempt would meet again. */
const CERTIFICATE_PROBLEM = /^(ERR_TLS_|ERR_SSL_|DEPTH_ZERO_|SELF_SIGNED|UNABLE_TO_|CERT_)/;

/** The server asks for a certificate of ours (`tls-auth-clients`), or does not accept the one that it got. */
const CERTIFICATE_WANTED =
  /ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|BAD_CERTIFICATE|HANDSHAKE_FAILURE)|ALERT_CERTIFICATE/;

function hintOf(code: string): string {
  if (CERTIFICATE_WANTED.test(code))
    return 'it wants to see a certificate that its own authority has signed: give one in `cert`, and the variable with its key in `keyFrom`';
  if (CERTIFICATE_PROBLEM.test(code))
    return 'give the certificate of its authority in `ca`, use the name that its certificate is for, or redis:// if it speaks no TLS';
  return code === 'ECONNRESET' ? CLOSED_HINT : UNREACHED_HINT;
}

function broken(name: string, error: Error & { readonly code?: string }): BackupError {
  const isFinal = CERTIFICATE_PROBLEM.test(error.code ?? '');
  return new BackupError('SOURCE_UNAVAILABLE', `talk to ${name}`, {
    retryable: !isFinal,
    details: { server: name, ...(error.code === undefined ? {} : { reason: error.code }) },
    hint: hintOf(error.code ?? ''),
    cause: error,
  });
}
