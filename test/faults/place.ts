/** One case at a site: an instance of its own, a run of its own, and what is expected to go wrong. */
import { existsSync } from 'node:fs';
import type { AsyncTask } from '../../emulator/fc/async-tasks.ts';
import type { Emulator } from '../../emulator/start-emulator.ts';
import type { BackupSet } from '../../emulator/tair/backup-set.ts';
import { encodeEvent } from '../../functions/core/invoker.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import type { Wire, Witness } from '../doubles/wire.ts';
import type { SourceFiles } from './kit.ts';
import type { Random } from './random.ts';
import { BUCKET, ORCHESTRATOR, REGION, UPLOADER, type Site } from './site.ts';
import type { SourceFile } from './source-file.ts';

export interface Place {
  readonly random: Random;
  readonly emulator: Emulator;
  readonly oss: Wire;
  readonly download: Wire;
  readonly tair: Wire;
  readonly bucket: Site['bucket'];
  readonly cue: string;
  readonly instance: string;
  readonly runId: string;
  /** Of the backup's objects. */
  readonly folder: string;
  /** All files that there are to choose from. */
  readonly sources: SourceFiles;
  /** One for each shard of the instance. */
  readonly files: readonly SourceFile[];
  /** Notes a trouble: it must have come about by the end of the case. */
  readonly expectTrouble: (...witnesses: readonly Witness[]) => void;
  /** How many of the expected troubles did not come about. */
  readonly untroubled: () => number;
  /** The key under which the file of a shard is going to be stored. */
  readonly keyOf: (shard?: number) => Promise<string>;
  /** An upload of a backup that is there, as the orchestrator orders it. */
  readonly request: (attempt?: number) => Promise<UploadRequest>;
  /** Has the request delivered; resolves when the platform has done with it. */
  readonly invokeUploader: (request: UploadRequest) => Promise<AsyncTask>;
  /** Has a run of the plan started; resolves when the platform has done with everything that came of it. */
  readonly invokeOrchestrator: () => Promise<AsyncTask>;
  /** What the functions have logged in this case. */
  readonly logs: () => string;
  /** Leaves nothing of the case behind but what is in the bucket. */
  readonly leave: () => Promise<void>;
}

const DATE = '2026-11-20';
const PLANTED_AGO_MS = 120_000;

export async function openPlace(
  site: Site,
  sources: SourceFiles,
  files: readonly SourceFile[],
  random: Random,
): Promise<Place> {
  const { emulator, oss, download, tair, bucket, cue, felt, setting } = site;
  const number = site.next();
  const instance = `r-case${number}`;
  const seconds = String(number % 60).padStart(2, '0');
  const minutes = String(Math.floor(number / 60) % 60).padStart(2, '0');
  const runId = `${DATE.replaceAll('-', '')}T18${minutes}${seconds}Z-nightly`;
  const folder = `Backup_${instance}/${DATE}/${runId}/`;
  const before = countInvocations(emulator);
  const witnesses: Witness[] = [];
  const { signal } = new AbortController();
  await emulator.tair.addInstance({
    region: REGION,
    id: instance,
    rdbFiles: files.map(({ path }) => path),
    ...(files.length === 1 ? {} : { architecture: 'cluster' as const }),
  });
  if (setting.time !== undefined)
    witnesses.push({
      get met() {
        return existsSync(felt) ? 1 : 0;
      },
    });
  let planted: Promise<BackupSet> | undefined;

  async function backup(): Promise<BackupSet> {
    return (planted ??= emulator.tair.plantBackup(instance, {
      mode: 'Manual',
      startedAt: emulator.world.clock.now() - PLANTED_AGO_MS,
      files: files.map(({ path }) => path),
    }));
  }

  async function request(attempt = 1): Promise<UploadRequest> {
    const { shards, startedAt, clusterBackupId } = await backup();
    const endedAt = Math.max(...shards.map((shard) => shard.endedAt ?? startedAt));
    const isCluster = shards.length > 1;
    return {
      runId,
      plan: 'nightly',
      date: DATE,
      attempt,
      destination: { region: REGION, bucket: BUCKET, prefix: '' },
      ...(site.roleArn === undefined ? {} : { account: { roleArn: site.roleArn } }),
      instance: {
        region: REGION,
        id: instance,
        name: 'orders',
        engine: 'Redis',
        engineVersion: '7.0',
        architecture: isCluster ? 'cluster' : 'standard',
        shards: shards.length,
      },
      backup: {
        ids: isCluster ? [clusterBackupId] : shards.map(({ backupId }) => String(backupId)),
        jobIds: isCluster ? [] : shards.map(({ jobId }) => String(jobId)),
        mode: 'manual',
        startedAt: new Date(startedAt).toISOString(),
        endedAt: new Date(endedAt).toISOString(),
        adopted: false,
      },
    };
  }

  async function invoke(name: string, event: unknown): Promise<AsyncTask> {
    const id = `task-${site.next()}`;
    await site.functionsFor(name).start(name, encodeEvent(event), id, signal);
    await emulator.fc.whenIdle();
    const task = emulator.fc.tasks(name).find(({ taskId }) => taskId === id);
    if (task === undefined) throw new Error(`invoke ${name}: the platform does not know the task`);
    return task;
  }

  return {
    random,
    emulator,
    oss,
    download,
    tair,
    bucket,
    cue,
    instance,
    runId,
    folder,
    sources,
    files,
    expectTrouble: (...more) => void witnesses.push(...more),
    untroubled: () => witnesses.filter(({ met }) => met === 0).length,
    keyOf: async (shard = 0) => folder + ((await backup()).shards[shard]?.fileName ?? ''),
    request,
    invokeUploader: async (ordered) => invoke(UPLOADER, ordered),
    invokeOrchestrator: async () => invoke(ORCHESTRATOR, { plan: 'nightly', runId }),
    logs: () => {
      const ids = [ORCHESTRATOR, UPLOADER].flatMap((name) =>
        emulator.fc
          .invocations(name)
          .slice(before[name])
          .map(({ requestId }) => requestId),
      );
      return [...new Set(ids)].map((id) => emulator.fc.logs(id)).join('\n');
    },
    leave: async () => {
      for (const wire of [oss, download, tair]) wire.clear();
      emulator.world.faults.clear();
      emulator.tair.options.sendsCrc64 = true;
      await emulator.tair.removeInstance(instance);
      for (const { key } of emulator.oss.list(BUCKET))
        if (key.startsWith(folder) || key.includes(runId) || key.includes('/lock-'))
          await emulator.oss.remove(BUCKET, key);
    },
  };
}

function countInvocations({ fc }: Emulator): Readonly<Record<string, number>> {
  return Object.fromEntries([UPLOADER, ORCHESTRATOR].map((name) => [name, fc.invocations(name).length]));
}
