/**
 * Pulls a snapshot as a replica does. The server forks, or shares the snapshot that it is making, and sends one RDB file;
 * then the connection is closed. Each step waits for its answer: a server refuses PSYNC while one is pending.
 *
 * https://redis.io/docs/latest/operate/oss_and_stack/management/replication/
 */
import { isUtf8 } from 'node:buffer';
import { BackupError } from '../errors.ts';
import type { ByteStream } from '../transfer/byte-stream.ts';
import {
  CONNECTION_CLOSED,
  ErrorReply,
  openConnection,
  type Address,
  type Connection,
  type ConnectionOptions,
} from './connection.ts';
import { explain } from './refusals.ts';

export interface LoginOptions extends ConnectionOptions {
  readonly username?: string;
  readonly password?: string;
}

export interface ReplicationOptions extends LoginOptions {
  /** `PSYNC`, unless the server has another name for it. */
  readonly psync: string;
}

/** A snapshot that is being sent. */
export interface Snapshot extends ByteStream {
  /** `<replication id>:<offset>`: the point in the server's history that it shows. */
  readonly id: string;
  /** Length of the file when the server told it: it does for snapshots that it has written to its disk first. */
  readonly bytes?: number;
}

/** Connected, logged in and answering. */
export async function logIn(
  address: Address,
  options: LoginOptions,
  signal: AbortSignal,
): Promise<Connection> {
  const connection = await openConnection(address, options, signal);
  try {
    await authenticate(connection, options);
    await greet(connection);
    return connection;
  } catch (error) {
    connection.close();
    throw error;
  }
}

async function authenticate(connection: Connection, { username, password }: LoginOptions): Promise<void> {
  if (password === undefined) return;
  try {
    await connection.call('AUTH', ...(username === undefined ? [] : [username]), password);
  } catch (error) {
    throw error instanceof ErrorReply ? explain(error, connection.name, 'log in', true) : error;
  }
}

/** A server that could not save to its disk refuses PING as it refuses writes. All the more it wants to be backed up. */
async function greet(connection: Connection): Promise<void> {
  try {
    await connection.call('PING');
  } catch (error) {
    if (!(error instanceof ErrorReply)) throw error;
    if (!/^MISCONF\b/.test(error.text)) throw explain(error, connection.name, 'greet');
  }
}

/**
 * While it is pulled from, a server lists us among its replicas. Sentinels take each of them for one that stays, and
 * miss it for ever when it has gone, also one of port 0, which is what silence means; what can be no port they pass over.
 */
const NO_PORT = '-1';

/** What we can read, in the numbering of Valkey: without it, Valkey 9 sends what an older one could read, or fails to. */
const VALKEY_VERSION = '9.0.0';

/**
 * Asks for a snapshot and returns when its first bytes are due: the server may take its time until then, to wait for
 * other replicas or to write the file to its disk, and sends a sign of life every second.
 * @param name of the file, for errors
 * @throws BackupError PERMISSION_DENIED, REPLICATION_REFUSED, SOURCE_UNAVAILABLE, SOURCE_INVALID
 */
export async function openSnapshot(
  address: Address,
  name: string,
  options: ReplicationOptions,
  signal: AbortSignal,
): Promise<Snapshot> {
  const connection = await logIn(address, options, signal);
  try {
    await announce(connection, 'listening-port', NO_PORT);
    await announce(connection, 'version', VALKEY_VERSION);
    // The server may send while it makes the snapshot, with a mark for its end: nothing is written to its disk.
    await announce(connection, 'capa', 'eof');
    // From 6.2 on: no changes are kept for us, and the server ends the connection when all is sent.
    await announce(connection, 'rdb-only', '1');
    connection.send(options.psync, '?', '-1');
    const id = await resyncId(connection, options.psync);
    return await receive(connection, name, id);
  } catch (error) {
    connection.close();
    throw error;
  }
}

/** Servers that do not know an option say so, and go on without it. */
async function announce(connection: Connection, option: string, value: string): Promise<void> {
  try {
    await connection.call('REPLCONF', option, value);
  } catch (error) {
    if (!(error instanceof ErrorReply)) throw error;
    if (/^ERR (Unrecognized REPLCONF|syntax error|value is not)/i.test(error.text)) return;
    const isNeeded = option === 'capa' || option === 'rdb-only';
    if (!isNeeded && /^ERR\b/.test(error.text) && !/unknown command/i.test(error.text)) return;
    throw explain(error, connection.name, 'announce a replica');
  }
}

/** `+FULLRESYNC <id> <offset>`, after any number of signs of life. */
async function resyncId(connection: Connection, psync: string): Promise<string> {
  const doing = `ask for replication (${psync})`;
  const line = await firstLine(connection, doing);
  const match = /^\+FULLRESYNC ([0-9a-f]{40}) (-?\d{1,19})$/i.exec(line);
  if (match === null) throw nonsense(connection, doing, line);
  return `${match[1]}:${match[2]}`;
}

/** `$<length>` or `$EOF:<mark>`, after any number of signs of life. */
async function receive(connection: Connection, name: string, id: string): Promise<Snapshot> {
  const doing = 'wait for the snapshot';
  const line = await firstLine(connection, doing);
  const mark = /^\$EOF:([\x21-\x7e]{40})$/.exec(line)?.[1];
  if (mark !== undefined) return createSnapshot(connection, name, id, untilMark(Buffer.from(mark, 'latin1')));
  const bytes = /^\$(\d{1,15})$/.test(line) ? Number(line.slice(1)) : 0;
  if (bytes === 0) throw nonsense(connection, doing, line);
  return { ...createSnapshot(connection, name, id, untilLength(bytes)), bytes };
}

/** A snapshot that a server writes to its disk first may take its time, and others may come before it. */
const START_LIMIT_MS = 6 * 3600_000;

async function firstLine(connection: Connection, doing: string): Promise<string> {
  const lateAtMs = Date.now() + START_LIMIT_MS;
  let line = '';
  try {
    while (line === '') {
      if (Date.now() > lateAtMs) throw tooLate(connection, doing);
      line = await connection.line();
    }
  } catch (error) {
    throw error instanceof BackupError && error.details['reason'] === CONNECTION_CLOSED
      ? closedAt(connection, doing, error)
      : error;
  }
  if (line.startsWith('-')) throw explain(new ErrorReply(line.slice(1)), connection.name, doing);
  return line;
}

function tooLate({ name }: Connection, doing: string): BackupError {
  return new BackupError(
    'SOURCE_UNAVAILABLE',
    `${doing} at ${name}: nothing but signs of life for ${START_LIMIT_MS / 3600_000} h`,
    {
      retryable: true,
      details: { server: name },
      hint: 'see its log: it makes one snapshot after the other, or one that does not end',
    },
  );
}

function closedAt({ name }: Connection, doing: string, cause: BackupError): BackupError {
  return new BackupError('SOURCE_UNAVAILABLE', `${doing} at ${name}: it closed the connection instead`, {
    retryable: true,
    details: { server: name, reason: CONNECTION_CLOSED },
    hint: 'a proxy that knows no replication ends like this (name a server behind it), and a server that was restarted or could not make the snapshot (see its log)',
    cause,
  });
}

function nonsense({ name }: Connection, doing: string, line: string): BackupError {
  const shown = isUtf8(Buffer.from(line)) ? line.replaceAll(/[^\x20-\x7e]/g, ' ').slice(0, 60) : '';
  return new BackupError('SOURCE_INVALID', `${doing} at ${name}: "${shown}" is no answer to that`, {
    details: { server: name },
    hint: 'is there something between that is no Redis or Valkey server?',
  });
}

/** Tells the bytes of the file from what comes after them. */
interface Framing {
  /** The bytes of the file that are certain by now. After the end there are no more. */
  take(piece: Buffer): { readonly file: readonly Buffer[]; readonly isEnd: boolean };
  /** Where a connection that has ended has left the file, for people. */
  missing(bytes: number): string;
}

function untilLength(length: number): Framing {
  let left = length;
  return {
    take: (piece) => {
      const file = piece.subarray(0, left);
      left -= file.length;
      return { file: [file], isEnd: left === 0 };
    },
    missing: (bytes) => `byte ${bytes} of ${length}`,
  };
}

/**
 * The mark may be cut by the network at any place, so as many bytes as could be its beginning are held back. It is made
 * of 40 random digits for this one snapshot: what looks like it is it, and if it were not, the file would be truncated.
 */
function untilMark(mark: Buffer): Framing {
  const held = mark.length - 1;
  let tail = Buffer.alloc(0);
  return {
    take: (piece) => {
      const seam = Buffer.concat([tail, piece.subarray(0, held)]).indexOf(mark);
      const inside = seam < 0 ? piece.indexOf(mark) : -1;
      const found = seam >= 0 ? seam : inside >= 0 ? tail.length + inside : -1;
      const end = found >= 0 ? found : Math.max(0, tail.length + piece.length - held);
      const file = [tail.subarray(0, end), piece.subarray(0, Math.max(0, end - tail.length))];
      tail = Buffer.concat([tail.subarray(end), piece.subarray(Math.max(0, end - tail.length))]);
      return { file, isEnd: found >= 0 };
    },
    missing: (bytes) => `byte ${bytes}, before the mark of its end`,
  };
}

function createSnapshot(connection: Connection, name: string, id: string, framing: Framing): Snapshot {
  let ready: Buffer[] = [];
  let isEnd = false;
  let bytes = 0;

  return {
    name,
    id,
    close: () => connection.close(),
    // The connection has a signal of its own from its beginning, which is the same one.
    read: async (into, _signal, onFilled) => {
      let filled = 0;
      while (filled < into.length) {
        const next = ready.shift();
        if (next !== undefined) {
          const part = next.subarray(0, into.length - filled);
          into.set(part, filled);
          if (part.length < next.length) ready.unshift(next.subarray(part.length));
          filled += part.length;
          bytes += part.length;
          if (part.length > 0) await onFilled?.(filled);
          continue;
        }
        if (isEnd) break;
        const piece = await connection.piece().catch((error: unknown) => {
          throw brokenOff(connection, name, framing.missing(bytes), error);
        });
        if (piece === undefined) throw brokenOff(connection, name, framing.missing(bytes));
        const taken = framing.take(piece);
        ready = taken.file.filter((some) => some.length > 0);
        ({ isEnd } = taken);
        // What a replica would get next is not wanted.
        if (isEnd) connection.close();
      }
      return filled;
    },
  };
}

/** A snapshot cannot be gone on with: it has to be asked for again, from its first byte. */
function brokenOff({ name: server }: Connection, name: string, where: string, cause?: unknown): BackupError {
  if (cause instanceof BackupError && cause.code !== 'SOURCE_UNAVAILABLE') return cause;
  return new BackupError(
    'SOURCE_TRUNCATED',
    `pull ${name} from ${server}: the connection ended at ${where}`,
    {
      retryable: true,
      details: { server },
      hint: "see the server's log: it ends the connection when its snapshot fails, at a fail-over, and when it is read too slowly (repl-timeout, client-output-buffer-limit replica)",
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
