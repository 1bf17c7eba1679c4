import { createLog } from '../../functions/core/log.ts';
import type { ByteSource } from '../../functions/core/transfer/byte-source.ts';
import type { TransferCheckpoint } from '../../functions/core/transfer/transfer-file.ts';
import { createResumePoints, type ResumePoints } from '../../functions/uploader/resume-points.ts';
import { createMemoryFile } from '../doubles/memory-file.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { STEPS, requestOf } from './upload-request.ts';

const { signal } = new AbortController();
const FILE = 'shard-0.rdb';
const source: ByteSource = { ...createMemoryFile(Buffer.alloc(1000)), identity: '1000 "v1"' };

function pointAt(parts: number): TransferCheckpoint {
  return {
    upload: 'upload-1',
    prefix: { parts, bytes: parts * 100, crc64: String(parts), jones: '2', etags: 'ab' },
    observer: { offset: parts * 100 - 7, state: Buffer.from([parts, 0, 255]) },
  };
}

describe('points to go on from', () => {
  let store: MemoryStore;
  let nowMs: number;
  let lines: string[];
  beforeEach(() => {
    store = createMemoryStore();
    nowMs = 0;
    lines = [];
  });

  const open = (bucket = store): ResumePoints =>
    createResumePoints(
      requestOf(),
      bucket,
      createLog((line) => void lines.push(line)),
      () => nowMs,
    );
  const pointKeys = (): string[] => [...store.objects.keys()].filter((key) => key.includes('/resume-'));

  /** Leaves so many points, one after the other. */
  async function leave(count: number): Promise<void> {
    const points = open();
    await points.find(FILE, source, signal);
    for (let parts = 1; parts <= count; parts++) {
      points.offer(FILE, source, () => pointAt(parts));
      await points.flush();
    }
  }

  it('are none at first', async () => {
    expect(await open().find(FILE, source, signal)).toBeUndefined();
    expect(lines).toEqual([]);
  });

  it.each([1, 2, 3, 4, 7, 8, 33])('are found again as they were left: the newest of %d', async (count) => {
    await leave(count);

    expect(await open().find(FILE, source, signal)).toEqual(pointAt(count));
    expect(pointKeys()).toHaveLength(count);
    expect(pointKeys().at(-1)).toBe(`${STEPS}resume-${FILE}-${count}.json`);
  });

  it('are written now and then: after ten seconds, then ever more seldom, at least every minute', async () => {
    const points = open();
    await points.find(FILE, source, signal);
    const writtenAt: number[] = [];
    for (let second = 0; second < 600; second++) {
      nowMs = second * 1000;
      const before = pointKeys().length;
      points.offer(FILE, source, () => pointAt(second + 1));
      await new Promise((resolve) => setImmediate(resolve));
      if (pointKeys().length > before) writtenAt.push(second);
    }

    expect(writtenAt.slice(0, 3)).toEqual([10, 23, 39]);
    const gaps = writtenAt.slice(1).map((at, n) => at - (writtenAt[n] ?? 0));
    expect(Math.max(...gaps)).toBe(60);
  });

  it('are made only when they are written', async () => {
    const points = open();
    let made = 0;
    for (let n = 0; n < 100; n++)
      points.offer(FILE, source, () => {
        made++;
        return pointAt(1);
      });
    expect(made).toBe(0);

    await points.flush();

    expect(made).toBe(1);
  });

  it('go on behind those of another uploader of the same file', async () => {
    const [one, other] = [open(), open()];
    await one.find(FILE, source, signal);
    await other.find(FILE, source, signal);
    for (const [points, parts] of [
      [one, 1],
      [other, 2],
      [one, 3],
    ] as const) {
      points.offer(FILE, source, () => pointAt(parts));
      await points.flush();
    }

    expect(pointKeys()).toHaveLength(3);
    expect(await open().find(FILE, source, signal)).toEqual(pointAt(3));
  });

  it.each([
    ['of another length', { bytes: 999 }],
    ['that has changed', { identity: '1000 "v2"' }],
  ])('are of no use to a file %s', async (_name, change) => {
    await leave(2);

    expect(await open().find(FILE, { ...source, ...change }, signal)).toBeUndefined();
    expect(lines.join()).toContain('read from its start');
  });

  it.each(['', '{', '{"version":2}', '[]', '{"version":1,"file":"shard-0.rdb"}'])(
    'are of no use when they read %s',
    async (content) => {
      await leave(1);
      store.objects.set(`${STEPS}resume-${FILE}-1.json`, Buffer.from(content));

      expect(await open().find(FILE, source, signal)).toBeUndefined();
      expect(lines.join()).toContain('read from its start');
    },
  );

  it('that cannot be written are logged, and hurt nothing', async () => {
    const full = {
      ...store,
      create: async () => {
        throw new Error('the bucket is full');
      },
    };
    const points = open(full);
    points.offer(FILE, source, () => pointAt(1));

    await points.flush();

    expect(points.keptBytes()).toBe(0);
    expect(lines.join()).toContain('could not be written');
  });

  it('hold up an ending no longer than one limit, also when one of them is being written', async () => {
    const limits: AbortController[] = [];
    const timeout = jest.spyOn(AbortSignal, 'timeout').mockImplementation(() => {
      const limit = new AbortController();
      limits.push(limit);
      return limit.signal;
    });
    const points = open({
      ...store,
      create: async (_key, _bytes, _type, within) =>
        new Promise((_resolve, reject) => {
          if (within.aborted) reject(new Error('too late'));
          within.addEventListener('abort', () => reject(new Error('too late')));
        }),
    });
    points.offer(FILE, source, () => pointAt(1));
    nowMs = 10_000;
    points.offer(FILE, source, () => pointAt(1));
    points.offer(FILE, source, () => pointAt(2));

    const flushed = points.flush();
    for (const limit of limits) limit.abort();
    await flushed;

    timeout.mockRestore();
    expect(limits).toHaveLength(2);
    expect(lines).toHaveLength(2);
  });

  it('are found also when one before them could not be written', async () => {
    let isFull = true;
    const points = open({
      ...store,
      create: async (...call) => {
        if (isFull) throw new Error('the bucket is full');
        return store.create(...call);
      },
    });
    for (const parts of [1, 2, 3]) {
      points.offer(FILE, source, () => pointAt(parts));
      await points.flush();
      isFull = parts === 2;
    }

    expect(await open().find(FILE, source, signal)).toEqual(pointAt(2));
    points.offer(FILE, source, () => pointAt(4));
    isFull = false;
    await points.flush();
    expect(await open().find(FILE, source, signal)).toEqual(pointAt(4));
  });

  it('vouch for what is both sent and observed', async () => {
    const points = open();
    points.offer(FILE, source, () => pointAt(3));
    expect(points.keptBytes()).toBe(0);
    await points.flush();

    expect(points.keptBytes()).toBe(293);
    const next = open();
    await next.find(FILE, source, signal);
    expect(next.keptBytes()).toBe(293);
  });

  it('are written no more once the file is stored', async () => {
    const points = open();
    points.offer(FILE, source, () => pointAt(3));
    await points.forget(FILE);
    await points.flush();

    expect(pointKeys()).toEqual([]);
  });
});
