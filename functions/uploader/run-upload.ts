/**
 * One invocation of the uploader: does the work and leaves its outcome in the bucket, for the orchestrator, which
 * does not wait on the line. A success leaves one too, a failure leaves the error; the platform's own error (a crash,
 * a time-out, no memory) leaves none.
 */
import { BackupError, asBackupError, toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import { stepKey } from '../core/repository/keys.ts';
import type { Level } from '../core/repository/manifest.ts';
import type { UploadOutcome, UploadRequest } from '../core/upload-request.ts';
import { uploadBackup, type UploadedBackup, type UploadParts } from './upload-backup.ts';

export interface UploadSummary {
  readonly status: 'stored';
  /** The manifest's key. */
  readonly manifest: string;
  readonly level: Level;
  readonly files: number;
  readonly bytes: number;
}

/**
 * @param requestId of the invocation; two invocations of the same attempt leave two outcomes
 * @throws BackupError after its outcome is written; failing to write it is logged and hides nothing
 */
export async function runUpload(
  request: UploadRequest,
  requestId: string,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<UploadSummary> {
  const leave = async (outcome: Ending): Promise<void> => leaveOutcome(request, requestId, outcome, parts);
  let uploaded: UploadedBackup;
  try {
    uploaded = await uploadBackup(request, parts, signal);
  } catch (thrown) {
    const error = naming(request, asBackupError(thrown));
    await leave({ status: 'failed', error: toErrorRecord(error) });
    throw error;
  }
  const { key, manifest } = uploaded;
  await leave({ status: 'stored', manifest: key });
  return {
    status: 'stored',
    manifest: key,
    level: manifest.level,
    files: manifest.files.length,
    bytes: manifest.files.reduce((sum, { bytes }) => sum + bytes, 0),
  };
}

/** Every error says which instance it is about. */
function naming({ instance }: UploadRequest, error: BackupError): BackupError {
  if (error.message.includes(instance.id)) return error;
  return new BackupError(error.code, `back up ${instance.id}: ${error.message}`, {
    retryable: error.retryable,
    details: { instance: instance.id, ...error.details },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(error.cause === undefined ? {} : { cause: error.cause }),
  });
}

/** After a deadline the run's own signal has gone off; the outcome has a little time of its own. */
const OUTCOME_TIMEOUT_MS = 10_000;

type Ending =
  | { readonly status: 'stored'; readonly manifest: string }
  | { readonly status: 'failed'; readonly error: ErrorRecord };

async function leaveOutcome(
  { destination, runId, instance, attempt }: UploadRequest,
  requestId: string,
  ending: Ending,
  { store, log }: UploadParts,
): Promise<void> {
  const outcome: UploadOutcome = { ...ending, attempt, finishedAt: new Date().toISOString() };
  const step = `outcome-${attempt}-${requestId}`;
  const key = stepKey(destination.prefix, runId, instance.region, instance.id, step);
  try {
    const body = Buffer.from(`${JSON.stringify(outcome)}\n`);
    await store.create(key, body, 'application/json', AbortSignal.timeout(OUTCOME_TIMEOUT_MS));
  } catch (error) {
    log.error('the outcome could not be written', { key, error });
  }
}
