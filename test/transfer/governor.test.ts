import { governLanes, type Governed } from '../../functions/core/transfer/governor.ts';

const PART_BYTES = 8 * 1024 ** 2;

/** Runs a governed transfer on a link for a while of simulated time and returns the limit at its end. */
function settle(
  slots: number,
  rateOf: (lanes: number, atMs: number) => number,
  { seconds = 600, limit = slots }: { seconds?: number; limit?: number } = {},
): { limit: number; changes: number } {
  const pool: Governed = { lanes: slots, slotBytes: PART_BYTES, limit };
  let nowMs = 0;
  let changes = 0;
  let [least, most] = [limit, limit];
  const governor = governLanes(pool, { now: () => nowMs });
  while (nowMs < seconds * 1000) {
    const before = pool.limit;
    nowMs += (PART_BYTES * 1000) / rateOf(pool.limit, nowMs);
    governor.passed(PART_BYTES);
    if (pool.limit !== before) changes++;
    least = Math.min(least, pool.limit);
    most = Math.max(most, pool.limit);
  }
  expect([least >= 1, most <= slots]).toEqual([true, true]);
  return { limit: pool.limit, changes };
}

describe('the governor of lanes', () => {
  it('keeps all lanes where each connection is limited', () => {
    const { limit } = settle(8, (lanes) => lanes * 60e6);

    expect(limit).toBe(8);
  });

  it('gives lanes up that bring nothing, where the link or the processor is full', () => {
    const { limit } = settle(16, (lanes) => Math.min(lanes, 4) * 60e6);

    expect(limit).toBeGreaterThanOrEqual(4);
    expect(limit).toBeLessThanOrEqual(6);
  });

  it('never goes below two lanes by itself', () => {
    expect(settle(16, () => 300e6).limit).toBe(2);
  });

  it('takes lanes again when the link gives more than before', () => {
    const rate = (lanes: number, atMs: number): number =>
      atMs < 300_000 ? Math.min(lanes, 2) * 60e6 : lanes * 60e6;

    expect(settle(8, rate, { seconds: 300 }).limit).toBeLessThanOrEqual(3);
    expect(settle(8, rate, { seconds: 3600 }).limit).toBe(8);
  });

  it('tries ever less often what did not pay', () => {
    const short = settle(8, (lanes) => lanes * 60e6, { seconds: 600 }).changes;
    const long = settle(8, (lanes) => lanes * 60e6, { seconds: 6000 }).changes;

    expect(long).toBeLessThan(short * 3);
  });

  it('leaves a single lane alone', () => {
    expect(settle(1, () => 60e6)).toEqual({ limit: 1, changes: 0 });
  });

  it('does not judge by a short moment', () => {
    expect(settle(8, () => 300e6, { seconds: 1.5 }).changes).toBe(0);
  });
});
