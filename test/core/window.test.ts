import { parseWindow, windowAt, type DayWindow } from '../../functions/core/window.ts';

/** Opening and closing of the window that counts at this moment, UTC. */
function spanAt(window: string, timeZone: string, at: string): readonly [string, string] {
  const { opensAtMs, closesAtMs } = windowAt(parseWindow(window) as DayWindow, timeZone, Date.parse(at));
  const short = (ms: number): string => new Date(ms).toISOString().slice(0, 16);
  return [short(opensAtMs), short(closesAtMs)];
}

it.each([
  ['before it', '2026-11-20T00:30Z', '2026-11-20T01:00', '2026-11-20T05:00'],
  ['at its first moment', '2026-11-20T01:00Z', '2026-11-20T01:00', '2026-11-20T05:00'],
  ['within it', '2026-11-20T04:59Z', '2026-11-20T01:00', '2026-11-20T05:00'],
  ['when it has closed', '2026-11-20T05:00Z', '2026-11-21T01:00', '2026-11-21T05:00'],
])('a window of the day, %s', (_when, at, opens, closes) => {
  expect(spanAt('01:00-05:00', 'UTC', at)).toEqual([opens, closes]);
});

it.each([
  ['in the evening', '2026-11-20T22:30Z', '2026-11-20T22:00', '2026-11-21T03:30'],
  ['after midnight', '2026-11-21T03:29Z', '2026-11-20T22:00', '2026-11-21T03:30'],
  ['by day', '2026-11-21T12:00Z', '2026-11-21T22:00', '2026-11-22T03:30'],
  ['at the end of the year', '2026-12-31T23:00Z', '2026-12-31T22:00', '2027-01-01T03:30'],
])('a window across midnight, %s', (_when, at, opens, closes) => {
  expect(spanAt('22:00-03:30', 'UTC', at)).toEqual([opens, closes]);
});

it("is told by the clocks of the plan's time zone", () => {
  expect(spanAt('01:00-05:00', 'Asia/Shanghai', '2026-11-20T16:00Z')).toEqual([
    '2026-11-20T17:00',
    '2026-11-20T21:00',
  ]);
  expect(spanAt('00:30-01:00', 'Asia/Kathmandu', '2026-11-20T16:00Z')).toEqual([
    '2026-11-20T18:45',
    '2026-11-20T19:15',
  ]);
  expect(spanAt('23:00-01:00', 'Pacific/Apia', '2026-11-20T16:00Z')).toEqual([
    '2026-11-21T10:00',
    '2026-11-21T12:00',
  ]);
});

describe('in the night in which the clocks are set forward', () => {
  // Europe/Berlin, 2027-03-28: 02:00 is followed by 03:00, at 01:00 UTC.
  const at = '2027-03-27T20:00Z';

  it('a window across the change is an hour shorter', () => {
    expect(spanAt('01:00-05:00', 'Europe/Berlin', at)).toEqual(['2027-03-28T00:00', '2027-03-28T03:00']);
  });

  it('a window that opens in the skipped hour opens at the change', () => {
    expect(spanAt('02:30-05:00', 'Europe/Berlin', at)).toEqual(['2027-03-28T01:00', '2027-03-28T03:00']);
  });

  it('a window that closes in the skipped hour closes at the change', () => {
    expect(spanAt('01:00-02:30', 'Europe/Berlin', at)).toEqual(['2027-03-28T00:00', '2027-03-28T01:00']);
  });

  it('a window that is skipped as a whole is open for as long after the change', () => {
    expect(spanAt('02:10-02:50', 'Europe/Berlin', at)).toEqual(['2027-03-28T01:00', '2027-03-28T01:40']);
  });
});

describe('in the night in which the clocks are set back', () => {
  // America/New_York, 2026-11-01: 02:00 is followed by 01:00, at 06:00 UTC.
  const at = '2026-10-31T22:00Z';

  it('a window across the change is an hour longer', () => {
    expect(spanAt('00:30-04:00', 'America/New_York', at)).toEqual(['2026-11-01T04:30', '2026-11-01T09:00']);
  });

  it('a window that opens in the hour that comes twice opens the first time', () => {
    expect(spanAt('01:30-04:00', 'America/New_York', at)).toEqual(['2026-11-01T05:30', '2026-11-01T09:00']);
  });

  it('a window that closes in the hour that comes twice closes the first time', () => {
    expect(spanAt('00:30-01:30', 'America/New_York', at)).toEqual(['2026-11-01T04:30', '2026-11-01T05:30']);
  });

  it('a window that has closed does not open a second time', () => {
    expect(spanAt('01:00-01:30', 'America/New_York', '2026-11-01T06:10Z')).toEqual([
      '2026-11-02T06:00',
      '2026-11-02T06:30',
    ]);
  });
});

it('always counts one that has not closed yet, in every zone and at every hour of a year', () => {
  for (const timeZone of [
    'UTC',
    'Europe/Berlin',
    'America/New_York',
    'Australia/Lord_Howe',
    'America/Santiago',
  ])
    for (let hour = 0; hour < 366 * 24; hour += 7) {
      const atMs = Date.parse('2026-01-01T00:00Z') + hour * 3600_000;
      const { opensAtMs, closesAtMs } = windowAt({ from: 23 * 60, to: 150 }, timeZone, atMs);
      expect(closesAtMs).toBeGreaterThan(atMs);
      expect(closesAtMs).toBeGreaterThan(opensAtMs);
      expect(opensAtMs - atMs).toBeLessThan(25 * 3600_000);
    }
});

it.each(['1:00-5:00', '01:00', '01:00-25:00', '24:00-05:00', '03:00-03:00', '01:00 - 05:00'])(
  'takes no such text for a window: %s',
  (text) => {
    expect(parseWindow(text)).toBeUndefined();
  },
);
