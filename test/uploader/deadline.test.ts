import { DEADLINE_MARGIN_MS, startDeadline } from '../../functions/uploader/deadline.ts';

describe('the deadline of an invocation', () => {
  beforeEach(() => jest.useFakeTimers());
  afterEach(() => jest.useRealTimers());

  it.each([
    ['the margin before the platform’s time-out', 600, 600_000 - DEADLINE_MARGIN_MS],
    ['half-way when there is less than twice the margin', 20, 10_000],
  ])('comes %s', (_name, timeoutSeconds, atMs) => {
    const { signal } = startDeadline(timeoutSeconds);

    jest.advanceTimersByTime(atMs - 1);
    expect(signal.aborted).toBe(false);
    jest.advanceTimersByTime(1);

    expect(signal.reason).toMatchObject({ code: 'DEADLINE_NEAR', retryable: true });
  });

  it('never comes once the work is done', () => {
    const deadline = startDeadline(600);

    deadline.clear();
    jest.advanceTimersByTime(600_000);

    expect(deadline.signal.aborted).toBe(false);
  });
});
