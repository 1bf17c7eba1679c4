/** The service that makes the backups and gives their URLs: asked by the orchestrator first, and by the uploader. */
import type { ErrorCode } from '../../../functions/core/errors.ts';
import type { Trouble } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import type { Random } from '../random.ts';
import { isCall, isReading } from '../requests.ts';
import {
  answerRaw,
  loseAnswer,
  page,
  refuse,
  reply,
  reset,
  silence,
  withholdAnswer,
  type Mishap,
} from '../troubles.ts';

const ALWAYS = Infinity;
const JSON_TYPE = { 'content-type': 'application/json' };

/** As r-kvstore refuses. */
function refuseCall(status: number, code: string): Trouble {
  const body = { RequestId: 'WIRE', HostId: 'wire', Code: code, Message: 'The request fails as scripted.' };
  return reply(status, JSON.stringify(body), JSON_TYPE);
}

const throttle = refuseCall(400, 'Throttling.User');
const nonsense = (random: Random): Trouble =>
  random.pick([
    page(200),
    page(502),
    reply(200, '{"Backups":"soon"}', JSON_TYPE),
    reply(200, '{"RequestId":"1","Ba', JSON_TYPE),
    answerRaw('\0\0\0'),
  ]);

async function run(place: Place): ReturnType<Place['invokeOrchestrator']> {
  return place.invokeOrchestrator();
}

const MISHAPS: readonly Mishap[] = [
  { name: 'is reset', trouble: () => reset, mostTimes: 3 },
  { name: 'is never answered', trouble: () => silence, mostTimes: 1 },
  { name: 'is done, and its answer is lost', trouble: () => loseAnswer, mostTimes: 1 },
  { name: 'is done, and its answer never comes', trouble: () => withholdAnswer, mostTimes: 1 },
  { name: 'is throttled', trouble: () => throttle, mostTimes: 4 },
  { name: 'meets a service in trouble', trouble: () => refuseCall(503, 'ServiceUnavailable'), mostTimes: 3 },
  { name: 'is answered with nonsense', trouble: nonsense, mostTimes: 2 },
];

/** A whole run, with a small file: what matters is what the orchestrator does. */
const runs: readonly Fault[] = [
  ['the list of instances', 'DescribeInstances'] as const,
  ['the order for a backup', 'CreateBackup'] as const,
  ['the look for the finished backup', 'DescribeBackups'] as const,
].flatMap(([what, action]) =>
  MISHAPS.map((mishap): Fault => ({
    leg: 'source',
    name: `${what} ${mishap.name}`,
    ends: 'survived',
    files: ({ small }) => [small],
    arrange: ({ random, tair, expectTrouble }) => {
      const times = random.between(1, mishap.mostTimes);
      expectTrouble(tair.script({ on: isCall(action), times, trouble: mishap.trouble(random) }));
    },
    act: run,
  })),
);

function listing(name: string, trouble: (random: Random) => Trouble, mostTimes = 1): Fault {
  return {
    leg: 'source',
    name,
    ends: 'survived',
    files: ({ small }) => [small],
    arrange: ({ random, tair, expectTrouble }) => {
      const times = random.between(1, mostTimes);
      expectTrouble(tair.script({ on: isCall('DescribeBackups'), times, trouble: trouble(random) }));
    },
  };
}

const EMPTY_LIST = JSON.stringify({
  RequestId: 'WIRE',
  PageNumber: 1,
  PageSize: 100,
  TotalCount: 0,
  Backups: { Backup: [] },
});

const listings: readonly Fault[] = [
  listing('the list of URLs is never answered', () => silence),
  listing('the list of URLs is throttled', () => throttle, 4),
  listing('the list of URLs is answered with nonsense', nonsense, 2),
  listing('the backup is not listed at first', () => reply(200, EMPTY_LIST, JSON_TYPE), 2),
  {
    leg: 'source',
    name: 'the service throttles when an expired URL is to be renewed',
    ends: 'survived',
    arrange: ({ random, tair, download, expectTrouble }) =>
      expectTrouble(
        download.script({ on: isReading, skip: random.between(0, 2), trouble: refuse(403, 'AccessDenied') }),
        tair.script({
          on: isCall('DescribeBackups'),
          skip: 1,
          times: random.between(1, 4),
          trouble: throttle,
        }),
      ),
  },
  {
    leg: 'source',
    name: 'one shard of three is not listed at first',
    ends: 'survived',
    files: ({ shards }) => shards,
    arrange: ({ random, tair, expectTrouble }) => {
      const shard = random.between(0, 2);
      const on = isCall('DescribeClusterBackupList');
      const trouble: Trouble = async (exchange) => {
        const { body } = await exchange.ask();
        await reply(200, withoutShard(String(body), shard), JSON_TYPE)(exchange);
      };
      expectTrouble(tair.script({ on, times: random.between(1, 3), trouble }));
    },
  },
];

/** The answer of DescribeClusterBackupList without one of the files of each backup. */
function withoutShard(body: string, shard: number): string {
  const answer = JSON.parse(body) as { ClusterBackups?: { Backups?: unknown[] }[] };
  for (const { Backups = [] } of answer.ClusterBackups ?? []) Backups.splice(shard, 1);
  return JSON.stringify(answer);
}

function refused(
  name: string,
  codes: readonly ErrorCode[],
  arrange: (place: Place) => void | Promise<void>,
): Fault {
  const setting = { backupMinutes: 2 };
  return {
    leg: 'source',
    name,
    ends: { loud: codes },
    files: ({ small }) => [small],
    setting,
    arrange,
    act: run,
  };
}

function everyCall(action: string, trouble: Trouble): (place: Place) => void {
  return ({ tair, expectTrouble }) =>
    expectTrouble(tair.script({ on: isCall(action), times: ALWAYS, trouble }));
}

const refusals: readonly Fault[] = [
  refused(
    'no backup may be ordered',
    ['PERMISSION_DENIED'],
    everyCall('CreateBackup', refuseCall(403, 'Forbidden.RAM')),
  ),
  refused(
    'the instance has had its backups of the day',
    ['BACKUP_QUOTA'],
    everyCall('CreateBackup', refuseCall(400, 'BackupTimesExceeded')),
  ),
  refused('the backup fails', ['BACKUP_FAILED'], ({ emulator, instance }) =>
    emulator.tair.failNextBackup(instance),
  ),
  refused('the backup never finishes', ['BACKUP_TIMEOUT'], ({ emulator, instance }) => {
    emulator.tair.holdBackup(instance);
  }),
  refused('the backup has no URLs', ['BACKUP_TIMEOUT'], ({ emulator, instance }) =>
    emulator.tair.emptyUrls(instance),
  ),
  refused('the backup disappears without a trace', ['BACKUP_TIMEOUT'], async ({ emulator, instance }) =>
    emulator.tair.vanishJob(instance),
  ),
  {
    ...refused(
      'the uploader may not read the URLs',
      ['PERMISSION_DENIED'],
      everyCall('DescribeBackups', refuseCall(403, 'Forbidden.RAM')),
    ),
    act: async (place) => place.invokeUploader(await place.request()),
  },
  {
    ...refused(
      'the backup is not listed any more',
      ['NO_DOWNLOAD_URL'],
      everyCall('DescribeBackups', reply(200, EMPTY_LIST, JSON_TYPE)),
    ),
    act: async (place) => place.invokeUploader(await place.request()),
  },
];

export const sourceFaults: readonly Fault[] = [...runs, ...listings, ...refusals];
