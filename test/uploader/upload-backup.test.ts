import { createHttpClient, type HttpClient } from '../../functions/core/transfer/http.ts';
import { silentLog } from '../../functions/core/log.ts';
import { parseManifest } from '../../functions/core/repository/manifest.ts';
import type { SourceBackup } from '../../functions/core/source/source.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { uploadBackup, type UploadParts } from '../../functions/uploader/upload-backup.ts';
import { startFileServer, type FileServer } from '../doubles/file-server.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { checksumOf, createMemoryStore } from '../doubles/memory-store.ts';
import { createPlainScanner, plainFile } from '../doubles/plain-scanner.ts';

const request: UploadRequest = {
  runId: '20261120T180000Z-nightly',
  plan: 'nightly',
  date: '2026-11-20',
  attempt: 1,
  destination: { region: 'cn-hangzhou', bucket: 'backups', prefix: 'p/' },
  instance: {
    region: 'cn-hangzhou',
    id: 'r-bp1',
    name: 'orders',
    engine: 'Redis',
    engineVersion: '7.0',
    architecture: 'standard',
    shards: 1,
  },
  backup: {
    ids: ['100'],
    jobIds: ['7'],
    mode: 'manual',
    startedAt: '2026-11-20T18:00:05Z',
    endedAt: '2026-11-20T18:03:00Z',
    adopted: false,
  },
};
const FOLDER = 'p/Backup_r-bp1/2026-11-20/20261120T180000Z-nightly/';

describe('uploadBackup', () => {
  let http: HttpClient;
  let server: FileServer;
  beforeEach(async () => {
    http = createHttpClient();
    server = await startFileServer(plainFile(20 * 1024 ** 2));
  });
  afterEach(async () => {
    http.close();
    await server.close();
  });

  it('stores the file and then its manifest', async () => {
    const store = createMemoryStore();
    const file = plainFile(20 * 1024 ** 2 + 17);
    server.serve(file);
    const parts: UploadParts = {
      source: createListedSource(() => [listed([server.url])]),
      store,
      target: store,
      http,
      scanner: createPlainScanner,
      log: silentLog,
    };

    const uploaded = await uploadBackup(request, parts, new AbortController().signal);

    expect(uploaded.key).toBe(`${FOLDER}manifest.json`);
    expect(store.objects.get(`${FOLDER}file.rdb`)?.equals(file)).toBe(true);
    const stored = parseManifest(store.objects.get(uploaded.key) ?? Buffer.alloc(0), uploaded.key);
    expect(stored).toEqual(uploaded.manifest);
    expect(stored.files).toMatchObject([
      {
        shard: 0,
        name: 'file.rdb',
        key: `${FOLDER}file.rdb`,
        bytes: file.length,
        crc64: checksumOf(file),
        parts: 3,
      },
    ]);
    expect(stored.level).toBe('parsed');
    expect(store.unfinished()).toEqual([]);
  });
});

function listed(urls: readonly string[]): SourceBackup {
  return {
    ids: ['100'],
    jobIds: ['7'],
    mode: 'manual',
    state: 'succeeded',
    startedAt: '2026-11-20T18:00:05Z',
    files: urls.map((url, shard) => ({
      shard,
      node: `node-${shard}`,
      name: new URL(url).pathname.slice(1),
      announcedBytes: 0,
      url,
    })),
  };
}
