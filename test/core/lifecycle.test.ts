import * as fc from 'fast-check';
import { lifecycleProblems, oldestKeptDays, type LifecycleDays } from '../../functions/core/lifecycle.ts';

describe('the lifecycle of backups', () => {
  it.each<[string, LifecycleDays]>([
    ['what the template declares by itself', { ia: 30, expire: 3650, abortUploads: 7 }],
    ['all classes, one after the other', { ia: 30, archive: 90, coldArchive: 180, expire: 3650 }],
    ['the least durations, to the day', { ia: 1, archive: 30, coldArchive: 60, expire: 240 }],
    ['classes that are left out', { coldArchive: 10, expire: 190 }],
    ['nothing at all', {}],
  ])('is fine with %s', (_what, days) => {
    expect(lifecycleProblems(days)).toEqual([]);
  });

  it.each<[string, LifecycleDays, string]>([
    [
      'leaves Infrequent Access too early',
      { ia: 1, archive: 29 },
      'Infrequent Access is paid for until day 30',
    ],
    ['leaves Archive too early', { archive: 10, coldArchive: 59 }, 'Archive is paid for until day 60'],
    [
      'leaves Cold Archive too early',
      { coldArchive: 60, expire: 239 },
      'Cold Archive is paid for until day 240',
    ],
    [
      'deletes what has just moved',
      { ia: 20, expire: 25 },
      'they are deleted after 25 days, but Infrequent Access',
    ],
    ['goes backwards', { ia: 90, archive: 30 }, 'OSS takes only ages that grow'],
    ['has two steps on one day', { ia: 90, archive: 90 }, 'OSS takes only ages that grow'],
    ['deletes before it moves', { archive: 90, expire: 60 }, 'OSS takes only ages that grow'],
    ['ends uploads that may be gone on with', { abortUploads: 1 }, 'take at least 2'],
    ['has an age that is no age', { ia: 0 }, 'ia: 0 is no number of days'],
    ['has half a day', { expire: 1.5 }, 'expire: 1.5 is no number of days'],
  ])('is refused when it %s', (_what, days, says) => {
    expect(lifecycleProblems(days)).toEqual([expect.stringContaining(says)]);
  });

  it('says everything that is wrong at once', () => {
    expect(
      lifecycleProblems({ ia: 90, archive: 30, coldArchive: 40, expire: 41, abortUploads: 1 }),
    ).toHaveLength(4);
  });

  it.each([
    [{ yearly: 10 }, 3660],
    [{ last: 7, daily: 14, weekly: 8, monthly: 12, yearly: 3 }, 1098],
    [{ hourly: 25 }, 2],
    [{}, 0],
  ])('knows that %j keeps backups for %i days at most', (retention, days) => {
    expect(oldestKeptDays(retention)).toBe(days);
  });

  it('does not delete what a plan keeps', () => {
    const plans = [
      { name: 'nightly', retention: { yearly: 10 } },
      { name: 'other', retention: { daily: 14 } },
      { name: 'all' },
    ];

    expect(lifecycleProblems({ expire: 3650 }, plans)).toEqual([
      expect.stringContaining('the plan nightly keeps backups for up to 3660 days'),
    ]);
    expect(lifecycleProblems({ expire: 3661 }, plans)).toEqual([]);
    expect(lifecycleProblems({}, plans)).toEqual([]);
  });

  it('accepts no ages that cost something for nothing, whatever they are', () => {
    const age = fc.option(fc.integer({ min: 1, max: 500 }), { nil: undefined });
    fc.assert(
      fc.property(age, age, age, age, (ia, archive, coldArchive, expire) => {
        const ages = [ia, archive, coldArchive, expire].flatMap((day) => day ?? []);
        const set: LifecycleDays = {
          ...(ia === undefined ? {} : { ia }),
          ...(archive === undefined ? {} : { archive }),
          ...(coldArchive === undefined ? {} : { coldArchive }),
          ...(expire === undefined ? {} : { expire }),
        };
        if (lifecycleProblems(set).length > 0) return;
        const leaves = (at: number): number => Math.min(...ages.filter((day) => day > at), Infinity);
        expect(ages).toEqual([...new Set(ages)].sort((a, b) => a - b));
        if (ia !== undefined) expect(leaves(ia)).toBeGreaterThanOrEqual(30);
        if (archive !== undefined) expect(leaves(archive)).toBeGreaterThanOrEqual(60);
        if (coldArchive !== undefined) expect(leaves(coldArchive)).toBeGreaterThanOrEqual(coldArchive + 180);
      }),
    );
  });
});
