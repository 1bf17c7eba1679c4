/**
 * One request and its answer on a lean connection. The reading side is a small machine that the connection drives;
 * where bytes go is decided before they come, so a body that fills a place is not copied.
 */
import { BackupError } from '../errors.ts';
import {
  ConnectionFailure,
  PIECE_BYTES,
  broken,
  connectedTooLate,
  notConnected,
  notWanted,
  sendBody,
  tooLong,
  type HttpAnswer,
  type HttpRequest,
  type Outlet,
  type Watch,
} from './http.ts';
import { bodyEnding, type BodyEnding } from './lean-body.ts';
import type { Connection, Reader } from './lean-connection.ts';
import { findHeadEnd, notHttp, parseHead, type AnswerHead } from './lean-head.ts';

/** More in one read costs more than it saves: the bytes are out of the cache before anybody looks at them. */
export const READ_BYTES = 512 * 1024;
/** `100 Continue` and the like, each of which is read over. */
const MAX_INTERIM_ANSWERS = 16;

export interface ExchangeParts {
  readonly connection: Connection;
  readonly watch: Watch;
  readonly connectTimeoutMs: number;
  readonly method: string;
  /** First line and headers. */
  readonly head: Buffer;
  readonly body: HttpRequest['body'];
  /** How long the body is. */
  readonly announced: number;
  /** For bytes that are looked at and not kept. Shared by all connections: valid until the next read of any. */
  readonly scratch: Buffer;
  /** The answer was read to its end and nothing followed it: the connection can be used again, for so long. */
  readonly release: (connection: Connection, keepAliveMs: number) => void;
}

/** What becomes of the body. */
interface Taker {
  deliver(piece: Buffer): void;
  /** Where the next bytes of the body may be put, at most so many; undefined when they must be delivered. */
  place(most: number): Uint8Array | undefined;
  /** So many bytes lie in that place. */
  placed(bytes: number): void;
  /** Asked after each read: a promise when no more is wanted until it has settled. */
  pause(): Promise<void> | undefined;
}

export class Exchange implements Reader {
  readonly #parts: ExchangeParts;
  readonly #answered = deferred<HttpAnswer>();
  readonly #unwanted = deferred<undefined>();
  readonly #taken = deferred<void>();
  readonly #connecting: NodeJS.Timeout | undefined;
  #stage: 'head' | 'between' | 'body' | 'over' = 'head';
  #lookedAt = 0;
  #interimAnswers = 0;
  #keepAliveMs = 0;
  #ending: BodyEnding = bodyEnding(0);
  #taker: Taker | undefined;
  #isInScratch = false;
  #isPaused = false;
  #isSent = false;
  /** More came than the answer. */
  #isSpoilt = false;
  /** The other side sends no more. */
  #isEnded = false;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    const { connection, watch, connectTimeoutMs } = parts;
    // Nobody may be waiting yet when it fails.
    this.#taken.promise.catch(() => undefined);
    connection.giveTo(this);
    if (connection.isConnected()) {
      this.#send();
      return;
    }
    watch.hold();
    this.#connecting = setTimeout(() => watch.fail(connectedTooLate(connectTimeoutMs)), connectTimeoutMs);
  }

  /** Resolves with the head of the answer. */
  async answered(): Promise<HttpAnswer> {
    return this.#answered.promise;
  }

  /** The watch has failed: gives up the connection. */
  stop(): void {
    if (this.#stage === 'over') return;
    const failure = this.#parts.watch.failure();
    this.#leave();
    this.#parts.connection.destroy();
    this.#answered.reject(failure);
    this.#taken.reject(failure);
  }

  connected(): void {
    clearTimeout(this.#connecting);
    this.#parts.watch.release();
    this.#send();
  }

  #send(): void {
    const { connection, watch, head, body, announced } = this.#parts;
    if (body === undefined) {
      this.#isSent = true;
      return connection.write([head]);
    }
    if (body instanceof Uint8Array && body.length <= PIECE_BYTES)
      return connection.write([head, body], () => (this.#isSent = true));
    connection.write([head]);
    const outlet: Outlet = {
      write: (piece, written) => connection.write([piece], written),
      end: () => (this.#isSent = true),
      unwanted: this.#unwanted.promise,
    };
    sendBody(body, announced, outlet, watch).catch((error: unknown) => watch.fail(error));
  }

  place(): Uint8Array | undefined {
    if (this.#stage !== 'body' || this.#ending.isReached()) return undefined;
    const sure = this.#ending.sure();
    const place = sure > 0 ? this.#taker?.place(Math.min(sure, READ_BYTES)) : undefined;
    this.#isInScratch = place === undefined;
    return place ?? this.#parts.scratch;
  }

  filled(bytes: number): boolean {
    if (this.#isInScratch) {
      const own = this.#deliver(this.#parts.scratch.subarray(0, bytes));
      if (own < bytes) this.#isSpoilt = true;
    } else {
      this.#ending.skip(bytes);
      this.#taker?.placed(bytes);
    }
    return this.#goOn();
  }

  received(): boolean {
    if (this.#stage === 'head') return this.#readHead();
    return this.#stage === 'body' && this.#readInbox();
  }

  #readHead(): boolean {
    const { connection, watch, method } = this.#parts;
    watch.touch();
    for (;;) {
      const bytes = connection.inbox();
      const end = findHeadEnd(bytes, this.#lookedAt);
      this.#lookedAt = end === undefined ? bytes.length : 0;
      if (end === undefined) return true;
      const head = parseHead(bytes.toString('latin1', 0, end), method === 'HEAD');
      connection.take(end);
      if (head.status >= 200) return this.#answer(head);
      if (head.status === 101) throw notHttp('it changes to another protocol');
      if (++this.#interimAnswers > MAX_INTERIM_ANSWERS) throw notHttp('it announces itself too often');
    }
  }

  #answer({ status, headers, ending, keepAliveMs }: AnswerHead): boolean {
    this.#stage = 'between';
    this.#keepAliveMs = keepAliveMs;
    this.#ending = bodyEnding(ending);
    this.#unwanted.resolve(undefined);
    this.#answered.resolve({
      status,
      headers,
      receive: async (sink) => this.#consume(sinkTaker(sink)),
      fill: async (into, onFilled) => {
        const taker = placeTaker(into, onFilled);
        await this.#consume(taker);
        return taker.filled();
      },
      discard: () => this.#parts.watch.fail(notWanted()),
    });
    return false;
  }

  async #consume(taker: Taker): Promise<void> {
    if (this.#taker !== undefined) throw new BackupError('INTERNAL', 'read an answer: it was read before');
    this.#taker = taker;
    if (this.#stage === 'between') {
      this.#stage = 'body';
      this.#read(() => this.#readInbox());
    }
    return this.#taken.promise;
  }

  /** Reads outside of the connection's own calls. */
  #read(work: () => boolean): void {
    try {
      if (work()) this.#parts.connection.goOnReading();
    } catch (error) {
      this.threw(error);
    }
  }

  #readInbox(): boolean {
    const { connection } = this.#parts;
    connection.take(this.#deliver(connection.inbox()));
    return this.#goOn();
  }

  #deliver(bytes: Buffer): number {
    return this.#ending.take(bytes, (piece) => {
      // The one before may have been enough.
      if (this.#stage === 'body') this.#taker?.deliver(piece);
    });
  }

  /** After bytes of the body have come. Returns whether to read on. */
  #goOn(): boolean {
    if (this.#stage !== 'body') return false;
    if (!this.#isPaused) {
      this.#parts.watch.touch();
      this.#pause();
    }
    if (this.#isPaused) return false;
    if (this.#ending.isReached()) this.#finish();
    else if (this.#isEnded) this.#endWithConnection();
    return true;
  }

  #pause(): void {
    const { watch } = this.#parts;
    const busy = this.#taker?.pause();
    if (busy === undefined) return;
    this.#isPaused = true;
    watch.hold();
    busy.then(
      () => {
        this.#isPaused = false;
        watch.release();
        this.#read(() => this.#goOn());
      },
      (error: unknown) => watch.fail(error),
    );
  }

  ended(): void {
    this.#isEnded = true;
    if (this.#stage === 'head') this.#parts.watch.fail(endedEarly());
    if (this.#stage !== 'body') return;
    const isWhole = this.#ending.isReached() || this.#ending.isConnectionEnd;
    if (!this.#isPaused || !isWhole) this.#endWithConnection();
  }

  #endWithConnection(): void {
    if (this.#ending.isConnectionEnd) this.#finish();
    else this.#parts.watch.fail(endedEarly());
  }

  broke(error: Error | undefined): void {
    const { connection, watch } = this.#parts;
    // After a proper end there is nothing left to break.
    if (this.#isEnded && error === undefined) return;
    if (!connection.isConnected() && error !== undefined) return watch.fail(notConnected(error));
    this.#isSpoilt = true;
    const isWhole = this.#stage === 'body' && this.#ending.isReached();
    if (!isWhole) watch.fail(broken(error));
  }

  threw(error: unknown): void {
    this.#parts.watch.fail(error);
  }

  /** The answer is whole. */
  #finish(): void {
    const { connection, watch, release } = this.#parts;
    const isReusable = this.#isSent && !this.#isSpoilt && !this.#isEnded && this.#keepAliveMs > 0;
    watch.end();
    this.#leave();
    if (!isReusable || connection.inbox().length > 0) {
      connection.destroy();
      return this.#taken.resolve();
    }
    // What lies behind the answer comes to light when the connection is read once more: nobody has it then, and so it
    // ends. Only one that stays quiet is used again.
    connection.goOnReading();
    setImmediate(() => {
      if (connection.isOpen()) release(connection, this.#keepAliveMs);
      this.#taken.resolve();
    });
  }

  #leave(): void {
    clearTimeout(this.#connecting);
    this.#stage = 'over';
    this.#parts.connection.giveTo(undefined);
    this.#unwanted.resolve(undefined);
  }
}

function sinkTaker(sink: (piece: Buffer) => void): Taker {
  return { deliver: sink, place: () => undefined, placed: () => undefined, pause: () => undefined };
}

function placeTaker(
  into: Uint8Array,
  onFilled: ((filled: number) => void | Promise<void>) | undefined,
): Taker & { filled(): number } {
  let filled = 0;
  let told = 0;
  return {
    filled: () => filled,
    deliver: (piece) => {
      if (piece.length > into.length - filled) throw tooLong(into.length);
      into.set(piece, filled);
      filled += piece.length;
    },
    place: (most) =>
      filled < into.length ? into.subarray(filled, Math.min(filled + most, into.length)) : undefined,
    placed: (bytes) => void (filled += bytes),
    pause: () => {
      if (told === filled) return undefined;
      told = filled;
      return onFilled?.(filled) ?? undefined;
    },
  };
}

function endedEarly(): ConnectionFailure {
  return new ConnectionFailure('broken', 'the connection ended before the answer did');
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

function deferred<T>(): Deferred<T> {
  let resolve: Deferred<T>['resolve'] = () => undefined;
  let reject: Deferred<T>['reject'] = () => undefined;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}
