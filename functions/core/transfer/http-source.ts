/**
 * A file behind a signed URL, read by ranged GETs.
 *
 * The URL is signed for GET with no headers: HEAD, `If-Match` or any `x-oss-*` header would break the signature, so
 * the length comes from a one-byte range, and whether it is still the same file from comparing each answer's
 * `ETag`, `Last-Modified`, total length and checksum with the first. A range past the end is answered with the whole
 * file and status 200 (https://help.aliyun.com/en/oss/user-guide/http-range-requests): only exact ranges are asked
 * for, and only 206 with exactly that range is believed.
 */
import { BackupError, redact, type ErrorDetails } from '../errors.ts';
import type { ByteSource, OnFilled, UrlSupply } from './byte-source.ts';
import { ConnectionFailure, askedDelayMs, type HttpAnswer, type HttpClient } from './http.ts';
import { createPatience, type RetryPolicy } from './retry.ts';

export interface HttpSourceOptions {
  readonly name: string;
  readonly http: HttpClient;
  readonly urls: UrlSupply;
  readonly policy: RetryPolicy;
  /** How long an answer may bring next to nothing before it is asked for anew; a minute if left out. */
  readonly dripTimeoutMs?: number;
}

/** Less than this in a minute is no transfer, though it is no silence either: a fresh connection may do better. */
const DRIP_BYTES = 64 * 1024;
const DRIP_TIMEOUT_MS = 60_000;
/** A URL that was refused this often in a row, each time after a renewal, will not be accepted any more. */
const MAX_RENEWALS = 2;
/** An attempt that brought this much counts as progress: the connection is poor, not dead. */
const PROGRESS_BYTES = 1024 * 1024;
const MAX_ERROR_BODY_BYTES = 8 * 1024;
/** The status of an error says enough; its body is not waited for any longer than this. */
const ERROR_BODY_TIMEOUT_MS = 2_000;

/**
 * Opens a file: learns its length and identity from its first byte. Throws by name: SOURCE_TRUNCATED for an empty
 * file, SOURCE_INVALID for an answer that is no range of a file, URL_EXPIRED, SOURCE_UNAVAILABLE.
 */
export async function openHttpSource(options: HttpSourceOptions, signal: AbortSignal): Promise<ByteSource> {
  const { name } = options;
  let identity: Identity | undefined;
  await readRange(options, 0, new Uint8Array(1), signal, (seen) => (identity ??= seen));
  if (identity === undefined) throw new BackupError('INTERNAL', `open ${name}: no answer was looked at`);
  const opened = identity;
  return {
    name,
    bytes: opened.bytes,
    ...(opened.crc64 === undefined ? {} : { crc64: opened.crc64 }),
    ...(opened.etag === undefined ? {} : { identity: `${opened.bytes} ${opened.etag}` }),
    read: async (start, into, readSignal, onFilled) => {
      if (start < 0 || start + into.length > opened.bytes)
        throw new BackupError('INTERNAL', `read ${name}: the range ends after byte ${opened.bytes}`);
      const check = (seen: Identity): void => requireSame(name, opened, seen, start);
      await readRange(options, start, into, readSignal, check, onFilled);
    },
  };
}

/** What tells one file from another. Members that the source does not send are left out and not compared. */
interface Identity {
  readonly bytes: number;
  readonly etag?: string;
  readonly lastModified?: string;
  readonly crc64?: string;
}

/** Reads one range, over as many requests as it takes; each goes on where the one before it stopped. */
async function readRange(
  { name, http, urls, policy, dripTimeoutMs = DRIP_TIMEOUT_MS }: HttpSourceOptions,
  start: number,
  into: Uint8Array,
  signal: AbortSignal,
  check: (seen: Identity) => void,
  onFilled?: OnFilled,
): Promise<void> {
  const patience = createPatience(policy, signal);
  let filled = 0;
  let renewals = 0;
  while (filled < into.length) {
    const url = urls.current();
    const from = filled;
    try {
      const at = start + from;
      const answer = await http.exchange(
        { method: 'GET', url, headers: { range: `bytes=${at}-${start + into.length - 1}` } },
        signal,
      );
      try {
        await requireRange(name, answer, at, start + into.length, check);
      } catch (error) {
        answer.discard();
        throw error;
      }
      // Without a length, only the end tells whether it was the range; until then nobody builds on the bytes.
      const isMeasured = answer.headers['content-length'] !== undefined;
      const watch = watchForDrip(answer, dripTimeoutMs);
      try {
        const got = await answer.fill(into.subarray(filled), (bytes) => {
          filled = from + bytes;
          return watch.saw(bytes, isMeasured ? onFilled?.(filled) : undefined);
        });
        filled = from + got;
      } finally {
        watch.end();
      }
      if (!isMeasured) await onFilled?.(filled);
      if (filled < into.length) {
        throw new BackupError(
          'SOURCE_TRUNCATED',
          `download ${name} at byte ${start + filled}: the answer ends early`,
          {
            retryable: true,
            details: { byte: start + filled },
          },
        );
      }
    } catch (thrown) {
      // An answer that was not what it said it is gave bytes of which nobody knows what they are.
      const isTooLong = thrown instanceof ConnectionFailure && thrown.kind === 'too-long';
      if (isTooLong || isNoRange(thrown)) filled = from;
      const error = isTooLong
        ? invalid(name, start + filled, 'the answer is longer than the range that was asked for')
        : thrown instanceof ConnectionFailure
          ? unavailable(name, start + filled, thrown)
          : thrown;
      if (filled > from) renewals = 0;
      if (filled - from >= PROGRESS_BYTES) patience.refill();
      if (isRefusal(error) && renewals < MAX_RENEWALS) {
        renewals++;
        await urls.renew(url);
      } else {
        await patience.outlast(error);
      }
    }
  }
}

/** Gives up an answer that brings next to nothing, unless it is we who hold it back. */
function watchForDrip(
  answer: HttpAnswer,
  timeoutMs: number,
): { saw(bytes: number, pause: void | Promise<void>): void | Promise<void>; end(): void } {
  let seen = 0;
  let seenBefore = 0;
  let isHeldBack = false;
  const timer = setInterval(() => {
    if (!isHeldBack && seen - seenBefore < DRIP_BYTES) answer.discard();
    seenBefore = seen;
  }, timeoutMs);
  timer.unref();
  return {
    saw: (bytes, pause) => {
      seen = bytes;
      if (pause === undefined) return undefined;
      isHeldBack = true;
      return pause.finally(() => {
        isHeldBack = false;
        // What came before the pause says nothing of the time after it.
        seenBefore = Math.min(seenBefore, seen - DRIP_BYTES);
      });
    },
    end: () => clearInterval(timer),
  };
}

/** Throws unless the answer is exactly the bytes `[start, end)`, or for the first answer of a file some of them. */
async function requireRange(
  name: string,
  answer: HttpAnswer,
  start: number,
  end: number,
  check: (seen: Identity) => void,
): Promise<void> {
  const { status, headers } = answer;
  const type = headers['content-type'] ?? '';
  if (status !== 206) throw await refusedBy(name, answer, start);
  if (/^(text\/html|multipart\/)/i.test(type))
    throw invalid(name, start, `the answer is ${type}, not a file`, { contentType: type });
  if (!/^(identity)?$/i.test(headers['content-encoding'] ?? ''))
    throw invalid(name, start, `the answer is encoded (${headers['content-encoding']})`);
  const range = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '');
  if (range === null) throw invalid(name, start, 'the answer does not say which range it is');
  const [first, last, bytes] = range.slice(1).map(Number) as [number, number, number];
  check({
    bytes,
    ...(headers['etag'] === undefined ? {} : { etag: headers['etag'] }),
    ...(headers['last-modified'] === undefined ? {} : { lastModified: headers['last-modified'] }),
    ...(headers['x-oss-hash-crc64ecma'] === undefined ? {} : { crc64: headers['x-oss-hash-crc64ecma'] }),
  });
  if (last >= bytes) throw invalid(name, start, `the answer is no range (${headers['content-range']})`);
  if (first !== start || last !== end - 1)
    throw invalid(name, start, `the answer is another range (${headers['content-range']})`);
  const length = headers['content-length'];
  if (length !== undefined && Number(length) > end - start)
    throw invalid(name, start, `the answer has ${length} bytes for a range of ${end - start}`);
}

function requireSame(name: string, opened: Identity, seen: Identity, start: number): void {
  const changed = (what: string, before: string | number, now: string | number): BackupError =>
    new BackupError(
      'SOURCE_CHANGED',
      `download ${name} at byte ${start}: its ${what} was ${before} and is ${now}`,
      {
        details: { byte: start },
        hint: 'another file appeared under the same address while it was read; run the backup again',
      },
    );
  if (seen.bytes !== opened.bytes) throw changed('length', opened.bytes, seen.bytes);
  for (const [what, key] of [
    ['ETag', 'etag'],
    ['modification time', 'lastModified'],
    ['checksum', 'crc64'],
  ] as const) {
    const before = opened[key];
    const now = seen[key];
    if (before !== undefined && now !== undefined && before !== now) throw changed(what, before, now);
  }
}

/** What an answer with another status than 206 means. Reads at most the start of its body, for the service's code. */
async function refusedBy(name: string, answer: HttpAnswer, start: number): Promise<BackupError> {
  const { status, headers } = answer;
  const where = `download ${name} at byte ${start}`;
  if (status === 200 && headers['content-length'] === '0') return empty(name);
  if (status === 416) {
    if (start === 0) return empty(name);
    return new BackupError('SOURCE_CHANGED', `${where}: the file ends before that`, {
      details: { byte: start },
    });
  }
  if (status >= 300 && status < 400) {
    // Where it leads is not ours to follow: the URL is a key, and the signature is for this host.
    return invalid(
      name,
      start,
      `status ${status} leads to another address`,
      { status },
      'redirects of a signed URL are not followed; look for a proxy or a portal between the function and the download host',
    );
  }
  if (status >= 200 && status < 300) {
    const type = headers['content-type'] ?? 'no content type';
    // Worth a few attempts: a proxy or a node that answers so may be one of many.
    return invalid(name, start, `asked for a range and got status ${status} (${type})`, { status });
  }
  const code = await errorCodeOf(answer);
  const details: ErrorDetails = {
    byte: start,
    status,
    ...(code === undefined ? {} : { code }),
    ...(headers['x-oss-request-id'] === undefined ? {} : { requestId: headers['x-oss-request-id'] }),
  };
  const saying = `${where}: status ${status}${code === undefined ? '' : ` ${code}`}`;
  if (status === 401 || status === 403 || (status === 400 && /expired|token/i.test(code ?? ''))) {
    return new BackupError('URL_EXPIRED', saying, {
      details,
      hint: 'the signed URL was refused, also after asking for a new one; check that the function may read backup URLs and can reach their host',
    });
  }
  if (status === 408 || status === 429 || status >= 500) {
    const retryAfterMs = askedDelayMs(headers);
    return new BackupError('SOURCE_UNAVAILABLE', saying, {
      retryable: true,
      details: retryAfterMs === undefined ? details : { ...details, retryAfterMs },
    });
  }
  return new BackupError('SOURCE_INVALID', saying, { details });
}

/** The `<Code>` of an OSS error body. Undefined when there is none within the first bytes. */
async function errorCodeOf(answer: HttpAnswer): Promise<string | undefined> {
  let text = '';
  const limit = setTimeout(() => answer.discard(), ERROR_BODY_TIMEOUT_MS);
  try {
    await answer.receive((piece) => {
      if (text.length < MAX_ERROR_BODY_BYTES) text += piece.toString('latin1');
      else answer.discard();
    });
  } catch {
    // What arrived is enough or is nothing: the status alone decides.
  } finally {
    clearTimeout(limit);
  }
  return /<Code>([\w.]{1,64})<\/Code>/.exec(text)?.[1];
}

function isRefusal(error: unknown): error is BackupError {
  return error instanceof BackupError && error.code === 'URL_EXPIRED';
}

function isNoRange(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'SOURCE_INVALID';
}

function empty(name: string): BackupError {
  return new BackupError('SOURCE_TRUNCATED', `download ${name}: the file is empty`, { details: { byte: 0 } });
}

function invalid(
  name: string,
  byte: number,
  what: string,
  details: ErrorDetails = {},
  hint?: string,
): BackupError {
  return new BackupError('SOURCE_INVALID', `download ${name} at byte ${byte}: ${redact(what)}`, {
    retryable: true,
    details: { ...details, byte },
    ...(hint === undefined ? {} : { hint }),
  });
}

function unavailable(name: string, byte: number, cause: ConnectionFailure): BackupError {
  return new BackupError('SOURCE_UNAVAILABLE', `download ${name} at byte ${byte}`, {
    retryable: cause.kind !== 'untrusted',
    details: { byte, failure: cause.kind },
    ...(cause.kind === 'connect'
      ? { hint: 'check that the function can reach the download host: its VPC, its DNS, and the kind of URL' }
      : {}),
    cause,
  });
}
