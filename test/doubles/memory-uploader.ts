/** An uploader behind the invoker's contract: takes its time on a clock, and leaves in the bucket what it is told to. */
import { setMaxListeners } from 'node:events';
import type { Clock } from '../../functions/core/clock.ts';
import { toInstant } from '../../functions/core/clock.ts';
import type { ErrorRecord } from '../../functions/core/errors.ts';
import { uploadTaskId, type Invoker } from '../../functions/core/invoker.ts';
import { fileKey, manifestKey, stepKey } from '../../functions/core/repository/keys.ts';
import { encodeManifest, type Manifest } from '../../functions/core/repository/manifest.ts';
import type { UploadOutcome, UploadProgress, UploadRequest } from '../../functions/core/upload-request.ts';
import { checksumOf, type MemoryStore } from './memory-store.ts';

/** What an invocation comes to. */
export type Ending =
  | 'stored'
  /** Killed by the platform: no outcome; files, but no manifest. */
  | 'dies'
  /** Killed after its manifest was written and before its outcome was. */
  | 'dies after the manifest'
  /** Claims to have stored it, without a manifest. */
  | 'lies'
  /** Its time is over, and so much need not be done again. */
  | { readonly keptBytes: number }
  | ErrorRecord;

export interface MemoryUploader extends Invoker {
  /** Requests that were accepted and really ran, in order. */
  readonly ran: UploadRequest[];
  endingOf: (request: UploadRequest) => Ending;
  /** Changes a manifest before it is written. */
  distort: (manifest: Manifest) => Manifest;
  /** May throw, before the request is accepted. */
  onInvoke: (request: UploadRequest) => void;
  durationMs: number;
  /** Leaves a sign of life when it begins, and every so often while it works. Infinity: only the first; 0: none. */
  beatEveryMs: number;
}

export function createMemoryUploader(store: MemoryStore, clock: Clock): MemoryUploader {
  const endsAt = new Map<string, number>();
  const { signal } = new AbortController();
  // Nothing ever aborts it; all uploads wait with it.
  setMaxListeners(0, signal);

  async function run(request: UploadRequest): Promise<void> {
    uploader.ran.push(request);
    const { runId, attempt, instance, destination } = request;
    const put = (step: string, value: UploadOutcome | UploadProgress): void => {
      const key = stepKey(destination.prefix, runId, instance.region, instance.id, step);
      store.objects.set(key, Buffer.from(JSON.stringify(value)));
    };
    const leave = (outcome: UploadOutcome): void => put(`outcome-${attempt}-request`, outcome);
    const endsAtMs = clock.now() + uploader.durationMs;
    for (let beat = 1; clock.now() < endsAtMs; beat++) {
      const { beatEveryMs } = uploader;
      const at = toInstant(clock.now());
      if (beatEveryMs > 0)
        put(`progress-${attempt}-request-${beat}`, {
          attempt,
          at,
          doneBytes: beat,
          bytes: 100,
          files: 1,
          filesDone: 0,
        });
      await clock.sleep(Math.min(beatEveryMs || Infinity, endsAtMs - clock.now()), signal);
    }
    const ending = uploader.endingOf(request);
    const finishedAt = toInstant(clock.now());
    if (typeof ending === 'object' && 'keptBytes' in ending)
      return leave({ status: 'continued', attempt, finishedAt, ...ending });
    if (typeof ending === 'object') return leave({ status: 'failed', attempt, finishedAt, error: ending });
    const manifest = ending === 'dies' || ending === 'lies' ? '(none)' : putBackup(request);
    if (ending === 'stored' || ending === 'lies') leave({ status: 'stored', attempt, finishedAt, manifest });
  }

  function putBackup(request: UploadRequest): string {
    const place = { ...request.destination, ...request, instanceId: request.instance.id };
    const files = Array.from({ length: request.instance.shards }, (_, shard): Manifest['files'][number] => {
      const name = `hins${shard}_data.rdb`;
      const body = Buffer.from(`REDIS0011 shard ${shard} of ${request.backup.ids.join()}`);
      store.objects.set(fileKey(place, name), body);
      return {
        shard,
        name,
        key: fileKey(place, name),
        bytes: body.length,
        sourceBytes: body.length,
        crc64: checksumOf(body),
        parts: 1,
        rdb: {
          version: 11,
          verdict: 'sound',
          databases: {},
          keys: 0,
          expires: 0,
          types: {},
          slots: { seen: 0, ranges: '' },
          digest: '00000000000000000000000000000000',
        },
      };
    });
    const manifest: Manifest = {
      version: 1,
      runId: request.runId,
      plan: request.plan,
      instance: request.instance,
      backup: request.backup,
      files,
      level: 'parsed',
      durationMs: 1,
      tool: { name: 'tairlift', version: 'test' },
    };
    const key = manifestKey(place);
    if (!store.objects.has(key)) store.objects.set(key, encodeManifest(uploader.distort(manifest)));
    return key;
  }

  const uploader: MemoryUploader = {
    ran: [],
    durationMs: 5_000,
    beatEveryMs: 60_000,
    endingOf: () => 'stored',
    distort: (manifest) => manifest,
    onInvoke: () => undefined,
    invoke: async (request) => {
      uploader.onInvoke(request);
      const taskId = uploadTaskId(request);
      if (endsAt.has(taskId)) return 'accepted-before';
      endsAt.set(taskId, clock.now() + uploader.durationMs);
      void run(request);
      return 'accepted';
    },
    state: async (request) => {
      const end = endsAt.get(uploadTaskId(request));
      return end === undefined ? 'unknown' : clock.now() >= end ? 'ended' : 'alive';
    },
  };
  return uploader;
}
