/**
 * One file from its source to its object. Everything that has to hold is checked before the object is made, and
 * what the destination holds is compared once more afterwards:
 *
 * - every byte arrived, and the source's own checksum (when it tells one) is ours;
 * - each part's checksum as the destination computed it is ours;
 * - the observer accepts the content;
 * - the finished object's length and checksum are ours.
 *
 * An object that is there already (an earlier attempt ended after making it) is not replaced: the source is read
 * again, observed again, and compared with it.
 */
import { crc64Xz } from '../crc64.ts';
import { BackupError, asBackupError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import { runLanes } from './lanes.ts';
import { planParts, type Part } from './part-plan.ts';
import { createPatience, type RetryPolicy } from './retry.ts';
import type { SlotPool } from './slot-pool.ts';
import {
  UPLOAD_GONE,
  type PartReceipt,
  type Receipt,
  type TargetObject,
  type UploadTarget,
} from './upload-target.ts';

export interface TransferOptions {
  /** Its slots must hold `partSizeFor(source.bytes)` bytes. */
  readonly pool: SlotPool;
  readonly policy: RetryPolicy;
  /** Sees all bytes in order, once. Throwing stops the transfer. */
  readonly observe: (bytes: Buffer) => void;
  /** Called after the last byte and before the object is made; throwing refuses it. */
  readonly accept: () => void;
  /** Called after each finished part. */
  readonly onProgress?: (doneBytes: number) => void;
  /** What could not be cleaned up; the failure itself is thrown. */
  readonly onLeftover?: (error: BackupError) => void;
}

export interface TransferredFile {
  readonly bytes: number;
  /** CRC-64/XZ, decimal. */
  readonly crc64: string;
  readonly parts: number;
  /** True when the object was there before, and was compared instead of written. */
  readonly existed: boolean;
}

/** @throws BackupError; then the object does not exist, unless its last check is what failed (CHECKSUM_MISMATCH) */
export async function transferFile(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  options: TransferOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const parts = planParts(source.bytes);
  if ((parts[0]?.bytes ?? 0) > options.pool.slotBytes)
    throw new BackupError('INTERNAL', `transfer ${source.name}: a part does not fit into a slot`);
  const isThere = (await target.head(key, signal)) !== undefined;
  if (parts.length === 1 && !isThere) return putWhole(source, target, key, options, signal);
  const sink = isThere
    ? compareOnly(target, key, signal)
    : await openUpload(source, target, key, parts, options, signal);
  try {
    let doneBytes = 0;
    const crc64 = await runLanes(
      {
        source,
        parts,
        pool: options.pool,
        sink: async (part, bytes, crc) => sink.take(part, bytes, crc.toString()),
        observe: options.observe,
        done: (bytes) => options.onProgress?.((doneBytes += bytes)),
      },
      signal,
    );
    requireSourceChecksum(source, crc64.toString());
    options.accept();
    const whole = { bytes: source.bytes, crc64: crc64.toString() };
    const existed = await sink.finish(whole);
    return { ...whole, parts: parts.length, existed };
  } catch (error) {
    await sink.abandon();
    throw error;
  }
}

/** A file of one part stays in its slot until it has been accepted; then one put stores it. */
async function putWhole(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  { pool, policy, observe, accept, onProgress }: TransferOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const slot = await pool.take(signal);
  try {
    const body = slot.bytes.subarray(0, source.bytes);
    await source.read(0, body, signal);
    const crc = crc64Xz();
    crc.update(body);
    const whole = { bytes: source.bytes, crc64: crc.value().toString() };
    observe(body);
    requireSourceChecksum(source, whole.crc64);
    accept();
    const existed = await settle(target, key, whole, policy, signal, async () =>
      target.put(key, body, signal),
    );
    onProgress?.(source.bytes);
    return { ...whole, parts: 1, existed };
  } finally {
    slot.release();
  }
}

interface Whole {
  readonly bytes: number;
  readonly crc64: string;
}

/** Where the parts go: into an upload, or nowhere when the object is there already. */
interface Sink {
  take(part: Part, bytes: Buffer, crc64: string): Promise<void>;
  /** Makes the object and proves that it is the whole. True when another attempt made it. */
  finish(whole: Whole): Promise<boolean>;
  /** After a failure: leaves nothing unfinished behind. Never throws. */
  abandon(): Promise<void>;
}

async function openUpload(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  parts: readonly Part[],
  options: TransferOptions,
  signal: AbortSignal,
): Promise<Sink> {
  try {
    const upload = await target.begin(key, signal);
    return partByPart(source, target, key, upload, parts, options, signal);
  } catch (error) {
    if (!isConflict(error)) throw error;
    return compareOnly(target, key, signal);
  }
}

/** The object is there: nothing is sent, only compared. */
function compareOnly(target: UploadTarget, key: string, signal: AbortSignal): Sink {
  return {
    take: async () => undefined,
    finish: async (whole) => {
      await requireStored(target, key, whole, 'DESTINATION_CONFLICT', undefined, signal);
      return true;
    },
    abandon: async () => undefined,
  };
}

/** How often a part is sent again when the destination received other bytes than were sent. */
const MAX_MISMATCHES = 3;
/** For cleaning up after the run's own signal has gone off. */
const ABORT_TIMEOUT_MS = 10_000;

function partByPart(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  upload: string,
  parts: readonly Part[],
  { policy, onLeftover }: TransferOptions,
  signal: AbortSignal,
): Sink {
  const receipts = new Map<number, PartReceipt>();

  async function take(part: Part, bytes: Buffer, crc64: string): Promise<void> {
    for (let mismatches = 0; ; mismatches++) {
      const receipt = await target.uploadPart(key, upload, part.number, bytes, signal);
      if (receipt.crc64 === undefined || receipt.crc64 === crc64)
        return void receipts.set(part.number, { ...receipt, number: part.number });
      if (mismatches === MAX_MISMATCHES) {
        throw new BackupError(
          'CHECKSUM_MISMATCH',
          `upload part ${part.number} of ${source.name} from byte ${part.start}: other bytes arrived than were sent`,
          { retryable: true, details: { byte: part.start, sent: crc64, arrived: receipt.crc64 } },
        );
      }
    }
  }

  async function finish(whole: Whole): Promise<boolean> {
    const complete = parts.flatMap(({ number }) => receipts.get(number) ?? []);
    if (complete.length !== parts.length)
      throw new BackupError(
        'INTERNAL',
        `complete ${key}: ${complete.length} of ${parts.length} parts arrived`,
      );
    const existed = await settle(target, key, whole, policy, signal, async () =>
      target.complete(key, upload, complete, signal),
    );
    await sweep(target, key, onLeftover, signal);
    return existed;
  }

  async function abandon(): Promise<void> {
    try {
      await target.abort(key, upload, AbortSignal.timeout(ABORT_TIMEOUT_MS));
    } catch (error) {
      onLeftover?.(asBackupError(error));
    }
  }

  return { take, finish, abandon };
}

/**
 * Ends what is unfinished under the key of a finished object: our own upload when another uploader was faster, one
 * whose beginning was answered to nobody, one of a killed attempt. None of them can become an object any more, so
 * ending them harms nobody; an uploader that is still at work on one finds the object. Before the object is there,
 * only the own upload is ever ended. A failure is reported and changes nothing: the file is stored.
 */
async function sweep(
  target: UploadTarget,
  key: string,
  onLeftover: TransferOptions['onLeftover'],
  signal: AbortSignal,
): Promise<void> {
  try {
    for (const upload of await target.unfinished(key, signal)) await target.abort(key, upload, signal);
  } catch (error) {
    onLeftover?.(asBackupError(error));
  }
}

/**
 * Makes the object by `make`, and settles what happened by asking when the answer is lost or says that an object is
 * there: an equal one is the one we wanted. Returns true when it was there before we asked for the first time.
 */
async function settle(
  target: UploadTarget,
  key: string,
  whole: Whole,
  policy: RetryPolicy,
  signal: AbortSignal,
  make: () => Promise<Receipt>,
): Promise<boolean> {
  const patience = createPatience(policy, signal);
  for (let attempt = 1; ; attempt++) {
    try {
      const receipt = await make();
      await requireStored(target, key, whole, 'CHECKSUM_MISMATCH', receipt.crc64, signal);
      return false;
    } catch (thrown) {
      const error = asBackupError(thrown);
      const { code } = error;
      if (code === 'CHECKSUM_MISMATCH') throw error;
      const stored = await target.head(key, signal).catch(() => {
        // That nobody can look is no news; why it was not stored is.
        throw error;
      });
      if (stored !== undefined) {
        requireEqual(key, stored, whole, 'DESTINATION_CONFLICT');
        return attempt === 1 && code === 'DESTINATION_CONFLICT';
      }
      await patience.outlast(attempt > 1 && isGone(error) ? stillCompleting(key, error) : error);
    }
  }
}

/** OSS goes on completing after the client has left: until the object shows, its upload is gone and it is not there. */
function stillCompleting(key: string, cause: BackupError): BackupError {
  return new BackupError(
    'UPLOAD_FAILED',
    `complete ${key}: the answer was lost, and the object does not appear`,
    {
      retryable: true,
      cause,
    },
  );
}

/** Proves that the object is the whole, by its length and by a checksum that the destination computed. */
async function requireStored(
  target: UploadTarget,
  key: string,
  whole: Whole,
  code: MismatchCode,
  answeredCrc64: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  if (answeredCrc64 !== undefined && answeredCrc64 !== whole.crc64) throw mismatch(key, code);
  const stored = await target.head(key, signal);
  if (stored === undefined)
    throw new BackupError('UPLOAD_FAILED', `look at ${key}: it is not there after it was stored`);
  const crc64 = stored.crc64 ?? answeredCrc64;
  requireEqual(key, { bytes: stored.bytes, ...(crc64 === undefined ? {} : { crc64 }) }, whole, code);
}

type MismatchCode = 'CHECKSUM_MISMATCH' | 'DESTINATION_CONFLICT';

/** A comparison that saw no checksum at all is a failure, never a pass. */
function requireEqual(key: string, stored: TargetObject, whole: Whole, code: MismatchCode): void {
  if (stored.crc64 === undefined) {
    throw new BackupError(
      'CHECKSUM_MISMATCH',
      `compare ${key} with its source: the destination tells no checksum`,
      {
        details: { bytes: stored.bytes },
      },
    );
  }
  if (stored.bytes !== whole.bytes || stored.crc64 !== whole.crc64) throw mismatch(key, code);
}

function mismatch(key: string, code: MismatchCode): BackupError {
  return new BackupError(
    code,
    code === 'CHECKSUM_MISMATCH'
      ? `store ${key}: the object is not what was sent`
      : `store ${key}: another object is there already`,
    { hint: 'backup objects are never replaced; a new run writes under new keys' },
  );
}

function requireSourceChecksum(source: ByteSource, crc64: string): void {
  if (source.crc64 === undefined || source.crc64 === crc64) return;
  throw new BackupError(
    'CHECKSUM_MISMATCH',
    `download ${source.name}: other bytes arrived than the source holds`,
    {
      retryable: true,
      details: { source: source.crc64, arrived: crc64, byte: source.bytes },
    },
  );
}

function isGone(error: BackupError): boolean {
  return error.details['reason'] === UPLOAD_GONE;
}

function isConflict(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'DESTINATION_CONFLICT';
}
