import { compareKeys, positionOf } from './key-order.ts';
import { invalidArgument } from './oss-error.ts';

export interface Listing {
  readonly keys: readonly string[];
  readonly commonPrefixes: readonly string[];
  /** The last key or common prefix of the page, when there is more behind it. */
  readonly next: string | undefined;
}

export interface ListingQuery {
  readonly prefix: string;
  /** Empty: nothing is grouped. */
  readonly delimiter: string;
  /** The page starts behind this key or common prefix; empty for the first page. */
  readonly after: string;
  /** Keys and common prefixes together. */
  readonly max: number;
}

/** One page of sorted keys, those with a delimiter behind the prefix rolled up into common prefixes. */
export function listKeys(sorted: readonly string[], query: ListingQuery): Listing {
  const { prefix, delimiter, after, max } = query;
  const keys: string[] = [];
  const commonPrefixes: string[] = [];
  let last = '';
  const first =
    compareKeys(after, prefix) < 0 ? positionOf(sorted, prefix, false) : positionOf(sorted, after, true);
  for (let at = first; at < sorted.length; at++) {
    const key = sorted[at] ?? '';
    if (!key.startsWith(prefix)) break;
    const group = groupOf(key, prefix, delimiter);
    // Behind a common prefix lies what is not in its group; one that was just listed is not listed twice.
    if (group !== undefined && (group === after || group === commonPrefixes.at(-1))) continue;
    if (keys.length + commonPrefixes.length === max) return { keys, commonPrefixes, next: last };
    last = group ?? key;
    if (group === undefined) keys.push(key);
    else commonPrefixes.push(group);
  }
  return { keys, commonPrefixes, next: undefined };
}

function groupOf(key: string, prefix: string, delimiter: string): string | undefined {
  if (delimiter === '') return undefined;
  const end = key.indexOf(delimiter, prefix.length);
  return end < 0 ? undefined : key.slice(0, end + delimiter.length);
}

/** `max-keys` and its like: 1 to 1000, or the action's default. */
export function pageSize(query: URLSearchParams, name: string, otherwise: number): number {
  const text = query.get(name);
  if (text === null || text === '') return otherwise;
  const size = Number(text);
  if (!Number.isInteger(size) || size < 1 || size > 1000)
    throw invalidArgument(name, text, `Argument ${name} must be an integer between 1 and 1000.`);
  return size;
}

/** Writes keys as `encoding-type=url` asks for, or as they are. */
export function keyEncoding(query: URLSearchParams): (key: string) => string {
  const type = query.get('encoding-type') ?? '';
  if (type === '') return (key) => key;
  if (type === 'url') return encodeURIComponent;
  throw invalidArgument('encoding-type', type, 'Invalid Encoding Method specified in Request.');
}
