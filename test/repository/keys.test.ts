import fc from 'fast-check';
import {
  backupFolder,
  dateIn,
  makeRunId,
  manifestKey,
  parseRunId,
  stepKey,
  summaryKey,
} from '../../functions/core/repository/keys.ts';

const place = { prefix: 'team/', instanceId: 'r-1', date: '2026-11-20', runId: '20261120T180000Z-nightly' };

describe('keys', () => {
  it('lie as the public template lays them out, with the prefix as it stands', () => {
    expect(manifestKey(place)).toBe('team/Backup_r-1/2026-11-20/20261120T180000Z-nightly/manifest.json');
    expect(backupFolder({ ...place, prefix: '' })).toBe('Backup_r-1/2026-11-20/20261120T180000Z-nightly/');
    expect(summaryKey('team/', place.runId)).toBe(
      'team/.tairlift/runs/20261120T180000Z-nightly/summary.json',
    );
    expect(stepKey('', 'run', 'cn-hangzhou', 'r-1', 'backup')).toBe(
      '.tairlift/runs/run/instances/cn-hangzhou/r-1/backup.json',
    );
  });
});

describe('a run id', () => {
  it('is the start of the run in UTC and the plan', () => {
    expect(makeRunId(Date.parse('2026-11-20T18:00:00.999Z'), 'nightly')).toBe('20261120T180000Z-nightly');
  });

  it('can be taken apart again, whatever the plan is called', () => {
    const plans = fc.stringMatching(/^[\w.-]{1,64}$/);
    const seconds = fc.integer({ min: 0, max: 4_000_000_000 });
    fc.assert(
      fc.property(seconds, plans, (second, plan) => {
        expect(parseRunId(makeRunId(second * 1000, plan))).toEqual({ startedAtMs: second * 1000, plan });
      }),
    );
  });

  it.each([
    '',
    'nightly',
    '20261120T180000Z',
    '20261120T180000Z-',
    '20261320T180000Z-nightly',
    '20261120T180000Z-a/b',
  ])('is not "%s"', (text) => {
    expect(parseRunId(text)).toBeUndefined();
  });
});

describe('the date of a run', () => {
  it.each([
    ['Asia/Shanghai', '2026-11-20T17:00:00Z', '2026-11-21'],
    ['UTC', '2026-11-20T23:59:59Z', '2026-11-20'],
    ['America/New_York', '2026-03-08T04:30:00Z', '2026-03-07'],
    ['Pacific/Kiritimati', '2026-12-31T10:00:00Z', '2027-01-01'],
  ])('in %s at %s is %s', (zone, at, expected) => {
    expect(dateIn(zone, Date.parse(at))).toBe(expected);
  });
});
