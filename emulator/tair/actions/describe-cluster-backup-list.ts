import { ServiceError } from '../../http.ts';
import { endOf, expiryOf, statusOf, type BackupSet, type ShardBackup } from '../backup-set.ts';
import type { Json } from '../../openapi/rpc-service.ts';
import type { Instance } from '../instance.ts';
import { formatTime, readPage, readWindow, slicePage } from '../parameters.ts';
import { required } from '../../openapi/rpc-service.ts';
import { authorize, findInstance, shownShards, type TairAction, type TairState } from '../state.ts';

const PAGE_SIZES = [5, 10, 15, 20, 30, 50, 100, 200, 300];

/**
 * The backup sets of cloud-native clusters, newest first. GET only, no total count, no job id, numbers as strings.
 * https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describeclusterbackuplist-redis
 */
export const describeClusterBackupList: TairAction = (state) => ({
  methods: ['GET'],
  perform(call) {
    authorize(state, call, 'DescribeClusterBackupList');
    required(call, 'RegionId');
    const instance = findInstance(state, call);
    const window = readWindow(call);
    const page = readPage(call, 30, (size) => PAGE_SIZES.includes(size));
    const isCluster = instance.isCloudNativeCluster;
    if (!isCluster && state.options.nonClusterBackupList === 'error')
      throw new ServiceError(
        404,
        'InvalidClusterInstance.NotFound',
        'The specified cluster instance does not exist.',
      );

    const wanted = call.parameters.get('ClusterBackupId') ?? '';
    const sets = (isCluster ? state.store.of(instance.id) : [])
      .filter((set) => set.startedAt >= window.from && set.startedAt < window.until)
      .filter((set) => wanted === '' || set.clusterBackupId === wanted);
    const shown = slicePage(sets, page);
    const withShards = call.parameters.get('NoShardBackup') !== 'true';
    return {
      PageNumber: page.number,
      PageSize: page.size,
      MaxResults: shown.length,
      FullStorageSize: sets.reduce((sum, set) => sum + bytesOf(set), 0),
      LogStorageSize: 0,
      FreeSize: 1024 ** 3 * instance.nodeIds.length,
      ClusterBackups: asItAnswers(
        instance,
        shown.map((set) => describeSet(state, instance, set, withShards)),
      ),
    };
  },
});

function asItAnswers(instance: Instance, sets: readonly DescribedSet[]): Json {
  if (instance.spec.answers?.wrappedSets !== true) return sets;
  return {
    ClusterBackup: sets.map((set) => ({
      ...set,
      ClusterBackupSize: Number(set.ClusterBackupSize),
      IsAvail: String(set.IsAvail),
      Backups: { Backup: set.Backups.map((shard) => ({ ...shard, BackupId: Number(shard.BackupId) })) },
    })),
  };
}

type DescribedSet = ReturnType<typeof describeSet>;

const SET_STATUS = { running: 'RUNNING', success: 'OK', failed: 'Failed' } as const;

function describeSet(state: TairState, instance: Instance, set: BackupSet, withShards: boolean) {
  const status = statusOf(set);
  return {
    ClusterBackupId: set.clusterBackupId,
    ClusterBackupStatus: SET_STATUS[status],
    ClusterBackupMode: set.mode,
    ClusterBackupSize: String(bytesOf(set)),
    ClusterBackupStartTime: formatTime(set.startedAt),
    ClusterBackupEndTime: formatTime(endOf(set)),
    ExpectExpireTime: formatTime(expiryOf(set)),
    IsAvail: status === 'success' ? 1 : 0,
    Progress: status === 'running' ? '50%' : '100%',
    ShardClassMemory: 1024,
    Backups: withShards
      ? shownShards(state, set)
          .filter((shard) => shard.status !== 'running')
          .map((shard) => describeShard(state, instance, set, shard))
      : [],
  };
}

function describeShard(state: TairState, instance: Instance, set: BackupSet, shard: ShardBackup) {
  const url = state.downloadUrl(set, shard);
  return {
    BackupId: String(shard.backupId),
    InstanceName: shard.nodeId,
    BackupName: shard.fileName,
    BackupSize: String(shard.bytes),
    BackupStatus: shard.status === 'success' ? 'OK' : 'ERROR',
    IsAvail: shard.status === 'success' ? '1' : '0',
    Engine: 'redis',
    ExtraInfo: { CustinsDbVersion: instance.engineVersion },
    BackupStartTime: formatTime(shard.startedAt),
    // UTC as well, although without its letter.
    BackupEndTime: formatTime(shard.endedAt).replace('Z', ''),
    RecoverConfigMode: null,
    BackupDownloadURL: url,
    BackupIntranetDownloadURL: url,
  };
}

const bytesOf = (set: BackupSet): number => set.shards.reduce((sum, shard) => sum + shard.bytes, 0);
