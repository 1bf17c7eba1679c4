/**
 * One backup of one instance, from its source into the bucket: every file, each read once and checked while it
 * passes, and the manifest last. It ends in a manifest or in an error; called again after a manifest is there, it
 * returns that manifest and changes nothing.
 *
 * While a file is under way, the uploader ends no multipart upload but its own: under the same key another one may be
 * at work. Once the object is there, all that is unfinished under its key is ended. What a killed uploader leaves
 * under keys that nobody tries again is swept later, by age.
 */
import pLimit from 'p-limit';
import { BackupError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import type { RdbReport } from '../core/rdb/report.ts';
import type { RdbScanner } from '../core/rdb/scanner.ts';
import { fileKey, manifestKey, type BackupPlace } from '../core/repository/keys.ts';
import {
  MANIFEST_VERSION,
  encodeManifest,
  parseManifest,
  type Level,
  type Manifest,
  type ManifestFile,
} from '../core/repository/manifest.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import type { Source, SourceFile } from '../core/source/source.ts';
import type { ByteSource } from '../core/transfer/byte-source.ts';
import type { HttpClient } from '../core/transfer/http.ts';
import { openHttpSource } from '../core/transfer/http-source.ts';
import { partSizeFor } from '../core/transfer/part-plan.ts';
import { PATIENT, type RetryPolicy } from '../core/transfer/retry.ts';
import { createSlotPool, type SlotPool } from '../core/transfer/slot-pool.ts';
import { transferFile } from '../core/transfer/transfer-file.ts';
import { UPLOAD_GONE, type UploadTarget } from '../core/transfer/upload-target.ts';
import type { UploadRequest } from '../core/upload-request.ts';
import { TOOL } from '../core/version.ts';
import { openBackup, type BackupListing } from './backup-listing.ts';
import { requireReadable } from './verdict.ts';

export interface UploadParts {
  readonly source: Source;
  readonly store: ObjectStore;
  readonly target: UploadTarget;
  /** For the downloads. */
  readonly http: HttpClient;
  readonly scanner: () => RdbScanner;
  /** The memory of the function, which decides how many parts are in flight; four lanes when unknown. */
  readonly memoryMb?: number;
  /** Of listing and downloading; the store brings its own. */
  readonly policy?: RetryPolicy;
  readonly log: Log;
  /** Once, when all files are opened and none is begun. */
  readonly onOpened?: (files: readonly { readonly file: string; readonly bytes: number }[]) => void;
  readonly onProgress?: (progress: Progress) => void;
}

export interface Progress {
  readonly file: string;
  readonly doneBytes: number;
  readonly bytes: number;
}

export interface UploadedBackup {
  readonly key: string;
  readonly manifest: Manifest;
  /** True when the manifest was there before this call. */
  readonly existed: boolean;
}

/** @throws BackupError that names instance, file and byte; then there is no manifest */
export async function uploadBackup(
  request: UploadRequest,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<UploadedBackup> {
  const { store, log } = parts;
  const startedAtMs = Date.now();
  const place = placeOf(request);
  const key = manifestKey(place);
  const finished = await store.get(key, signal);
  if (finished !== undefined) {
    log.info('the manifest is there already', { key });
    return { key, manifest: parseManifest(finished, key), existed: true };
  }
  const listing = await openBackup(request, parts.source, parts.policy ?? PATIENT, signal);
  const files = await storeFiles(request, place, listing, parts, signal);
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    runId: request.runId,
    plan: request.plan,
    instance: request.instance,
    backup: request.backup,
    files: request.instance.architecture === 'cluster' ? files : files.map(withoutSlotRanges),
    level: levelOf(files),
    durationMs: Date.now() - startedAtMs,
    tool: TOOL,
  };
  return writeManifest(store, key, manifest, signal);
}

function placeOf({ destination, instance, date, runId }: UploadRequest): BackupPlace {
  return { prefix: destination.prefix, instanceId: instance.id, date, runId };
}

/** Files under way at once: a second one keeps the lanes busy while the first begins or ends. */
const FILES_AT_ONCE = 2;
const OPENED_AT_ONCE = 8;

/** All files are opened before the first byte of any is sent: a backup with a file missing is not begun. */
async function storeFiles(
  request: UploadRequest,
  place: BackupPlace,
  listing: BackupListing,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<ManifestFile[]> {
  const stop = new AbortController();
  const running = AbortSignal.any([signal, stop.signal]);
  const opening = pLimit(OPENED_AT_ONCE);
  const opened = await allOrFirstFailure(
    listing.files.map(async (file) =>
      opening(async () => ({ file, source: await openFile(request, file, listing, parts, running) })),
    ),
    stop,
  );
  parts.onOpened?.(opened.map(({ file, source }) => ({ file: file.name, bytes: source.bytes })));
  const largest = Math.max(...opened.map(({ source }) => partSizeFor(source.bytes)));
  const pool = createSlotPool(lanesFor(largest, parts.memoryMb), largest);
  parts.log.info('the backup is opened', {
    files: opened.length,
    bytes: opened.reduce((sum, { source }) => sum + source.bytes, 0),
    lanes: pool.slots,
    partBytes: pool.slotBytes,
  });
  const storing = pLimit(FILES_AT_ONCE);
  return allOrFirstFailure(
    opened.map(async ({ file, source }) =>
      storing(async () => storeFile(file, source, fileKey(place, file.name), pool, parts, running)),
    ),
    stop,
  );
}

async function openFile(
  { instance }: UploadRequest,
  file: SourceFile,
  listing: BackupListing,
  { http, policy, log }: UploadParts,
  signal: AbortSignal,
): Promise<ByteSource> {
  const source = await openHttpSource(
    {
      name: `${file.name} of ${instance.id}`,
      http,
      urls: listing.urlsOf(file),
      policy: policy ?? PATIENT,
    },
    signal,
  );
  // The service's own figure is of unknown unit and may cover all files together: it is noted, and the length that
  // the download host answers with is the one that counts.
  if (file.announcedBytes !== 0 && file.announcedBytes !== source.bytes)
    log.warn('the announced size is not the length of the file', {
      file: file.name,
      announcedBytes: file.announcedBytes,
      bytes: source.bytes,
    });
  return source;
}

/**
 * Stores one file. What may be the fault of the way and not of the file (an altered byte, an upload that another
 * uploader has ended) is tried a second time from the start before it is believed.
 */
async function storeFile(
  file: SourceFile,
  source: ByteSource,
  key: string,
  pool: SlotPool,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<ManifestFile> {
  try {
    return await storeFileOnce(file, source, key, pool, parts, signal);
  } catch (error) {
    if (!deservesSecondReading(error, source)) throw error;
    parts.log.warn('read the file again from its start', { file: file.name, error });
    return storeFileOnce(file, source, key, pool, parts, signal);
  }
}

function deservesSecondReading(error: unknown, source: ByteSource): boolean {
  if (!(error instanceof BackupError)) return false;
  if (error.details['reason'] === UPLOAD_GONE) return true;
  if (error.code === 'CHECKSUM_MISMATCH') return error.retryable;
  // With a checksum from the source, a byte altered on the way shows as CHECKSUM_MISMATCH: what reads as corrupt is.
  return (error.code === 'RDB_CORRUPT' || error.code === 'RDB_UNSUPPORTED') && source.crc64 === undefined;
}

async function storeFileOnce(
  file: SourceFile,
  source: ByteSource,
  key: string,
  pool: SlotPool,
  { target, policy, scanner: createScanner, log, onProgress }: UploadParts,
  signal: AbortSignal,
): Promise<ManifestFile> {
  const scanner = createScanner();
  const stored = await transferFile(
    source,
    target,
    key,
    {
      pool,
      policy: policy ?? PATIENT,
      observe: (bytes) => {
        scanner.write(bytes);
        // Without a checksum from the source there is nothing to learn from the rest.
        if (source.crc64 === undefined && scanner.hasFailed()) requireReadable(scanner.end(), source.name);
      },
      accept: () => requireReadable(scanner.end(), source.name),
      onProgress: (doneBytes) => onProgress?.({ file: file.name, doneBytes, bytes: source.bytes }),
      onLeftover: (error) => log.warn('a multipart upload may be left unfinished', { key, error }),
    },
    signal,
  );
  log.info(stored.existed ? 'the object was there and is equal' : 'the file is stored', {
    key,
    bytes: stored.bytes,
    crc64: stored.crc64,
  });
  return toManifestFile(file, key, source, stored, scanner.end());
}

function toManifestFile(
  file: SourceFile,
  key: string,
  source: ByteSource,
  stored: { readonly bytes: number; readonly crc64: string; readonly parts: number },
  { verdict, fingerprint }: RdbReport,
): ManifestFile {
  const { version, databases, keys, expires, types, slots, digest, unchecked } = fingerprint;
  return {
    shard: file.shard,
    name: file.name,
    key,
    bytes: stored.bytes,
    sourceBytes: source.bytes,
    crc64: stored.crc64,
    parts: stored.parts,
    rdb: {
      version,
      verdict,
      databases: { ...databases },
      keys,
      expires,
      types: { ...types },
      slots,
      digest,
      ...(unchecked === undefined ? {} : { unchecked }),
    },
  };
}

/** Which slots hold keys tells something of a cluster's shard only, and would be most of any other manifest. */
function withoutSlotRanges(file: ManifestFile): ManifestFile {
  return { ...file, rdb: { ...file.rdb, slots: { seen: file.rdb.slots.seen } } };
}

/** OSS has agreed with every checksum by now; `parsed` needs a file that carries one of its own, and that it holds. */
function levelOf(files: readonly ManifestFile[]): Level {
  return files.every(({ rdb }) => rdb.verdict === 'sound') ? 'parsed' : 'checksummed';
}

const USUAL_LANES = 4;
const MAX_LANES = 8;
/** What the runtime, the bundle and the buffers of the connections take, measured generously. */
const BASE_MEMORY_MB = 160;
/** Of the rest, the slots take a third; memory that waits for its collection takes up to as much again. */
const SLOT_SHARE = 1 / 3;

/** How many parts of this size may be in flight. Throws when not even one fits: the function would be killed half-way. */
export function lanesFor(partBytes: number, memoryMb: number | undefined): number {
  if (memoryMb === undefined) return USUAL_LANES;
  const partMb = partBytes / 1024 ** 2;
  const spareMb = memoryMb - BASE_MEMORY_MB;
  if (partMb > Math.max(spareMb, memoryMb / 4)) {
    throw new BackupError(
      'CONFIG_INVALID',
      `hold a part of ${partMb} MiB in a function with ${memoryMb} MB of memory`,
      { hint: `give the uploader at least ${Math.ceil((BASE_MEMORY_MB + 3 * partMb) / 64) * 64} MB` },
    );
  }
  return Math.min(MAX_LANES, Math.max(1, Math.floor((spareMb * SLOT_SHARE) / partMb)));
}

/** Writes the manifest, and proves it by reading it back. Another uploader's manifest of the same bytes is as good. */
async function writeManifest(
  store: ObjectStore,
  key: string,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<UploadedBackup> {
  const bytes = encodeManifest(manifest);
  const written = await store.create(key, bytes, 'application/json', signal);
  const found = await store.get(key, signal);
  if (found === undefined)
    throw new BackupError('UPLOAD_FAILED', `read ${key} back: it is not there after it was written`);
  if (found.equals(bytes)) return { key, manifest, existed: false };
  const other = parseManifest(found, key);
  if (written === 'created' || !describesSameBytes(other, manifest)) {
    throw new BackupError('DESTINATION_CONFLICT', `write ${key}: another manifest is there, of other bytes`, {
      hint: 'two uploaders worked on one backup and read different files; run the backup again',
    });
  }
  return { key, manifest: other, existed: true };
}

function describesSameBytes(a: Manifest, b: Manifest): boolean {
  const bytesOf = ({ files }: Manifest): string =>
    files
      .map(({ key, bytes, crc64 }) => `${key} ${bytes} ${crc64}`)
      .sort()
      .join('\n');
  return bytesOf(a) === bytesOf(b);
}

/** Like Promise.all, but stops the others at the first failure, and settles only when all have come to rest. */
async function allOrFirstFailure<T>(work: readonly Promise<T>[], stop: AbortController): Promise<T[]> {
  let failure: { readonly error: unknown } | undefined;
  const settled = await Promise.allSettled(
    work.map(async (item) =>
      item.catch((error: unknown) => {
        failure ??= { error };
        stop.abort(new BackupError('INTERRUPTED', 'stop this file: another one failed'));
        throw error;
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
  return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}
