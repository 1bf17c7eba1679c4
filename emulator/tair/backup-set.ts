/**
 * A backup as the service remembers it: one set, with a file for each shard. Written to disk whenever it changes, so
 * that a second start in the same folder finds it again.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface ShardBackup {
  readonly nodeId: string;
  readonly backupId: number;
  readonly jobId: number;
  /** `hins100000001_data_20261120201501.rdb`; the time is that of UTC+8. */
  readonly fileName: string;
  /** Bucket and path of the download URL. */
  readonly bucket: string;
  readonly path: string;
  status: 'running' | 'success' | 'failed';
  startedAt: number;
  endedAt?: number;
  /** Where the bytes are; known once it has succeeded. */
  file?: string;
  bytes: number;
}

export interface BackupSet {
  readonly instanceId: string;
  /** `cb-…`; only cloud-native clusters show it. */
  readonly clusterBackupId: string;
  readonly mode: 'Manual' | 'Automated';
  readonly startedAt: number;
  /** Days; undefined follows the automatic policy, -1 keeps for ever. */
  readonly retainDays?: number;
  readonly shards: readonly ShardBackup[];
  /** As DescribeBackupTasks names it. */
  progress: 'NoStart' | 'Preparing' | 'Uploading' | 'Finished';
  /** What DescribeBackupTasks makes of the job; ordinarily it stays listed for a day. */
  job: 'listed' | 'gone';
}

export type SetStatus = 'running' | 'success' | 'failed';

export function statusOf(set: BackupSet): SetStatus {
  if (set.shards.some((shard) => shard.status === 'running')) return 'running';
  return set.shards.some((shard) => shard.status === 'failed') ? 'failed' : 'success';
}

export function endOf(set: BackupSet): number | undefined {
  if (statusOf(set) === 'running') return undefined;
  return Math.max(...set.shards.map((shard) => shard.endedAt ?? set.startedAt));
}

const DAY_MS = 24 * 3_600_000;

/** When a backup with a retention of its own is let go; undefined for those that follow the policy, or stay. */
export function expiryOf({ startedAt, retainDays }: BackupSet): number | undefined {
  return retainDays === undefined || retainDays < 0 ? undefined : startedAt + retainDays * DAY_MS;
}

/** Every id only once in this account's life; the first ones are as long as the vendor's. */
const FIRST_BACKUP_ID = 514_645_788;
const FIRST_JOB_ID = 4_679_933;

export interface BackupStore {
  /** Newest first. */
  of(instanceId: string): readonly BackupSet[];
  /** What a download URL's path leads to. */
  at(path: string): ShardBackup | undefined;
  add(set: BackupSet): Promise<void>;
  /** After a change. */
  save(set: BackupSet): Promise<void>;
  /** Forgets a set, as if it had never been. Its files stay. */
  remove(set: BackupSet): Promise<void>;
  newBackupId(): number;
  newJobId(): number;
  /** Where the instance's files go; exists when resolved. */
  folderOf(instanceId: string): Promise<string>;
}

/** Reads what an earlier start left in the folder; what was running then has failed. */
export async function openBackupStore(folder: string): Promise<BackupStore> {
  await mkdir(folder, { recursive: true });
  const sets = await readSets(folder);
  const shards = sets.flatMap((set) => set.shards);
  let lastBackupId = Math.max(FIRST_BACKUP_ID - 1, ...shards.map((shard) => shard.backupId));
  let lastJobId = Math.max(FIRST_JOB_ID - 1, ...shards.map((shard) => shard.jobId));

  async function folderOf(instanceId: string): Promise<string> {
    const own = join(folder, instanceId);
    await mkdir(own, { recursive: true });
    return own;
  }

  /** One change of the disk after the other, in the order in which they were made. */
  let writing: Promise<void> = Promise.resolve();
  async function save(set: BackupSet): Promise<void> {
    const text = sets.includes(set) ? JSON.stringify(set, undefined, 2) : undefined;
    const write = async (): Promise<void> => {
      const path = join(await folderOf(set.instanceId), `${set.clusterBackupId}.json`);
      if (text === undefined) return rm(path, { force: true });
      await writeFile(`${path}.partial`, text);
      await rename(`${path}.partial`, path);
    };
    writing = writing.then(write, write);
    return writing;
  }

  return {
    of: (instanceId) =>
      sets.filter((set) => set.instanceId === instanceId).sort((a, b) => b.startedAt - a.startedAt),
    at: (path) => sets.flatMap((set) => set.shards).find((shard) => shard.path === path),
    add: async (set) => {
      sets.push(set);
      await save(set);
    },
    save,
    remove: async (set) => {
      sets.splice(sets.indexOf(set), 1);
      await save(set);
    },
    newBackupId: () => ++lastBackupId,
    newJobId: () => ++lastJobId,
    folderOf,
  };
}

async function readSets(folder: string): Promise<BackupSet[]> {
  const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith('.json'));
  const texts = await Promise.all(names.map(async (name) => readFile(join(folder, name), 'utf8')));
  return texts.map((text) => asInterrupted(JSON.parse(text) as BackupSet));
}

function asInterrupted(set: BackupSet): BackupSet {
  for (const shard of set.shards) {
    if (shard.status !== 'running') continue;
    shard.status = 'failed';
    shard.endedAt = shard.startedAt;
  }
  return { ...set, progress: 'Finished' };
}
