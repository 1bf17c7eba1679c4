/**
 * A span of the day on the clocks of a time zone, such as 01:00 to 05:00; it may cross midnight. Where clocks are changed,
 * it opens and closes the first time that they show its hours, and what they skip counts as the moment of the change.
 */

export interface DayWindow {
  /** Minutes after midnight on the wall clock. */
  readonly from: number;
  readonly to: number;
}

/** From, inclusive, and to, exclusive; milliseconds since 1970. */
export interface WindowSpan {
  readonly opensAtMs: number;
  readonly closesAtMs: number;
}

const DAY_MS = 24 * 3600_000;

/** `01:00-05:00`; undefined when the text is none. */
export function parseWindow(text: string): DayWindow | undefined {
  const match = /^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$/.exec(text);
  if (match === null) return undefined;
  const [fromHour = 0, fromMinute = 0, toHour = 0, toMinute = 0] = match.slice(1).map(Number);
  const window = { from: fromHour * 60 + fromMinute, to: toHour * 60 + toMinute };
  return window.from === window.to ? undefined : window;
}

/** The window that is open at this moment, or else the next one to open. */
export function windowAt({ from, to }: DayWindow, timeZone: string, atMs: number): WindowSpan {
  const wall = wallTimeOf(timeZone, atMs);
  const today = Math.floor(wall / DAY_MS) * DAY_MS;
  for (let day = -1; day <= 2; day++) {
    const midnight = today + day * DAY_MS;
    const opensAtMs = firstShowing(timeZone, midnight + from * 60_000);
    const until = firstShowing(timeZone, midnight + to * 60_000 + (to < from ? DAY_MS : 0));
    // All of it may lie in the hour that is skipped: then it is open for as long after the change.
    const closesAtMs = until > opensAtMs ? until : opensAtMs + (to - from) * 60_000;
    if (atMs < closesAtMs) return { opensAtMs, closesAtMs };
  }
  throw new RangeError(`find the window after ${atMs} in ${timeZone}: there is none within two days`);
}

/** What a wall clock shows, as if it were UTC; whole seconds. */
function wallTimeOf(timeZone: string, atMs: number): number {
  const parts = formatOf(timeZone).formatToParts(atMs);
  const part = (type: Intl.DateTimeFormatPartTypes): number =>
    Number(parts.find((candidate) => candidate.type === type)?.value ?? 0);
  return Date.UTC(part('year'), part('month') - 1, part('day'), part('hour'), part('minute'), part('second'));
}

const formats = new Map<string, Intl.DateTimeFormat>();

function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  formats.set(timeZone, format);
  return format;
}

/** The first moment at which the clocks show this time, or, when they skip it, a later one. */
function firstShowing(timeZone: string, wall: number): number {
  // No offset is larger than this, and no change of clocks happens twice within it.
  let before = wall - DAY_MS;
  let after = wall + DAY_MS;
  const offsets = [...new Set([before, after].map((atMs) => wallTimeOf(timeZone, atMs) - atMs))];
  const showing = offsets
    .map((offset) => wall - offset)
    .filter((atMs) => wallTimeOf(timeZone, atMs) === wall)
    .sort((a, b) => a - b)[0];
  if (showing !== undefined) return showing;
  // Skipped: the moment of the change lies between, and what the clocks show only grows there.
  while (after - before > 1000) {
    const middle = Math.floor((before + after) / 2000) * 1000;
    if (wallTimeOf(timeZone, middle) >= wall) after = middle;
    else before = middle;
  }
  return after;
}
