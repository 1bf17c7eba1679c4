import { ServiceError } from '../../http.ts';
import { expiryOf, type BackupSet, type ShardBackup } from '../backup-set.ts';
import type { Instance } from '../instance.ts';
import { formatTime, malformed, readInteger, readPage, readWindow, slicePage } from '../parameters.ts';
import { authorize, findInstance, shownShards, type TairAction, type TairState } from '../state.ts';

const PAGE_SIZES = [30, 50, 100, 200, 300];

/**
 * One row for each shard, newest first. Meant for standard and classic instances; cloud-native clusters are answered
 * too, as the service does in fact.
 * https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describebackups-redis
 */
export const describeBackups: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeBackups');
    const instance = findInstance(state, call);
    const window = readWindow(call);
    const page = readPage(call, 30, (size) => PAGE_SIZES.includes(size));
    const backupId = readInteger(call, 'BackupId');
    const jobId = readInteger(call, 'BackupJobId');
    if (Number.isNaN(backupId)) throw malformed('BackupId');
    if (Number.isNaN(jobId)) throw malformed('BackupJobId');

    const clusterRows = instance.isCloudNativeCluster
      ? (instance.spec.answers?.clusterRows ?? 'listed')
      : 'listed';
    if (clusterRows === 'refused')
      throw new ServiceError(
        400,
        'IncorrectDBInstanceType',
        'Current DB instance type does not support this operation.',
      );
    const rows = (clusterRows === 'none' ? [] : state.store.of(instance.id))
      .filter((set) => set.startedAt >= window.from && set.startedAt < window.until)
      .flatMap((set) => shownShards(state, set).map((shard) => ({ set, shard })))
      .filter(({ shard }) => shard.status !== 'running' || state.options.listsRunningBackups)
      .filter(({ shard }) => backupId === undefined || shard.backupId === backupId)
      .filter(({ shard }) => jobId === undefined || shard.jobId === jobId);
    const bytes = rows.reduce((sum, { shard }) => sum + shard.bytes, 0);
    return {
      PageNumber: page.number,
      PageSize: page.size,
      TotalCount: rows.length,
      FullStorageSize: bytes,
      LogStorageSize: 0,
      FreeSize: 1024 ** 3 * instance.nodeIds.length,
      Backups: {
        Backup: slicePage(rows, page).map(({ set, shard }) => describe(state, instance, set, shard)),
      },
    };
  },
});

const STATUS = { running: 'Running', success: 'Success', failed: 'Failed' } as const;

function describe(state: TairState, instance: Instance, set: BackupSet, shard: ShardBackup) {
  const url = state.downloadUrl(set, shard);
  return {
    BackupId: shard.backupId,
    BackupJobID: shard.jobId,
    BackupStatus: STATUS[shard.status],
    BackupType: 'FullBackup',
    BackupMode: set.mode,
    BackupMethod: 'Physical',
    BackupDBNames: 'all',
    BackupSize: shard.bytes,
    EngineVersion: instance.engineVersion,
    NodeInstanceId: shard.nodeId,
    BackupStartTime: formatTime(shard.startedAt),
    BackupEndTime: formatTime(shard.endedAt),
    ExpectExpireTime: formatTime(expiryOf(set)),
    ...(instance.isCloudNative
      ? { RecoverConfigMode: '{"whitelist":true,"config":true,"account":true}' }
      : {}),
    BackupDownloadURL: url,
    BackupIntranetDownloadURL: url,
  };
}
