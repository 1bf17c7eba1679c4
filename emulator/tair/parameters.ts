/** How r-kvstore reads and writes what all its lists have in common: pages and times. */
import { ServiceError } from '../http.ts';
import type { Call } from '../openapi/rpc-service.ts';

export interface Page {
  readonly number: number;
  readonly size: number;
}

/**
 * @param isSize which sizes the action takes
 * @throws ServiceError InvalidPageNumber.Malformed, InvalidPageSize.Malformed
 */
export function readPage(call: Call, defaultSize: number, isSize: (size: number) => boolean): Page {
  const number = readInteger(call, 'PageNumber') ?? 1;
  const size = readInteger(call, 'PageSize') ?? defaultSize;
  if (!(number >= 1)) throw malformed('PageNumber');
  if (!isSize(size)) throw malformed('PageSize');
  return { number, size };
}

export function slicePage<T>(all: readonly T[], { number, size }: Page): readonly T[] {
  return all.slice((number - 1) * size, number * size);
}

/** NaN when it is there and is none. */
export function readInteger(call: Call, name: string): number | undefined {
  const text = call.parameters.get(name);
  if (text === undefined || text === '') return undefined;
  return /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
}

/**
 * `StartTime` and `EndTime`, to the minute: `2026-11-20T18:00Z`. Both must be given.
 *
 * @returns milliseconds since 1970; the end's whole minute is included
 * @throws ServiceError InvalidStartTime.Malformed, InvalidEndTime.Malformed, InvalidStartTimeAndEndTime.Malformed
 */
export function readWindow(call: Call): { readonly from: number; readonly until: number } {
  const from = readMinute(call, 'StartTime');
  const until = readMinute(call, 'EndTime');
  if (until < from)
    throw new ServiceError(
      400,
      'InvalidStartTimeAndEndTime.Malformed',
      'The end time must be greater than the start time.',
    );
  return { from, until: until + 60_000 };
}

function readMinute(call: Call, name: string): number {
  const text = call.parameters.get(name) ?? '';
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(at)) throw malformed(name);
  return at;
}

export const malformed = (name: string): ServiceError =>
  new ServiceError(400, `Invalid${name}.Malformed`, `The specified parameter ${name} is not valid.`);

/** `2026-11-20T18:00:30Z`: answers carry seconds where requests must not. */
export function formatTime(ms: number | undefined): string {
  return ms === undefined ? '' : new Date(ms).toISOString().replace(/\.\d{3}/, '');
}
