import { parseSchedule } from '../../../emulator/fc/timers.ts';
import { startFc, until, type FcWorld } from './fc-world.ts';

const HOUR_MS = 3_600_000;

describe('a schedule', () => {
  it.each([
    ['0 0 4 * * *', '2026-11-20T03:59:59Z', '2026-11-20T04:00:00Z'],
    ['0 0 4 * * *', '2026-11-20T04:00:00Z', '2026-11-21T04:00:00Z'],
    ['30 */15 * * * *', '2026-11-20T03:50:00Z', '2026-11-20T04:00:30Z'],
    ['0 30 1 ? * MON-FRI', '2026-11-20T02:00:00Z', '2026-11-23T01:30:00Z'],
    ['CRON_TZ=Asia/Shanghai 0 0 4 * * *', '2026-11-20T00:00:00Z', '2026-11-20T20:00:00Z'],
    ['CRON_TZ=Europe/Berlin 0 0 4 * * *', '2026-07-01T00:00:00Z', '2026-07-01T02:00:00Z'],
    ['@every 5m', '2026-11-20T03:59:59Z', '2026-11-20T04:04:59Z'],
    ['@every 1h30m', '2026-11-20T00:00:00Z', '2026-11-20T01:30:00Z'],
  ])('%s after %s is due at %s', (text, after, expected) => {
    const next = parseSchedule(text).next(Date.parse(after));
    expect(new Date(next ?? 0).toISOString()).toBe(expected.replace('Z', '.000Z'));
  });

  it.each([
    '',
    '0 4 * * *',
    '61 0 4 * * *',
    '@every',
    '@every 5 minutes',
    '@every 0s',
    'CRON_TZ=Mars/Base 0 0 4 * * *',
  ])('cannot be read from "%s"', (text) => {
    expect(() => parseSchedule(text)).toThrow(/./);
  });

  it('that can never be due has no next instant', () => {
    expect(parseSchedule('0 0 0 31 2 *').next(0)).toBeUndefined();
  });
});

describe('a timer', () => {
  let fc: FcWorld;
  beforeEach(async () => {
    fc = await startFc();
    fc.deploy('raw', 'echo', {
      handler: 'index.raw',
      timers: [{ name: 'nightly', cron: '0 0 4 * * *', payload: '{"plan":"nightly"}' }],
    });
  });
  afterEach(async () => fc.stop());

  interface TimerEvent {
    readonly triggerTime: string;
    readonly triggerName: string;
    readonly payload: string;
  }
  const events = (): readonly TimerEvent[] =>
    fc.fc.tasks('raw').map((task) => JSON.parse(task.event.toString('utf8')) as TimerEvent);

  it('fires at each of its instants that the clock passes, with the instant as its time', async () => {
    fc.world.clock.advance(72 * HOUR_MS);
    await until(() => events().length === 3);
    await fc.fc.whenIdle();
    expect(fc.fc.tasks('raw').map(({ status }) => status)).toEqual(['Succeeded', 'Succeeded', 'Succeeded']);
    const times = events().map(({ triggerTime }) => triggerTime);
    expect(times[0]).toMatch(/^\d{4}-\d\d-\d\dT04:00:00Z$/);
    expect(Date.parse(times[1] ?? '') - Date.parse(times[0] ?? '')).toBe(24 * HOUR_MS);
    expect(Date.parse(times[2] ?? '') - Date.parse(times[1] ?? '')).toBe(24 * HOUR_MS);
  });

  it('hands its payload over as the string that was configured', async () => {
    const requestId = await fc.fc.fireTimer('raw', 'nightly', '2026-11-20T04:00:00Z');
    await fc.fc.whenIdle();
    expect(events()).toEqual([
      { triggerTime: '2026-11-20T04:00:00Z', triggerName: 'nightly', payload: '{"plan":"nightly"}' },
    ]);
    expect(fc.fc.tasks('raw')).toMatchObject([{ requestId, status: 'Succeeded' }]);
  });

  it('keeps its time when the event is tried again', async () => {
    fc.deploy('raw', 'broken', {
      timers: [{ name: 'nightly', cron: '@every 24h', payload: 'x' }],
      handler: 'index.none',
    });
    await fc.fc.fireTimer('raw', 'nightly');
    await fc.fc.whenIdle();
    expect(fc.fc.invocations('raw')).toHaveLength(4);
    expect(events()).toHaveLength(1);
  });

  it('is replaced when the function is deployed anew', async () => {
    fc.deploy('raw', 'echo', { handler: 'index.raw' });
    fc.world.clock.advance(48 * HOUR_MS);
    await fc.fc.whenIdle();
    expect(events()).toEqual([]);
    await expect(fc.fc.fireTimer('raw', 'nightly')).rejects.toThrow('function raw has no timer nightly');
    await expect(fc.fc.fireTimer('none', 'nightly')).rejects.toThrow('no function none is deployed');
  });
});
