/** The uploader as Function Compute runs it: one backup per invocation, from its source into the bucket. */
import { composeCloud } from '../core/compose.ts';
import { readEnvironment } from '../core/config.ts';
import { asBackupError, toFunctionError } from '../core/errors.ts';
import { platformOf, type FunctionContext } from '../core/function-context.ts';
import { createLog, type Log } from '../core/log.ts';
import { parseUploadRequest } from '../core/upload-request.ts';
import { startDeadline } from './deadline.ts';
import { runUpload, type UploadSummary } from './run-upload.ts';
import type { Progress, UploadParts } from './upload-backup.ts';

export async function handler(event: Buffer, context: FunctionContext): Promise<UploadSummary> {
  const deadline = startDeadline(context.function.timeout);
  let log = createLog((line) => void process.stdout.write(`${line}\n`), { requestId: context.requestId });
  try {
    const request = parseUploadRequest(event);
    log = log.with({ runId: request.runId, instance: request.instance.id, attempt: request.attempt });
    const cloud = composeCloud(readEnvironment(process.env), platformOf(context));
    const store = cloud.storeFor(request.destination);
    const parts: UploadParts = {
      source: cloud.sourceFor(request),
      store,
      target: store,
      http: cloud.http,
      memoryMb: context.function.memory,
      log,
      onProgress: logProgress(log),
    };
    const summary = await runUpload(request, context.requestId, parts, deadline.signal);
    log.info(
      summary.status === 'stored' ? 'the backup is stored' : 'the time is over: the next invocation goes on',
      { ...summary },
    );
    return summary;
  } catch (thrown) {
    const error = asBackupError(thrown);
    log.error('the backup is not stored', { error });
    throw toFunctionError(error);
  } finally {
    deadline.clear();
  }
}

const PROGRESS_STEPS = 10;

/** A line at each tenth of a file: enough to see that it moves, also for a file of hours. */
function logProgress(log: Log): (progress: Progress) => void {
  const steps = new Map<string, number>();
  return ({ file, doneBytes, bytes }) => {
    const step = Math.floor((doneBytes / bytes) * PROGRESS_STEPS);
    if (step <= (steps.get(file) ?? 0)) return;
    steps.set(file, step);
    log.info('progress', { file, doneBytes, bytes });
  };
}
