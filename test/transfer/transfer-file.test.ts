import { setTimeout as sleepFor } from 'node:timers/promises';
import { BackupError } from '../../functions/core/errors.ts';
import { createSlotPool } from '../../functions/core/transfer/slot-pool.ts';
import {
  transferFile,
  type Observer,
  type TransferCheckpoint,
  type TransferOptions,
} from '../../functions/core/transfer/transfer-file.ts';
import { wholePart } from '../../functions/core/transfer/part-body.ts';
import { throwIfStopped } from '../../functions/core/transfer/retry.ts';
import { UPLOAD_GONE, type UploadTarget } from '../../functions/core/transfer/upload-target.ts';
import { crc64Jones } from '../../functions/core/crc64.ts';
import { createMemoryFile } from '../doubles/memory-file.ts';
import { checksumOf, createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { plainFile } from '../doubles/plain-scanner.ts';
import { blindObserver, createRecorder } from '../doubles/observers.ts';
import { QUICK } from '../doubles/policies.ts';
import { spoil } from '../doubles/spoiled-target.ts';

const { signal } = new AbortController();
const KEY = 'Backup_r-1/2026-11-20/run/a.rdb';
const MIB = 1024 ** 2;
const big = plainFile(17 * MIB + 3);
const small = plainFile(100_000);
const bigCrc = checksumOf(big);

function jonesOf(bytes: Buffer): bigint {
  const crc = crc64Jones();
  crc.update(bytes);
  return crc.value();
}

function optionsWith(change: Partial<TransferOptions> = {}): TransferOptions {
  return {
    pool: createSlotPool(4, 8 * MIB),
    policy: QUICK,
    observe: () => blindObserver(),
    ...change,
  };
}

describe('transferFile', () => {
  let store: MemoryStore;
  beforeEach(() => (store = createMemoryStore()));

  const expectNothingStored = (): void => {
    expect(store.objects.size).toBe(0);
    expect(store.openUploads()).toEqual([]);
  };

  it('stores a large file in parts', async () => {
    const target = spoil(store, []);
    const progress: number[] = [];

    const stored = await transferFile(
      createMemoryFile(big),
      target,
      KEY,
      optionsWith({ onProgress: (bytes) => void progress.push(bytes) }),
      signal,
    );

    expect(stored).toEqual({ bytes: big.length, crc64: bigCrc, parts: 3, keptParts: 0, existed: false });
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(3);
    expect(progress.at(-1)).toBe(big.length);
  });

  it('stores a small file by one put', async () => {
    const target = spoil(store, []);

    const stored = await transferFile(createMemoryFile(small), target, KEY, optionsWith(), signal);

    expect(stored).toMatchObject({ bytes: small.length, parts: 1 });
    expect(target.calls).toEqual(['head', 'put', 'head']);
    expect(store.objects.get(KEY)?.equals(small)).toBe(true);
  });

  it('sends a part again when other bytes arrived than were sent', async () => {
    const target = spoil(store, [{ verb: 'uploadPart', nth: 2, how: 'altered' }]);

    await transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal);

    expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(4);
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
  });

  it.each([
    ['the answer to complete is lost after it was done', { verb: 'complete', nth: 1, how: 'after' }],
    ['complete is lost before it was done', { verb: 'complete', nth: 1, how: 'before' }],
  ] as const)('settles by asking when %s', async (_name, fault) => {
    const stored = await transferFile(
      createMemoryFile(big),
      spoil(store, [fault]),
      KEY,
      optionsWith(),
      signal,
    );

    expect(stored).toMatchObject({ existed: false, crc64: bigCrc });
    expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    expect(store.openUploads()).toEqual([]);
  });

  it('settles by asking when the answer to a put is lost', async () => {
    const target = spoil(store, [{ verb: 'put', nth: 1, how: 'after' }]);

    expect(await transferFile(createMemoryFile(small), target, KEY, optionsWith(), signal)).toMatchObject({
      bytes: small.length,
    });
  });

  it('waits for an object that appears only after its upload is gone', async () => {
    const gone = new BackupError('UPLOAD_FAILED', 'complete: no such upload', {
      details: { reason: UPLOAD_GONE },
    });
    let heads = 0;
    const target = spoil(store, [
      { verb: 'complete', nth: 1, how: 'after' },
      { verb: 'complete', nth: 2, how: 'before', error: gone },
    ]);
    const late = {
      ...target,
      head: async (key: string, headSignal: AbortSignal) =>
        ++heads < 4 ? undefined : target.head(key, headSignal),
    };

    expect(await transferFile(createMemoryFile(big), late, KEY, optionsWith(), signal)).toMatchObject({
      crc64: bigCrc,
    });
  });

  describe('leaves nothing behind and fails by name when', () => {
    it('a part can never be sent', async () => {
      const error = new BackupError('UPLOAD_FAILED', 'no', { details: { code: 'EntityTooLarge' } });
      const target = spoil(store, [{ verb: 'uploadPart', nth: 3, how: 'before', error }]);

      await expect(
        transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
      ).rejects.toMatchObject({
        code: 'UPLOAD_FAILED',
      });
      expectNothingStored();
    });

    it.each([
      ['large', big],
      ['small', small],
    ])('the content of a %s file is refused', async (_name, file) => {
      const refused = new BackupError('RDB_TRUNCATED', 'read a.rdb: truncated at byte 7');
      const accept = (): void => {
        throw refused;
      };
      const options = optionsWith({ observe: () => blindObserver({ accept }) });

      await expect(transferFile(createMemoryFile(file), store, KEY, options, signal)).rejects.toBe(refused);
      expectNothingStored();
    });

    it('complete fails for good', async () => {
      const denied = new BackupError('PERMISSION_DENIED', 'complete');
      const target = spoil(store, [{ verb: 'complete', how: 'before', error: denied }]);

      await expect(transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal)).rejects.toBe(
        denied,
      );
      expectNothingStored();
    });
  });

  it.each([
    ['large', big],
    ['small', small],
  ])(
    'makes no object when the source of a %s file tells another checksum than its bytes have',
    async (_name, file) => {
      const source = createMemoryFile(file, { crc64: '7' });

      await expect(transferFile(source, store, KEY, optionsWith(), signal)).rejects.toMatchObject({
        code: 'CHECKSUM_MISMATCH',
        retryable: true,
      });
      expect(store.objects.size).toBe(0);
    },
  );

  it('makes no object of parts that always arrive altered', async () => {
    const target = spoil(store, [{ verb: 'uploadPart', how: 'altered' }]);

    await expect(
      transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' });
    expect(store.objects.size).toBe(0);
  });

  describe('goes on where an earlier attempt stopped', () => {
    const stopped = new BackupError('DEADLINE_NEAR', 'finish in time');

    /** An attempt that is cut after so many parts, and the newest checkpoint that it gave. */
    async function interrupted(
      afterParts: number,
      recorder = createRecorder(),
      from?: TransferCheckpoint,
    ): Promise<TransferCheckpoint | undefined> {
      const stop = new AbortController();
      let newest: TransferCheckpoint | undefined;
      let parts = 0;
      const options = optionsWith({
        pool: createSlotPool(1, 8 * MIB),
        observe: recorder.observe,
        ...(from === undefined ? {} : { from }),
        onAdvance: (make) => {
          newest = make();
          if (++parts === afterParts) stop.abort(stopped);
        },
      });
      await expect(transferFile(createMemoryFile(big), store, KEY, options, stop.signal)).rejects.toBe(
        stopped,
      );
      expect(store.objects.size).toBe(0);
      return newest;
    }

    it('asks the observer where it could go on less often when that is much to write down', async () => {
      for (const [stateBytes, expected] of [
        [10, 3],
        [1_000_000, 1],
      ] as const) {
        let asked = 0;
        const observe = (): Observer => ({
          ...blindObserver(),
          checkpoint: () => {
            asked++;
            return { offset: 0, state: Buffer.alloc(stateBytes) };
          },
        });
        store = createMemoryStore();
        const options = optionsWith({ observe, onAdvance: (make) => void make() });
        await transferFile(createMemoryFile(big), store, KEY, options, signal);
        expect(asked).toBe(expected);
      }
    });

    it('with a checkpoint: what it vouches for is neither read nor sent again', async () => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      expect(from).toMatchObject({ prefix: { parts: 2, bytes: 16 * MIB }, observer: { offset: 16 * MIB } });
      const target = spoil(store, []);
      const reads: number[] = [];
      const source = createMemoryFile(big, { before: async (start) => void reads.push(start) });

      const stored = await transferFile(
        source,
        target,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(stored).toMatchObject({ crc64: bigCrc, keptParts: 2, existed: false });
      expect(reads).toEqual([16 * MIB]);
      expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(1);
      expect(recorder.seen().equals(big)).toBe(true);
      expect(recorder.beganAt).toEqual([0, 16 * MIB]);
      expect(recorder.accepted).toEqual([jonesOf(big)]);
      expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    });

    it('with an observer that has to go back: those bytes are read again, and not sent', async () => {
      const recorder = createRecorder(5 * MIB);
      const from = await interrupted(2, recorder);
      expect(from?.observer.offset).toBe(15 * MIB);
      const target = spoil(store, []);
      const reads: number[] = [];
      const source = createMemoryFile(big, { before: async (start) => void reads.push(start) });

      await transferFile(
        source,
        target,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(reads).toEqual([15 * MIB, 16 * MIB]);
      expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(1);
      expect(recorder.seen().equals(big)).toBe(true);
      expect(recorder.accepted).toEqual([jonesOf(big)]);
    });

    it('with an observer that was ahead: what nobody vouches for is observed again', async () => {
      const recorder = createRecorder();
      const stop = new AbortController();
      const altered = Buffer.from(big);
      altered[8 * MIB + 100] = (big[8 * MIB + 100] ?? 0) ^ 1;
      let from: TransferCheckpoint | undefined;
      const slow: UploadTarget = {
        ...store,
        uploadPart: async (key, upload, number, body, partSignal) => {
          // The first part is sent when the observer is in the second one, which never is.
          const isHeldBack = (): boolean => number > 1 || recorder.seen().length < 9 * MIB;
          while (isHeldBack()) {
            throwIfStopped(partSignal);
            await sleepFor(5);
          }
          return store.uploadPart(key, upload, number, body, partSignal);
        },
      };
      await expect(
        transferFile(
          createMemoryFile(altered),
          slow,
          KEY,
          optionsWith({
            observe: recorder.observe,
            onAdvance: (make) => {
              from = make();
              stop.abort(stopped);
            },
          }),
          stop.signal,
        ),
      ).rejects.toBe(stopped);
      expect(from).toMatchObject({ prefix: { parts: 1 }, observer: { offset: 8 * MIB } });

      await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(recorder.seen().equals(big)).toBe(true);
    });

    it('without a checkpoint: everything is read, and only what is missing is sent', async () => {
      await interrupted(2);
      const recorder = createRecorder();
      const target = spoil(store, []);

      const stored = await transferFile(
        createMemoryFile(big),
        target,
        KEY,
        optionsWith({ observe: recorder.observe }),
        signal,
      );

      expect(stored).toMatchObject({ crc64: bigCrc, keptParts: 2 });
      expect(target.calls.filter((verb) => verb === 'uploadPart')).toHaveLength(1);
      expect(target.calls).not.toContain('begin');
      expect(recorder.seen().equals(big)).toBe(true);
    });

    it('after any number of interruptions, each of which brings a part', async () => {
      const recorder = createRecorder();
      const first = await interrupted(1, recorder);
      const second = await interrupted(1, recorder, first);
      expect(second?.prefix.parts).toBe(2);

      await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({ observe: recorder.observe, ...(second === undefined ? {} : { from: second }) }),
        signal,
      );

      expect(recorder.seen().equals(big)).toBe(true);
      expect(recorder.accepted).toEqual([jonesOf(big)]);
      expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    });

    it('also where the destination lists no checksums: then tags vouch for parts', async () => {
      const recorder = createRecorder();
      const from = await interrupted(1, recorder);
      const mute = {
        ...store,
        parts: async (...call: Parameters<MemoryStore['parts']>) =>
          (await store.parts(...call)).map(({ number, bytes, etag }) => ({
            number,
            bytes,
            etag,
          })),
      };

      const stored = await transferFile(
        createMemoryFile(big),
        mute,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(stored).toMatchObject({ crc64: bigCrc, keptParts: 1 });
    });

    it.each([
      [
        'a part of it was replaced meanwhile',
        async (upload: string) => store.uploadPart(KEY, upload, 1, wholePart(Buffer.alloc(8 * MIB)), signal),
      ],
      ['the upload has been ended', async (upload: string) => store.abort(KEY, upload, signal)],
    ])('but does not rely on a checkpoint when %s', async (_name, meanwhile) => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      await meanwhile(from?.upload ?? '');

      const stored = await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(stored.crc64).toBe(bigCrc);
      expect(recorder.beganAt).toEqual([0, 0]);
      expect(store.objects.get(KEY)?.equals(big)).toBe(true);
    });

    it('but does not rely on a checkpoint whose observer was ahead of it', async () => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      if (from === undefined) throw new Error('no checkpoint');
      const ahead = { ...from, observer: { ...from.observer, offset: 16 * MIB + 1 } };

      await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({ observe: recorder.observe, from: ahead }),
        signal,
      );

      expect(recorder.beganAt).toEqual([0, 0]);
      expect(recorder.seen().equals(big)).toBe(true);
    });

    it('from its start when the observer cannot make use of its state', async () => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      const leftovers: BackupError[] = [];

      const stored = await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({
          observe: (checkpoint) => {
            if (checkpoint !== undefined)
              throw new BackupError('INTERNAL', 'read a state: of another version');
            return recorder.observe();
          },
          ...(from === undefined ? {} : { from }),
          onLeftover: (error) => void leftovers.push(error),
        }),
        signal,
      );

      expect(stored).toMatchObject({ crc64: bigCrc, keptParts: 2 });
      expect(leftovers).toMatchObject([{ message: 'read a state: of another version' }]);
      expect(recorder.seen().equals(big)).toBe(true);
    });

    it('with a new upload when it may not look for the old one', async () => {
      await interrupted(2);
      const denied = new BackupError('PERMISSION_DENIED', 'list the parts');
      const target = spoil(store, [{ verb: 'parts', how: 'before', error: denied }]);
      const leftovers: BackupError[] = [];
      const options = optionsWith({ onLeftover: (error) => void leftovers.push(error) });

      expect(await transferFile(createMemoryFile(big), target, KEY, options, signal)).toMatchObject({
        crc64: bigCrc,
        keptParts: 0,
      });
      expect(leftovers).toContain(denied);
      expect(store.openUploads()).toEqual([]);
    });

    it('by comparing, when the object was made before the interruption', async () => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      store.objects.set(KEY, big);
      const reads: number[] = [];
      const source = createMemoryFile(big, { before: async (start) => void reads.push(start) });

      const stored = await transferFile(
        source,
        store,
        KEY,
        optionsWith({ observe: recorder.observe, ...(from === undefined ? {} : { from }) }),
        signal,
      );

      expect(stored).toMatchObject({ existed: true, crc64: bigCrc });
      expect(reads).toEqual([16 * MIB]);
      expect(recorder.seen().equals(big)).toBe(true);
    });

    it('and takes no checkpoint of another file for its own, even if all parts are held', async () => {
      const recorder = createRecorder();
      const from = await interrupted(2, recorder);
      if (from === undefined) throw new Error('no checkpoint');
      const forged = { ...from, prefix: { ...from.prefix, crc64: '12345' } };

      const stored = await transferFile(
        createMemoryFile(big),
        store,
        KEY,
        optionsWith({ observe: recorder.observe, from: forged }),
        signal,
      );

      expect(stored).toMatchObject({ crc64: bigCrc, keptParts: 2 });
      expect(recorder.beganAt).toEqual([0, 0]);
    });
  });

  it('keeps what has arrived for the next attempt when a failure may pass', async () => {
    const target = spoil(store, [{ verb: 'uploadPart', nth: 3, how: 'before' }]);

    await expect(
      transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({ code: 'UPLOAD_FAILED', retryable: true });

    expect(store.openUploads()).toHaveLength(1);
    expect(await transferFile(createMemoryFile(big), store, KEY, optionsWith(), signal)).toMatchObject({
      crc64: bigCrc,
    });
    expect(store.openUploads()).toEqual([]);
  });

  it('reports the failure and not the clean-up that failed after it', async () => {
    const cause = new BackupError('UPLOAD_FAILED', 'no more');
    const leftovers: BackupError[] = [];
    const target = spoil(store, [
      { verb: 'uploadPart', how: 'before', error: cause },
      { verb: 'abort', how: 'before' },
    ]);
    const options = optionsWith({ onLeftover: (error) => void leftovers.push(error) });

    await expect(transferFile(createMemoryFile(big), target, KEY, options, signal)).rejects.toBe(cause);
    expect(leftovers).toHaveLength(1);
  });

  it('reports why a put failed, and not that nobody could look afterwards', async () => {
    const denied = new BackupError('PERMISSION_DENIED', 'put: not allowed');
    const target = spoil(store, [
      { verb: 'put', how: 'before', error: denied },
      { verb: 'head', nth: 2, how: 'before' },
    ]);

    await expect(transferFile(createMemoryFile(small), target, KEY, optionsWith(), signal)).rejects.toBe(
      denied,
    );
  });

  it('puts a small file from the slot it was read into, and gives the slot back', async () => {
    const pool = createSlotPool(1, 8 * MIB);
    const bodies: ArrayBufferLike[] = [];
    const target = {
      ...store,
      put: async (key: string, body: Buffer, putSignal: AbortSignal) => {
        bodies.push(body.buffer);
        return store.put(key, body, putSignal);
      },
    };

    await transferFile(createMemoryFile(small), target, KEY, optionsWith({ pool }), signal);

    expect(bodies).toEqual([(await pool.take(signal)).bytes.buffer]);
  });

  it('ends what a killed attempt left unfinished under the key, once the object is there', async () => {
    await store.begin(KEY, signal);

    await transferFile(createMemoryFile(big), store, KEY, optionsWith(), signal);

    expect(store.openUploads()).toEqual([]);
  });

  it('leaves the unfinished uploads of others alone when it fails', async () => {
    const theirs = await store.begin(KEY, signal);
    const denied = new BackupError('UPLOAD_FAILED', 'never');
    const target = spoil(store, [{ verb: 'uploadPart', how: 'before', error: denied }]);

    await expect(
      transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({
      code: 'UPLOAD_FAILED',
    });

    expect(store.openUploads()).toMatchObject([{ id: theirs }]);
  });

  it('has stored the file also when what is unfinished cannot be listed', async () => {
    const leftovers: BackupError[] = [];
    const denied = new BackupError('PERMISSION_DENIED', 'list the uploads');
    const target = spoil(store, [{ verb: 'unfinished', how: 'before', error: denied }]);
    const options = optionsWith({ onLeftover: (error) => void leftovers.push(error) });

    expect(await transferFile(createMemoryFile(big), target, KEY, options, signal)).toMatchObject({
      crc64: bigCrc,
    });
    expect(new Set(leftovers)).toEqual(new Set([denied]));
  });

  it('does not believe an object whose checksum is another one', async () => {
    const target = spoil(store, [{ verb: 'complete', how: 'altered' }]);

    await expect(
      transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
    });
  });

  it('does not believe an object of which nobody tells a checksum', async () => {
    const target = spoil(store, [
      { verb: 'complete', how: 'no checksum' },
      { verb: 'head', nth: 2, how: 'no checksum' },
    ]);

    await expect(
      transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal),
    ).rejects.toMatchObject({
      code: 'CHECKSUM_MISMATCH',
    });
  });

  it('asks for the checksum when complete does not tell it', async () => {
    const target = spoil(store, [{ verb: 'complete', how: 'no checksum' }]);

    expect(await transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal)).toMatchObject({
      crc64: bigCrc,
    });
  });

  describe('with an object that is there already', () => {
    it('reads and observes the source again, uploads nothing, and accepts an equal object', async () => {
      store.objects.set(KEY, big);
      const target = spoil(store, []);
      let observed = 0;
      const write = (bytes: Buffer): void => void (observed += bytes.length);
      const options = optionsWith({ observe: () => blindObserver({ write }) });

      const stored = await transferFile(createMemoryFile(big), target, KEY, options, signal);

      expect(stored).toEqual({ bytes: big.length, crc64: bigCrc, parts: 3, keptParts: 0, existed: true });
      expect(observed).toBe(big.length);
      expect(new Set(target.calls)).toEqual(new Set(['head', 'unfinished']));
    });

    it.each([
      ['other bytes', plainFile(17 * MIB + 3, 2)],
      ['another length', big.subarray(1)],
    ])('refuses one with %s and leaves it as it is', async (_name, other) => {
      store.objects.set(KEY, other);

      await expect(
        transferFile(createMemoryFile(big), store, KEY, optionsWith(), signal),
      ).rejects.toMatchObject({
        code: 'DESTINATION_CONFLICT',
      });
      expect(store.objects.get(KEY)).toBe(other);
    });

    it.each([
      ['between the first look and the beginning of the upload', 'begin'],
      ['while the parts are under way', 'uploadPart'],
    ] as const)('accepts an equal one that another uploader makes %s', async (_name, moment) => {
      const target = {
        ...store,
        begin: async (key: string, beginSignal: AbortSignal) => {
          if (moment === 'begin') store.objects.set(key, big);
          return store.begin(key, beginSignal);
        },
        complete: async (...call: Parameters<MemoryStore['complete']>) => {
          store.objects.set(KEY, big);
          return store.complete(...call);
        },
      };

      expect(await transferFile(createMemoryFile(big), target, KEY, optionsWith(), signal)).toMatchObject({
        existed: true,
      });
      expect(store.openUploads()).toEqual([]);
    });
  });
});
