import { createClock } from '../../emulator/clock.ts';

it('runs with the machine, plus what was skipped, which callers know nothing of', () => {
  const clock = createClock();
  const before = Date.now();
  clock.advance(3_600_000);

  expect(clock.now() - 3_600_000).toBeGreaterThanOrEqual(before);
  expect(clock.callersNow()).toBeLessThan(before + 3_600_000);
});

it('in a hurry, it and its callers are as far ahead as the rate says', async () => {
  const sinceMs = Date.now() - 1_000;
  const clock = createClock({ rate: 100, sinceMs });

  expect(clock.now() - sinceMs).toBeGreaterThanOrEqual(100_000);
  expect(clock.callersNow() - sinceMs).toBeGreaterThanOrEqual(100_000);
  const before = clock.now();
  await clock.sleep(2_000);
  // Timers of the machine may end a millisecond early: a hundred here.
  expect(clock.now() - before).toBeGreaterThanOrEqual(1_800);
});
