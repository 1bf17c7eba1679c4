/**
 * Whether the ages at which a bucket moves and deletes backups make sense together, with what the storage classes
 * charge, and with what the plans keep. It is arithmetic and imports nothing.
 *
 * Classes and their least durations: https://www.alibabacloud.com/help/en/oss/user-guide/overview-53
 */

/** Ages in days, counted from when an object was written. What is left out never happens. */
export interface LifecycleDays {
  readonly ia?: number;
  readonly archive?: number;
  readonly coldArchive?: number;
  readonly expire?: number;
  readonly abortUploads?: number;
}

/** How many of a kind a plan keeps: `retention` of plans.yaml. */
export interface Retention {
  readonly last?: number | undefined;
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
}

interface Class {
  readonly name: string;
  /** Who leaves earlier pays for this many days all the same, */
  readonly leastDays: number;
  /** counted from when the object was written, or from when it came into the class. */
  readonly from: 'written' | 'moved';
}

const IA: Class = { name: 'Infrequent Access', leastDays: 30, from: 'written' };
const ARCHIVE: Class = { name: 'Archive', leastDays: 60, from: 'written' };
const COLD_ARCHIVE: Class = { name: 'Cold Archive', leastDays: 180, from: 'moved' };

/** An upload may wait for the next attempt, and that for the next night. */
const LEAST_UPLOAD_DAYS = 2;

/** What a plan keeps. */
export interface Kept {
  readonly name: string;
  readonly retention?: Retention | undefined;
  /** Days between two of its backups; one if left out. */
  readonly everyDays?: number;
}

/** Sentences that say what is wrong and what to do; none when all is well. */
export function lifecycleProblems(days: LifecycleDays, plans: readonly Kept[] = []): readonly string[] {
  return [...wholeDays(days), ...steps(days), ...uploads(days), ...tooEarly(days, plans)];
}

function wholeDays(days: LifecycleDays): readonly string[] {
  return Object.entries(days).flatMap(([name, value]) =>
    value === undefined || (Number.isInteger(value) && value >= 1)
      ? []
      : [`${name}: ${value} is no number of days; take a whole one, from 1`],
  );
}

/** Each step with the one that comes after it, whichever those are. */
function steps({ ia, archive, coldArchive, expire }: LifecycleDays): readonly string[] {
  const moves = [
    { at: ia, to: IA },
    { at: archive, to: ARCHIVE },
    { at: coldArchive, to: COLD_ARCHIVE },
    { at: expire, to: undefined },
  ].flatMap(({ at, to }) => (at === undefined ? [] : [{ at, to }]));
  return moves.flatMap(({ at, to }, index) => {
    const next = moves[index + 1];
    if (to === undefined || next === undefined) return [];
    const what = next.to === undefined ? 'they are deleted' : `they move to ${next.to.name}`;
    if (next.at <= at)
      return [
        `backups move to ${to.name} after ${at} days, but ${what} after ${next.at}: OSS takes only ages that grow`,
      ];
    const paidUntil = to.from === 'written' ? to.leastDays : at + to.leastDays;
    return next.at < paidUntil
      ? [
          `${what} after ${next.at} days, but ${to.name} is paid for until day ${paidUntil} in any case: take at least ${paidUntil}, or leave ${to.name} out`,
        ]
      : [];
  });
}

function uploads({ abortUploads }: LifecycleDays): readonly string[] {
  return abortUploads !== undefined && abortUploads < LEAST_UPLOAD_DAYS
    ? [
        `unfinished uploads are ended after ${abortUploads} day: what a later attempt would go on with is gone; take at least ${LEAST_UPLOAD_DAYS}`,
      ]
    : [];
}

function tooEarly({ expire }: LifecycleDays, plans: readonly Kept[]): readonly string[] {
  if (expire === undefined) return [];
  return plans.flatMap(({ name, retention, everyDays }) => {
    const kept = retention === undefined ? 0 : oldestKeptDays(retention, everyDays);
    return kept >= expire
      ? [
          `the plan ${name} keeps backups for up to ${kept} days, but the bucket deletes them after ${expire}: take more days there, or keep less`,
        ]
      : [];
  });
}

const HOURS_A_DAY = 24;

/**
 * How old the oldest backup may be that such a policy keeps, in days: of each period the newest is kept, which may be
 * a whole period old when the period ends.
 * @param everyDays how often there is a backup, for `last`
 */
export function oldestKeptDays(retention: Retention, everyDays = 1): number {
  const { last = 0, hourly = 0, daily = 0, weekly = 0, monthly = 0, yearly = 0 } = retention;
  return Math.max(
    Math.ceil(last * everyDays),
    Math.ceil(hourly / HOURS_A_DAY),
    daily,
    weekly * 7,
    monthly * 31,
    yearly * 366,
  );
}
