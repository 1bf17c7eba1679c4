/**
 * What a live server holds, in the same numbers as the fingerprint of a file: counts by database and type, and the
 * digest that rdb/digest.ts defines. Equal numbers prove that a file was loaded whole.
 */
import { BackupError, describe } from '../errors.ts';
import { ContentDigest, mergeSummaries } from '../rdb/digest.ts';
import { Hash128 } from '../rdb/hash128.ts';
import { viewOf } from '../rdb/input.ts';
import { sayModuleDump } from '../rdb/modules.ts';
import { parseScore } from '../rdb/numbers.ts';
import type { ContentSummary, LogicalType } from '../rdb/report.ts';
import { Seen } from '../rdb/seen.ts';

/** Answers of RESP2, with every string as a Buffer. */
export type Reply = Buffer | number | null | readonly Reply[];

/** A connection to one server. Calls may overlap; each is answered in its own database. Errors of the server reject. */
export interface ServerConnection {
  call(database: number, ...command: readonly (string | Buffer)[]): Promise<Reply>;
}

export interface ServerFingerprintOptions {
  /**
   * Leaves out keys and hash fields that expire before this instant (milliseconds since 1970). Take one that lies
   * after the end of the reading, and the same for the file: what vanishes meanwhile is then missing on both sides.
   */
  readonly expiredBefore?: number;
}

/** Keys that are read at the same time, so that a connection that pipelines can do so. */
const CONCURRENT_KEYS = 32;
const KEYS_PER_SCAN = 512;
const ELEMENTS_PER_CALL = 256;
const ENTRIES_PER_CALL = 128;
const PIECE_BYTES = 1024 * 1024;
/** TIME, PTTL and TIME again are asked until both times are the same millisecond. */
const EXPIRY_ATTEMPTS_MAX = 1000;

/**
 * Walks all databases of a primary that nobody writes to. Values are read in bounded pieces; of modules a `DUMP` each.
 * Throws `SOURCE_CHANGED` if keys came or went while it read, other than by expiring, and `SERVICE_ERROR` if the
 * server answers with something else than what it was asked for.
 */
export async function fingerprintServer(
  connection: ServerConnection,
  options: ServerFingerprintOptions = {},
): Promise<ContentSummary> {
  const expiredBefore = options.expiredBefore ?? -Infinity;
  const readers = Array.from({ length: CONCURRENT_KEYS }, () => new KeyReader(connection, expiredBefore));
  const before = await readKeyspace(connection);
  let seen = 0;
  for (const database of before.databases) seen += await readDatabase(connection, database, readers);
  const after = await readKeyspace(connection);
  const expired = after.expired - before.expired;
  if (before.keys - after.keys !== expired || seen > before.keys || seen < before.keys - expired) {
    throw new BackupError(
      'SOURCE_CHANGED',
      `fingerprint server: ${before.keys} keys at the start, ${seen} read, ${after.keys} at the end, ${expired} expired`,
      { hint: 'compare with a server that nobody writes to' },
    );
  }
  return mergeSummaries(readers.map((reader) => reader.digest.summary()));
}

/** https://redis.io/docs/latest/commands/info/ */
async function readKeyspace(
  connection: ServerConnection,
): Promise<{ databases: readonly number[]; keys: number; expired: number }> {
  const keyspace = text(await connection.call(0, 'INFO', 'keyspace'));
  const stats = text(await connection.call(0, 'INFO', 'stats'));
  const lines = [...keyspace.matchAll(/^db(\d+):keys=(\d+)/gm)];
  return {
    databases: lines.map(([, database]) => Number(database)),
    keys: lines.reduce((sum, [, , keys]) => sum + Number(keys), 0),
    expired: Number(/^expired_keys:(\d+)/m.exec(stats)?.[1] ?? 0),
  };
}

/** Reads every key of a database once and returns how many there were. SCAN may name a key twice. */
async function readDatabase(
  connection: ServerConnection,
  database: number,
  readers: readonly KeyReader[],
): Promise<number> {
  const once = new Once();
  for await (const names of scan(connection, database, ['SCAN'], KEYS_PER_SCAN)) {
    const left = names.filter((name) => once.isNew(name));
    await Promise.all(
      readers.map(async (reader) => {
        for (let key = left.pop(); key !== undefined; key = left.pop()) await reader.read(database, key);
      }),
    );
  }
  return once.count;
}

/** Reads keys one after the other into a digest of its own. */
class KeyReader {
  readonly digest: ContentDigest;
  private readonly connection: ServerConnection;
  private readonly expiredBefore: number;
  private database = 0;
  private knowsPexpiretime = true;
  private knowsFieldExpiry = true;

  constructor(connection: ServerConnection, expiredBefore: number) {
    this.digest = new ContentDigest({ expiredBefore });
    this.connection = connection;
    this.expiredBefore = expiredBefore;
  }

  async read(database: number, key: Buffer): Promise<void> {
    this.database = database;
    const [name, expiry] = await Promise.all([this.call('TYPE', key), this.expiryOf(key)]);
    // What is left out anyway is not read: it may be gone at any moment.
    if (text(name) === 'none' || (expiry !== undefined && expiry < this.expiredBefore)) return;
    const type = logicalType(text(name));
    const [low, high] = halves(expiry ?? 0);
    this.digest.beginKey(
      database,
      type,
      { bytes: viewOf(key), start: 0, end: key.length },
      expiry !== undefined,
      low,
      high,
    );
    try {
      await this.readValue(type, key);
    } catch (cause) {
      const where = `key ${JSON.stringify(key.toString('latin1').slice(0, 100))} of database ${database}`;
      throw new BackupError('SERVICE_ERROR', `fingerprint server: read ${where}: ${describe(cause)}`, {
        cause,
      });
    }
    this.digest.endKey();
  }

  /** https://redis.io/docs/latest/commands/pexpiretime/, since 7.0; undefined for a key that does not expire. */
  private async expiryOf(key: Buffer): Promise<number | undefined> {
    if (!this.knowsPexpiretime) return this.expiryByClock(key);
    try {
      const expiry = number(await this.call('PEXPIRETIME', key));
      return expiry < 0 ? undefined : expiry;
    } catch (error) {
      if (!isUnknownCommand(error)) throw error;
      this.knowsPexpiretime = false;
      return this.expiryByClock(key);
    }
  }

  /** What remains, added to the server's own time: exact if the millisecond did not change around the answer. */
  private async expiryByClock(key: Buffer): Promise<number | undefined> {
    for (let attempt = 0; attempt < EXPIRY_ATTEMPTS_MAX; attempt++) {
      const [first, left, second] = await Promise.all([
        this.call('TIME'),
        this.call('PTTL', key),
        this.call('TIME'),
      ]);
      if (number(left) < 0) return undefined;
      const ms = millisecondsOf(first);
      if (ms === millisecondsOf(second)) return ms + number(left);
    }
    throw new BackupError(
      'SERVICE_ERROR',
      'fingerprint server: read an expiry: the clock never stands still for an answer',
    );
  }

  private async readValue(type: LogicalType, key: Buffer): Promise<void> {
    const read: Readonly<Record<LogicalType, () => Promise<void>>> = {
      string: () => this.readString(key),
      list: () => this.readList(key),
      set: () => this.readSet(key),
      zset: () => this.readSortedSet(key),
      hash: () => this.readHash(key),
      stream: () => this.readStream(key),
      module: () => this.readModule(key),
    };
    await read[type]();
  }

  private async readString(key: Buffer): Promise<void> {
    const length = number(await this.call('STRLEN', key));
    this.digest.beginText(length);
    for (let at = 0; at < length; at += PIECE_BYTES) {
      const end = Math.min(at + PIECE_BYTES, length);
      const piece = buffer(await this.call('GETRANGE', key, String(at), String(end - 1)));
      if (piece.length !== end - at) throw new Error(`${piece.length} bytes where ${end - at} must be`);
      this.digest.piece(viewOf(piece), 0, piece.length);
    }
    this.digest.endText();
  }

  private async readList(key: Buffer): Promise<void> {
    const length = number(await this.call('LLEN', key));
    for (let at = 0; at < length; at += ELEMENTS_PER_CALL) {
      const end = Math.min(at + ELEMENTS_PER_CALL, length);
      const elements = list(await this.call('LRANGE', key, String(at), String(end - 1)));
      if (elements.length !== end - at)
        throw new Error(`${elements.length} elements where ${end - at} must be`);
      for (const element of elements) this.say(buffer(element));
    }
  }

  private async readSet(key: Buffer): Promise<void> {
    const once = new Once();
    for await (const members of scan(this.connection, this.database, ['SSCAN', key], ELEMENTS_PER_CALL)) {
      for (const member of members) {
        if (!once.isNew(member)) continue;
        this.digest.beginElement();
        this.say(member);
        this.digest.endElement();
      }
    }
  }

  private async readSortedSet(key: Buffer): Promise<void> {
    const once = new Once();
    for await (const pairs of scan(this.connection, this.database, ['ZSCAN', key], ELEMENTS_PER_CALL)) {
      for (const [member, score] of pairsOf(pairs)) {
        if (!once.isNew(member)) continue;
        const value = parseScore(score.toString('latin1'));
        if (value === undefined) throw new Error(`the score ${score.toString('latin1')}`);
        this.digest.beginElement();
        this.say(member);
        this.digest.score(value);
        this.digest.endElement();
      }
    }
  }

  private async readHash(key: Buffer): Promise<void> {
    const once = new Once();
    for await (const flat of scan(this.connection, this.database, ['HSCAN', key], ELEMENTS_PER_CALL)) {
      const pairs = pairsOf(flat).filter(([field]) => once.isNew(field));
      const expiries = await this.fieldExpiries(
        key,
        pairs.map(([field]) => field),
      );
      for (const [index, [field, value]] of pairs.entries()) {
        const expiry = expiries[index];
        if (expiry === 'gone') continue;
        this.digest.beginElement();
        this.say(field);
        this.say(value);
        if (expiry !== undefined) this.digest.fieldExpiry(...halves(expiry));
        this.digest.endElement();
      }
    }
  }

  /** https://redis.io/docs/latest/commands/hpexpiretime/, since Redis 7.4 and Valkey 9. */
  private async fieldExpiries(
    key: Buffer,
    fields: readonly Buffer[],
  ): Promise<readonly (number | 'gone' | undefined)[]> {
    if (!this.knowsFieldExpiry || fields.length === 0) return [];
    try {
      const reply = list(await this.call('HPEXPIRETIME', key, 'FIELDS', String(fields.length), ...fields));
      return reply.map((expiry) =>
        number(expiry) === -2 ? 'gone' : number(expiry) < 0 ? undefined : number(expiry),
      );
    } catch (error) {
      if (!isUnknownCommand(error)) throw error;
      this.knowsFieldExpiry = false;
      return [];
    }
  }

  /** https://redis.io/docs/latest/commands/xinfo-stream/; what 7.0 added is missing in older answers. */
  private async readStream(key: Buffer): Promise<void> {
    const { digest } = this;
    const facts = record(await this.call('XINFO', 'STREAM', key));
    for (let from = '-'; ;) {
      const entries = list(await this.call('XRANGE', key, from, '+', 'COUNT', String(ENTRIES_PER_CALL)));
      for (const entry of entries) {
        const [id, parts] = list(entry);
        const texts = list(parts ?? null);
        this.sayId(text(id ?? null));
        digest.number(texts.length / 2);
        for (const part of texts) this.say(buffer(part));
        from = idAfter(text(id ?? null));
      }
      if (entries.length < ENTRIES_PER_CALL) break;
    }
    const length = number(facts.get('length') ?? null);
    this.sayId(text(facts.get('last-generated-id') ?? null));
    this.sayId(facts.has('max-deleted-entry-id') ? text(facts.get('max-deleted-entry-id') ?? null) : '0-0');
    digest.number(facts.has('entries-added') ? number(facts.get('entries-added') ?? null) : length);
    digest.number(length);
    for (const group of list(await this.call('XINFO', 'GROUPS', key)))
      await this.readGroup(key, record(group));
  }

  private async readGroup(key: Buffer, facts: ReadonlyMap<string, Reply>): Promise<void> {
    const { digest } = this;
    const group = buffer(facts.get('name') ?? null);
    digest.beginElement();
    digest.number(1);
    this.say(group);
    this.sayId(text(facts.get('last-delivered-id') ?? null));
    digest.endElement();
    for (const consumer of list(await this.call('XINFO', 'CONSUMERS', key, group))) {
      digest.beginElement();
      digest.number(2);
      this.say(group);
      this.say(buffer(record(consumer).get('name') ?? null));
      digest.endElement();
    }
    for (let from = '-'; ;) {
      const pending = list(await this.call('XPENDING', key, group, from, '+', String(ENTRIES_PER_CALL)));
      for (const one of pending) {
        const [id, consumer, , deliveries] = list(one);
        digest.beginElement();
        digest.number(3);
        this.say(group);
        this.sayId(text(id ?? null));
        digest.number(number(deliveries ?? null));
        digest.endElement();
        digest.beginElement();
        digest.number(4);
        this.say(group);
        this.say(buffer(consumer ?? null));
        this.sayId(text(id ?? null));
        digest.endElement();
        from = idAfter(text(id ?? null));
      }
      if (pending.length < ENTRIES_PER_CALL) break;
    }
  }

  private async readModule(key: Buffer): Promise<void> {
    sayModuleDump(this.digest, buffer(await this.call('DUMP', key)));
  }

  private call(...command: readonly (string | Buffer)[]): Promise<Reply> {
    return this.connection.call(this.database, ...command);
  }

  private say(bytes: Buffer): void {
    this.digest.text(viewOf(bytes), 0, bytes.length);
  }

  private sayId(id: string): void {
    const [ms, seq] = partsOf(id);
    this.digest.id(Number(ms >> 32n), Number(ms & LOW), Number(seq >> 32n), Number(seq & LOW));
  }
}

/** Tells repetitions apart. */
class Once {
  count = 0;
  private readonly hash = new Hash128();
  private readonly seen = new Seen(Infinity);

  isNew(bytes: Buffer): boolean {
    this.hash.reset();
    this.hash.text(viewOf(bytes), 0, bytes.length);
    this.hash.finish();
    if (this.seen.add(this.hash)) return false;
    this.count++;
    return true;
  }
}

/** Pages of SCAN, SSCAN, HSCAN or ZSCAN. https://redis.io/docs/latest/commands/scan/#scan-guarantees */
async function* scan(
  connection: ServerConnection,
  database: number,
  command: readonly (string | Buffer)[],
  count: number,
): AsyncGenerator<Buffer[]> {
  let cursor = '0';
  do {
    const [next, page] = list(await connection.call(database, ...command, cursor, 'COUNT', String(count)));
    cursor = text(next ?? null);
    yield list(page ?? null).map(buffer);
  } while (cursor !== '0');
}

const CLIENT_TYPES: Readonly<Record<string, LogicalType>> = {
  string: 'string',
  list: 'list',
  set: 'set',
  zset: 'zset',
  hash: 'hash',
  stream: 'stream',
};

/** Modules give their values names of their own. */
function logicalType(name: string): LogicalType {
  return CLIENT_TYPES[name] ?? 'module';
}

const LOW = 0xffff_ffffn;
const LAST_SEQUENCE = 0xffff_ffff_ffff_ffffn;

function partsOf(id: string): [ms: bigint, seq: bigint] {
  const parts = /^(\d+)-(\d+)$/.exec(id);
  if (parts === null) throw new Error(`${JSON.stringify(id)} where a stream id must be`);
  return [BigInt(parts[1] ?? 0), BigInt(parts[2] ?? 0)];
}

function idAfter(id: string): string {
  const [ms, seq] = partsOf(id);
  return seq === LAST_SEQUENCE ? `${ms + 1n}-0` : `${ms}-${seq + 1n}`;
}

function halves(value: number): [low: number, high: number] {
  return [value | 0, Math.floor(value / 2 ** 32)];
}

function millisecondsOf(time: Reply): number {
  const [seconds, microseconds] = list(time);
  return Number(text(seconds ?? null)) * 1000 + Math.floor(Number(text(microseconds ?? null)) / 1000);
}

function pairsOf(flat: readonly Buffer[]): [Buffer, Buffer][] {
  const pairs: [Buffer, Buffer][] = [];
  for (let at = 0; at < flat.length; at += 2)
    pairs.push([buffer(flat[at] ?? null), buffer(flat[at + 1] ?? null)]);
  return pairs;
}

/** A flat list of names and values. */
function record(reply: Reply): Map<string, Reply> {
  const flat = list(reply);
  const facts = new Map<string, Reply>();
  for (let at = 0; at + 1 < flat.length; at += 2) facts.set(text(flat[at] ?? null), flat[at + 1] ?? null);
  return facts;
}

function list(reply: Reply): readonly Reply[] {
  if (reply === null || typeof reply === 'number' || Buffer.isBuffer(reply))
    throw unexpected(reply, 'a list');
  return reply;
}

function buffer(reply: Reply): Buffer {
  if (!Buffer.isBuffer(reply)) throw unexpected(reply, 'a string');
  return reply;
}

function text(reply: Reply): string {
  return buffer(reply).toString('utf8');
}

function number(reply: Reply): number {
  if (typeof reply !== 'number') throw unexpected(reply, 'a number');
  return reply;
}

function unexpected(reply: Reply, wanted: string): Error {
  const kind =
    reply === null
      ? 'nothing'
      : Array.isArray(reply)
        ? 'a list'
        : typeof reply === 'number'
          ? 'a number'
          : 'a string';
  return new BackupError('SERVICE_ERROR', `the server answered with ${kind} where ${wanted} must be`);
}

function isUnknownCommand(error: unknown): boolean {
  return error instanceof Error && /unknown command/i.test(error.message);
}
