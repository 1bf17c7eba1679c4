/** Which request it is, as the wire sees it. */
import type { WireRequest } from '../doubles/wire.ts';
import type { Place } from './place.ts';

/** What the uploader and the orchestrator ask of OSS. `put` and `get` are of the manifest, of a small file, of the run's state. */
export type OssAction =
  | 'begin'
  | 'part'
  | 'complete'
  | 'abort'
  | 'list-parts'
  | 'list-uploads'
  | 'list'
  | 'head'
  | 'put'
  | 'get'
  | 'other';

export function ossActionOf({ method, url }: WireRequest): OssAction {
  const { pathname, searchParams: query } = new URL(url, 'http://wire');
  const isObject = /^\/[^/]+\/./.test(pathname);
  if (query.has('uploads')) return method === 'POST' ? 'begin' : 'list-uploads';
  if (query.has('uploadId')) {
    if (query.has('partNumber')) return 'part';
    const actions: Readonly<Record<string, OssAction>> = {
      POST: 'complete',
      DELETE: 'abort',
      GET: 'list-parts',
    };
    return actions[method] ?? 'other';
  }
  if (!isObject) return method === 'GET' ? 'list' : 'other';
  const actions: Readonly<Record<string, OssAction>> = { HEAD: 'head', PUT: 'put', GET: 'get' };
  return actions[method] ?? 'other';
}

export function isOss(action: OssAction, key = /./): (request: WireRequest) => boolean {
  return (request) => ossActionOf(request) === action && key.test(keyOf(request));
}

export const RDB = /\.rdb$/;
export const MANIFEST = /\/manifest\.json$/;

function keyOf({ url }: WireRequest): string {
  return decodeURIComponent(new URL(url, 'http://wire').pathname);
}

export function isPart(number: number): (request: WireRequest) => boolean {
  return (request) =>
    ossActionOf(request) === 'part' &&
    new URL(request.url, 'http://wire').searchParams.get('partNumber') === String(number);
}

/** Of all parts but the last: files here are far from the size that makes them larger. */
export const PART_BYTES = 8 * 1024 ** 2;

/** One of the parts of the first file. */
export function somePart({ random, files }: Place): (request: WireRequest) => boolean {
  return isPart(random.between(1, Math.ceil((files[0]?.bytes ?? 1) / PART_BYTES)));
}

/** The bytes that a GET asks for; a request for one byte only asks what the file is. */
export function rangeOf({
  headers,
}: WireRequest): { readonly start: number; readonly end: number } | undefined {
  const match = /^bytes=(\d+)-(\d+)$/.exec(headers['range'] ?? '');
  return match === null ? undefined : { start: Number(match[1]), end: Number(match[2]) + 1 };
}

/** A read of more than the first byte. */
export function isReading(request: WireRequest): boolean {
  const range = rangeOf(request);
  return request.method === 'GET' && (range === undefined || range.end - range.start > 1);
}

/** A read that passes this byte of the file. */
export function isReadingByte(at: number): (request: WireRequest) => boolean {
  return (request) => {
    const range = rangeOf(request);
    return isReading(request) && (range === undefined || (range.start <= at && at < range.end));
  };
}

/** A call of r-kvstore. */
export function isCall(action: string): (request: WireRequest) => boolean {
  return ({ headers, url }) =>
    headers['x-acs-action'] === action || new URL(url, 'http://wire').searchParams.get('Action') === action;
}
