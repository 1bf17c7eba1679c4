/** How an object of parts comes to be, and how it is proven: the same for files that are read by ranges and for streams. */
import { BackupError, asBackupError } from '../errors.ts';
import type { PartChecksums } from './lanes.ts';
import type { PartBody } from './part-body.ts';
import type { Part } from './part-plan.ts';
import { createPatience, type RetryPolicy } from './retry.ts';
import {
  UPLOAD_GONE,
  type PartReceipt,
  type Receipt,
  type TargetObject,
  type UploadTarget,
} from './upload-target.ts';

/** What an object has to be. */
export interface Whole {
  readonly bytes: number;
  readonly crc64: string;
}

/** Hears of what could not be cleaned up or not be found out. */
export type OnLeftover = (error: BackupError) => void;

/** How often a part is sent again when the destination received other bytes than were sent. */
const MAX_MISMATCHES = 3;
/** For cleaning up after the run's own signal has gone off. */
const ABORT_TIMEOUT_MS = 10_000;

/**
 * Sends one part, and again when other bytes arrived than were sent.
 * @param name of the file, for errors
 */
export async function sendPart(
  target: UploadTarget,
  key: string,
  upload: string,
  name: string,
  { number, start }: Part,
  body: PartBody,
  whole: PartChecksums | Promise<PartChecksums>,
  signal: AbortSignal,
): Promise<PartReceipt> {
  for (let mismatches = 0; ; mismatches++) {
    const receipt = await target.uploadPart(key, upload, number, body, signal);
    const crc64 = (await whole).xz.toString();
    if (receipt.crc64 === undefined || receipt.crc64 === crc64) return { ...receipt, number };
    if (mismatches === MAX_MISMATCHES) {
      throw new BackupError(
        'CHECKSUM_MISMATCH',
        `upload part ${number} of ${name} from byte ${start}: other bytes arrived than were sent`,
        { retryable: true, details: { byte: start, sent: crc64, arrived: receipt.crc64 } },
      );
    }
  }
}

/** Ends an upload of which nobody can make any use. Never throws. */
export async function dropUpload(
  target: UploadTarget,
  key: string,
  upload: string,
  onLeftover: OnLeftover | undefined,
): Promise<void> {
  try {
    await target.abort(key, upload, AbortSignal.timeout(ABORT_TIMEOUT_MS));
  } catch (error) {
    onLeftover?.(asBackupError(error));
  }
}

/**
 * Ends what is unfinished under the key of a finished object: our own upload when another uploader was faster, one
 * whose beginning was answered to nobody, one of a killed attempt. None of them can become an object any more, so
 * ending them harms nobody; an uploader that is still at work on one finds the object. Before the object is there,
 * only the own upload is ever ended. A failure is reported and changes nothing: the file is stored.
 */
export async function sweep(
  target: UploadTarget,
  key: string,
  onLeftover: OnLeftover | undefined,
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
export async function settle(
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
export async function requireStored(
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

export function isGone(error: BackupError): boolean {
  return error.details['reason'] === UPLOAD_GONE;
}
