import fc from 'fast-check';
import { BackupError } from '../../functions/core/errors.ts';
import {
  PATIENT,
  createPatience,
  retry,
  type RetryClock,
  type RetryPolicy,
} from '../../functions/core/transfer/retry.ts';

const { signal } = new AbortController();
const policy: RetryPolicy = { attempts: 5, firstDelayMs: 100, maxDelayMs: 300, totalMs: 10_000 };

function passing(details: Readonly<Record<string, number>> = {}): BackupError {
  return new BackupError('SERVICE_ERROR', 'try', { retryable: true, details });
}

/** A clock that jumps, and remembers how far. */
function jumpingClock(random = 1): RetryClock & { readonly slept: number[] } {
  const slept: number[] = [];
  return {
    slept,
    now: () => slept.reduce((sum, ms) => sum + ms, 0),
    random: () => random,
    sleep: async (ms) => void slept.push(ms),
  };
}

describe('retry', () => {
  it('returns what the first good attempt returns', async () => {
    const clock = jumpingClock();

    const result = await retry(
      async (number) => {
        if (number < 4) throw passing();
        return number;
      },
      policy,
      signal,
      clock,
    );

    expect(result).toBe(4);
    expect(clock.slept).toEqual([100, 200, 300]);
  });

  it('does not repeat what will not pass', async () => {
    let attempts = 0;
    const final = new BackupError('PERMISSION_DENIED', 'try');

    await expect(
      retry(
        async () => {
          attempts++;
          throw final;
        },
        policy,
        signal,
        jumpingClock(),
      ),
    ).rejects.toBe(final);
    expect(attempts).toBe(1);
  });

  it('takes an unknown error for a defect, not for bad weather', async () => {
    await expect(
      retry(
        async () => {
          throw new TypeError('undefined is not a function');
        },
        policy,
        signal,
        jumpingClock(),
      ),
    ).rejects.toMatchObject({ code: 'INTERNAL' });
  });

  it('gives up after the attempts of the policy, with the last error', async () => {
    const clock = jumpingClock();

    await expect(
      retry(
        async (number) => {
          throw passing({ number });
        },
        policy,
        signal,
        clock,
      ),
    ).rejects.toMatchObject({ details: { number: 5 } });
    expect(clock.slept).toHaveLength(4);
  });

  it('starts no wait that ends after the policy’s time', async () => {
    const clock = jumpingClock();

    await expect(
      retry(
        async () => {
          throw passing({ retryAfterMs: 6000 });
        },
        policy,
        signal,
        clock,
      ),
    ).rejects.toMatchObject({ code: 'SERVICE_ERROR' });
    expect(clock.slept).toEqual([6000]);
  });

  it('repeats what failed only after a long time, as a part does that arrives slowly', async () => {
    const clock = jumpingClock();

    const result = await retry(
      async (number) => {
        if (number > 1) return number;
        await clock.sleep(policy.totalMs * 2, signal);
        throw passing();
      },
      policy,
      signal,
      clock,
    );

    expect(result).toBe(2);
  });

  it('waits at least as long as the service asks', async () => {
    const clock = jumpingClock(0);

    await retry(
      async (number) => {
        if (number === 1) throw passing({ retryAfterMs: 1234 });
      },
      policy,
      signal,
      clock,
    );

    expect(clock.slept).toEqual([1234]);
  });

  it('ends in the middle of a wait when the signal aborts, with its reason', async () => {
    const stop = new AbortController();
    const reason = new BackupError('DEADLINE_NEAR', 'finish in time');

    const waiting = retry(
      async () => {
        queueMicrotask(() => stop.abort(reason));
        throw passing({ retryAfterMs: 60_000 });
      },
      { ...policy, totalMs: 120_000 },
      stop.signal,
    );

    await expect(waiting).rejects.toBe(reason);
  });

  it('never waits longer than its bounds, whatever chance says', async () => {
    await fc.assert(
      fc.asyncProperty(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), async (random) => {
        const clock = jumpingClock(random);
        await retry(
          async () => {
            throw passing();
          },
          PATIENT,
          signal,
          clock,
        ).catch(() => undefined);
        expect(clock.slept).toHaveLength(PATIENT.attempts - 1);
        for (const [index, ms] of clock.slept.entries())
          expect(ms).toBeLessThanOrEqual(Math.min(PATIENT.maxDelayMs, PATIENT.firstDelayMs * 2 ** index));
      }),
    );
  });
});

describe('a patience that is refilled', () => {
  it('outlasts any number of failures as long as there is progress between them', async () => {
    const clock = jumpingClock();
    const patience = createPatience(policy, signal, clock);

    for (let failure = 0; failure < 50; failure++) {
      await patience.outlast(passing());
      patience.refill();
    }

    expect(clock.slept).toHaveLength(50);
    expect(new Set(clock.slept)).toEqual(new Set([100]));
  });
});
