/** A bucket in memory, behind the same two contracts as OSS. Faults are put around it, not into it. */
import { createHash } from 'node:crypto';
import { crc64Xz } from '../../functions/core/crc64.ts';
import { BackupError } from '../../functions/core/errors.ts';
import type { ObjectStore } from '../../functions/core/repository/object-store.ts';
import { UPLOAD_GONE, type UploadTarget } from '../../functions/core/transfer/upload-target.ts';
import { throwIfStopped } from '../../functions/core/transfer/retry.ts';

export interface MemoryStore extends ObjectStore, Omit<UploadTarget, 'head'> {
  readonly objects: Map<string, Buffer>;
  /** Unfinished multipart uploads: id to key. */
  openUploads(): readonly { readonly id: string; readonly key: string; readonly parts: number }[];
}

/** @param now the bucket's own clock */
export function createMemoryStore(now = (): number => Date.parse('2026-01-01T00:00:00Z')): MemoryStore {
  const objects = new DatedMap(now);
  const uploads = new Map<string, { readonly key: string; readonly parts: Map<number, Buffer> }>();
  let uploadCount = 0;

  const conflict = (key: string): BackupError =>
    new BackupError('DESTINATION_CONFLICT', `create ${key}: an object is there already`);

  function uploadOf(key: string, id: string): { readonly parts: Map<number, Buffer> } {
    const upload = uploads.get(id);
    if (upload === undefined || upload.key !== key)
      throw new BackupError('UPLOAD_FAILED', `use upload ${id} of ${key}: no such upload`, {
        details: { reason: UPLOAD_GONE },
      });
    return upload;
  }

  return {
    name: 'memory://store',
    objects,
    openUploads: () => [...uploads].map(([id, { key, parts }]) => ({ id, key, parts: parts.size })),
    head: async (key, signal) => {
      throwIfStopped(signal);
      const body = objects.get(key);
      return (
        body && {
          key,
          bytes: body.length,
          crc64: checksumOf(body),
          etag: etagOf(body),
          lastModifiedAt: objects.writtenAt(key),
        }
      );
    },
    get: async (key, signal) => {
      throwIfStopped(signal);
      const body = objects.get(key);
      return body && Buffer.from(body);
    },
    create: async (key, body, _contentType, signal) => {
      throwIfStopped(signal);
      const there = objects.get(key);
      if (there === undefined) objects.set(key, Buffer.from(body));
      return there === undefined || there.equals(body) ? 'created' : 'exists';
    },
    read: async function* (key, signal, start = 0) {
      const body = objects.get(key);
      if (body === undefined) throw new BackupError('NOT_FOUND', `read ${key}: no such object`);
      for (let at = start; at < body.length; at += 65_536) {
        throwIfStopped(signal);
        yield body.subarray(at, at + 65_536);
      }
    },
    list: async function* (prefix, signal) {
      for (const [key, body] of [...objects].sort(([a], [b]) => Buffer.from(a).compare(Buffer.from(b)))) {
        throwIfStopped(signal);
        if (key.startsWith(prefix)) yield { key, bytes: body.length, lastModifiedAt: objects.writtenAt(key) };
      }
    },
    put: async (key, body, signal) => {
      throwIfStopped(signal);
      if (objects.has(key)) throw conflict(key);
      objects.set(key, Buffer.from(body));
      return { etag: etagOf(body), crc64: checksumOf(body) };
    },
    begin: async (key, signal) => {
      throwIfStopped(signal);
      if (objects.has(key)) throw conflict(key);
      const id = `upload-${++uploadCount}`;
      uploads.set(id, { key, parts: new Map() });
      return id;
    },
    uploadPart: async (key, id, number, body, signal) => {
      throwIfStopped(signal);
      const pieces: Buffer[] = [];
      for await (const piece of body.pieces()) pieces.push(Buffer.from(piece));
      const bytes = Buffer.concat(pieces);
      uploadOf(key, id).parts.set(number, bytes);
      return { etag: etagOf(bytes), crc64: checksumOf(bytes) };
    },
    parts: async (key, id, signal) => {
      throwIfStopped(signal);
      return [...uploadOf(key, id).parts]
        .sort(([a], [b]) => a - b)
        .map(([number, body]) => ({
          number,
          bytes: body.length,
          etag: etagOf(body),
          crc64: checksumOf(body),
        }));
    },
    complete: async (key, id, receipts, signal) => {
      throwIfStopped(signal);
      const { parts } = uploadOf(key, id);
      const bodies = receipts.map(({ number, etag }) => {
        const body = parts.get(number);
        if (body === undefined || etagOf(body) !== etag)
          throw new BackupError('UPLOAD_FAILED', `complete ${key}: part ${number} is not there`);
        return body;
      });
      if (objects.has(key)) throw conflict(key);
      const whole = Buffer.concat(bodies);
      objects.set(key, whole);
      uploads.delete(id);
      return { etag: etagOf(whole), crc64: checksumOf(whole) };
    },
    unfinished: async (key, signal) => {
      throwIfStopped(signal);
      return [...uploads].filter(([, upload]) => upload.key === key).map(([id]) => id);
    },
    abort: async (_key, id, signal) => {
      throwIfStopped(signal);
      uploads.delete(id);
    },
  };
}

/** Tests put objects in by hand too: whatever is set is dated. */
class DatedMap extends Map<string, Buffer> {
  readonly #dates = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number) {
    super();
    this.#now = now;
  }

  override set(key: string, body: Buffer): this {
    this.#dates.set(key, this.#now());
    return super.set(key, body);
  }

  writtenAt(key: string): string {
    return new Date(this.#dates.get(key) ?? 0).toISOString();
  }
}

export function checksumOf(body: Uint8Array): string {
  const crc = crc64Xz();
  crc.update(body);
  return crc.value().toString();
}

function etagOf(body: Uint8Array): string {
  return `"${createHash('md5').update(body).digest('hex').toUpperCase()}"`;
}
