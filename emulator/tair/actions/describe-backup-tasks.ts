import { formatTime, malformed, readInteger } from '../parameters.ts';
import { authorize, findInstance, type TairAction } from '../state.ts';

/** Jobs are listed this long. Not documented. */
const LISTED_MS = 24 * 3_600_000;

/**
 * No pages, a flat list, and no state for a job that has failed.
 * https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describebackuptasks-redis
 */
export const describeBackupTasks: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeBackupTasks');
    const instance = findInstance(state, call);
    const jobId = readInteger(call, 'BackupJobId');
    if (Number.isNaN(jobId)) throw malformed('BackupJobId');
    const mode = call.parameters.get('JobMode') ?? '';
    const now = state.world.clock.now();

    const listed = state.store
      .of(instance.id)
      .filter((set) => set.job === 'listed' && now - set.startedAt < LISTED_MS)
      .filter((set) => mode === '' || set.mode === mode);
    const jobs = listed.flatMap((set) =>
      // A job of a whole cluster is one row; jobs of single shards are one each.
      [...new Map(set.shards.map((shard) => [shard.jobId, shard])).values()].map((shard) => ({ set, shard })),
    );
    return {
      InstanceId: instance.id,
      BackupJobs: jobs
        .filter(({ shard }) => jobId === undefined || shard.jobId === jobId)
        .map(({ set, shard }) => ({
          BackupJobID: shard.jobId,
          BackupProgressStatus: set.progress,
          JobMode: set.mode,
          NodeId: instance.spec.jobPerShard === true ? shard.nodeId : instance.id,
          Process: PERCENT[set.progress],
          Progress: PERCENT[set.progress],
          StartTime: formatTime(set.startedAt),
          TaskAction: set.mode === 'Manual' ? 'TempBackupTask' : 'NormalBackupTask',
        })),
    };
  },
});

const PERCENT = { NoStart: '0', Preparing: '10', Uploading: '60', Finished: '100' } as const;
