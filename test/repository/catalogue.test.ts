import { readCatalogue, readManifest, totalBytes } from '../../functions/core/repository/catalogue.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { bodyOf, RDB, storeBackup } from './stored-backup.ts';

const { signal } = new AbortController();

describe('the catalogue', () => {
  let store: MemoryStore;
  beforeEach(() => {
    store = createMemoryStore();
  });

  it('lists every backup that has a manifest, newest first', async () => {
    storeBackup(store, 'r-old', { startedAt: '2026-11-18T18:00:00Z' });
    storeBackup(store, 'r-new', { startedAt: '2026-11-20T18:00:00Z', shards: 2 });
    storeBackup(store, 'r-mid', { startedAt: '2026-11-19T18:00:00Z' });
    const { backups, damaged, unfinished } = await readCatalogue(store, { prefix: '' }, signal);
    expect(backups.map(({ manifest }) => manifest.instance.id)).toEqual(['r-new', 'r-mid', 'r-old']);
    expect(backups.map(({ manifest }) => totalBytes(manifest))).toEqual([
      bodyOf(0, 2).length + bodyOf(1, 2).length,
      RDB.length,
      RDB.length,
    ]);
    expect([...damaged, ...unfinished]).toEqual([]);
  });

  it('does not count files without a manifest as a backup, and says that they are there', async () => {
    const { key } = storeBackup(store, 'r-1');
    store.objects.delete(key);
    expect(await readCatalogue(store, { prefix: '' }, signal)).toEqual({
      backups: [],
      damaged: [],
      unfinished: ['Backup_r-1/2026-11-20/20261120T180000Z-nightly/'],
    });
  });

  it('takes one instance without the others whose ids begin alike', async () => {
    storeBackup(store, 'r-1');
    storeBackup(store, 'r-12');
    const { backups } = await readCatalogue(store, { prefix: '', instanceId: 'r-1' }, signal);
    expect(backups.map(({ manifest }) => manifest.instance.id)).toEqual(['r-1']);
  });

  it('sees nothing of the state of runs, nor of what others keep in the bucket', async () => {
    store.objects.set('.tairlift/runs/x/summary.json', Buffer.from('{}'));
    store.objects.set('photos/manifest.json', Buffer.from('{}'));
    expect((await readCatalogue(store, { prefix: '' }, signal)).backups).toEqual([]);
  });

  it('reports a manifest that cannot be read beside those that can', async () => {
    storeBackup(store, 'r-1');
    const { key } = storeBackup(store, 'r-2');
    store.objects.set(key, Buffer.from('{"version":1,'));
    const { backups, damaged } = await readCatalogue(store, { prefix: '' }, signal);
    expect(backups.map(({ manifest }) => manifest.instance.id)).toEqual(['r-1']);
    expect(damaged).toMatchObject([{ manifestKey: key, error: { code: 'BACKUP_DAMAGED' } }]);
  });

  it('fails as a whole when the bucket cannot be read', async () => {
    storeBackup(store, 'r-1');
    const get = async (): Promise<never> => Promise.reject(new Error('down'));
    await expect(readCatalogue({ ...store, get }, { prefix: '' }, signal)).rejects.toThrow('down');
  });
});

describe('a manifest', () => {
  it('that is not there is NOT_FOUND', async () => {
    await expect(readManifest(createMemoryStore(), 'a/manifest.json', signal)).rejects.toMatchObject({
      code: 'NOT_FOUND',
    });
  });

  it('with an unknown or a missing field is damaged, and every field is named', async () => {
    const store = createMemoryStore();
    const { key, manifest } = storeBackup(store, 'r-1');
    const { level: _left, ...rest } = manifest;
    store.objects.set(key, Buffer.from(JSON.stringify({ ...rest, levle: 'parsed' })));
    await expect(readManifest(store, key, signal)).rejects.toMatchObject({
      code: 'BACKUP_DAMAGED',
      message: expect.stringMatching(/level.*levle/),
    });
  });
});
