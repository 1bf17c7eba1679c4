/**
 * One connection whose bytes the kernel writes straight to where they are wanted: into the place that its reader
 * names, or else into a small inbox of its own. Node offers this as `onread`
 * (https://nodejs.org/docs/latest-v20.x/api/net.html#socketconnectoptions-connectlistener): the buffer for the next
 * read is asked for right after each read, so it is known one read ahead.
 */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectSecurely } from 'node:tls';

/** Who has the connection. */
export interface Reader {
  connected(): void;
  /** Where the next bytes go, at least one of them; undefined: into the inbox. */
  place(): Uint8Array | undefined;
  /** So many bytes came into the place that was named last. Returns whether more are wanted now. */
  filled(bytes: number): boolean;
  /** There is more in the inbox; also possible after `false`: TLS hands over whole records. Returns the same. */
  received(): boolean;
  /** The other side sends no more. */
  ended(): void;
  /** The connection is gone; undefined when nobody said why. Comes after `ended` as well. */
  broke(error: Error | undefined): void;
  /** What `filled` or `received` has thrown. */
  threw(error: unknown): void;
}

export interface Connection {
  /** What has come and was not taken yet. Valid until the next bytes come. */
  inbox(): Buffer;
  take(bytes: number): void;
  isOpen(): boolean;
  isConnected(): boolean;
  /** Nothing may be in the inbox, and what comes while nobody has the connection ends it. */
  giveTo(reader: Reader | undefined): void;
  /** The pieces leave together; `written` is called when the last one has, or could not. They must not change before. */
  write(pieces: readonly Uint8Array[], written?: (error?: Error | null) => void): void;
  goOnReading(): void;
  /** Whether the process stays alive for it. */
  keepAwake(isNeeded: boolean): void;
  /** No byte is read or sent any more from here on. */
  destroy(): void;
}

export interface ConnectionOptions {
  readonly ca?: string;
  /** A TLS session that the same host gave earlier. */
  readonly session?: Buffer;
  readonly onSession: (session: Buffer) => void;
}

/** Read at once: enough for the head and a small answer. Short, because it stays with every connection that is kept. */
const READ_BYTES = 64 * 1024;
/** Where the next read may go is named before what this one brought is taken: so there is room for two. */
const INBOX_BYTES = 2 * READ_BYTES;

export function openConnection(url: URL, options: ConnectionOptions): Connection {
  let reader: Reader | undefined;
  let inbox = Buffer.allocUnsafeSlow(INBOX_BYTES);
  let start = 0;
  let end = 0;
  let place: Uint8Array | undefined;
  let isConnected = false;
  let isEnded = false;

  const attempt = (work: () => boolean): boolean => {
    try {
      return work();
    } catch (error) {
      // An exception here would end the process.
      reader?.threw(error);
      return false;
    }
  };

  function nextPlace(): Uint8Array {
    place = reader?.place();
    if (place !== undefined) return place;
    if (start === end) {
      start = 0;
      end = 0;
      if (inbox.length > INBOX_BYTES) inbox = Buffer.allocUnsafeSlow(INBOX_BYTES);
    } else if (end === inbox.length) {
      makeRoom();
    }
    return inbox.subarray(end, end + READ_BYTES);
  }

  /** The inbox is full up to its end and something of it is still wanted: rare, and bounded by what its reader bears. */
  function makeRoom(): void {
    const wanted = inbox.subarray(start, end);
    const next = Buffer.allocUnsafeSlow(wanted.length + INBOX_BYTES);
    wanted.copy(next);
    inbox = next;
    start = 0;
    end = wanted.length;
  }

  function onRead(bytes: number, into: Uint8Array): boolean {
    if (reader === undefined) {
      // Nothing was asked for: whatever this is, it must not become the next answer.
      socket.destroy();
      return false;
    }
    const current = reader;
    if (into === place) return attempt(() => current.filled(bytes));
    // The place was named before the inbox was emptied, maybe.
    const at = into.byteOffset - inbox.byteOffset;
    if (start === end) start = at;
    end = at + bytes;
    return attempt(() => current.received());
  }

  const secure = url.protocol === 'https:';
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const target = {
    host,
    port: Number(url.port || (secure ? 443 : 80)),
    noDelay: true,
    onread: { buffer: nextPlace, callback: onRead },
  };
  const socket: Socket = secure
    ? connectSecurely({
        ...target,
        ALPNProtocols: ['http/1.1'],
        ...(isIP(host) === 0 ? { servername: host } : {}),
        ...(options.ca === undefined ? {} : { ca: options.ca }),
        ...(options.session === undefined ? {} : { session: options.session }),
      }).on('session', options.onSession)
    : connect(target);
  socket.once(secure ? 'secureConnect' : 'connect', () => {
    isConnected = true;
    reader?.connected();
  });
  socket.on('error', (error) => reader?.broke(error));
  socket.on('end', () => {
    isEnded = true;
    reader?.ended();
  });
  socket.on('close', () => reader?.broke(undefined));

  return {
    inbox: () => inbox.subarray(start, end),
    take: (bytes) => void (start += bytes),
    isOpen: () => !isEnded && !socket.destroyed,
    isConnected: () => isConnected,
    giveTo: (next) => (reader = next),
    write: (pieces, written) => {
      socket.cork();
      for (const piece of pieces.slice(0, -1)) socket.write(piece);
      for (const piece of pieces.slice(-1)) socket.write(piece, written);
      socket.uncork();
    },
    goOnReading: () => void socket.resume(),
    keepAwake: (isNeeded) => void (isNeeded ? socket.ref() : socket.unref()),
    destroy: () => void socket.destroy(),
  };
}
