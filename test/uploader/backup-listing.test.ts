import type { SourceBackup } from '../../functions/core/source/source.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { openBackup, type BackupListing } from '../../functions/uploader/backup-listing.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { QUICK } from '../doubles/policies.ts';
import { backupOf, fileOf, requestOf } from './upload-request.ts';

const { signal } = new AbortController();
const urlOf = (shard: number): string => `https://backups.example/${shard}?Signature=s`;

/** A cluster of two shards whose backup was known by these ids and jobs when it was finished. */
function wanting(ids: string[], jobIds: string[], shards = 2): UploadRequest {
  const request = requestOf(shards);
  return { ...request, backup: { ...request.backup, ids, jobIds } };
}

const part = (id: string, jobIds: readonly string[], ...shards: number[]): SourceBackup =>
  backupOf([], { ids: [id], jobIds, files: shards.map((shard) => fileOf(shard, urlOf(shard))) });
/** As the service numbers them when it lists each shard by itself. */
const alone = (id: string, jobId: string, node: number): SourceBackup =>
  backupOf([], { ids: [id], jobIds: [jobId], files: [{ ...fileOf(node, urlOf(node)), shard: 0 }] });

const open = async (request: UploadRequest, ...listed: SourceBackup[]): Promise<BackupListing> =>
  openBackup(
    request,
    createListedSource(() => listed),
    QUICK,
    signal,
  );
const nodesOf = ({ files }: BackupListing): readonly string[] => files.map(({ node }) => node);

describe('the backup of a cluster', () => {
  it('is found by its jobs when it is listed under the id of its set by now', async () => {
    const listing = await open(
      wanting(['501', '502'], ['7']),
      part('cb-2', ['8'], 0, 1),
      part('cb-1', ['7'], 0, 1),
    );

    expect(nodesOf(listing)).toEqual(['node-0', 'node-1']);
  });

  it.each([
    ['ids', ['501', '502'], ['71', '72']],
    ['jobs', ['cb-1'], ['71', '72']],
  ])('is put together by its %s when each shard is listed by itself', async (_what, ids, jobIds) => {
    const listing = await open(
      wanting(ids, jobIds),
      alone('502', '72', 1),
      alone('501', '71', 0),
      alone('601', '81', 0),
    );

    expect(listing.files.map(({ shard, node }) => [shard, node])).toEqual([
      [0, 'node-0'],
      [1, 'node-1'],
    ]);
  });

  it('is counted in the order of its shards, the tenth after the second', async () => {
    const ids = Array.from({ length: 11 }, (_, shard) => `${500 + shard}`);
    const jobIds = Array.from({ length: 11 }, (_, shard) => `${70 + shard}`);
    const parts = ids.map((id, shard) => alone(id, jobIds[shard] ?? '', shard)).reverse();

    expect(nodesOf(await open(wanting(ids, jobIds, 11), ...parts))).toEqual(
      ids.map((_, shard) => `node-${shard}`),
    );
  });

  it.each<[string, readonly SourceBackup[]]>([
    ['of another job', [part('cb-2', ['8'], 0, 1)]],
    ['with a job more', [part('cb-1', ['71', '72', '81'], 0, 1)]],
    ['with a job less', [alone('501', '71', 0), alone('602', '82', 1)]],
    ['whose jobs nobody tells', [part('cb-1', [], 0, 1)]],
  ])('is never taken from a backup %s', async (_what, listed) => {
    await expect(open(wanting(['x', 'y'], ['71', '72']), ...listed)).rejects.toMatchObject({
      code: 'NO_DOWNLOAD_URL',
    });
  });

  it('is never made of two files of one shard', async () => {
    await expect(
      open(wanting(['x', 'y'], ['71', '72']), alone('501', '71', 0), alone('502', '72', 0)),
    ).rejects.toMatchObject({
      code: 'BACKUP_FAILED',
      message: expect.stringContaining('two files') as string,
    });
  });

  it('is not complete while one of its parts is still running', async () => {
    const running: SourceBackup = { ...alone('502', '72', 1), state: 'running' };

    await expect(
      open(wanting(['501', '502'], ['71', '72']), alone('501', '71', 0), running),
    ).rejects.toMatchObject({ code: 'BACKUP_FAILED' });
  });
});

describe('the backup of a standard instance', () => {
  it('is found by its id alone, because its id never changes', async () => {
    await expect(open(requestOf(), backupOf([urlOf(0)], { ids: ['101'] }))).rejects.toMatchObject({
      code: 'NO_DOWNLOAD_URL',
    });
  });
});
