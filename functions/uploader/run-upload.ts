/**
 * One invocation of the uploader: does the work and leaves its outcome in the bucket, for the orchestrator, which
 * does not wait on the line. A success leaves one too, a failure leaves the error; the platform's own error (a crash,
 * a time-out, no memory) leaves none, and shows in signs of life that stop.
 */
import { BackupError, asBackupError, toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import { stepKey } from '../core/repository/keys.ts';
import type { Level } from '../core/repository/manifest.ts';
import type { UploadOutcome, UploadProgress, UploadRequest } from '../core/upload-request.ts';
import { startHeartbeat } from './heartbeat.ts';
import { uploadBackup, type Progress, type UploadedBackup, type UploadParts } from './upload-backup.ts';

export type UploadSummary = StoredSummary | ContinuedSummary;

/** The time of the invocation was over before the work was: the next one goes on. */
export interface ContinuedSummary {
  readonly status: 'continued';
  readonly runId: string;
  readonly keptBytes: number;
}

export interface StoredSummary {
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
  const watched = watchProgress(request.attempt, parts);
  const heartbeat = startHeartbeat(async (stopping) =>
    leaveProgress(request, requestId, watched.progress(), parts, stopping),
  );
  let uploaded: UploadedBackup;
  try {
    uploaded = await uploadBackup(request, watched.parts, signal);
  } catch (thrown) {
    const error = naming(request, asBackupError(thrown));
    const { keptBytes } = error.details;
    if (error.code === 'DEADLINE_NEAR' && typeof keptBytes === 'number') {
      await leave({ status: 'continued', keptBytes });
      return { status: 'continued', runId: request.runId, keptBytes };
    }
    await leave({ status: 'failed', error: toErrorRecord(error) });
    throw error;
  } finally {
    await heartbeat.stop();
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

interface Watched {
  /** The same parts; what they report is counted on its way. */
  readonly parts: UploadParts;
  progress(): UploadProgress;
}

function watchProgress(attempt: number, parts: UploadParts): Watched {
  const files = new Map<string, Omit<Progress, 'file'>>();
  const sumOf = (measure: (file: Omit<Progress, 'file'>) => number): number =>
    [...files.values()].reduce((sum, file) => sum + measure(file), 0);
  return {
    parts: {
      ...parts,
      onOpened: (opened) => {
        for (const { file, bytes } of opened) files.set(file, { doneBytes: 0, bytes });
        parts.onOpened?.(opened);
      },
      onProgress: (progress) => {
        files.set(progress.file, progress);
        parts.onProgress?.(progress);
      },
    },
    progress: () => ({
      attempt,
      at: new Date().toISOString(),
      doneBytes: sumOf(({ doneBytes }) => doneBytes),
      bytes: sumOf(({ bytes }) => bytes),
      files: files.size,
      filesDone: sumOf(({ doneBytes, bytes }) => (doneBytes === bytes ? 1 : 0)),
    }),
  };
}

/** A slow bucket must not hold up the next sign of life. */
const PROGRESS_TIMEOUT_MS = 20_000;

/**
 * Numbered by the seconds of the clock: the platform's own second try may carry the same request id, and its signs of
 * life must be new ones. Hurts nothing: what cannot be written is logged.
 */
async function leaveProgress(
  { destination, runId, instance, attempt }: UploadRequest,
  requestId: string,
  progress: UploadProgress,
  { store, log }: UploadParts,
  stopping: AbortSignal,
): Promise<void> {
  const step = `progress-${attempt}-${requestId}-${Math.floor(Date.parse(progress.at) / 1000)}`;
  const key = stepKey(destination.prefix, runId, instance.region, instance.id, step);
  try {
    const body = Buffer.from(`${JSON.stringify(progress)}\n`);
    const inTime = AbortSignal.any([stopping, AbortSignal.timeout(PROGRESS_TIMEOUT_MS)]);
    await store.create(key, body, 'application/json', inTime);
  } catch (error) {
    if (!stopping.aborted) log.warn('a sign of life could not be written', { key, error });
  }
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
  | { readonly status: 'continued'; readonly keptBytes: number }
  | { readonly status: 'failed'; readonly error: ErrorRecord };

async function leaveOutcome(
  { destination, runId, instance, attempt }: UploadRequest,
  requestId: string,
  ending: Ending,
  { store, log }: UploadParts,
): Promise<void> {
  const outcome: UploadOutcome = { ...ending, attempt, finishedAt: new Date().toISOString() };
  const body = Buffer.from(`${JSON.stringify(outcome)}\n`);
  const step = `outcome-${attempt}-${requestId}`;
  const inTime = AbortSignal.timeout(OUTCOME_TIMEOUT_MS);
  const write = async (name: string): Promise<'created' | 'exists'> => {
    const key = stepKey(destination.prefix, runId, instance.region, instance.id, name);
    return store.create(key, body, 'application/json', inTime);
  };
  try {
    // The platform's own second try may carry the same request id; what the first one left stays.
    if ((await write(step)) === 'exists') await write(`${step}-${Date.now()}`);
  } catch (error) {
    log.error('the outcome could not be written', { step, error });
  }
}
