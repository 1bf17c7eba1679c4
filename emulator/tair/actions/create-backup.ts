import { ServiceError } from '../../http.ts';
import type { Call } from '../../openapi/rpc-service.ts';
import { statusOf } from '../backup-set.ts';
import { malformed, readInteger } from '../parameters.ts';
import { authorize, findInstance, type TairAction } from '../state.ts';

const DAY_MS = 24 * 3_600_000;

/**
 * Not idempotent: it takes no token, and each call that is accepted makes a backup.
 * https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-createbackup-redis
 */
export const createBackup: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  async perform(call) {
    authorize(state, call, 'CreateBackup');
    const instance = findInstance(state, call);
    state.createBackupCalls.set(instance.id, (state.createBackupCalls.get(instance.id) ?? 0) + 1);
    const retainDays = readRetention(call);

    if (instance.isSingleNode)
      throw new ServiceError(
        400,
        'IncorrectDBInstanceType',
        'Current DB instance type does not support this operation.',
      );
    if (instance.status !== 'Normal')
      throw new ServiceError(
        400,
        'IncorrectDBInstanceState',
        'Current DB instance state does not support this operation.',
      );
    const earlier = state.store.of(instance.id);
    if (earlier.some((set) => statusOf(set) === 'running'))
      throw new ServiceError(
        400,
        'BackupJobExists',
        'A backup job already exists in the specified DB instance.',
      );
    const now = state.world.clock.now();
    const ofToday = earlier.filter((set) => set.mode === 'Manual' && now - set.startedAt < DAY_MS);
    if (ofToday.length >= state.options.manualBackupsPerDay)
      throw new ServiceError(
        400,
        'BackupTimesExceeded',
        'Exceeding the daily backup times of this DB instance.',
      );

    const set = await state.backups.create(instance, retainDays);
    // A string here, a number in every other action; one job for all shards, or, on older clusters, one for each.
    const jobIds = [...new Set(set.shards.map((shard) => shard.jobId))].join(',');
    return { BackupJobID: instance.spec.answers?.quotedJobIds === true ? `"${jobIds}"` : jobIds };
  },
});

function readRetention(call: Call): number | undefined {
  const days = readInteger(call, 'BackupRetentionPeriod');
  if (days === undefined || days === -1 || (days >= 7 && days <= 730)) return days;
  throw malformed('BackupRetentionPeriod');
}
