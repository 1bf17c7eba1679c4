/** What reading an RDB file yields: a verdict, where and why it failed, and what is inside. Plain data. */

/**
 * - `sound`: read to the end marker, nothing after the checksum, and the file's own checksum holds.
 * - `unverifiable`: reads cleanly to its end, but its writer had no checksum: switched off, or older than RDB 5.
 * - `truncated`: the input ends before the file does.
 * - `corrupt`: the structure, a value or the checksum is wrong, or bytes follow the end.
 * - `unsupported`: of a version, or with a type, that cannot be read without guessing.
 */
export type Verdict = 'sound' | 'truncated' | 'corrupt' | 'unsupported' | 'unverifiable';

/** Why a file is not sound, as one sentence can say it: where, while doing what, at which key, what was wrong. */
export interface Problem {
  /** Byte offset in the file at which the thing being read starts. */
  readonly offset: number;
  /** What was being read, for example `the length of a hash` or `the checksum`. */
  readonly doing: string;
  /** What was found instead, for example `unknown type 99`. */
  readonly reason: string;
  readonly database?: number;
  /** The key, printable and cut to 100 characters; bytes outside ASCII are escaped as `\xNN`. */
  readonly key?: string;
}

/** The types as a client sees them (`TYPE key`); a module value counts under `module`. */
export type LogicalType = 'string' | 'list' | 'set' | 'zset' | 'hash' | 'stream' | 'module';

export interface TypeCount {
  readonly keys: number;
  /** Bytes in the file: key and value as they are encoded there. */
  readonly bytes: number;
}

export interface DatabaseCount {
  readonly keys: number;
  /** Keys that carry a time to live, passed or not. */
  readonly expires: number;
}

export interface BigKey {
  readonly database: number;
  readonly key: string;
  readonly type: LogicalType;
  readonly bytes: number;
}

/** What is inside a file. For a file that is not sound it covers what was read before the problem. */
export interface Fingerprint {
  /** The number in the header: 1 to 13 for Redis, 80 for Valkey 9. */
  readonly version: number;
  readonly dialect: 'redis' | 'valkey';
  /** Auxiliary fields in order of first appearance (`redis-ver`, `ctime`, `ali-…`); repeated per-key ones are left out. */
  readonly aux: Readonly<Record<string, string>>;
  readonly keys: number;
  readonly expires: number;
  /** By database number; only databases that hold at least one key. */
  readonly databases: Readonly<Record<string, DatabaseCount>>;
  /** By logical type; only types that occur. */
  readonly types: Readonly<Partial<Record<LogicalType, TypeCount>>>;
  /** By module type name, for example `tairhash-`. */
  readonly modules: Readonly<Record<string, number>>;
  /** Source texts of functions are not kept, their number is. */
  readonly functions: number;
  /** Biggest keys first, by bytes in the file; at most ten. */
  readonly biggest: readonly BigKey[];
  /** Cluster slots of the keys in database 0: how many different ones, and which, as `0-5460,5470`. */
  readonly slots: { readonly seen: number; readonly ranges: string };
  /**
   * Order-independent digest of the contents, 32 hexadecimal digits: two files hold the same keys with the same
   * types, times to live and values exactly if (but for chance) their digests are equal, whatever the order of keys
   * and the encodings. See digest.ts for its definition.
   */
  readonly digest: string;
  /**
   * Keys with a value of which the bytes are proven by the file's checksum alone, because it is too large to be looked
   * into; absent if there is none. They are among the biggest.
   */
  readonly unchecked?: number;
}

/** Contents as a server counts them: the part of a fingerprint that can be asked of a live server as well. */
export interface ContentSummary {
  readonly keys: number;
  readonly expires: number;
  readonly databases: Readonly<Record<string, DatabaseCount>>;
  /** Keys by logical type; only types that occur. */
  readonly types: Readonly<Partial<Record<LogicalType, number>>>;
  readonly digest: string;
  /** Keys with a value that was too large to be looked into; absent if there is none, as always from a server. */
  readonly unchecked?: number;
}

export interface RdbReport {
  readonly verdict: Verdict;
  /** Present exactly when the verdict is `truncated`, `corrupt` or `unsupported`. */
  readonly problem?: Problem;
  /** Bytes handed over, including any after a problem. */
  readonly bytes: number;
  /** The file's own checksum, 16 hexadecimal digits; absent when the file has none or ended before it. */
  readonly checksum?: string;
  readonly fingerprint: Fingerprint;
  /** The contents without what expires before an instant, if the scanner was asked for it with `expiredBefore`. */
  readonly live?: ContentSummary;
}
