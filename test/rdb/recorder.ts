import { createHash } from 'node:crypto';
import type { Lent, RdbContents } from '../../functions/core/rdb/digest.ts';
import { bytesOf } from '../../functions/core/rdb/input.ts';
import type { LogicalType } from '../../functions/core/rdb/report.ts';

/** What the truth files say of a key. Digests are SHA-256 over a canonical form that depends on no encoding. */
export interface RecordedKey {
  readonly db: number;
  readonly key: Buffer;
  readonly type: LogicalType;
  readonly expireAt?: number;
  readonly n: number;
  readonly d: string;
  readonly fieldTtls?: number;
  readonly ttlDigest?: string;
  readonly lastId?: string;
  readonly entriesAdded?: number;
  readonly maxDeletedId?: string;
  readonly groups?: readonly RecordedGroup[];
}

interface RecordedGroup {
  readonly name: string;
  readonly lastDelivered: string;
  readonly pending: number;
  readonly consumers: readonly { readonly name: string; readonly pending: number }[];
}

type Token =
  | { readonly kind: 'text'; readonly text: Buffer }
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'score'; readonly value: number }
  | { readonly kind: 'expiry'; readonly value: number }
  | { readonly kind: 'id'; readonly id: string }
  | { readonly kind: 'begin' | 'end' };

/** Listens to a scanner and keeps everything, to be compared with what real servers said of the same file. */
export function recordKeys(): { readonly contents: RdbContents; readonly keys: RecordedKey[] } {
  const keys: RecordedKey[] = [];
  let head: { db: number; key: Buffer; type: LogicalType; expireAt?: number } | undefined;
  let tokens: Token[] = [];
  let pieces: Buffer[] = [];
  let announced = 0;

  const contents: RdbContents = {
    beginKey(database: number, type: LogicalType, key: Lent, expires: boolean, low: number, high: number) {
      const expireAt = high * 2 ** 32 + (low >>> 0);
      head = {
        db: database,
        key: Buffer.from(bytesOf(key.bytes, key.start, key.end)),
        type,
        ...(expires ? { expireAt } : {}),
      };
      tokens = [];
    },
    beginElement: () => void tokens.push({ kind: 'begin' }),
    endElement: () => void tokens.push({ kind: 'end' }),
    text: (bytes, start, end) =>
      void tokens.push({ kind: 'text', text: Buffer.from(bytesOf(bytes, start, end)) }),
    beginText(length) {
      announced = length;
      pieces = [];
    },
    piece: (bytes, start, end) => void pieces.push(Buffer.from(bytesOf(bytes, start, end))),
    endText() {
      const text = Buffer.concat(pieces);
      if (text.length !== announced) throw new Error(`announced ${announced}, got ${text.length}`);
      tokens.push({ kind: 'text', text });
    },
    score: (value) => void tokens.push({ kind: 'score', value }),
    fieldExpiry: (low, high) => void tokens.push({ kind: 'expiry', value: high * 2 ** 32 + (low >>> 0) }),
    id(msHigh, msLow, seqHigh, seqLow) {
      const ms = (BigInt(msHigh) << 32n) | BigInt(msLow);
      const seq = (BigInt(seqHigh) << 32n) | BigInt(seqLow);
      tokens.push({ kind: 'id', id: `${ms}-${seq}` });
    },
    number: (value) => void tokens.push({ kind: 'number', value }),
    block() {},
    endKey() {
      if (head === undefined) throw new Error('a key ends that never began');
      keys.push({ ...head, ...canonical(head.type, tokens) });
      head = undefined;
    },
  };
  return { contents, keys };
}

type Value = Omit<RecordedKey, 'db' | 'key' | 'type' | 'expireAt'>;

function canonical(type: LogicalType, tokens: readonly Token[]): Value {
  switch (type) {
    case 'string': {
      const [value] = textsOf(tokens);
      return { n: value?.length ?? 0, d: sha256([value ?? Buffer.alloc(0)]) };
    }
    case 'list':
      return { n: tokens.length, d: sha256(textsOf(tokens).map(framed)) };
    case 'set': {
      const members = elementsOf(tokens).map((element) => textsOf(element)[0] ?? Buffer.alloc(0));
      return { n: members.length, d: sha256(members.sort((a, b) => Buffer.compare(a, b)).map(framed)) };
    }
    case 'zset':
      return sortedSet(elementsOf(tokens));
    case 'hash':
      return hash(elementsOf(tokens));
    case 'stream':
      return stream(tokens);
    case 'module':
      break;
  }
  return { n: 0, d: '' };
}

function sortedSet(elements: readonly (readonly Token[])[]): Value {
  const pairs = elements.map((element) => {
    const score = element.find((token) => token.kind === 'score')?.value ?? Number.NaN;
    const text = Number.isFinite(score) ? String(score) : score > 0 ? 'inf' : '-inf';
    return [textsOf(element)[0] ?? Buffer.alloc(0), Buffer.from(text)] as const;
  });
  return { n: pairs.length, d: sha256(byFirst(pairs).flatMap(([a, b]) => [framed(a), framed(b)])) };
}

function hash(elements: readonly (readonly Token[])[]): Value {
  const triples = byFirst(
    elements.map((element) => {
      const [field = Buffer.alloc(0), value = Buffer.alloc(0)] = textsOf(element);
      return [field, value, element.find((token) => token.kind === 'expiry')?.value] as const;
    }),
  );
  const expiring = triples.filter(([, , expiry]) => expiry !== undefined);
  const d = sha256(triples.flatMap(([field, value]) => [framed(field), framed(value)]));
  if (expiring.length === 0) return { n: triples.length, d };
  const ttlDigest = sha256(
    expiring.flatMap(([field, , ms]) => [framed(field), framed(Buffer.from(String(ms)))]),
  );
  return { n: triples.length, d, fieldTtls: expiring.length, ttlDigest };
}

function stream(tokens: readonly Token[]): Value {
  const parts: Buffer[] = [];
  let entries = 0;
  let at = 0;
  // An entry is an id, a number and its texts; what follows the last one is an id after an id.
  while (tokens[at]?.kind === 'id' && tokens[at + 1]?.kind === 'number') {
    parts.push(framed(Buffer.from(idOf(tokens[at]))));
    const fields = numberOf(tokens[at + 1]);
    for (const text of textsOf(tokens.slice(at + 2, at + 2 + fields * 2))) parts.push(framed(text));
    parts.push(Buffer.from('|'));
    at += 2 + fields * 2;
    entries++;
  }
  const groups = groupsOf(elementsOf(tokens.slice(at + 4)));
  return {
    n: entries,
    d: sha256(parts),
    lastId: idOf(tokens[at]),
    maxDeletedId: idOf(tokens[at + 1]),
    entriesAdded: numberOf(tokens[at + 2]),
    ...(groups.length === 0 ? {} : { groups }),
  };
}

function groupsOf(items: readonly (readonly Token[])[]): RecordedGroup[] {
  const named = (kind: number): { group: string; second: string; tokens: readonly Token[] }[] =>
    items
      .filter((tokens) => numberOf(tokens[0]) === kind)
      .map((tokens) => {
        const [group, second] = textsOf(tokens).map(String);
        return { group: group ?? '', second: second ?? '', tokens };
      });
  return named(1).map(({ group, tokens }) => ({
    name: group,
    lastDelivered: idOf(tokens.at(-1)),
    pending: named(3).filter((item) => item.group === group).length,
    consumers: named(2)
      .filter((item) => item.group === group)
      .map(({ second }) => ({
        name: second,
        pending: named(4).filter((item) => item.group === group && item.second === second).length,
      })),
  }));
}

function elementsOf(tokens: readonly Token[]): Token[][] {
  const elements: Token[][] = [];
  for (const token of tokens) {
    if (token.kind === 'begin') elements.push([]);
    else if (token.kind !== 'end') elements.at(-1)?.push(token);
  }
  return elements;
}

function textsOf(tokens: readonly Token[]): Buffer[] {
  return tokens.flatMap((token) => (token.kind === 'text' ? [token.text] : []));
}

function idOf(token: Token | undefined): string {
  if (token?.kind !== 'id') throw new Error(`${token?.kind ?? 'nothing'} where an id must be`);
  return token.id;
}

function numberOf(token: Token | undefined): number {
  if (token?.kind !== 'number') throw new Error(`${token?.kind ?? 'nothing'} where a number must be`);
  return token.value;
}

function byFirst<Row extends readonly [Buffer, ...unknown[]]>(rows: readonly Row[]): Row[] {
  return [...rows].sort((a, b) => Buffer.compare(a[0], b[0]));
}

/** Four bytes of length, big-endian, and the bytes. */
function framed(bytes: Buffer): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function sha256(parts: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

/** Over all keys: the sorted digests of database, key, type, expiry and value, one per line. */
export function datasetDigest(keys: readonly RecordedKey[]): string {
  const lines = keys.map(({ db, key, type, expireAt, d }) =>
    sha256(
      [
        Buffer.from(String(db)),
        key,
        Buffer.from(type),
        Buffer.from(String(expireAt ?? -1)),
        Buffer.from(d),
      ].map(framed),
    ),
  );
  return sha256([Buffer.from(lines.sort().join('\n'))]);
}
