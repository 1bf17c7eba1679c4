import { runInThisContext } from 'node:vm';
import { UNLIMITED, limitBandwidth } from '../../functions/core/transfer/bandwidth.ts';

const { signal } = new AbortController();

describe('a limit of bandwidth', () => {
  it('lets a first burst pass, and asks to wait for what is beyond it', () => {
    const bandwidth = limitBandwidth(1000, signal, { now: () => 0 });

    expect(bandwidth.spend(4)).toBeUndefined();
    expect(bandwidth.spend(500)).toBeInstanceOf(Promise);
  });

  it('keeps any number of spenders below the rate together', async () => {
    const bandwidth = limitBandwidth(2_000_000, signal);
    const startedAt = performance.now();
    let spent = 0;

    await Promise.all(
      Array.from({ length: 5 }, async () => {
        for (let piece = 0; piece < 10; piece++) {
          spent += 20_000;
          await bandwidth.spend(20_000);
        }
      }),
    );

    // A lower bound of time cannot be missed by a slow machine.
    expect((performance.now() - startedAt) / 1000).toBeGreaterThan(spent / 2_000_000 - 0.3);
  });

  it('lets as many lanes wait as there are, and nobody is warned of a leak', async () => {
    // The process that is warned, which is not the one that jest shows.
    const warned = runInThisContext('process') as NodeJS.Process;
    const warnings: string[] = [];
    const onWarning = ({ message }: Error): void => void warnings.push(message);
    warned.on('warning', onWarning);
    const stop = new AbortController();
    const bandwidth = limitBandwidth(1000, stop.signal);

    const waiting = Array.from({ length: 16 }, async () => bandwidth.spend(60_000));
    // A warning comes a turn later.
    await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    await Promise.all(waiting);

    warned.off('warning', onWarning);
    expect(warnings).toEqual([]);
  });

  it('saves up no more than a burst while nothing is spent', () => {
    let nowMs = 0;
    const bandwidth = limitBandwidth(1000, signal, { now: () => nowMs });
    nowMs = 3_600_000;

    expect(bandwidth.spend(200)).toBeUndefined();
    expect(bandwidth.spend(100)).toBeInstanceOf(Promise);
  });

  it('ends all waiting when the signal does', async () => {
    const stop = new AbortController();
    const waiting = limitBandwidth(1, stop.signal).spend(1_000_000);

    stop.abort();

    expect(await waiting).toBeUndefined();
  });

  it('is no limit when there is none', () => {
    expect(UNLIMITED.spend(1e12)).toBeUndefined();
    expect(limitBandwidth(undefined, signal)).toBe(UNLIMITED);
  });
});
