/** Runs uploads in this very process: what the command line does when no function is deployed. */
import pLimit from 'p-limit';
import type { Invoker } from './invoker.ts';
import { uploadTaskId } from './invoker.ts';
import type { Log } from './log.ts';
import type { UploadRequest } from './upload-request.ts';

export interface InProcessOptions {
  /** Does the upload and leaves its outcome in the bucket, as the deployed function would. */
  readonly upload: (request: UploadRequest, signal: AbortSignal) => Promise<void>;
  /** Uploads at a time; the others wait. */
  readonly concurrency: number;
  /** Ends the uploads that are under way when it aborts. */
  readonly signal: AbortSignal;
  readonly log: Log;
}

export interface InProcessInvoker extends Invoker {
  /** Resolves when no upload is under way. */
  settled(): Promise<void>;
}

export function createInProcessInvoker(options: InProcessOptions): InProcessInvoker {
  const limit = pLimit(options.concurrency);
  const uploads = new Map<string, { state: 'alive' | 'ended'; readonly done: Promise<void> }>();

  async function run(request: UploadRequest, taskId: string): Promise<void> {
    try {
      await limit(async () => {
        options.signal.throwIfAborted();
        await options.upload(request, options.signal);
      });
    } catch (error) {
      // The outcome in the bucket is what counts; an upload that could not even leave one is only known here.
      if (!options.signal.aborted)
        options.log.error('an upload ended in an error', { instance: request.instance.id, error });
    } finally {
      const upload = uploads.get(taskId);
      if (upload !== undefined) upload.state = 'ended';
    }
  }

  return {
    async invoke(request, signal) {
      signal.throwIfAborted();
      const taskId = uploadTaskId(request);
      if (uploads.has(taskId)) return 'accepted-before';
      // `run` waits at its first line at least, so the entry is there before it ends.
      uploads.set(taskId, { state: 'alive', done: run(request, taskId) });
      return 'accepted';
    },
    state: async (request) => uploads.get(uploadTaskId(request))?.state ?? 'unknown',
    settled: async () => {
      await Promise.all([...uploads.values()].map(async (upload) => upload.done));
    },
  };
}
