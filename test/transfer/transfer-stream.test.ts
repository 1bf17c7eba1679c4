import { crc64Jones } from '../../functions/core/crc64.ts';
import { BackupError } from '../../functions/core/errors.ts';
import { wholePart } from '../../functions/core/transfer/part-body.ts';
import { createSlotPool } from '../../functions/core/transfer/slot-pool.ts';
import { transferStream, type StreamOptions } from '../../functions/core/transfer/transfer-stream.ts';
import { UPLOAD_GONE, type UploadTarget } from '../../functions/core/transfer/upload-target.ts';
import { checksumOf, createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createMemoryStream } from '../doubles/memory-stream.ts';
import { createRecorder } from '../doubles/observers.ts';
import { plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { spoil } from '../doubles/spoiled-target.ts';

const { signal } = new AbortController();
const KEY = 'Backup_orders/2026-11-20/run/orders_0_20261120T180000Z.rdb';
/** Small slots, so that small files have many parts. */
const SLOT = 100_000;
const big = plainFile(7 * SLOT + 3);

const optionsWith = (change: Partial<StreamOptions> = {}): StreamOptions => ({
  pool: createSlotPool(3, SLOT),
  policy: QUICK,
  observer: createRecorder().observe(),
  ...change,
});

function jonesOf(bytes: Buffer): bigint {
  const crc = crc64Jones();
  crc.update(bytes);
  return crc.value();
}

describe('transferStream', () => {
  let store: MemoryStore;
  beforeEach(() => (store = createMemoryStore()));

  const expectNothingStored = (): void => {
    expect(store.objects.size).toBe(0);
    expect(store.openUploads()).toEqual([]);
  };

  it('stores a stream of unknown length in parts, observed in order and once', async () => {
    const recorder = createRecorder();
    const progress: number[] = [];
    const stream = createMemoryStream(big, { pieceBytes: 777 });

    const stored = await transferStream(
      stream,
      store,
      KEY,
      optionsWith({ observer: recorder.observe(), onProgress: (bytes) => void progress.push(bytes) }),
      signal,
    );

    expect(stored).toEqual({
      bytes: big.length,
      crc64: checksumOf(big),
      parts: 8,
      keptParts: 0,
      existed: false,
    });
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    expect(recorder.seen().equals(big)).toBe(true);
    expect(recorder.accepted).toEqual([jonesOf(big)]);
    expect(progress.at(-1)).toBe(big.length);
    expect(store.openUploads()).toEqual([]);
    expect(stream.isClosed()).toBe(true);
  });

  it.each([
    ['shorter than a slot', SLOT - 1],
    ['of one byte', 1],
  ])('stores a stream %s by one put', async (_what, bytes) => {
    const target = spoil(store, []);
    const file = plainFile(bytes);

    expect(await transferStream(createMemoryStream(file), target, KEY, optionsWith(), signal)).toMatchObject({
      bytes,
      parts: 1,
    });

    expect(target.calls).toEqual(['put', 'head']);
    expect(store.objects.get(KEY)?.equals(file)).toBe(true);
  });

  it.each([1, 2, 3])('stores a stream that ends exactly with slot %d', async (slots) => {
    const file = plainFile(slots * SLOT);

    expect(await transferStream(createMemoryStream(file), store, KEY, optionsWith(), signal)).toMatchObject({
      bytes: file.length,
      crc64: checksumOf(file),
      parts: slots,
    });

    expect(store.objects.get(KEY)?.equals(file)).toBe(true);
  });

  it('works with a single slot', async () => {
    await transferStream(
      createMemoryStream(big),
      store,
      KEY,
      optionsWith({ pool: createSlotPool(1, SLOT) }),
      signal,
    );

    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
  });

  it('sends several parts at once, and reads on meanwhile', async () => {
    let underWay = 0;
    let most = 0;
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const target: UploadTarget = {
      ...store,
      uploadPart: async (...call) => {
        most = Math.max(most, ++underWay);
        if (most === 3) release();
        await held;
        underWay--;
        return store.uploadPart(...call);
      },
    };

    await transferStream(createMemoryStream(big), target, KEY, optionsWith(), signal);

    expect(most).toBe(3);
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
  });

  it('sends a part again from its slot when other bytes arrived than were sent', async () => {
    const target = spoil(store, [{ verb: 'uploadPart', nth: 2, how: 'altered' }]);

    await transferStream(createMemoryStream(big), target, KEY, optionsWith(), signal);

    expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(9);
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
  });

  it.each([
    ['the answer to complete is lost after it was done', { verb: 'complete', nth: 1, how: 'after' }],
    ['complete is lost before it was done', { verb: 'complete', nth: 1, how: 'before' }],
  ] as const)('settles by asking when %s', async (_name, fault) => {
    await transferStream(createMemoryStream(big), spoil(store, [fault]), KEY, optionsWith(), signal);

    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    expect(store.openUploads()).toEqual([]);
  });

  it('leaves nothing behind when the stream breaks off, wherever that is', async () => {
    for (const breaksAt of [0, 1, SLOT - 1, SLOT, SLOT + 1, 3 * SLOT, 3 * SLOT + 5, big.length - 1]) {
      const stream = createMemoryStream(big, { breaksAt });

      await expect(transferStream(stream, store, KEY, optionsWith(), signal)).rejects.toMatchObject({
        code: 'SOURCE_TRUNCATED',
        message: expect.stringContaining(`byte ${breaksAt}`) as string,
      });

      expectNothingStored();
      expect(stream.isClosed()).toBe(true);
    }
  });

  describe('leaves nothing behind and fails by name when', () => {
    const failing = async (change: Partial<StreamOptions>, target: UploadTarget = store): Promise<unknown> =>
      transferStream(createMemoryStream(big), target, KEY, optionsWith(change), signal).catch(
        (error: unknown) => error,
      );

    it('the observer refuses the content', async () => {
      const refuse = (): never => {
        throw new BackupError('RDB_TRUNCATED', 'read: truncated');
      };
      expect(await failing({ observer: { write: () => undefined, accept: refuse } })).toMatchObject({
        code: 'RDB_TRUNCATED',
      });
      expectNothingStored();
    });

    it('the observer stops it in the middle', async () => {
      let seen = 0;
      const write = (bytes: Buffer): void => {
        seen += bytes.length;
        if (seen > 3 * SLOT) throw new BackupError('RDB_CORRUPT', 'read: corrupt');
      };
      expect(await failing({ observer: { write, accept: () => undefined } })).toMatchObject({
        code: 'RDB_CORRUPT',
      });
      expectNothingStored();
    });

    it('a part can never be sent, even while the stream has nothing to say', async () => {
      const error = new BackupError('UPLOAD_FAILED', 'no', { details: { code: 'EntityTooLarge' } });
      const target = spoil(store, [{ verb: 'uploadPart', nth: 2, how: 'before', error }]);
      const stream = createMemoryStream(big, { stallsAt: 3 * SLOT + 10 });

      await expect(transferStream(stream, target, KEY, optionsWith(), signal)).rejects.toBe(error);

      expectNothingStored();
      expect(stream.isClosed()).toBe(true);
    });

    it('a part arrives altered again and again', async () => {
      const target = spoil(
        store,
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(
          (nth) => ({ verb: 'uploadPart', nth, how: 'altered' }) as const,
        ),
      );
      expect(await failing({}, target)).toMatchObject({ code: 'CHECKSUM_MISMATCH', retryable: true });
      expectNothingStored();
    });

    it('somebody else ends the upload', async () => {
      const error = new BackupError('UPLOAD_FAILED', 'gone', { details: { reason: UPLOAD_GONE } });
      const target = spoil(store, [{ verb: 'uploadPart', nth: 4, how: 'before', error }]);
      expect(await failing({}, target)).toBe(error);
      expectNothingStored();
    });

    it('the time is over', async () => {
      const ending = new AbortController();
      const reason = new BackupError('DEADLINE_NEAR', 'finish', { retryable: true });
      const stream = createMemoryStream(big, { stallsAt: 4 * SLOT });
      const target: UploadTarget = {
        ...store,
        uploadPart: async (...call) => {
          const receipt = await store.uploadPart(...call);
          if (call[2] === 4) ending.abort(reason);
          return receipt;
        },
      };

      await expect(transferStream(stream, target, KEY, optionsWith(), ending.signal)).rejects.toBe(reason);
      expectNothingStored();
    });
  });

  it('never replaces or adopts an object of other bytes under its key', async () => {
    const there = plainFile(SLOT * 2, 9);
    await store.put(KEY, there, signal);

    await expect(
      transferStream(createMemoryStream(big), store, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({ code: 'DESTINATION_CONFLICT' });
    await expect(
      transferStream(createMemoryStream(plainFile(10)), store, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({ code: 'DESTINATION_CONFLICT' });

    expect(store.objects.get(KEY)?.equals(there)).toBe(true);
    expect(store.openUploads()).toEqual([]);
  });

  it('puts more and more slots into a part when the numbers run out, and never takes more memory', async () => {
    const slotBytes = 64;
    const pool = createSlotPool(5, slotBytes);
    const sizes = new Map<number, number>();
    const target: UploadTarget = {
      ...store,
      begin: async () => 'upload',
      uploadPart: async (_key, _upload, number, body) => {
        sizes.set(number, body.bytes);
        return { etag: String(number) };
      },
      complete: async () => ({ etag: 'whole', crc64 }),
      head: async () => ({ bytes, crc64 }),
      unfinished: async () => [],
    };
    const block = plainFile(999_983);
    const bytes = 18_000 * slotBytes + 1;
    const crc64 = checksumOf(Buffer.alloc(bytes, block));

    const stored = await transferStream(
      createMemoryStream({ bytes, block }),
      target,
      KEY,
      optionsWith({ pool, observer: { write: () => undefined, accept: () => undefined } }),
      signal,
    );

    expect(stored).toMatchObject({ bytes, crc64 });
    expect(stored.parts).toBeLessThanOrEqual(10_000);
    expect([1, 5000, 5001, 8750, 8751].map((number) => sizes.get(number))).toEqual([64, 64, 128, 128, 320]);
  });

  it('fails by name when a stream is longer than its slots can pass on', async () => {
    const pool = createSlotPool(1, 16);
    const target: UploadTarget = {
      ...store,
      begin: async () => 'upload',
      uploadPart: async (_key, _upload, number) => ({ etag: String(number) }),
      abort: async () => undefined,
    };

    await expect(
      transferStream(
        createMemoryStream({ bytes: 160_001, block: plainFile(999_983) }, { pieceBytes: 16 }),
        target,
        KEY,
        optionsWith({ pool, observer: { write: () => undefined, accept: () => undefined } }),
        signal,
      ),
    ).rejects.toMatchObject({ code: 'UPLOAD_FAILED', details: { maxBytes: 160_000 } });
  });

  it('waits for its share of the bandwidth before it reads on', async () => {
    const waits: number[] = [];
    const bandwidth = { spend: (bytes: number) => void waits.push(bytes) };

    await transferStream(createMemoryStream(big), store, KEY, optionsWith({ bandwidth }), signal);

    expect(waits.reduce((sum, bytes) => sum + bytes, 0)).toBe(big.length);
  });
});

describe('a part in several buffers', () => {
  it('gives all its bytes in order, each time from the first', async () => {
    const file = plainFile(1_500_000);
    const part = wholePart(
      file.subarray(0, 700_000),
      file.subarray(700_000, 700_000),
      file.subarray(700_000),
    );
    for (let time = 0; time < 2; time++) {
      const pieces: Uint8Array[] = [];
      for await (const piece of part.pieces()) pieces.push(piece);
      expect(Buffer.concat(pieces).equals(file)).toBe(true);
      expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThanOrEqual(512 * 1024);
    }
    expect(part.bytes).toBe(file.length);
  });
});
