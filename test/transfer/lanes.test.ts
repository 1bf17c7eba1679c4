import fc from 'fast-check';
import { getEventListeners } from 'node:events';
import { setTimeout as sleepFor } from 'node:timers/promises';
import { BackupError } from '../../functions/core/errors.ts';
import { runLanes, type LanesOptions, type PartChecksums } from '../../functions/core/transfer/lanes.ts';
import { crc64Pair } from '../../functions/core/crc64.ts';
import { planParts } from '../../functions/core/transfer/part-plan.ts';
import { createArrivingPart, wholePart } from '../../functions/core/transfer/part-body.ts';
import { NOTHING, growPrefix } from '../../functions/core/transfer/prefix.ts';
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
): { options: LanesOptions; observed: Buffer[]; sunk: Map<number, Buffer>; done: number[]; sums: Sums } {
  const observed: Buffer[] = [];
  const sunk = new Map<number, Buffer>();
  const done: number[] = [];
  const sums = new Map<number, PartChecksums>();
  const wait = async (key: number): Promise<void> => {
    await sleepFor(delays.length === 0 ? 0 : (delays[key % delays.length] ?? 0));
  };
  return {
    observed,
    sunk,
    done,
    sums,
    options: {
      source: createMemoryFile(file, { before: async (start) => wait(start / partBytes) }),
      parts: planParts(file.length, partBytes),
      pool: createSlotPool(lanes, partBytes),
      checksums: crc64Pair,
      sink: async (part, body) => {
        const pieces: Buffer[] = [];
        for await (const piece of body.pieces()) pieces.push(Buffer.from(piece));
        await wait(part.number + 3);
        sunk.set(part.number, Buffer.concat(pieces));
      },
      observe: (bytes) => void observed.push(Buffer.from(bytes)),
      done: (part, checksums) => {
        done.push(part.bytes);
        sums.set(part.number, checksums);
      },
      ...change,
    },
  };
}

type Sums = ReadonlyMap<number, PartChecksums>;

/** Of the whole file, from the checksums of its parts. */
function wholeOf({ parts }: LanesOptions, sums: Sums): string {
  const prefix = growPrefix(NOTHING);
  for (const part of parts) {
    const own = sums.get(part.number);
    if (own !== undefined) prefix.add(part, own, '');
  }
  return prefix.current().crc64;
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
          const { options, observed, sunk, done, sums } = stage(file, {
            partBytes: Math.max(partBytes, 60),
            lanes,
            delays,
          });

          await runLanes(options, signal);

          expect(Buffer.concat(observed).equals(file)).toBe(true);
          const inOrder = [...sunk].sort(([a], [b]) => a - b);
          expect(inOrder.map(([number]) => number)).toEqual(options.parts.map(({ number }) => number));
          expect(Buffer.concat(inOrder.map(([, part]) => part)).equals(file)).toBe(true);
          expect(wholeOf(options, sums)).toBe(checksumOf(file));
          expect(done.reduce((sum, part) => sum + part, 0)).toBe(file.length);
        },
      ),
      { numRuns: 40 },
    );
  });

  it('fills and sends no more slots at once than there are lanes, and reads on while the last parts are still being sent', async () => {
    const file = plainFile(10_000);
    let reading = 0;
    let sending = 0;
    let mostReading = 0;
    let mostSending = 0;
    let mostInHand = 0;
    const seen = (): void => {
      mostReading = Math.max(mostReading, reading);
      mostSending = Math.max(mostSending, sending);
      mostInHand = Math.max(mostInHand, reading + sending);
    };
    const { options } = stage(
      file,
      { partBytes: 100, lanes: 2 },
      {
        pool: createSlotPool(4, 100, 2),
        source: {
          ...createMemoryFile(file),
          read: async (start, into) => {
            reading++;
            seen();
            await sleepFor(1);
            into.set(file.subarray(start, start + into.length));
            reading--;
          },
        },
        sink: async (_part, _body, whole) => {
          await whole;
          sending++;
          seen();
          await sleepFor(3);
          sending--;
        },
      },
    );

    await runLanes(options, signal);

    expect([mostReading, mostSending, mostInHand]).toEqual([2, 2, 4]);
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
    const { options, sums } = stage(
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

    await runLanes(options, long);

    expect(wholeOf(options, sums)).toBe(checksumOf(file));

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

    const wholes = await Promise.all(
      files.map(async (file) => {
        const { options, sums } = stage(file, { partBytes: 100, lanes: 3, delays: [2, 0, 1] }, { pool });
        await runLanes(options, signal);
        return wholeOf(options, sums);
      }),
    );

    expect(wholes).toEqual(files.map(checksumOf));
  });
});

describe('a part on its way', () => {
  it('is sent and observed while it still arrives', async () => {
    const file = plainFile(300_000);
    const moments: string[] = [];
    const { options } = stage(file, { partBytes: 300_000, lanes: 1 });
    let arrivedWhenSent = 0;
    let arrivedWhenSeen = 0;
    let arrived = 0;
    await runLanes(
      {
        ...options,
        source: {
          ...createMemoryFile(file),
          read: async (start, into, _running, onFilled) => {
            for (const end of [140_000, 280_000, 300_000]) {
              into.set(file.subarray(start + arrived, start + end), arrived);
              arrived = end;
              await onFilled?.(end);
              await sleepFor(1);
            }
          },
        },
        sink: async (_part, body) => {
          for await (const piece of body.pieces()) {
            if (arrivedWhenSent === 0) arrivedWhenSent = arrived;
            moments.push(`sent ${piece.length}`);
          }
        },
        observe: () => {
          if (arrivedWhenSeen === 0) arrivedWhenSeen = arrived;
        },
      },
      signal,
    );

    expect([arrivedWhenSent, arrivedWhenSeen]).toEqual([140_000, 140_000]);
    expect(moments.length).toBeGreaterThan(1);
  });

  it('begins anew for whoever sends it again', async () => {
    const bytes = plainFile(1_300_000);
    const part = wholePart(bytes);
    const read = async (): Promise<Buffer> => {
      const pieces: Uint8Array[] = [];
      for await (const piece of part.pieces()) pieces.push(piece);
      return Buffer.concat(pieces);
    };

    expect((await read()).equals(bytes)).toBe(true);
    expect((await read()).equals(bytes)).toBe(true);
  });

  it('tells those who wait that no more will come, and those who come later as well', async () => {
    const part = createArrivingPart(Buffer.alloc(100));
    const waiting = part.reach(50);
    part.arrived(20);
    part.fail(new BackupError('SOURCE_UNAVAILABLE', 'download: no more'));

    await expect(waiting).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE' });
    await expect(part.reach(21)).rejects.toMatchObject({ code: 'SOURCE_UNAVAILABLE' });
    expect(await part.reach(20)).toBe(20);
  });

  it('does not shrink, and does not outgrow its slot', () => {
    const part = createArrivingPart(Buffer.alloc(100));
    part.arrived(60);

    expect(() => part.arrived(59)).toThrow('59 after 60');
    expect(() => part.arrived(101)).toThrow('101 after 60');
  });
});

describe('a pool of slots', () => {
  it.each(['read', 'send'] as const)(
    'keeps to a lowered limit of lanes to %s once some are left, and lets in who waits when it is raised',
    async (leg) => {
      const pool = createSlotPool(5, 10, 3);
      expect([pool.slots, pool.lanes, pool.limit]).toEqual([5, 3, 3]);
      const entered = [
        await pool.enterLane(leg, signal),
        await pool.enterLane(leg, signal),
        await pool.enterLane(leg, signal),
      ];
      pool.limit = 1;
      let served = 0;
      const waiting = Array.from({ length: 3 }, async () => {
        await pool.enterLane(leg, signal);
        served++;
      });
      const settle = async (): Promise<number> => {
        await new Promise((resolve) => setImmediate(resolve));
        return served;
      };

      for (const leave of entered.slice(0, 2)) {
        leave();
        leave();
      }
      expect(await settle()).toBe(0);
      entered[2]?.();
      expect(await settle()).toBe(1);
      pool.limit = 99;
      expect(pool.limit).toBe(3);
      expect(await settle()).toBe(3);
      await Promise.all(waiting);
    },
  );

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
