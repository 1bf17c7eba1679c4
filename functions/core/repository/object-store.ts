/**
 * Objects in a bucket, as far as tairlift needs them. There is no delete and no overwrite here: who may write
 * backups must not be able to harm them.
 */

export interface ObjectHead {
  readonly key: string;
  readonly bytes: number;
  /** OSS's CRC-64/XZ of the object, decimal; absent for objects that were stored without one. */
  readonly crc64?: string;
  readonly etag: string;
  /** ISO 8601, UTC. */
  readonly lastModifiedAt: string;
}

export interface ObjectEntry {
  readonly key: string;
  readonly bytes: number;
  readonly lastModifiedAt: string;
}

export interface ObjectStore {
  /** Scheme and bucket for people, `oss://my-backups`. */
  readonly name: string;

  /** Undefined when there is no such object. Throws `NO_SUCH_BUCKET` or `PERMISSION_DENIED` by name. */
  head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined>;

  /** A small object as a whole, at most 64 MiB; undefined when there is none. */
  get(key: string, signal: AbortSignal): Promise<Buffer | undefined>;

  /**
   * Creates a small object and never replaces one. `exists` when another object is there already; an object with the
   * very same bytes (the answer to an earlier attempt was lost) counts as `created`.
   */
  create(key: string, body: Buffer, contentType: string, signal: AbortSignal): Promise<'created' | 'exists'>;

  /**
   * The object's bytes in order, from `start` on. Reopens by itself when the connection breaks; ends only after the
   * last byte, throws otherwise. `NOT_FOUND` when there is no such object.
   */
  read(key: string, signal: AbortSignal, start?: number): AsyncIterable<Buffer>;

  /** Every object below the prefix, all pages, in key order. */
  list(prefix: string, signal: AbortSignal): AsyncIterable<ObjectEntry>;
}
