/** The life of a backup, from CreateBackup's answer to its files; and the ways in which a test bends it. */
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { stat } from 'node:fs/promises';
import { isNativeError } from 'node:util/types';
import type { Clock } from '../clock.ts';
import type { BackupSet, BackupStore, ShardBackup } from './backup-set.ts';
import type { Instance, Snapshot } from './instance.ts';
import type { TairOptions } from './options.ts';

/** How a backup fails. There is no documented failed state of a job; these are the answers one can think of. */
export interface Failure {
  /** The shards that fail; all if left out. */
  readonly shards?: readonly number[];
  /** The job ends as `Finished` all the same (the default), is not listed any more, or never leaves `Uploading`. */
  readonly job?: 'finished' | 'gone' | 'stuck';
}

/** A backup that is there without anybody having asked for it in this world. */
export interface PlantedBackup {
  /** Default `Automated`. */
  readonly mode?: 'Manual' | 'Automated';
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Default: a minute after its start. */
  readonly endedAt?: number;
  /** One RDB file per shard, served from where they are; if left out, the instance's data of now are saved. */
  readonly files?: readonly string[];
  readonly failed?: boolean;
}

export interface Backups {
  /** Starts a manual backup; resolves when it is on record, long before it is finished. */
  create(instance: Instance, retainDays: number | undefined): Promise<BackupSet>;
  plant(instance: Instance, planted: PlantedBackup): Promise<BackupSet>;
  failNext(instanceId: string, failure: Failure): void;
  /** The running backup disappears without a trace; when none runs, the next one does. */
  vanish(instanceId: string): Promise<void>;
  /** Backups stay in `Uploading` until the returned function is called. */
  hold(instanceId: string): () => void;
  /** Ends running backups, which stay on record as running. Safe to call twice. */
  stop(): Promise<void>;
}

interface Running {
  readonly set: BackupSet;
  readonly cancel: AbortController;
  readonly done: Promise<void>;
}

/** @param prepare is awaited for every new file before its backup is finished */
export function createBackups(
  store: BackupStore,
  clock: Clock,
  options: TairOptions,
  prepare: (file: string) => Promise<void>,
): Backups {
  const failures = new Map<string, Failure>();
  const vanishing = new Set<string>();
  const holds = new Map<string, Set<Promise<void>>>();
  const running = new Map<string, Running>();
  const hostNumbers = new Map<string, number>();

  async function create(instance: Instance, retainDays: number | undefined): Promise<BackupSet> {
    const set: BackupSet = {
      ...newSet(instance, 'Manual', clock.now()),
      ...(retainDays === undefined ? {} : { retainDays }),
    };
    // An id of which nothing will ever be heard.
    if (vanishing.delete(instance.id)) return set;
    const failure = failures.get(instance.id);
    failures.delete(instance.id);
    const cancel = new AbortController();
    // On record before the first wait: whoever asks next sees it running.
    const recorded = store.add(set);
    const done = recorded
      .then(async () => live(instance, set, failure, cancel.signal))
      .finally(() => running.delete(instance.id));
    running.set(instance.id, { set, cancel, done });
    done.catch((error: unknown) => {
      if (!cancel.signal.aborted)
        process.stderr.write(`emulator: backup of ${instance.id}: ${String(error)}\n`);
    });
    await recorded;
    return set;
  }

  async function live(
    instance: Instance,
    set: BackupSet,
    failure: Failure | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    await clock.sleep(options.backupDurationMs / 4, signal);
    set.progress = 'Preparing';
    await clock.sleep(options.backupDurationMs / 4, signal);
    const folder = await store.folderOf(instance.id);
    const snapshots = await Promise.all(
      set.shards.map(async (shard, index) =>
        snapshot(instance, index, join(folder, shard.fileName), failure),
      ),
    );
    for (const kept of snapshots) if (kept !== undefined) await prepare(kept.file);
    signal.throwIfAborted();
    // From here on without a pause until the clock is waited for: who sees the state may advance the clock.
    set.progress = 'Uploading';
    await clock.sleep(options.backupDurationMs / 2, signal);
    await released(instance.id, signal);
    for (const [index, shard] of set.shards.entries()) finish(shard, snapshots[index], clock.now());
    if (failure?.job !== 'stuck') set.progress = 'Finished';
    if (failure?.job === 'gone') set.job = 'gone';
    await store.save(set);
  }

  async function released(instanceId: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => undefined);
    await Promise.race([Promise.all(holds.get(instanceId) ?? new Set<Promise<void>>()), aborted]);
  }

  async function plant(instance: Instance, planted: PlantedBackup): Promise<BackupSet> {
    const set = newSet(instance, planted.mode ?? 'Automated', planted.startedAt);
    const { files } = planted;
    if (files !== undefined && files.length !== set.shards.length)
      throw new RangeError(
        `plant a backup of ${instance.id}: ${files.length} files for ${set.shards.length} shards`,
      );
    const folder = await store.folderOf(instance.id);
    for (const [index, shard] of set.shards.entries()) {
      const file = files?.[index];
      const kept =
        planted.failed === true
          ? undefined
          : file === undefined
            ? await instance.snapshot(index, join(folder, shard.fileName))
            : { file, bytes: (await stat(file)).size };
      if (kept !== undefined) await prepare(kept.file);
      finish(shard, kept, planted.endedAt ?? planted.startedAt + 60_000);
    }
    set.progress = 'Finished';
    await store.add(set);
    return set;
  }

  async function vanish(instanceId: string): Promise<void> {
    const current = running.get(instanceId);
    if (current === undefined) return void vanishing.add(instanceId);
    current.cancel.abort(new Error('the backup vanished'));
    await current.done.catch(() => undefined);
    await store.remove(current.set);
  }

  function hold(instanceId: string): () => void {
    const own = holds.get(instanceId) ?? new Set();
    holds.set(instanceId, own);
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    own.add(held);
    return () => {
      own.delete(held);
      release();
    };
  }

  function newSet(instance: Instance, mode: BackupSet['mode'], startedAt: number): BackupSet {
    const jobId = store.newJobId();
    const shards = instance.nodeIds.map((nodeId, index): ShardBackup => {
      const [bucket, path] = placeOf(instance, nodeId, startedAt);
      return {
        nodeId,
        backupId: store.newBackupId(),
        jobId: index === 0 || instance.spec.jobPerShard !== true ? jobId : store.newJobId(),
        fileName: path.slice(path.lastIndexOf('/') + 1),
        bucket,
        path,
        status: 'running',
        startedAt,
        bytes: 0,
      };
    });
    const clusterBackupId = `cb-${randomInt(36 ** 6)
      .toString(36)
      .padStart(6, '0')}${jobId.toString(36)}`;
    return {
      instanceId: instance.id,
      clusterBackupId,
      mode,
      startedAt,
      shards,
      progress: 'NoStart',
      job: 'listed',
    };
  }

  /** Names carry whole seconds; a second backup within one gets the next that is free, as files are never replaced. */
  function placeOf(instance: Instance, nodeId: string, startedAt: number): [bucket: string, path: string] {
    const custins = hostNumber(instance.id);
    const hins = hostNumber(`${nodeId} host`);
    for (let at = startedAt; ; at += 1000) {
      const path = `/custins${custins}/hins${hins}_data_${fileTime(at)}.rdb`;
      if (store.at(path) === undefined) return [`rdsbakbucket-${instance.spec.region}-v2`, path];
    }
  }

  function hostNumber(of: string): number {
    const number = hostNumbers.get(of) ?? FIRST_HOST_NUMBER + hostNumbers.size;
    hostNumbers.set(of, number);
    return number;
  }

  async function stop(): Promise<void> {
    const ending = [...running.values()];
    for (const { cancel } of ending) cancel.abort(new Error('the emulator stops'));
    await Promise.allSettled(ending.map(async ({ done }) => done));
  }

  return { create, plant, failNext: (id, failure) => void failures.set(id, failure), vanish, hold, stop };
}

const FIRST_HOST_NUMBER = 100_322_105;

/** Undefined when the shard's backup fails, as scripted or for real. */
async function snapshot(
  instance: Instance,
  shard: number,
  path: string,
  failure: Failure | undefined,
): Promise<Snapshot | undefined> {
  if (failure !== undefined && (failure.shards?.includes(shard) ?? true)) return undefined;
  try {
    return await instance.snapshot(shard, path);
  } catch (error) {
    const reason = isNativeError(error) ? error.message : 'unknown error';
    process.stderr.write(`emulator: backup of ${instance.id}, shard ${shard}: ${reason}\n`);
    return undefined;
  }
}

function finish(shard: ShardBackup, snapshot: Snapshot | undefined, endedAt: number): void {
  shard.endedAt = endedAt;
  shard.status = snapshot === undefined ? 'failed' : 'success';
  shard.bytes = snapshot?.bytes ?? 0;
  if (snapshot !== undefined) shard.file = snapshot.file;
}

/** `yyyyMMddHHmmss`, in China's time. */
function fileTime(ms: number): string {
  return new Date(ms + 8 * 3_600_000).toISOString().replaceAll(/\D/g, '').slice(0, 14);
}
