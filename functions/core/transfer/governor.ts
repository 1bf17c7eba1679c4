/**
 * How many lanes are worth their while. Object stores limit each connection, so more lanes are faster up to where the
 * link, the other side or this processor is full; beyond that they only hold memory, burden services that others use
 * too, and lose more when the process dies. So it tries: a step down is kept if it costs no throughput, a step up if
 * it brings some; what does not pay is undone, and left alone for longer each time.
 */
import { systemClock, type RetryClock } from './retry.ts';

export interface Governor {
  /** Tell it of bytes that are done. It sets the limit that it governs. */
  passed(bytes: number): void;
}

/** What is governed: a pool's limit. */
export interface Governed {
  readonly lanes: number;
  readonly slotBytes: number;
  limit: number;
}

/** A throughput is measured over at least this long, and at least this many parts of each lane. */
const WINDOW_MS = 2_000;
const WINDOW_PARTS_PER_LANE = 2;
const LEAST_LANES = 2;
/** Less than this is noise. */
const NOISE = 0.05;
/** Windows without trials after one that did not pay, doubled each time. */
const REST_WINDOWS = 2;
const MAX_REST_WINDOWS = 256;

export function governLanes(pool: Governed, clock: Pick<RetryClock, 'now'> = systemClock): Governor {
  let startedAtMs: number | undefined;
  let windowBytes = 0;
  /** Before the trial that is under way. */
  let before: { readonly lanes: number; readonly rate: number } | undefined;
  let restWindows = 0;
  let nextRest = REST_WINDOWS;
  let direction: 'fewer' | 'more' = 'fewer';
  /** The first window after a change still holds parts of the time before it. */
  let isSettling = false;

  function passed(bytes: number): void {
    const now = clock.now();
    if (startedAtMs === undefined) {
      // What came first was begun before the clock was.
      startedAtMs = now;
      return;
    }
    windowBytes += bytes;
    const elapsedMs = now - startedAtMs;
    if (elapsedMs < WINDOW_MS || windowBytes < pool.limit * WINDOW_PARTS_PER_LANE * pool.slotBytes) return;
    const rate = windowBytes / elapsedMs;
    startedAtMs = now;
    windowBytes = 0;
    if (isSettling) isSettling = false;
    else judge(rate);
  }

  function judge(rate: number): void {
    if (before !== undefined) {
      const isWorthIt =
        pool.limit < before.lanes ? rate >= before.rate * (1 - NOISE) : rate >= before.rate * (1 + NOISE);
      if (isWorthIt) {
        nextRest = REST_WINDOWS;
      } else {
        change(before.lanes);
        direction = direction === 'fewer' ? 'more' : 'fewer';
        restWindows = nextRest;
        nextRest = Math.min(MAX_REST_WINDOWS, nextRest * 2);
      }
      before = undefined;
      if (!isWorthIt) return;
    }
    if (restWindows > 0) restWindows--;
    else tryAnother(rate);
  }

  function tryAnother(rate: number): void {
    const lanes = pool.limit;
    const step = Math.max(1, Math.floor(lanes / 4));
    const fewer = Math.max(Math.min(LEAST_LANES, pool.lanes), lanes - step);
    const more = Math.min(pool.lanes, lanes + step);
    const wanted = direction === 'fewer' ? fewer : more;
    if (wanted === lanes) {
      direction = direction === 'fewer' ? 'more' : 'fewer';
      return;
    }
    before = { lanes, rate };
    change(wanted);
  }

  function change(lanes: number): void {
    pool.limit = lanes;
    isSettling = true;
  }

  return { passed };
}
