/**
 * What OSS holds, on disk: `<folder>/<bucket>/` with `bucket.json`, one JSON per object and per part, and the bytes
 * in `data/`. An object is a list of data files, so that completing a multipart upload moves no bytes. Descriptions
 * are also held in memory, where every decision is taken in one step; the disk follows in the same order.
 */
import { createHash, randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { BucketSettings, BucketSpec, LifecycleRule } from '../world.ts';
import { positionOf } from './key-order.ts';

/** Bytes in one file of the bucket's `data` folder. */
export interface Segment {
  readonly file: string;
  readonly size: number;
}

/** What a client says about an object when it creates one, directly or by initiating a multipart upload. */
export interface Description {
  /** Given back with the object as they are: content-type, x-oss-meta-*, encryption and the like. */
  readonly headers: Readonly<Record<string, string>>;
  readonly storageClass: string;
  readonly tags: Readonly<Record<string, string>>;
}

export interface StoredObject extends Description {
  readonly key: string;
  readonly size: number;
  /** Without its quotes. */
  readonly etag: string;
  /** CRC-64/XZ in decimal. */
  readonly crc64: string;
  readonly type: 'Normal' | 'Multipart';
  /** Milliseconds since 1970. */
  readonly lastModifiedAt: number;
  readonly segments: readonly Segment[];
}

export interface Part extends Segment {
  readonly number: number;
  readonly etag: string;
  readonly crc64: string;
  readonly lastModifiedAt: number;
}

export interface Upload extends Description {
  readonly uploadId: string;
  readonly key: string;
  readonly initiatedAt: number;
  readonly parts: ReadonlyMap<number, Part>;
}

export interface Bucket extends BucketSettings {
  readonly name: string;
  readonly region: string;
  readonly accountId: string;
  readonly createdAt: number;
  readonly lifecycle: readonly LifecycleRule[];
  readonly objects: ReadonlyMap<string, StoredObject>;
  /** The objects' keys in listing order. */
  readonly keys: readonly string[];
  readonly uploads: ReadonlyMap<string, Upload>;
  /** Replaces the settings that are given, and only those. */
  configure(settings: BucketSettings): Promise<void>;
  /** The path of a new data file. Nothing is known of it until an object or part names it. */
  newDataFile(): { readonly name: string; readonly path: string };
  /** Deletes data files that no object or part names: the leavings of a request that failed. */
  discard(segments: readonly Segment[]): Promise<void>;
  /** Sets the object, replacing one of the same key. False, and nothing changed, when `unlessExists` and there is one. */
  put(object: StoredObject, options: { readonly unlessExists: boolean }): Promise<boolean>;
  /** Replaces the object's description only. */
  describe(object: StoredObject): Promise<void>;
  /** False when there is no such object. */
  remove(key: string): Promise<boolean>;
  /** The bytes [start, end) of an object. Reading on stays possible when the object is replaced or removed meanwhile. */
  read(object: StoredObject, start?: number, end?: number): Readable;
  addUpload(upload: Upload): Promise<void>;
  /** Adds or replaces a part. False when the upload is gone; the bytes are then the caller's to discard. */
  putPart(uploadId: string, part: Part): Promise<boolean>;
  /** Forgets the upload and deletes its parts. False when it is gone already. */
  abort(uploadId: string): Promise<boolean>;
  /**
   * Makes the upload into this object and deletes the parts that the object does not use. Answers `gone` or `exists`,
   * with nothing changed, when the upload is not there any more or the key is taken and `unlessExists`.
   */
  complete(
    uploadId: string,
    object: StoredObject,
    options: { readonly unlessExists: boolean },
  ): Promise<'done' | 'gone' | 'exists'>;
  /** Flips the lowest bit of one stored byte and changes nothing else, as a failing disk would. */
  corrupt(object: StoredObject, atByte: number): Promise<void>;
}

export interface Store {
  buckets(): readonly Bucket[];
  bucket(name: string): Bucket | undefined;
  /** Returns the bucket that is there when the name is taken. */
  createBucket(spec: OwnedBucketSpec, createdAt: number): Promise<Bucket>;
  deleteBucket(name: string): Promise<void>;
  /** Resolves when the disk has followed. */
  settled(): Promise<void>;
}

type OwnedBucketSpec = BucketSpec & { readonly accountId: string };

interface BucketFile extends OwnedBucketSpec {
  readonly createdAt: number;
}

type MutableUpload = Omit<Upload, 'parts'> & { readonly parts: Map<number, Part> };
type OpenBucket = Bucket & { settled(): Promise<void> };

/** Opens the folder, which is made if it is not there, and finds what an earlier run left in it. */
export async function openStore(folder: string): Promise<Store> {
  await mkdir(folder, { recursive: true });
  const buckets = new Map<string, OpenBucket>();
  for (const name of await readdir(folder)) {
    const file = await readJson<BucketFile>(join(folder, name, 'bucket.json'));
    if (file !== undefined) buckets.set(name, await openBucket(folder, file));
  }

  return {
    buckets: () => [...buckets.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    bucket: (name) => buckets.get(name),
    async createBucket(spec, createdAt) {
      const known = buckets.get(spec.name);
      if (known !== undefined) return known;
      const file: BucketFile = { ...spec, createdAt };
      for (const part of ['objects', 'uploads', 'data'])
        await mkdir(join(folder, spec.name, part), { recursive: true });
      await writeJson(join(folder, spec.name, 'bucket.json'), file);
      const bucket = await openBucket(folder, file);
      buckets.set(spec.name, bucket);
      return bucket;
    },
    async deleteBucket(name) {
      const bucket = buckets.get(name);
      buckets.delete(name);
      await bucket?.settled();
      await rm(join(folder, name), { recursive: true, force: true });
    },
    settled: async () => {
      await Promise.all([...buckets.values()].map(async (bucket) => bucket.settled()));
    },
  };
}

async function openBucket(folder: string, file: BucketFile): Promise<OpenBucket> {
  const root = join(folder, file.name);
  const objects = new Map<string, StoredObject>();
  const keys: string[] = [];
  const uploads = new Map<string, MutableUpload>();
  const dataPath = (name: string): string => join(root, 'data', name);
  const objectPath = (key: string): string =>
    join(root, 'objects', `${createHash('sha256').update(key).digest('hex')}.json`);
  const uploadPath = (uploadId: string): string => join(root, 'uploads', uploadId);

  /** Data files being read, with the number of readers, and those to be deleted when their last reader is done. */
  const readers = new Map<string, number>();
  const doomed = new Set<string>();

  let written: Promise<unknown> = Promise.resolve();
  /** Disk changes happen one after the other, in the order of the decisions. A failed one does not stop the next. */
  async function afterwards(change: () => Promise<void>): Promise<void> {
    const next = written.then(change);
    written = next.catch(() => undefined);
    await next;
  }

  async function discard(segments: readonly Segment[]): Promise<void> {
    for (const { file } of segments) {
      if ((readers.get(file) ?? 0) > 0) doomed.add(file);
      else await rm(dataPath(file), { force: true });
    }
  }

  function release(segments: readonly Segment[]): void {
    for (const { file } of segments) {
      const left = (readers.get(file) ?? 1) - 1;
      if (left > 0) readers.set(file, left);
      else {
        readers.delete(file);
        // A failed deletion leaves an orphan, which the next start finds.
        if (doomed.delete(file)) rm(dataPath(file), { force: true }).catch(() => undefined);
      }
    }
  }

  function set(object: StoredObject): StoredObject | undefined {
    const before = objects.get(object.key);
    objects.set(object.key, object);
    if (before === undefined) keys.splice(positionOf(keys, object.key, false), 0, object.key);
    return before;
  }

  /** Writes down what is known of the key by then, which may be newer than what the caller decided. */
  async function saveObject(key: string): Promise<void> {
    await afterwards(async () => {
      const object = objects.get(key);
      if (object === undefined) await rm(objectPath(key), { force: true });
      else await writeJson(objectPath(key), object);
    });
  }

  async function forgetUpload(uploadId: string): Promise<void> {
    await afterwards(async () => rm(uploadPath(uploadId), { recursive: true, force: true }));
  }

  await load(root, objects, keys, uploads);

  const bucket: OpenBucket = {
    ...file,
    lifecycle: file.lifecycle ?? [],
    objects,
    keys,
    uploads,
    async configure(settings) {
      Object.assign(bucket, settings);
      Object.assign(file, settings);
      await afterwards(async () => writeJson(join(root, 'bucket.json'), file));
    },
    newDataFile() {
      const name = randomUUID();
      return { name, path: dataPath(name) };
    },
    discard,
    async put(object, { unlessExists }) {
      if (unlessExists && objects.has(object.key)) return false;
      const before = set(object);
      await saveObject(object.key);
      await discard(before?.segments ?? []);
      return true;
    },
    async describe(object) {
      objects.set(object.key, object);
      await saveObject(object.key);
    },
    async remove(key) {
      const object = objects.get(key);
      if (object === undefined) return false;
      objects.delete(key);
      keys.splice(positionOf(keys, key, false), 1);
      await saveObject(key);
      await discard(object.segments);
      return true;
    },
    read(object, start = 0, end = object.size) {
      const { segments } = object;
      for (const { file } of segments) readers.set(file, (readers.get(file) ?? 0) + 1);
      const stream = Readable.from(readSegments(segments, start, end, dataPath), { objectMode: false });
      stream.once('close', () => release(segments));
      return stream;
    },
    async addUpload(upload) {
      uploads.set(upload.uploadId, { ...upload, parts: new Map(upload.parts) });
      await afterwards(async () => {
        await mkdir(uploadPath(upload.uploadId), { recursive: true });
        await writeJson(join(uploadPath(upload.uploadId), 'upload.json'), { ...upload, parts: undefined });
      });
    },
    async putPart(uploadId, part) {
      const parts = uploads.get(uploadId)?.parts;
      if (parts === undefined) return false;
      const before = parts.get(part.number);
      parts.set(part.number, part);
      await afterwards(async () => {
        const current = uploads.get(uploadId)?.parts.get(part.number);
        if (current !== undefined)
          await writeJson(join(uploadPath(uploadId), `${part.number}.json`), current);
      });
      await discard(before === undefined ? [] : [before]);
      return true;
    },
    async abort(uploadId) {
      const upload = uploads.get(uploadId);
      if (upload === undefined) return false;
      uploads.delete(uploadId);
      await forgetUpload(uploadId);
      await discard([...upload.parts.values()]);
      return true;
    },
    async complete(uploadId, object, { unlessExists }) {
      const upload = uploads.get(uploadId);
      if (upload === undefined) return 'gone';
      if (unlessExists && objects.has(object.key)) return 'exists';
      uploads.delete(uploadId);
      const before = set(object);
      await saveObject(object.key);
      await forgetUpload(uploadId);
      const used = new Set(object.segments.map((segment) => segment.file));
      await discard([...upload.parts.values()].filter((part) => !used.has(part.file)));
      await discard(before?.segments ?? []);
      return 'done';
    },
    async corrupt(object, atByte) {
      let at = atByte;
      for (const { file, size } of object.segments) {
        if (at < size) return flipBit(dataPath(file), at);
        at -= size;
      }
      throw new RangeError(`flip byte ${atByte} of ${object.key}: it has ${object.size} bytes`);
    },
    settled: async () => {
      await written;
    },
  };
  return bucket;
}

/** Reads what an earlier run left behind, and deletes what it did not finish. */
async function load(
  root: string,
  objects: Map<string, StoredObject>,
  keys: string[],
  uploads: Map<string, MutableUpload>,
): Promise<void> {
  const used = new Set<string>();
  for (const name of await readdir(join(root, 'objects'))) {
    const object = await readJson<StoredObject>(join(root, 'objects', name));
    if (object === undefined) {
      await rm(join(root, 'objects', name), { force: true });
      continue;
    }
    objects.set(object.key, object);
    keys.splice(positionOf(keys, object.key, false), 0, object.key);
    for (const { file } of object.segments) used.add(file);
  }
  for (const uploadId of await readdir(join(root, 'uploads'))) {
    const folder = join(root, 'uploads', uploadId);
    const upload = await readJson<Omit<Upload, 'parts'>>(join(folder, 'upload.json'));
    const parts: Part[] = [];
    for (const name of await readdir(folder)) {
      const part = name === 'upload.json' ? undefined : await readJson<Part>(join(folder, name));
      if (part !== undefined) parts.push(part);
    }
    // A part that already belongs to an object: the upload was completed, only its folder was not removed in time.
    if (upload === undefined || parts.some((part) => used.has(part.file)))
      await rm(folder, { recursive: true, force: true });
    else uploads.set(uploadId, { ...upload, parts: new Map(parts.map((part) => [part.number, part])) });
  }
  for (const { parts } of uploads.values()) for (const { file } of parts.values()) used.add(file);
  for (const name of await readdir(join(root, 'data')))
    if (!used.has(name)) await rm(join(root, 'data', name), { force: true });
}

const READ_BYTES = 256 * 1024;

async function* readSegments(
  segments: readonly Segment[],
  start: number,
  end: number,
  dataPath: (name: string) => string,
): AsyncGenerator<Buffer> {
  let offset = 0;
  for (const { file, size } of segments) {
    const from = Math.max(start - offset, 0);
    const to = Math.min(end - offset, size);
    offset += size;
    if (from >= to) continue;
    const options = { start: from, end: to - 1, highWaterMark: READ_BYTES };
    for await (const chunk of createReadStream(dataPath(file), options)) yield chunk as Buffer;
  }
}

async function flipBit(path: string, at: number): Promise<void> {
  const file = await open(path, 'r+');
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, at);
    byte.writeUInt8(byte.readUInt8(0) ^ 1, 0);
    await file.write(byte, 0, 1, at);
  } finally {
    await file.close();
  }
}

async function writeJson(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  await writeFile(temporary, JSON.stringify(value));
  await rename(temporary, path);
}

/** Undefined when the file is not there, or is what a crash left half-written. */
async function readJson<T>(path: string): Promise<T | undefined> {
  try {
    // Only this module writes these files, and renames them into place when they are whole.
    return path.endsWith('.json') ? (JSON.parse(await readFile(path, 'utf8')) as T) : undefined;
  } catch {
    return undefined;
  }
}
