import fc from 'fast-check';
import { getEventListeners } from 'node:events';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { BackupError } from '../../functions/core/errors.ts';
import { runLanes, type LanesOptions } from '../../functions/core/transfer/lanes.ts';
import { planParts } from '../../functions/core/transfer/part-plan.ts';
import { createSlotPool } from '../../functions/core/transfer/slot-pool.ts';
import { createMemoryFile } from '../doubles/memory-file.ts';
import { checksumOf } from '../doubles/memory-store.ts';
import { plainFile } from '../doubles/plain-scanner.ts';

const { signal } = new AbortController();

/** What a run of lanes did, seen from outside. */
function stage(
  file: Buffer,
  { partBytes, lanes, delays = [] }: { partBytes: number; lanes: number; delays?: readonly number[] },
  change: Partial<LanesOptions> = {},
): { options: LanesOptions; observed: Buffer[]; sunk: Map<number, Buffer>; done: number[] } {
  const observed: Buffer[] = [];
  const sunk = new Map<number, Buffer>();
  const done: number[] = [];
  const wait = async (key: number): Promise<void> => {
    await sleepFor(delays.length === 0 ? 0 : (delays[key % delays.length] ?? 0));
  };
  return {
    observed,
    sunk,
    done,
    options: {
      source: createMemoryFile(file, { before: async (start) => wait(start / partBytes) }),
      parts: planParts(file.length, partBytes),
      pool: createSlotPool(lanes, partBytes),
      sink: async (part, bytes) => {
        await wait(part.number + 3);
        sunk.set(part.number, Buffer.from(bytes));
      },
      observe: (bytes) => void observed.push(Buffer.from(bytes)),
      done: (bytes) => void done.push(bytes),
      ...change,
    },
  };
}

describe('runLanes', () => {
  it('passes every byte once to both sides, in order to the observer, for any parts, lanes and timing', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 5000 }),
        fc.integer({ min: 1, max: 900 }),
        fc.integer({ min: 1, max: 9 }),
        fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 7 }),
        async (bytes, partBytes, lanes, delays) => {
          const file = plainFile(Math.max(bytes, partBytes * 2, 10));
          const { options, observed, sunk, done } = stage(file, {
            partBytes: Math.max(partBytes, 60),
            lanes,
            delays,
          });

          const crc64 = await runLanes(options, signal);

          expect(Buffer.concat(observed).equals(file)).toBe(true);
          const inOrder = [...sunk].sort(([a], [b]) => a - b);
          expect(inOrder.map(([number]) => number)).toEqual(options.parts.map(({ number }) => number));
          expect(Buffer.concat(inOrder.map(([, part]) => part)).equals(file)).toBe(true);
          expect(crc64.toString()).toBe(checksumOf(file));
          expect(done.reduce((sum, part) => sum + part, 0)).toBe(file.length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('never has more parts in hand than slots', async () => {
    let inHand = 0;
    let most = 0;
    const file = plainFile(10_000);
    const { options } = stage(
      file,
      { partBytes: 100, lanes: 3 },
      {
        sink: async () => {
          most = Math.max(most, ++inHand);
          await sleepFor(1);
          inHand--;
        },
      },
    );

    await runLanes(options, signal);

    expect(most).toBe(3);
  });

  it.each(['source', 'sink', 'observe'] as const)(
    'stops all lanes at the first failure of the %s, rests, and throws just that',
    async (where) => {
      const cause = new BackupError('UPLOAD_FAILED', 'fail here');
      const file = plainFile(100_000);
      let inFlight = 0;
      let sunk = 0;
      const { options } = stage(file, { partBytes: 100, lanes: 4 });
      const failing: LanesOptions = {
        ...options,
        source: createMemoryFile(file, {
          before: async (start) => {
            if (where === 'source' && start === 2000) throw cause;
          },
        }),
        sink: async (part) => {
          inFlight++;
          sunk++;
          await sleepFor(1);
          inFlight--;
          if (where === 'sink' && part.number === 20) throw cause;
        },
        observe: (bytes) => {
          if (where === 'observe' && bytes.equals(file.subarray(2000, 2100))) throw cause;
        },
      };

      await expect(runLanes(failing, signal)).rejects.toBe(cause);

      expect(inFlight).toBe(0);
      expect(sunk).toBeLessThan(40);
    },
  );

  it('stops all lanes when the signal aborts, with its reason', async () => {
    const stop = new AbortController();
    const reason = new BackupError('DEADLINE_NEAR', 'finish in time');
    const { options } = stage(
      plainFile(100_000),
      { partBytes: 100, lanes: 4 },
      {
        done: () => stop.abort(reason),
      },
    );

    await expect(runLanes(options, stop.signal)).rejects.toBe(reason);
  });

  it('gives all slots back, also after a failure', async () => {
    const pool = createSlotPool(2, 100);
    const { options } = stage(
      plainFile(1000),
      { partBytes: 100, lanes: 2 },
      {
        pool,
        sink: async () => {
          throw new BackupError('UPLOAD_FAILED', 'fail here');
        },
      },
    );
    await expect(runLanes(options, signal)).rejects.toMatchObject({ code: 'UPLOAD_FAILED' });

    const slots = [await pool.take(signal), await pool.take(signal)];

    expect(slots.map(({ bytes }) => bytes.length)).toEqual([100, 100]);
  });

  it('listens to a signal of long life no more after ten thousand parts than before, and warns nobody', async () => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    const long = new AbortController().signal;
    const file = plainFile(160_000);
    const inner = new Set<AbortSignal>();
    const { options } = stage(
      file,
      { partBytes: 16, lanes: 8 },
      {
        source: {
          ...createMemoryFile(file),
          read: async (start, into, running) => {
            inner.add(running);
            into.set(file.subarray(start, start + into.length));
          },
        },
        sink: async () => new Promise((resolve) => setImmediate(resolve)),
      },
    );

    expect(String(await runLanes(options, long))).toBe(checksumOf(file));

    await new Promise((resolve) => setImmediate(resolve));
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(inner.size).toBe(1);
    expect(getEventListeners(long, 'abort')).toEqual([]);
    for (const running of inner) expect(getEventListeners(running, 'abort')).toEqual([]);
  });

  it('shares slots among files without either waiting for ever', async () => {
    const pool = createSlotPool(3, 100);
    const files = [plainFile(3000, 1), plainFile(2000, 2), plainFile(50, 3)];

    const sums = await Promise.all(
      files.map(async (file) =>
        runLanes(stage(file, { partBytes: 100, lanes: 3, delays: [2, 0, 1] }, { pool }).options, signal),
      ),
    );

    expect(sums.map(String)).toEqual(files.map(checksumOf));
  });
});

describe('a pool of slots', () => {
  it('serves those who wait in their order, and forgets those who give up', async () => {
    const pool = createSlotPool(1, 10);
    const first = await pool.take(signal);
    const stop = new AbortController();
    const impatient = pool.take(stop.signal);
    const patient = pool.take(signal);

    stop.abort(new BackupError('INTERRUPTED', 'enough'));
    await expect(impatient).rejects.toMatchObject({ message: 'enough' });
    first.release();
    first.release();

    expect((await patient).bytes).toBe(first.bytes);
  });
});
