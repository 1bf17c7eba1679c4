/** An uploader's work order and what a source lists for it, for tests to vary. */
import type { SourceBackup, SourceFile } from '../../functions/core/source/source.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';

export const FOLDER = 'p/Backup_r-bp1/2026-11-20/20261120T180000Z-nightly/';
export const MANIFEST = `${FOLDER}manifest.json`;
export const STEPS = 'p/.tairlift/runs/20261120T180000Z-nightly/instances/cn-hangzhou/r-bp1/';

export function requestOf(shards = 1): UploadRequest {
  return {
    runId: '20261120T180000Z-nightly',
    plan: 'nightly',
    date: '2026-11-20',
    attempt: 1,
    destination: { region: 'cn-hangzhou', bucket: 'my-backups', prefix: 'p/' },
    instance: {
      region: 'cn-hangzhou',
      id: 'r-bp1',
      name: 'orders',
      engine: 'Redis',
      engineVersion: '7.0',
      architecture: shards === 1 ? 'standard' : 'cluster',
      shards,
    },
    backup: {
      ids: ['100'],
      jobIds: ['7'],
      mode: 'manual',
      startedAt: '2026-11-20T18:00:05Z',
      endedAt: '2026-11-20T18:03:00Z',
      adopted: false,
    },
  };
}

/** A finished backup with one file for each URL, in the order of the shards. */
export function backupOf(
  urls: readonly (string | undefined)[],
  change: Partial<SourceBackup> = {},
): SourceBackup {
  return {
    ids: ['100'],
    jobIds: ['7'],
    mode: 'manual',
    state: 'succeeded',
    startedAt: '2026-11-20T18:00:05Z',
    endedAt: '2026-11-20T18:03:00Z',
    files: urls.map((url, shard) => fileOf(shard, url)),
    ...change,
  };
}

export function fileOf(shard: number, url: string | undefined): SourceFile {
  return {
    shard,
    node: `node-${shard}`,
    name: `shard-${shard}.rdb`,
    announcedBytes: 0,
    ...(url === undefined ? {} : { url }),
  };
}
