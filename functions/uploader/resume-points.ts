/**
 * Where an interrupted upload goes on. While a file is under way, the uploader now and then leaves a point in the run
 * folder: how far the parts have come without a gap, and the scanner's state there. Whoever comes next (the platform's
 * second try, the next attempt, another machine) finds the newest point, and relies on it only as far as what OSS
 * lists agrees with it. Without any point everything is read again, and still only the missing parts are sent.
 *
 * Points are numbered from 1 on and written once each: the uploader may neither list nor replace objects.
 */
import * as z from 'zod';
import { asBackupError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { stepKey } from '../core/repository/keys.ts';
import { manifestFileSchema, type ManifestFile } from '../core/repository/manifest.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import type { ByteSource } from '../core/transfer/byte-source.ts';
import type { TransferCheckpoint } from '../core/transfer/transfer-file.ts';
import type { UploadRequest } from '../core/upload-request.ts';

/** Makes a point of the moment; undefined when there is none yet. */
export type MakePoint = () => TransferCheckpoint | undefined;

export interface ResumePoints {
  /** The newest point of a file; undefined when there is none, or none of this very file. */
  find(file: string, source: ByteSource, signal: AbortSignal): Promise<TransferCheckpoint | undefined>;
  /** Call it as often as there is a new point; some of them are written, one at a time. Never throws. */
  offer(file: string, source: ByteSource, make: MakePoint): void;
  /** Writes the newest points of the files that are under way. Never rejects; takes 15 seconds at most. */
  flush(): Promise<void>;
  /** The file needs no more points; those that are being written are waited for. */
  forget(file: string): Promise<void>;
  /** How many bytes need not be read again: of stored files, and of those under way as far as a written point vouches. */
  keptBytes(): number;

  /** What an earlier invocation has stored and proven of a file, if its object is still just that. */
  findStored(file: string, signal: AbortSignal): Promise<StoredFile | undefined>;
  /** Records that a file is stored and proven. Failing to costs the next invocation time, and is only logged. */
  recordStored(file: string, stored: StoredFile, signal: AbortSignal): Promise<void>;
}

export interface StoredFile {
  readonly file: ManifestFile;
  /** Of a file that was pulled: which snapshot it is, and when it was taken. */
  readonly snapshot?: Snapshot | undefined;
}

type Snapshot = z.infer<typeof snapshotSchema>;

const VERSION = 1;

const pointSchema = z.strictObject({
  version: z.literal(VERSION),
  file: z.string(),
  bytes: z.number(),
  identity: z.string().optional(),
  upload: z.string(),
  prefix: z.strictObject({
    parts: z.number().int().nonnegative(),
    bytes: z.number().int().nonnegative(),
    crc64: z.string().regex(/^\d{1,20}$/),
    jones: z.string().regex(/^\d{1,20}$/),
    etags: z.string(),
  }),
  observer: z.strictObject({ offset: z.number().int().nonnegative(), state: z.base64() }),
});

const snapshotSchema = z.strictObject({ id: z.string(), takenAt: z.string() });

const storedSchema = z.strictObject({
  version: z.literal(VERSION),
  file: manifestFileSchema,
  snapshot: snapshotSchema.optional(),
});

/** The first point comes soon, the later ones more and more seldom: what is lost then is little beside what is done. */
const FIRST_AFTER_MS = 10_000;
const LONGEST_MS = 60_000;
const GROWTH = 1.25;
const WRITE_TIMEOUT_MS = 15_000;
/** More points than any invocation can write. */
const POINTS_MAX = 2 ** 20;

/** The files of one upload request. */
export function createResumePoints(
  request: UploadRequest,
  store: ObjectStore,
  log: Log,
  now: () => number = Date.now,
): ResumePoints {
  const { destination, runId, instance } = request;
  const keyOf = (step: string): string =>
    stepKey(destination.prefix, runId, instance.region, instance.id, step);
  const pointKey = (file: string, number: number): string => keyOf(`resume-${file}-${number}`);
  const files = new Map<string, FileState>();
  let storedBytes = 0;

  function stateOf(file: string): FileState {
    let state = files.get(file);
    if (state === undefined) {
      state = { number: 0, keptBytes: 0, everyMs: FIRST_AFTER_MS, dueAtMs: now() + FIRST_AFTER_MS };
      files.set(file, state);
    }
    return state;
  }

  async function find(
    file: string,
    source: ByteSource,
    signal: AbortSignal,
  ): Promise<TransferCheckpoint | undefined> {
    const state = stateOf(file);
    state.number = await lastNumber(async (number) => {
      return (await store.head(pointKey(file, number), signal)) !== undefined;
    });
    if (state.number === 0) return undefined;
    const key = pointKey(file, state.number);
    const point = readPoint(await store.get(key, signal));
    const isOfThisFile =
      point?.file === file &&
      point.bytes === source.bytes &&
      (point.identity === undefined || source.identity === undefined || point.identity === source.identity);
    if (point === undefined || !isOfThisFile) {
      log.warn('a point to go on from is of no use; the file is read from its start', { key });
      return undefined;
    }
    const { upload, prefix, observer } = point;
    state.keptBytes = Math.min(prefix.bytes, observer.offset);
    return {
      upload,
      prefix,
      observer: { offset: observer.offset, state: Buffer.from(observer.state, 'base64') },
    };
  }

  function offer(file: string, source: ByteSource, make: MakePoint): void {
    const state = stateOf(file);
    state.newest = { source, make };
    if (now() < state.dueAtMs || state.writing !== undefined) return;
    state.everyMs = Math.min(LONGEST_MS, state.everyMs * GROWTH);
    state.dueAtMs = now() + state.everyMs;
    state.writing = write(file, state).finally(() => delete state.writing);
  }

  /** Never rejects. */
  async function write(
    file: string,
    state: FileState,
    inTime = AbortSignal.timeout(WRITE_TIMEOUT_MS),
  ): Promise<void> {
    const { newest } = state;
    if (newest === undefined) return;
    delete state.newest;
    const { source } = newest;
    try {
      const point = newest.make();
      if (point === undefined) return;
      const { upload, prefix, observer } = point;
      const body = {
        version: VERSION,
        file,
        bytes: source.bytes,
        ...(source.identity === undefined ? {} : { identity: source.identity }),
        upload,
        prefix,
        observer: { offset: observer.offset, state: observer.state.toString('base64') },
      } satisfies z.infer<typeof pointSchema>;
      const bytes = Buffer.from(JSON.stringify(body));
      for (let written = false; !written && state.number < POINTS_MAX;) {
        // Counted only when it is there: a gap would hide all points behind it.
        const number = state.number + 1;
        written =
          (await store.create(pointKey(file, number), bytes, 'application/json', inTime)) === 'created';
        // If not, another uploader of the same file has taken the number.
        state.number = number;
      }
      state.keptBytes = Math.min(prefix.bytes, observer.offset);
    } catch (error) {
      log.warn('a point to go on from could not be written', { file, error: asBackupError(error) });
    }
  }

  async function flush(): Promise<void> {
    // One limit for all of it: what is being written has begun before.
    const inTime = AbortSignal.timeout(WRITE_TIMEOUT_MS);
    await Promise.all(
      [...files].map(async ([file, state]) => {
        await state.writing;
        await write(file, state, inTime);
      }),
    );
  }

  async function findStored(file: string, signal: AbortSignal): Promise<StoredFile | undefined> {
    const key = keyOf(`stored-${file}`);
    const body = await store.get(key, signal);
    if (body === undefined) return undefined;
    const record = storedSchema.safeParse(jsonOf(body)).data;
    if (record === undefined) {
      log.warn('the record of a stored file is of no use; it is read again', { key });
      return undefined;
    }
    const { file: row, snapshot } = record;
    const there = await store.head(row.key, signal);
    if (there?.bytes !== row.bytes || there.crc64 !== row.crc64) return undefined;
    storedBytes += row.bytes;
    return { file: row, snapshot };
  }

  async function recordStored(file: string, stored: StoredFile, signal: AbortSignal): Promise<void> {
    const key = keyOf(`stored-${file}`);
    try {
      const record = { version: VERSION, ...stored } satisfies z.infer<typeof storedSchema>;
      await store.create(key, Buffer.from(`${JSON.stringify(record)}\n`), 'application/json', signal);
      storedBytes += stored.file.bytes;
    } catch (error) {
      if (signal.aborted) throw error;
      log.warn('the record of a stored file could not be written', { key, error: asBackupError(error) });
    }
  }

  return {
    find,
    offer,
    flush,
    forget: async (file) => {
      const state = files.get(file);
      if (state === undefined) return;
      delete state.newest;
      await state.writing;
      files.delete(file);
    },
    keptBytes: () => [...files.values()].reduce((sum, state) => sum + state.keptBytes, storedBytes),
    findStored,
    recordStored,
  };
}

interface FileState {
  /** Of the last point that is known to be there. */
  number: number;
  keptBytes: number;
  everyMs: number;
  dueAtMs: number;
  newest?: { readonly source: ByteSource; readonly make: MakePoint };
  writing?: Promise<void>;
}

/** The last of numbers that begin at 1 and have no gap; 0 when there is none. */
async function lastNumber(isThere: (number: number) => Promise<boolean>): Promise<number> {
  let there = 0;
  let missing = 1;
  while (missing < POINTS_MAX && (await isThere(missing))) {
    there = missing;
    missing *= 2;
  }
  while (missing - there > 1) {
    const middle = (there + missing) >> 1;
    if (await isThere(middle)) there = middle;
    else missing = middle;
  }
  return there;
}

function readPoint(body: Buffer | undefined): z.infer<typeof pointSchema> | undefined {
  return body === undefined ? undefined : pointSchema.safeParse(jsonOf(body)).data;
}

function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    // No JSON is no record: the schema refuses it.
    return undefined;
  }
}
