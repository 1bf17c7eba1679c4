import { formatTime } from '../parameters.ts';
import { authorize, findInstance, type TairAction } from '../state.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describebackuppolicy-redis */
export const describeBackupPolicy: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeBackupPolicy');
    const { spec } = findInstance(state, call);
    const today = Math.floor(state.world.clock.now() / DAY_MS) * DAY_MS;
    const next = [today, today + DAY_MS]
      .map((day) => day + 17 * HOUR_MS)
      .find((at) => at > state.world.clock.now());
    return {
      BackupRetentionPeriod: '7',
      PreferredBackupPeriod: 'Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday',
      PreferredBackupTime: '17:00Z-18:00Z',
      PreferredNextBackupTime: formatTime(next).replace(/:\d\dZ$/, 'Z'),
      EnableBackupLog: spec.flashback === true ? 1 : 0,
    };
  },
});
