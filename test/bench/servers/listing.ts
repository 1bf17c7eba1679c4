/**
 * The listing of backups, as the r-kvstore API answers it: one finished backup for each instance, with a row for each
 * of its files. Signatures are not checked.
 */
import type { Answer, Asked, Exchange } from './lean-http.ts';
import type { ServedFile } from './served-file.ts';

/** A backup that is listed: an instance with more than one file is a classic cluster. */
export interface ListedBackup {
  readonly instanceId: string;
  readonly files: readonly string[];
}

export const BACKUP_ID = 514_645_788;
export const BACKUP_JOB = '4679933';
export const STARTED_AT = '2026-11-20T18:00:05Z';
export const ENDED_AT = '2026-11-20T18:03:00Z';

export function createListing(
  backups: readonly ListedBackup[],
  files: ReadonlyMap<string, ServedFile>,
  downloadUrl: string,
): (asked: Asked) => Exchange {
  function answer({ headers, query }: Asked, form: URLSearchParams): Answer {
    const action = headers.get('x-acs-action') ?? query.get('Action') ?? '';
    const instanceId = query.get('InstanceId') ?? form.get('InstanceId');
    const backup = backups.find((candidate) => candidate.instanceId === instanceId);
    if (backup === undefined) return refusal(404, 'InvalidInstanceId.NotFound');
    if (action === 'DescribeClusterBackupList') return refusal(400, 'InvalidClusterInstance.NotFound');
    if (action !== 'DescribeBackups') return refusal(404, 'InvalidAction.NotFound');
    const rows = backup.files.map((name, shard) =>
      rowOf(files.get(name), instanceId ?? '', shard, downloadUrl),
    );
    return json(200, {
      PageNumber: 1,
      PageSize: 300,
      TotalCount: rows.length,
      Backups: { Backup: rows },
    });
  }

  return (asked) => {
    let body = '';
    return {
      take: (piece) => (body += piece.toString()),
      answer: () => answer(asked, new URLSearchParams(body)),
    };
  };
}

function rowOf(file: ServedFile | undefined, instanceId: string, shard: number, downloadUrl: string): object {
  const url = `${downloadUrl}/${instanceId}/${file?.name}?Expires=1795200000&OSSAccessKeyId=bench&Signature=bench`;
  return {
    BackupId: BACKUP_ID + shard,
    BackupJobID: Number(BACKUP_JOB),
    BackupStatus: 'Success',
    BackupType: 'FullBackup',
    BackupMode: 'Manual',
    BackupMethod: 'Physical',
    BackupDBNames: 'all',
    BackupSize: file?.bytes,
    EngineVersion: '7.0',
    NodeInstanceId: `${instanceId}-db-${shard}`,
    BackupStartTime: STARTED_AT,
    BackupEndTime: ENDED_AT,
    BackupDownloadURL: url,
    BackupIntranetDownloadURL: url,
  };
}

const refusal = (status: number, code: string): Answer => json(status, { Code: code, Message: code });

function json(status: number, fields: object): Answer {
  return {
    status,
    headers: { 'content-type': 'application/json;charset=utf-8', 'x-acs-request-id': 'BENCH' },
    body: JSON.stringify({ RequestId: 'BENCH', ...fields }),
  };
}
