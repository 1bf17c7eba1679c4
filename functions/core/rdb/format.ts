/**
 * The numbers of the RDB format: what the bytes between values mean and how each value is stored. Redis 1 to 8 and
 * Valkey share one numbering, except for type 22 and opcode 243, which mean different things under the two magics.
 *
 * Source: rdb.h of Redis (https://github.com/redis/redis/blob/8.0/src/rdb.h) and of Valkey 9.
 */
import type { LogicalType } from './report.ts';

export type Dialect = 'redis' | 'valkey';

/** Newest versions that are understood. A newer file is read as far as it goes, and called unsupported. */
export const NEWEST_REDIS_VERSION = 13;
export const VALKEY_VERSION = 80;
/** From this version on, eight bytes of CRC-64/Jones follow the end marker. */
export const FIRST_VERSION_WITH_CHECKSUM = 5;

export const MAGIC_BYTES = 9;
export const CHECKSUM_BYTES = 8;

/** Strings up to this length are handled in one piece; longer ones are taken in the pieces in which they arrive. */
export const INLINE_BYTES_MAX = 64 * 1024;
/**
 * Keys and compact values (ziplists, listpacks, integer sets, zipmaps, stream nodes) are checked in memory, whole.
 * Servers keep them to kilobytes, but a single huge stream entry or list element makes a larger one. Such a value is
 * not looked into: its bytes are proven by the file's checksum alone, and the report counts it as unchecked. Held are
 * up to three times as many bytes, compressed, expanded and while growing, in functions of 256 MB.
 */
export const HELD_BYTES_MAX = 32 * 1024 * 1024;

export const OPCODE = {
  slotImport: 243,
  keyMeta: 243,
  slotInfo: 244,
  function2: 245,
  functionPreview: 246,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  resizeDatabase: 251,
  expireMs: 252,
  expireSeconds: 253,
  selectDatabase: 254,
  end: 255,
  /** Redis Enterprise, each followed by one length. */
  enterpriseRamLru: 107,
  enterpriseSlot: 121,
} as const;

export function isOpcode(code: number): boolean {
  return code >= OPCODE.slotImport || code === OPCODE.enterpriseRamLru || code === OPCODE.enterpriseSlot;
}

export const TYPE = {
  string: 0,
  list: 1,
  set: 2,
  zsetText: 3,
  hash: 4,
  zset: 5,
  modulePreview: 6,
  module: 7,
  hashZipmap: 9,
  listZiplist: 10,
  setIntset: 11,
  zsetZiplist: 12,
  hashZiplist: 13,
  listQuicklist: 14,
  stream1: 15,
  hashListpack: 16,
  zsetListpack: 17,
  listQuicklist2: 18,
  stream2: 19,
  setListpack: 20,
  stream3: 21,
  /** Valkey: with its own layout; Redis: of a release candidate, as 24 but with absolute times. */
  hashWithExpiry22: 22,
  /** Redis, of a release candidate: as 25 without the smallest time in front. */
  hashListpackExpiryPreview: 23,
  hashWithExpiry: 24,
  hashListpackExpiry: 25,
  stream4: 26,
} as const;

const LOGICAL_TYPES = new Map<number, LogicalType>([
  [TYPE.string, 'string'],
  [TYPE.list, 'list'],
  [TYPE.listZiplist, 'list'],
  [TYPE.listQuicklist, 'list'],
  [TYPE.listQuicklist2, 'list'],
  [TYPE.set, 'set'],
  [TYPE.setIntset, 'set'],
  [TYPE.setListpack, 'set'],
  [TYPE.zsetText, 'zset'],
  [TYPE.zset, 'zset'],
  [TYPE.zsetZiplist, 'zset'],
  [TYPE.zsetListpack, 'zset'],
  [TYPE.hash, 'hash'],
  [TYPE.hashZipmap, 'hash'],
  [TYPE.hashZiplist, 'hash'],
  [TYPE.hashListpack, 'hash'],
  [TYPE.hashWithExpiry22, 'hash'],
  [TYPE.hashListpackExpiryPreview, 'hash'],
  [TYPE.hashWithExpiry, 'hash'],
  [TYPE.hashListpackExpiry, 'hash'],
  [TYPE.module, 'module'],
  [TYPE.stream1, 'stream'],
  [TYPE.stream2, 'stream'],
  [TYPE.stream3, 'stream'],
  [TYPE.stream4, 'stream'],
]);

/** What a client calls a value of this type; undefined if it cannot be read. */
export function logicalTypeOf(type: number, dialect: Dialect): LogicalType | undefined {
  if (type === TYPE.string) return 'string';
  return dialect === 'valkey' && type > TYPE.hashWithExpiry22 ? undefined : LOGICAL_TYPES.get(type);
}

/** Why a type, or a code where a type must be, cannot be read. */
export function whyUnreadable(type: number): string {
  if (type === TYPE.modulePreview)
    return 'a module value of a Redis 4.0 release candidate (type 6) has no readable end';
  if (type === 64) return 'a KeyDB cron job (type 64) has no counterpart in Redis';
  if ((type >= 30 && type <= 37) || isDragonflyOpcode(type)) {
    return `code ${type} belongs to Dragonfly's own snapshot format; have Dragonfly save with --df_snapshot_format=false`;
  }
  return `unknown type ${type}: written by a newer or foreign server, or damaged`;
}

function isDragonflyOpcode(code: number): boolean {
  return (code >= 200 && code <= 203) || code === 210 || code === 211 || (code >= 220 && code <= 224);
}
