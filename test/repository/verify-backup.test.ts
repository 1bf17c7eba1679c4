import { BackupError } from '../../functions/core/errors.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import type { Manifest } from '../../functions/core/repository/manifest.ts';
import { verifyBackup, type BackupFinding } from '../../functions/core/repository/verify-backup.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { bodyOf, storeBackup } from './stored-backup.ts';

const { signal } = new AbortController();
const BODIES = [bodyOf(0, 2), bodyOf(1, 2)] as const;
const [FIRST, SECOND] = BODIES;

describe('verifying a stored backup', () => {
  let store: MemoryStore;
  let manifest: Manifest;
  let keys: string[];
  beforeEach(() => {
    store = createMemoryStore();
    ({ manifest } = storeBackup(store, 'r-1', { shards: 2 }));
    keys = manifest.files.map(({ key }) => key);
  });

  const verify = async (of: Manifest = manifest): Promise<BackupFinding> =>
    verifyBackup(store, of, () => createRdbScanner(), signal);

  it('reads every byte and finds it as it was', async () => {
    let read = 0;
    const finding = await verifyBackup(
      store,
      manifest,
      () => createRdbScanner(),
      signal,
      (bytes) => (read += bytes),
    );
    expect(finding).toEqual({
      sound: true,
      problems: [],
      files: keys.map((key, shard) => ({ key, bytes: BODIES[shard]?.length, problems: [] })),
    });
    expect(read).toBe(FIRST.length + SECOND.length);
  });

  it.each([
    ['one flipped bit', (body: Buffer) => body.writeUInt8(body.readUInt8(30_000) ^ 1, 30_000) >= 0, /CRC-64/],
    [
      'a flipped bit in the checksum itself',
      (body: Buffer) => body.writeUInt8(body.readUInt8(body.length - 1) ^ 1, body.length - 1) >= 0,
      /CRC-64/,
    ],
  ])('finds %s', async (_name, damage, expected) => {
    const body = Buffer.from(SECOND);
    damage(body);
    store.objects.set(keys[1] ?? '', body);
    const { sound, files } = await verify();
    expect(sound).toBe(false);
    expect(files[0]?.problems).toEqual([]);
    expect(files[1]?.problems.join('; ')).toMatch(expected);
    expect(files[1]?.problems.join('; ')).toMatch(/the RDB is corrupt, it was sound/);
  });

  it('finds an object that has become shorter', async () => {
    store.objects.set(keys[0] ?? '', FIRST.subarray(0, 1000));
    const { files } = await verify();
    expect(files[0]?.problems.join('; ')).toMatch(
      new RegExp(`holds 1000 bytes, the manifest says ${FIRST.length}.*truncated`),
    );
  });

  it('finds a sound file that is not the one the manifest describes', async () => {
    const foreign = {
      ...manifest,
      files: manifest.files.map((kept) => ({
        ...kept,
        rdb: { ...kept.rdb, digest: `${kept.shard}`.repeat(32), keys: 1 },
      })),
    };
    const { sound, files } = await verify(foreign);
    expect(sound).toBe(false);
    expect(files[0]?.problems).toEqual([
      'keys: 1500, the manifest says 1',
      expect.stringMatching(/^digest: [0-9a-f]{32}, the manifest says 0{32}$/),
    ]);
  });

  it('finds that two shards have become the same, whatever the manifest says of the files alone', async () => {
    const [first, second] = manifest.files;
    if (first === undefined || second === undefined) throw new Error('two files were stored');
    const twice = { ...second, ...first, shard: second.shard };
    const { sound, problems, files } = await verify({ ...manifest, files: [first, twice] });
    expect(sound).toBe(false);
    expect(problems).toEqual([expect.stringContaining('one shard is there twice') as string]);
    expect(files.flatMap((file) => file.problems)).toEqual([]);
  });

  it('finds keys in other slots than the manifest says', async () => {
    const files = manifest.files.map((file) =>
      file.shard === 0
        ? { ...file, rdb: { ...file.rdb, slots: { ...file.rdb.slots, ranges: '0-1' } } }
        : file,
    );
    const finding = await verify({ ...manifest, files });
    expect(finding.files[0]?.problems).toEqual([expect.stringMatching(/^slots: .*, the manifest says 0-1$/)]);
  });

  it('finds an object that is gone, and goes on with the others', async () => {
    store.objects.delete(keys[0] ?? '');
    const { sound, files } = await verify();
    expect(sound).toBe(false);
    expect(files.map(({ problems }) => problems)).toEqual([['the object is gone'], []]);
  });

  it('does not take half a cluster for a whole one', async () => {
    const { sound, problems } = await verify({ ...manifest, files: manifest.files.slice(0, 1) });
    expect(sound).toBe(false);
    expect(problems).toEqual(['1 files of 1 shards; the instance has 2']);
  });

  function breakingOffWith(error: Error): MemoryStore {
    const read = async function* (): AsyncGenerator<Buffer> {
      yield FIRST.subarray(0, 100);
      throw error;
    };
    return { ...store, read };
  }

  it('reports an object that is replaced while it is read', async () => {
    const replaced = new BackupError('SOURCE_CHANGED', 'read: it was replaced');
    const { sound, files } = await verifyBackup(
      breakingOffWith(replaced),
      manifest,
      () => createRdbScanner(),
      signal,
    );
    expect(sound).toBe(false);
    expect(files[0]?.problems).toEqual(['cannot be read at byte 100: read: it was replaced']);
  });

  it.each([
    new BackupError('SERVICE_ERROR', 'read: the connection is lost'),
    new BackupError('SERVICE_ERROR', 'read: InvalidObjectState'),
    new BackupError('PERMISSION_DENIED', 'read: AccessDenied'),
    new BackupError('THROTTLED', 'read: TotalQpsLimitExceeded'),
  ])('does not call damaged what it could not read: $code, $message', async (error) => {
    await expect(
      verifyBackup(breakingOffWith(error), manifest, () => createRdbScanner(), signal),
    ).rejects.toBe(error);
  });

  it('ends when it is asked to stop, without a finding', async () => {
    const stop = new AbortController();
    const read = async function* (): AsyncGenerator<Buffer> {
      yield FIRST.subarray(0, 100);
      stop.abort(new Error('stop'));
      stop.signal.throwIfAborted();
    };
    await expect(
      verifyBackup({ ...store, read }, manifest, () => createRdbScanner(), stop.signal),
    ).rejects.toThrow('stop');
  });
});
