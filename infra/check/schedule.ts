/** When a timer trigger fires, as Function Compute reads it. */
import { Cron } from 'croner';

/** https://www.alibabacloud.com/help/en/functioncompute/fc/user-guide/time-triggers */
export interface Schedule {
  /** The next instants after `from`, in milliseconds; fewer than asked for when it ends. */
  next(count: number, from: Date): readonly number[];
}

const UNIT_MS = { h: 3_600_000, m: 60_000, s: 1_000 } as const;
/** The service is not known to fire more often. */
const SHORTEST_MS = 60_000;

const NAMES = /\b(SUN|MON|TUE|WED|THU|FRI|SAT|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b/gi;

/** Throws with the reason when it is neither `@every 2h` nor six fields, with or without `CRON_TZ=<zone>` before them. */
export function parseSchedule(text: string): Schedule {
  const every = /^@every (.+)$/.exec(text)?.[1];
  if (every !== undefined) {
    if (!/^(\d+[hms])+$/.test(every)) throw new Error(`"${every}" is no time such as 90m`);
    const periodMs = [...every.matchAll(/(\d+)([hms])/g)].reduce(
      (sum, [, count, unit]) => sum + Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS], // as the pattern has it
      0,
    );
    if (periodMs < SHORTEST_MS) throw new Error('a timer fires once a minute at most');
    return {
      next: (count, from) => Array.from({ length: count }, (_, i) => from.getTime() + (i + 1) * periodMs),
    };
  }
  const [, timezone = 'UTC', fields = ''] = /^(?:CRON_TZ=(\S+) )?(.*)$/.exec(text) ?? [];
  const zones = ['UTC', ...Intl.supportedValuesOf('timeZone')];
  if (!zones.includes(timezone)) throw new Error(`there is no time zone "${timezone}"`);
  const count = fields.trim().split(/\s+/).length;
  if (count !== 6)
    throw new Error(`it has ${count} fields instead of six: second minute hour day month weekday`);
  // Each kind of cron has more than this, in its own way.
  if (!/^[\d\s*?,/-]*$/.test(fields.replaceAll(NAMES, '')))
    throw new Error('only numbers, names such as MON or JAN, and * ? , - / are understood everywhere');
  const [weekday = ''] = /\S+$/.exec(fields.trim()) ?? [];
  if (/(?<!\/)[7-9]/.test(weekday)) throw new Error('days of the week are 0 (SUN) to 6 (SAT)');
  // Elsewhere `?` stands for the moment of reading; here for `any`.
  const cron = new Cron(fields.replaceAll('?', '*'), { mode: '6-part', timezone, paused: true });
  if (cron.nextRun() === null) throw new Error('it never fires');
  return { next: (many, from) => cron.nextRuns(many, from).map((date) => date.getTime()) };
}
