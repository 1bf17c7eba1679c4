/** Backups that are made by pulling them, from a source that does what a test says. */
import { createHash } from 'node:crypto';
import { BackupError } from '../../functions/core/errors.ts';
import { createLog } from '../../functions/core/log.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import type { Pull, PullShard, Source } from '../../functions/core/source/source.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import {
  uploadBackup,
  type UploadedBackup,
  type UploadParts,
} from '../../functions/uploader/upload-backup.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createMemoryStream, type MemoryStreamOptions } from '../doubles/memory-stream.ts';
import { createPlainScanner, plainContents, plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { FOLDER, MANIFEST, STEPS, requestOf } from './upload-request.ts';

const MIB = 1024 ** 2;
const { signal } = new AbortController();
const FIRST = 'r-bp1_0_20261120T180005Z.rdb';
const SECOND = 'r-bp1_0_20261120T180005Z_2.rdb';

/** What the n-th pull of a shard (both from 1 on) brings. */
type Script = (pull: number, shard: number) => Stream | Promise<Stream>;
interface Stream extends MemoryStreamOptions {
  readonly file: Buffer;
}

interface PulledSource extends Source {
  pulls(): number;
}

function sourceOf(
  script: Script,
  shards = 1,
  change: Partial<PullShard> = {},
  layouts: string[] = [],
): PulledSource {
  const made = new Map<number, number>();
  let pulls = 0;
  const shardOf = (shard: number): PullShard => ({
    shard,
    node: `node-${shard}`,
    expectedBytes: 1000,
    open: async () => {
      pulls++;
      const number = (made.get(shard) ?? 0) + 1;
      made.set(shard, number);
      const { file, ...options } = await script(number, shard + 1);
      const id = `${createHash('sha1').update(file).digest('hex')}:${number}`;
      return {
        ...createMemoryStream(file, options),
        id,
        server: 'redis://host:1',
        role: 'primary',
        passedOver: [],
      };
    },
    ...change,
  });
  return {
    ...createListedSource(() => []),
    pulls: () => pulls,
    pull: async () => ({
      layout: layouts.shift() ?? 'layout',
      shards: Array.from({ length: shards }, (_, shard) => shardOf(shard)),
      confirm: async () => undefined,
    }),
  };
}

const fileOf = (seed: number): Buffer => plainFile(100_000 + seed, seed);
/** Of more than one part. */
const bigFileOf = (seed: number): Buffer => plainFile(9 * MIB + seed, seed);

describe('a backup that is pulled', () => {
  let store: MemoryStore;
  let lines: string[];
  beforeEach(() => {
    store = createMemoryStore();
    lines = [];
  });

  const upload = async (
    source: Source,
    change: Partial<UploadParts> = {},
    request: UploadRequest = requestOf(),
    within: AbortSignal = signal,
  ): Promise<UploadedBackup> =>
    uploadBackup(
      request,
      {
        source,
        store,
        target: store,
        http: createLeanHttpClient(),
        scanner: createPlainScanner,
        policy: QUICK,
        log: createLog((line) => void lines.push(line)),
        ...change,
      },
      within,
    );

  const backupKeys = (): readonly string[] =>
    [...store.objects.keys()].filter((key) => key.startsWith(FOLDER)).sort();

  it('is stored with its manifest last, which says which snapshot it is', async () => {
    const file = bigFileOf(1);

    const { manifest, key, existed } = await upload(sourceOf(() => ({ file })));

    expect({ key, existed }).toEqual({ key: MANIFEST, existed: false });
    expect(backupKeys()).toEqual([MANIFEST, FOLDER + FIRST]);
    expect(store.objects.get(FOLDER + FIRST)?.equals(file)).toBe(true);
    expect(manifest.files).toEqual([
      expect.objectContaining({ name: FIRST, bytes: file.length, sourceBytes: file.length, parts: 2 }),
    ]);
    expect(manifest.backup.ids).toEqual(['100', expect.stringMatching(/^[0-9a-f]{40}:1$/)]);
    expect(Date.parse(manifest.backup.endedAt)).toBeGreaterThanOrEqual(Date.parse(manifest.backup.startedAt));
    expect(parseManifest(store.objects.get(MANIFEST) ?? Buffer.alloc(0), MANIFEST)).toEqual(manifest);
    expect([...store.objects.keys()].filter((name) => name.startsWith(`${STEPS}pull-`))).toHaveLength(1);
  });

  it('starts from its first byte under another name when a stream breaks off, and leaves nothing of the first', async () => {
    const source = sourceOf((pull) =>
      pull === 1 ? { file: bigFileOf(1), breaksAt: 8.5 * MIB } : { file: bigFileOf(2) },
    );

    const { manifest } = await upload(source);

    expect(manifest.files.map(({ name }) => name)).toEqual([SECOND]);
    expect(backupKeys()).toEqual([MANIFEST, FOLDER + SECOND]);
    expect(store.objects.get(FOLDER + SECOND)?.equals(bigFileOf(2))).toBe(true);
    expect(store.openUploads()).toEqual([]);
  });

  it('is given up when streams break off again and again, and no more snapshots are asked for', async () => {
    const source = sourceOf(() => ({ file: fileOf(1), breaksAt: 10 }));

    await expect(upload(source)).rejects.toMatchObject({ code: 'SOURCE_TRUNCATED', retryable: true });

    expect(source.pulls()).toBe(3);
    expect(backupKeys()).toEqual([]);
    expect(store.openUploads()).toEqual([]);
  });

  it.each([
    ['ends before the file does', bigFileOf(1).subarray(0, 9 * MIB), 'RDB_TRUNCATED'],
    ['is altered', Buffer.concat([fileOf(1).subarray(0, -9), Buffer.from('!corrupt!')]), 'RDB_CORRUPT'],
  ])('is pulled a second time when what came %s, and then believed', async (_what, bad, code) => {
    const once = sourceOf((pull) => ({ file: pull === 1 ? bad : fileOf(2) }));
    expect((await upload(once)).manifest.files[0]?.name).toBe(SECOND);

    store = createMemoryStore();
    const always = sourceOf(() => ({ file: bad }));
    await expect(upload(always)).rejects.toMatchObject({ code, retryable: false });
    expect(always.pulls()).toBe(2);
    expect(backupKeys()).toEqual([]);
    expect(store.openUploads()).toEqual([]);
  });

  it('is not asked for again when the server refuses for good', async () => {
    const refusal = new BackupError('REPLICATION_REFUSED', 'ask for replication: no');
    const source = sourceOf(() => Promise.reject(refusal));

    await expect(upload(source)).rejects.toBe(refusal);

    expect(source.pulls()).toBe(1);
  });

  it('ends in one backup when two uploaders make it at the same time', async () => {
    const results = await Promise.all([
      upload(sourceOf(() => ({ file: fileOf(1) }))),
      upload(sourceOf(() => ({ file: fileOf(2) }))),
    ]);

    expect(results[0].manifest).toEqual(results[1].manifest);
    expect(results.filter(({ existed }) => existed)).toHaveLength(1);
    expect(backupKeys()).toEqual([MANIFEST, FOLDER + FIRST, FOLDER + SECOND]);
    const [file] = results[0].manifest.files;
    expect(store.objects.get(file?.key ?? '')).toHaveLength(file?.bytes ?? 0);
    expect(store.openUploads()).toEqual([]);
  });

  it('is left to the uploader that has finished it, without another snapshot', async () => {
    let finish = (): void => undefined;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const slow = sourceOf(() => ({ file: bigFileOf(1) }));
    const waiting = {
      ...store,
      uploadPart: async (...call: Parameters<MemoryStore['uploadPart']>) => {
        await finished;
        return store.uploadPart(...call);
      },
    };
    const first = upload(slow, { target: waiting });
    while (store.openUploads().length === 0) await new Promise((resolve) => setImmediate(resolve));

    const second = await upload(sourceOf(() => ({ file: bigFileOf(2) })));
    finish();

    expect(await first).toEqual({ ...second, existed: true });
    expect(slow.pulls()).toBe(1);
    expect(store.openUploads()).toEqual([]);
  });

  it('ends what a killed uploader has left unfinished, once there is a manifest and not before', async () => {
    await store.create(
      `${STEPS}pull-r-bp1_0_20261120T180005Z-1.json`,
      Buffer.from('{}\n'),
      'application/json',
      signal,
    );
    await store.begin(FOLDER + FIRST, signal);
    let atManifest = 0;
    const target = {
      ...store,
      abort: async (...call: Parameters<MemoryStore['abort']>) => {
        if (store.objects.has(MANIFEST)) atManifest++;
        await store.abort(...call);
      },
    };

    const { manifest } = await upload(
      sourceOf(() => ({ file: bigFileOf(1) })),
      { target },
    );

    expect(manifest.files[0]?.name).toBe(SECOND);
    expect(atManifest).toBe(1);
    expect(store.openUploads()).toEqual([]);
  });

  it('is not begun again when its manifest is there', async () => {
    const first = await upload(sourceOf(() => ({ file: fileOf(1) })));
    const source = sourceOf(() => ({ file: fileOf(2) }));

    const second = await upload(source);

    expect(second).toEqual({ ...first, existed: true });
    expect(source.pulls()).toBe(0);
  });

  it('tells its progress under one name, whichever pull it is, and reaches its end', async () => {
    const seen: { readonly file: string; readonly doneBytes: number; readonly bytes: number }[] = [];
    const source = sourceOf((pull) => (pull === 1 ? { file: fileOf(1), breaksAt: 10 } : { file: fileOf(2) }));

    await upload(source, { onProgress: (progress) => void seen.push(progress) });

    expect(new Set(seen.map(({ file }) => file))).toEqual(new Set(['r-bp1_0_20261120T180005Z']));
    expect(seen.slice(0, -1).every(({ doneBytes, bytes }) => doneBytes < bytes)).toBe(true);
    expect(seen.at(-1)).toMatchObject({ doneBytes: fileOf(2).length, bytes: fileOf(2).length });
  });

  describe('of a cluster', () => {
    it('goes on with the files of an earlier invocation, as long as the same nodes hold the same keys', async () => {
      const ending = new AbortController();
      const reason = new BackupError('DEADLINE_NEAR', 'finish', { retryable: true });
      const first = sourceOf((_pull, shard) => {
        if (shard === 2) ending.abort(reason);
        return { file: fileOf(shard) };
      }, 2);
      await expect(upload(first, {}, requestOf(2), ending.signal)).rejects.toMatchObject({
        code: 'DEADLINE_NEAR',
        details: { keptBytes: fileOf(1).length },
      });

      const same = sourceOf((_pull, shard) => ({ file: fileOf(shard + 10) }), 2);
      const { manifest } = await upload(same, {}, requestOf(2));

      expect(same.pulls()).toBe(1);
      expect(manifest.files.map(({ bytes }) => bytes)).toEqual([fileOf(1).length, fileOf(12).length]);
      expect(manifest.backup.ids).toHaveLength(3);
    });

    it('pulls all of it again when they do not', async () => {
      const failing = sourceOf(
        (_pull, shard) => (shard === 2 ? { file: fileOf(2), breaksAt: 1 } : { file: fileOf(1) }),
        2,
      );
      await expect(upload(failing, {}, requestOf(2))).rejects.toMatchObject({ code: 'SOURCE_TRUNCATED' });

      const other = sourceOf((_pull, shard) => ({ file: fileOf(shard + 10) }), 2, {}, ['another layout']);
      const { manifest } = await upload(other, {}, requestOf(2));

      expect(other.pulls()).toBe(2);
      expect(manifest.files.map(({ bytes }) => bytes)).toEqual([fileOf(11).length, fileOf(12).length]);
    });

    it('refuses a file with keys of slots that are not its own, before it is an object', async () => {
      const [first = ''] = plainContents(fileOf(1)).slots.ranges.split('-');
      const source = sourceOf(() => ({ file: fileOf(1) }), 2, { slots: first });

      await expect(upload(source, {}, requestOf(2))).rejects.toMatchObject({
        code: 'SOURCE_CHANGED',
        message: expect.stringContaining('slots that are not its own') as string,
      });

      expect(backupKeys()).toEqual([]);
    });

    it('is not made of more or fewer shards than the run began with', async () => {
      await expect(
        upload(
          sourceOf(() => ({ file: fileOf(1) }), 3),
          {},
          requestOf(2),
        ),
      ).rejects.toMatchObject({
        code: 'BACKUP_FAILED',
        retryable: false,
        message: expect.stringContaining('3 shards now, and had 2') as string,
      });
    });
  });

  it('that takes longer than an invocation fails at once, and is not tried at the cost of the server', async () => {
    const ending = new AbortController();
    const source = sourceOf(() => {
      ending.abort(new BackupError('DEADLINE_NEAR', 'finish', { retryable: true }));
      return { file: fileOf(1) };
    });

    await expect(upload(source, {}, requestOf(), ending.signal)).rejects.toMatchObject({
      code: 'BACKUP_TIMEOUT',
      retryable: false,
      hint: expect.stringContaining('time-out') as string,
    });
  });

  it.each([
    ['to be looked at', 'pull'],
    ['to send', 'open'],
  ] as const)(
    'that had to wait until the server was ready %s may have another invocation',
    async (_what, verb) => {
      const ending = new AbortController();
      const source = sourceOf(() => {
        ending.abort(new BackupError('DEADLINE_NEAR', 'finish', { retryable: true }));
        return { file: fileOf(1) };
      });
      let isReady = false;
      const whenReady = async <T>(next: () => Promise<T>): Promise<T> => {
        if (isReady) return next();
        isReady = true;
        throw new BackupError('SOURCE_UNAVAILABLE', 'it is loading', { retryable: true });
      };
      const slow: Source = {
        ...source,
        pull: async (...call) => {
          const look = async (): Promise<Pull> => {
            if (source.pull === undefined) throw new Error('it pulls');
            return source.pull(...call);
          };
          const pull = verb === 'pull' ? await whenReady(look) : await look();
          const shards = pull.shards.map((shard) => ({
            ...shard,
            open: async (name: string, within: AbortSignal) =>
              whenReady(async () => shard.open(name, within)),
          }));
          return { ...pull, shards };
        },
      };

      await expect(upload(slow, {}, requestOf(), ending.signal)).rejects.toMatchObject({
        code: 'DEADLINE_NEAR',
        details: { keptBytes: 0 },
      });
    },
  );
});
