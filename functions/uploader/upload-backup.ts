/**
 * One backup of one instance, from its source into the bucket: every file, each read once and checked while it
 * passes, and the manifest last. It ends in a manifest or in an error; called again after a manifest is there, it
 * returns that manifest and changes nothing; called again after an interruption, it goes on where that one stopped.
 *
 * While a file is under way, its multipart upload is left for whoever goes on with it. Once the object is there, all
 * that is unfinished under its key is ended. What remains under keys that nobody tries again is swept later, by age.
 */
import pLimit from 'p-limit';
import { BackupError, asBackupError, type ErrorCode } from '../core/errors.ts';
import type { Log, LogFields } from '../core/log.ts';
import type { RdbScanner, ScannerCheckpoint } from '../core/rdb/scanner.ts';
import type { ClusterProof } from '../core/repository/cluster-proof.ts';
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
import { limitBandwidth, type Bandwidth } from '../core/transfer/bandwidth.ts';
import type { ByteSource } from '../core/transfer/byte-source.ts';
import type { HttpClient } from '../core/transfer/http.ts';
import { openHttpSource } from '../core/transfer/http-source.ts';
import { partSizeFor } from '../core/transfer/part-plan.ts';
import { PATIENT, type RetryPolicy } from '../core/transfer/retry.ts';
import type { SlotPool } from '../core/transfer/slot-pool.ts';
import { sweep } from '../core/transfer/store-object.ts';
import {
  transferFile,
  type TransferCheckpoint,
  type TransferredFile,
} from '../core/transfer/transfer-file.ts';
import { UPLOAD_GONE, type UploadTarget } from '../core/transfer/upload-target.ts';
import type { UploadRequest } from '../core/upload-request.ts';
import { TOOL } from '../core/version.ts';
import type { Workspace } from '../core/wasm/workspace.ts';
import { openBackup, type BackupListing } from './backup-listing.ts';
import { leaseRoom } from './lease-room.ts';
import { observeBy, scanRdb, toManifestFile, type Observing } from './observe-rdb.ts';
import { pullFiles } from './pull-files.ts';
import { createResumePoints, type ResumePoints } from './resume-points.ts';
import { requireOneBackup } from './verdict.ts';

export interface UploadParts {
  readonly source: Source;
  readonly store: ObjectStore;
  readonly target: UploadTarget;
  /** For the downloads. */
  readonly http: HttpClient;
  /**
   * Makes one that is given the file's checksum, and bytes in the workspace; throws when it cannot go on from the
   * checkpoint. The reader of RDB files if left out.
   */
  readonly scanner?: (workspace: Workspace, from?: ScannerCheckpoint) => RdbScanner;
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

/**
 * @throws BackupError that names instance, file and byte; then there is no manifest. `details.keptBytes` of a
 *   DEADLINE_NEAR is how much of the work the next call need not do again.
 */
export async function uploadBackup(
  request: UploadRequest,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<UploadedBackup> {
  const { store, log } = parts;
  const startedAtMs = Date.now();
  const place = placeOf(request);
  const key = manifestKey(place);
  const finished = await findFinished(store, key, log, signal);
  if (finished !== undefined) return finished;
  const points = createResumePoints(request, store, log);
  const { pull } = parts.source;
  let files: readonly ManifestFile[];
  let { backup } = request;
  let superseded: ReadonlySet<string> = new Set();
  try {
    if (pull === undefined) files = await storeListed(request, place, points, parts, signal);
    else ({ files, backup, superseded } = await pullFiles(request, place, pull, points, parts, signal));
  } catch (error) {
    // Another uploader may have pulled it meanwhile: then nothing was lost but time. If nobody can look, the error counts.
    const other =
      pull === undefined || signal.aborted
        ? undefined
        : await findFinished(store, key, log, signal).catch(() => undefined);
    if (other !== undefined) return other;
    if (canGoOn(error)) await points.flush();
    throw withKeptBytes(error, points.keptBytes());
  }
  const isCluster = request.instance.architecture === 'cluster';
  const cluster = isCluster ? requireOneBackup(request, backup, files) : undefined;
  if (cluster !== undefined) log.info('the shards are one backup', sayProof(cluster));
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    runId: request.runId,
    plan: request.plan,
    instance: request.instance,
    backup,
    files: isCluster ? [...files] : files.map(withoutSlotRanges),
    ...(cluster === undefined ? {} : { cluster }),
    level: levelOf(files),
    durationMs: Date.now() - startedAtMs,
    tool: TOOL,
  };
  const written = await writeManifest(store, key, manifest, pull !== undefined, signal);
  for (const old of superseded)
    await sweep(
      parts.target,
      old,
      (error) => log.warn('an old upload could not be ended', { error }),
      signal,
    );
  return written;
}

function sayProof({ slots, slotsSeen, emptyShards }: ClusterProof): LogFields {
  return { slots, slotsSeen, ...(emptyShards.length === 0 ? {} : { emptyShards: emptyShards.join(', ') }) };
}

async function findFinished(
  store: ObjectStore,
  key: string,
  log: Log,
  signal: AbortSignal,
): Promise<UploadedBackup | undefined> {
  const finished = await store.get(key, signal);
  if (finished === undefined) return undefined;
  log.info('the manifest is there already', { key });
  return { key, manifest: parseManifest(finished, key), existed: true };
}

/** Whether another attempt may bring what this one did not. */
function canGoOn(thrown: unknown): boolean {
  const { code, retryable } = asBackupError(thrown);
  return retryable || code === 'DEADLINE_NEAR' || code === 'INTERRUPTED';
}

function withKeptBytes(thrown: unknown, keptBytes: number): unknown {
  if (!(thrown instanceof BackupError) || thrown.code !== 'DEADLINE_NEAR') return thrown;
  return new BackupError(thrown.code, thrown.message, {
    retryable: thrown.retryable,
    details: { ...thrown.details, keptBytes },
    ...(thrown.hint === undefined ? {} : { hint: thrown.hint }),
    cause: thrown,
  });
}

function placeOf({ destination, instance, date, runId }: UploadRequest): BackupPlace {
  return { prefix: destination.prefix, instanceId: instance.id, date, runId };
}

/** A file of more than this fills the lanes and the scanner by itself. */
const SMALL_FILE_BYTES = 32 * 1024 ** 2;
/** Small files under way at once: most of their time goes by in waiting for answers. */
const SMALL_FILES_AT_ONCE = 4;
const OPENED_AT_ONCE = 8;

async function storeListed(
  request: UploadRequest,
  place: BackupPlace,
  points: ResumePoints,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<readonly ManifestFile[]> {
  const listing = await openBackup(request, parts.source, parts.policy ?? PATIENT, signal);
  return storeFiles(request, place, listing, points, parts, signal);
}

/**
 * All files are opened before the first byte of any is sent: a backup with a file missing is not begun. Those that an
 * earlier invocation has stored are done.
 */
async function storeFiles(
  request: UploadRequest,
  place: BackupPlace,
  listing: BackupListing,
  points: ResumePoints,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<ManifestFile[]> {
  const stop = new AbortController();
  const running = AbortSignal.any([signal, stop.signal]);
  const opening = pLimit(OPENED_AT_ONCE);
  const isOneOfMany = listing.files.length > 1;
  const opened = await allOrFirstFailure(
    listing.files.map(async (file) =>
      opening(async (): Promise<Opened> => {
        const found = isOneOfMany ? await points.findStored(file.name, running) : undefined;
        if (found !== undefined) return { file, stored: found.file };
        return { file, source: await openFile(request, file, listing, parts, running) };
      }),
    ),
    stop,
  );
  const bytesOf = (one: Opened): number => ('stored' in one ? one.stored.bytes : one.source.bytes);
  parts.onOpened?.(opened.map((one) => ({ file: one.file.name, bytes: bytesOf(one) })));
  const largest = Math.max(...opened.map((one) => partSizeFor(bytesOf(one))));
  const room = leaseRoom(largest, parts.memoryMb);
  const { workspace, pool, passed } = room;
  const means: Means = {
    pool,
    bandwidth: limitBandwidth(request.bytesPerSecond, running),
    points,
    isOneOfMany,
    workspace,
    passed,
  };
  parts.log.info('the backup is opened', {
    files: opened.length,
    storedBefore: opened.filter((one) => 'stored' in one).length,
    bytes: opened.reduce((sum, one) => sum + bytesOf(one), 0),
    lanes: pool.lanes,
    partBytes: pool.slotBytes,
  });
  const store = async (one: Opened): Promise<ManifestFile> => {
    if ('source' in one)
      return storeFile(one.file, one.source, fileKey(place, one.file.name), means, parts, running);
    parts.onProgress?.({ file: one.file.name, doneBytes: one.stored.bytes, bytes: one.stored.bytes });
    return one.stored;
  };
  const storeAll = async (some: readonly Opened[], atOnce: number): Promise<ManifestFile[]> => {
    const storing = pLimit(atOnce);
    return allOrFirstFailure(
      some.map(async (one) => storing(async () => store(one))),
      stop,
    );
  };
  try {
    const large = await storeAll(
      opened.filter((one) => bytesOf(one) > SMALL_FILE_BYTES),
      1,
    );
    const small = await storeAll(
      opened.filter((one) => bytesOf(one) <= SMALL_FILE_BYTES),
      SMALL_FILES_AT_ONCE,
    );
    return [...large, ...small].sort((a, b) => a.shard - b.shard);
  } finally {
    room.end();
  }
}

type Opened =
  | { readonly file: SourceFile; readonly stored: ManifestFile }
  | { readonly file: SourceFile; readonly source: ByteSource };

/** What all files of a backup share. */
interface Means {
  readonly pool: SlotPool;
  readonly bandwidth: Bandwidth;
  readonly workspace: Workspace;
  readonly points: ResumePoints;
  /** Of a single file the manifest follows at once. */
  readonly isOneOfMany: boolean;
  readonly passed: (bytes: number) => void;
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
 * Stores one file, from where an earlier attempt stopped. What may be the fault of the way and not of the file (an
 * altered byte) is tried a second time from the start before it is believed; when another uploader has ended the
 * upload, its object is compared.
 */
async function storeFile(
  file: SourceFile,
  source: ByteSource,
  key: string,
  means: Means,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<ManifestFile> {
  const { points, isOneOfMany } = means;
  const from = await points.find(file.name, source, signal);
  let newest = from;
  const attempt = async (start: TransferCheckpoint | undefined): Promise<ManifestFile> =>
    storeFileOnce(file, source, key, start, means, parts, signal, (make) => {
      newest = make();
    });
  let stored: ManifestFile;
  try {
    stored = await attempt(from);
  } catch (error) {
    if (!deservesSecondReading(error, source, from !== undefined)) throw error;
    const isGone = error.details['reason'] === UPLOAD_GONE;
    parts.log.warn(isGone ? 'another uploader has ended the upload' : 'read the file again from its start', {
      file: file.name,
      error,
    });
    stored = await attempt(isGone ? newest : undefined);
  }
  await points.forget(file.name);
  if (isOneOfMany) await points.recordStored(file.name, { file: stored }, signal);
  return stored;
}

function deservesSecondReading(
  error: unknown,
  source: ByteSource,
  wasResumed: boolean,
): error is BackupError {
  if (!(error instanceof BackupError)) return false;
  if (error.details['reason'] === UPLOAD_GONE) return true;
  if (error.code === 'CHECKSUM_MISMATCH') return error.retryable;
  if (error.code === 'DESTINATION_CONFLICT') return wasResumed;
  // With a checksum from the source, a byte altered on the way shows as CHECKSUM_MISMATCH: what is unreadable is so at
  // the source, unless it was an earlier attempt that read it. An altered length makes a file look truncated.
  return UNREADABLE.has(error.code) && (wasResumed || source.crc64 === undefined);
}

const UNREADABLE: ReadonlySet<ErrorCode> = new Set(['RDB_CORRUPT', 'RDB_TRUNCATED', 'RDB_UNSUPPORTED']);

async function storeFileOnce(
  file: SourceFile,
  source: ByteSource,
  key: string,
  from: TransferCheckpoint | undefined,
  { pool, bandwidth, workspace, points, passed }: Means,
  { target, policy, scanner = scanRdb, log, onProgress }: UploadParts,
  signal: AbortSignal,
  onStopped: (make: () => TransferCheckpoint | undefined) => void,
): Promise<ManifestFile> {
  let observing: Observing | undefined;
  let doneBytes = 0;
  let make: () => TransferCheckpoint | undefined = () => from;
  let stored: TransferredFile;
  try {
    stored = await transferFile(
      source,
      target,
      key,
      {
        pool,
        policy: policy ?? PATIENT,
        bandwidth,
        checksums: () => workspace.checksums(),
        ...(from === undefined ? {} : { from }),
        observe: (checkpoint) => (observing = observeBy(scanner(workspace, checkpoint), source)),
        onAdvance: (makePoint) => {
          make = makePoint;
          points.offer(file.name, source, makePoint);
        },
        onProgress: (done) => {
          passed(done - doneBytes);
          doneBytes = done;
          onProgress?.({ file: file.name, doneBytes, bytes: source.bytes });
        },
        onLeftover: (error) => log.warn('something of the upload could not be settled', { key, error }),
      },
      signal,
    );
  } catch (error) {
    onStopped(make);
    throw error;
  }
  if (observing === undefined)
    throw new BackupError('INTERNAL', `read ${source.name}: stored, and not looked at`);
  log.info(stored.existed ? 'the object was there and is equal' : 'the file is stored', {
    key,
    bytes: stored.bytes,
    crc64: stored.crc64,
    ...(stored.keptParts === 0 ? {} : { keptParts: stored.keptParts, parts: stored.parts }),
  });
  return toManifestFile(file, key, source.bytes, stored, observing.report());
}

/** Which slots hold keys tells something of a cluster's shard only, and would be most of any other manifest. */
function withoutSlotRanges(file: ManifestFile): ManifestFile {
  return { ...file, rdb: { ...file.rdb, slots: { seen: file.rdb.slots.seen } } };
}

/** OSS has agreed with every checksum by now; `parsed` needs a file that carries one of its own, and that it holds. */
function levelOf(files: readonly ManifestFile[]): Level {
  return files.every(({ rdb }) => rdb.verdict === 'sound') ? 'parsed' : 'checksummed';
}

/**
 * Writes the manifest, and proves it by reading it back. Another uploader's manifest of the same bytes is as good; of a
 * backup that was pulled, also one of other bytes, for each pull is a backup by itself.
 */
async function writeManifest(
  store: ObjectStore,
  key: string,
  manifest: Manifest,
  mayDiffer: boolean,
  signal: AbortSignal,
): Promise<UploadedBackup> {
  const bytes = encodeManifest(manifest);
  const written = await store.create(key, bytes, 'application/json', signal);
  const found = await store.get(key, signal);
  if (found === undefined)
    throw new BackupError('UPLOAD_FAILED', `read ${key} back: it is not there after it was written`);
  if (found.equals(bytes)) return { key, manifest, existed: false };
  const other = parseManifest(found, key);
  if (written === 'created' || !(mayDiffer || describesSameBytes(other, manifest))) {
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
        stop.abort(new BackupError('INTERRUPTED', 'stop this file: another one failed', { cause: error }));
        throw error;
      }),
    ),
  );
  if (failure !== undefined) throw failure.error;
  return settled.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
}
