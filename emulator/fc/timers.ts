/**
 * Timer triggers, driven by the emulator's clock.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/time-triggers
 */
import { Cron } from 'croner';
import type { Clock } from '../clock.ts';
import type { TimerSpec } from '../world.ts';

export interface Schedule {
  /** The first instant after `afterMs` (both in milliseconds since 1970); undefined when there is none. */
  next(afterMs: number): number | undefined;
}

/** Understands `[CRON_TZ=Area/City ]sec min hour day month weekday` and `@every 1h30m`. Throws on anything else. */
export function parseSchedule(text: string): Schedule {
  const every = /^@every\s+(\S+)$/.exec(text.trim())?.[1];
  if (every !== undefined) {
    const period = parsePeriod(every, text);
    return { next: (afterMs) => afterMs + period };
  }
  const [, timezone = 'UTC', pattern = ''] = /^(?:CRON_TZ=(\S+)\s+)?(.*)$/.exec(text.trim()) ?? [];
  if (!isTimeZone(timezone)) throw new RangeError(`read the schedule '${text}': no time zone ${timezone}`);
  // Elsewhere `?` stands for the moment of parsing; here it means `any`.
  const cron = new Cron(pattern.replaceAll('?', '*'), { mode: '6-part', timezone, paused: true });
  return { next: (afterMs) => cron.nextRun(new Date(afterMs))?.getTime() };
}

function isTimeZone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).format() !== '';
  } catch {
    return false;
  }
}

const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000 } as const;
const SMALLEST_PERIOD_MS = 1_000;

function parsePeriod(period: string, whole: string): number {
  if (!/^(\d+[hms])+$/.test(period))
    throw new RangeError(`read the schedule '${whole}': ${period} is no period`);
  let sum = 0;
  for (const [, count = '0', unit = 's'] of period.matchAll(/(\d+)([hms])/g))
    sum += Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS];
  if (sum < SMALLEST_PERIOD_MS) throw new RangeError(`read the schedule '${whole}': the period is too short`);
  return sum;
}

/** Calls `fire` at each instant of the schedule, in order, those included that an advance of the clock has skipped over. */
export async function runTimer(
  clock: Clock,
  schedule: Schedule,
  signal: AbortSignal,
  fire: (triggerAtMs: number) => void,
): Promise<void> {
  let last = clock.now();
  for (let next = schedule.next(last); next !== undefined; next = schedule.next(last)) {
    // A sleep may end a little early, and ends after 24 days at the latest.
    while (clock.now() < next) await clock.sleep(next - clock.now(), signal);
    if (signal.aborted) return;
    fire(next);
    last = next;
  }
}

/**
 * The event of a timer: `triggerTime` without milliseconds, and the payload as the string that was configured.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/formats-of-event-for-different-triggers
 */
export function timerEvent(timer: TimerSpec, triggerAtMs: number): Buffer {
  const triggerTime = `${new Date(triggerAtMs).toISOString().slice(0, 19)}Z`;
  return Buffer.from(JSON.stringify({ triggerTime, triggerName: timer.name, payload: timer.payload }));
}
