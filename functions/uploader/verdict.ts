/** What the verdict on a file, and what a cluster's files say together, means for the backup. */
import { BackupError, type ErrorCode } from '../core/errors.ts';
import type { RdbReport, Verdict } from '../core/rdb/report.ts';
import { proveCluster, type ClusterProof, type ShardContents } from '../core/repository/cluster-proof.ts';
import type { UploadRequest } from '../core/upload-request.ts';

const CODES: Readonly<Partial<Record<Verdict, ErrorCode>>> = {
  truncated: 'RDB_TRUNCATED',
  corrupt: 'RDB_CORRUPT',
  unsupported: 'RDB_UNSUPPORTED',
};

/**
 * Throws unless the file reads to its end: by name, with the offset and with what was wrong there.
 * @param name the file and its instance
 */
export function requireReadable({ verdict, problem, bytes }: RdbReport, name: string): void {
  const code = CODES[verdict];
  if (code === undefined) return;
  const offset = problem?.offset ?? bytes;
  const what = problem === undefined ? '' : `: ${problem.doing}: ${problem.reason}`;
  throw new BackupError(code, `read ${name}: ${verdict} at byte ${offset}${what}`, {
    details: { byte: offset, verdict, ...(problem?.key === undefined ? {} : { key: problem.key }) },
    hint:
      code === 'RDB_UNSUPPORTED'
        ? 'this version or type cannot be verified yet; the file was not stored'
        : 'the file is damaged at the source; nothing of it was stored, make a new backup',
  });
}

/**
 * What the files of a cluster prove together. Throws SHARDS_DISAGREE, with everything that speaks against it, unless
 * they can be one backup of it.
 */
export function requireOneBackup(
  { instance }: UploadRequest,
  backup: UploadRequest['backup'],
  files: readonly ShardContents[],
): ClusterProof {
  const { problems, proof } = proveCluster(files, backup);
  if (problems.length === 0) return proof;
  throw new BackupError(
    'SHARDS_DISAGREE',
    `put the shards of ${instance.id} together: ${problems.join('; ')}`,
    {
      details: { instance: instance.id, backup: backup.ids.join(','), problems: problems.length },
      hint: 'nothing of it counts as a backup; when the cluster is at rest, try again with retryFailed, which makes a new one',
    },
  );
}
