/**
 * The head of an answer (RFC 9112). What is not exactly as the standard has it is refused: an answer that can be read
 * in two ways is how bytes of one object end up in another.
 */
import { ConnectionFailure, MAX_HEAD_BYTES } from './http.ts';

export interface AnswerHead {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** How the body ends: after so many bytes, with its last chunk, or with the connection. */
  readonly ending: number | 'chunked' | 'close';
  /** How long the other side keeps the connection after this answer: 0 when it does not. */
  readonly keepAliveMs: number;
}

const MAX_HEADERS = 200;
const START = Buffer.from('HTTP/1.', 'latin1');
const CR = 13;
const LF = 10;

/**
 * Where the head that begins with `bytes` ends, or undefined while it does not. `from` is how many of them were looked
 * at before.
 *
 * @throws ConnectionFailure as soon as it cannot become a head any more
 */
export function findHeadEnd(bytes: Buffer, from: number): number | undefined {
  const known = Math.min(bytes.length, START.length);
  if (bytes.compare(START, 0, known, 0, known) !== 0) throw notHttp('it does not begin like HTTP');
  for (let at = bytes.indexOf(LF, from); at !== -1; at = bytes.indexOf(LF, at + 1)) {
    if (bytes[at - 1] !== CR) throw notHttp('a line ends without CR');
    if (bytes[at - 2] === LF) return at + 1;
  }
  if (bytes.length >= MAX_HEAD_BYTES) throw notHttp('its head is too long');
  return undefined;
}

/** `isBodiless`: the request was HEAD. */
export function parseHead(head: string, isBodiless: boolean): AnswerHead {
  const [first = '', ...lines] = head.split('\r\n');
  const status = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(first);
  if (status === null) throw notHttp('its first line is no status');
  // The head ends with an empty line and the end of that line.
  const headers = parseHeaders(lines.slice(0, -2));
  const code = Number(status[2]);
  const isOld = status[1] === '0';
  return {
    status: code,
    headers: Object.fromEntries(headers),
    ending: endingOf(code, headers, isOld, isBodiless),
    keepAliveMs: isOld ? 0 : keepAliveOf(headers),
  };
}

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
/** Of these the first one counts, as with node:http; all others make a list. */
const SINGLE = new Set([
  'content-type',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'server',
]);
/** A second one would be a second opinion about where the body ends. */
const ONCE = new Set(['content-length', 'transfer-encoding']);

function parseHeaders(lines: readonly string[]): ReadonlyMap<string, string> {
  if (lines.length > MAX_HEADERS) throw notHttp(`it has more than ${MAX_HEADERS} headers`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    // A line that begins with a space, once meant to continue the one before it, has no name either.
    if (!NAME.test(name)) throw notHttp('a header has no name');
    if (!VALUE.test(line)) throw notHttp('a header holds a control character');
    const value = line.slice(colon + 1).trim();
    const before = headers.get(name);
    if (before !== undefined && ONCE.has(name)) throw notHttp(`it has two headers ${name}`);
    if (before === undefined) headers.set(name, value);
    else if (!SINGLE.has(name)) headers.set(name, `${before}, ${value}`);
  }
  return headers;
}

/** https://www.rfc-editor.org/rfc/rfc9112#section-6.3 */
function endingOf(
  status: number,
  headers: ReadonlyMap<string, string>,
  isOld: boolean,
  isBodiless: boolean,
): AnswerHead['ending'] {
  const length = headers.get('content-length');
  const encoding = headers.get('transfer-encoding');
  if (length !== undefined && !/^\d{1,15}$/.test(length)) throw notHttp('its length is no number');
  if (length !== undefined && encoding !== undefined) throw notHttp('it tells a length and comes in chunks');
  if (encoding !== undefined && (isOld || encoding.toLowerCase() !== 'chunked'))
    throw notHttp('its transfer encoding is not known');
  if (isBodiless || status < 200 || status === 204 || status === 304) return 0;
  if (encoding !== undefined) return 'chunked';
  return length === undefined ? 'close' : Number(length);
}

function keepAliveOf(headers: ReadonlyMap<string, string>): number {
  if (/(^|,)\s*close\s*(,|$)/i.test(headers.get('connection') ?? '')) return 0;
  const seconds = /(?:^|[\s,])timeout=(\d{1,6})/i.exec(headers.get('keep-alive') ?? '')?.[1];
  // A second earlier than the other side, whose last one may cross with our next request.
  return seconds === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Number(seconds) - 1) * 1000;
}

export function notHttp(why: string): ConnectionFailure {
  return new ConnectionFailure('broken', `the answer is not HTTP: ${why}`);
}
