import { BackupError } from '../../functions/core/errors.ts';
import { createLog } from '../../functions/core/log.ts';
import { parseManifest, type Manifest } from '../../functions/core/repository/manifest.ts';
import type { SourceBackup } from '../../functions/core/source/source.ts';
import type { HttpClient } from '../../functions/core/transfer/http.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import { lanesFor } from '../../functions/uploader/lanes-for.ts';
import {
  uploadBackup,
  type UploadParts,
  type UploadedBackup,
} from '../../functions/uploader/upload-backup.ts';
import { startFileServer, type Answer, type FileServer } from '../doubles/file-server.ts';
import { createListedSource, type ListedSource } from '../doubles/listed-source.ts';
import { checksumOf, createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createPlainScanner, plainContents, plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { spoil } from '../doubles/spoiled-target.ts';
import { FOLDER, MANIFEST, backupOf, fileOf, requestOf } from './upload-request.ts';

const MIB = 1024 ** 2;
const file = plainFile(17 * MIB + 17);

describe('uploadBackup', () => {
  let http: HttpClient;
  let servers: FileServer[];
  let store: MemoryStore;
  let lines: string[];
  beforeEach(() => {
    http = createLeanHttpClient({ idleTimeoutMs: 1000 });
    servers = [];
    store = createMemoryStore();
    lines = [];
  });
  afterEach(async () => {
    http.close();
    await Promise.all(servers.map(async (server) => server.close()));
  });

  async function serve(body: Buffer, headers?: Record<string, string>): Promise<FileServer> {
    const server = await startFileServer(body, headers);
    servers.push(server);
    return server;
  }

  function partsOf(
    list: (listing: number) => readonly SourceBackup[],
    change: Partial<UploadParts> = {},
  ): UploadParts {
    return {
      source: createListedSource(list),
      store,
      target: store,
      http,
      scanner: createPlainScanner,
      policy: QUICK,
      log: createLog((line) => void lines.push(line)),
      ...change,
    };
  }

  const upload = async (
    parts: UploadParts,
    shards = 1,
    { signal } = new AbortController(),
  ): Promise<UploadedBackup> => uploadBackup(requestOf(shards), parts, signal);

  const storedManifest = (): Manifest =>
    parseManifest(store.objects.get(MANIFEST) ?? Buffer.alloc(0), MANIFEST);

  const expectNothingLeft = (): void => {
    expect(store.objects.has(MANIFEST)).toBe(false);
    expect(store.openUploads()).toEqual([]);
  };

  it('stores the file and then its manifest, which says what is stored', async () => {
    const server = await serve(file);

    const uploaded = await upload(partsOf(() => [backupOf([server.url])]));

    expect(uploaded).toMatchObject({ key: MANIFEST, existed: false });
    expect(store.objects.get(`${FOLDER}shard-0.rdb`)?.equals(file)).toBe(true);
    expect([...store.objects.keys()].at(-1)).toBe(MANIFEST);
    expect(store.openUploads()).toEqual([]);
    const { backup, instance } = requestOf();
    expect(storedManifest()).toEqual({
      version: 1,
      runId: '20261120T180000Z-nightly',
      plan: 'nightly',
      instance,
      backup,
      files: [
        {
          shard: 0,
          name: 'shard-0.rdb',
          key: `${FOLDER}shard-0.rdb`,
          bytes: file.length,
          sourceBytes: file.length,
          crc64: checksumOf(file),
          parts: 3,
          rdb: {
            version: 11,
            verdict: 'sound',
            databases: { '0': { keys: 2, expires: 1 } },
            keys: 2,
            expires: 1,
            types: { string: { keys: 2, bytes: 20 } },
            slots: { seen: 2 },
            digest: plainContents(file).digest,
          },
        },
      ],
      level: 'parsed',
      durationMs: expect.any(Number),
      tool: { name: 'tairlift', version: '0.1.0' },
    });
  });

  it('stores all shards of a cluster, large and small', async () => {
    const files = [file, plainFile(1000, 2), plainFile(9 * MIB, 3), plainFile(500_000, 4), plainFile(10, 5)];
    const urls = await Promise.all(files.map(async (body) => (await serve(body)).url));

    await upload(
      partsOf(() => [backupOf(urls)]),
      files.length,
    );

    expect(storedManifest().files.map(({ shard, crc64, rdb }) => [shard, crc64, rdb.slots])).toEqual(
      files.map((body, shard) => [shard, checksumOf(body), plainContents(body).slots]),
    );
    expect(storedManifest().cluster).toEqual({ slots: 'disjoint', slotsSeen: 10, emptyShards: [] });
    for (const [shard, body] of files.entries())
      expect(store.objects.get(`${FOLDER}shard-${shard}.rdb`)?.equals(body)).toBe(true);
  });

  it('reports progress up to the last byte of each file', async () => {
    const server = await serve(file);
    const last = new Map<string, number>();

    await upload(
      partsOf(() => [backupOf([server.url])], {
        onProgress: ({ file: name, doneBytes }) => void last.set(name, doneBytes),
      }),
    );

    expect([...last]).toEqual([['shard-0.rdb', file.length]]);
  });

  it('finds the manifest of an earlier invocation, returns it, and changes and reads nothing', async () => {
    const server = await serve(file);
    const first = await upload(partsOf(() => [backupOf([server.url])]));
    const before = [...store.objects];

    const parts = partsOf(() => {
      throw new Error('nothing is to be listed');
    });
    const again = await upload(parts);

    expect(again).toEqual({ key: MANIFEST, manifest: first.manifest, existed: true });
    expect([...store.objects]).toEqual(before);
    expect((parts.source as ListedSource).listings()).toBe(0);
  });

  it('goes on after an attempt that died between the object and the manifest: compares, and uploads nothing', async () => {
    const server = await serve(file);
    store.objects.set(`${FOLDER}shard-0.rdb`, file);
    const target = spoil(store, []);

    await upload(partsOf(() => [backupOf([server.url])], { target }));

    expect(new Set(target.calls)).toEqual(new Set(['head', 'unfinished']));
    expect(storedManifest()).toMatchObject({
      level: 'parsed',
      files: [{ crc64: checksumOf(file), parts: 3 }],
    });
  });

  it('refuses an object that holds other bytes', async () => {
    const server = await serve(file);
    store.objects.set(`${FOLDER}shard-0.rdb`, plainFile(file.length, 9));

    await expect(upload(partsOf(() => [backupOf([server.url])]))).rejects.toMatchObject({
      code: 'DESTINATION_CONFLICT',
    });
    expectNothingLeft();
  });

  it('stays at checksummed when a file has no checksum of its own', async () => {
    const unchecked = Buffer.concat([
      plainFile(1000).subarray(0, 900),
      Buffer.from('!unchecked!\xff', 'latin1'),
    ]);
    const urls = [(await serve(plainFile(1000))).url, (await serve(unchecked)).url];

    await upload(
      partsOf(() => [backupOf(urls)]),
      2,
    );

    expect(storedManifest()).toMatchObject({
      level: 'checksummed',
      files: [{ rdb: { verdict: 'sound' } }, { rdb: { verdict: 'unverifiable' } }],
    });
  });

  describe('a file that is damaged at the source', () => {
    const corrupt = Buffer.from(file);
    corrupt.write('!corrupt!', 9 * MIB, 'latin1');
    const cut = file.subarray(0, -1);
    const altered = Buffer.concat([cut, Buffer.from([0xfe])]);

    it.each([
      ['corrupt', corrupt, 'RDB_CORRUPT', 9 * MIB],
      ['truncated', cut, 'RDB_TRUNCATED', 0],
      ['small and corrupt', Buffer.from('REDIS !corrupt!\xff', 'latin1'), 'RDB_CORRUPT', 6],
    ])('is a loud failure with verdict and offset: %s', async (_name, body, code, byte) => {
      const server = await serve(body);

      await expect(upload(partsOf(() => [backupOf([server.url])]))).rejects.toMatchObject({
        code,
        message: expect.stringMatching(
          /^read shard-0\.rdb of r-bp1: (corrupt|truncated) at byte \d+: the file: marked/,
        ),
        details: { byte },
      });
      expect(store.objects.size).toBe(0);
      expectNothingLeft();
    });

    it('fails the whole backup when one shard of many is damaged', async () => {
      const urls = [(await serve(file)).url, (await serve(corrupt)).url, (await serve(plainFile(1000))).url];

      await expect(
        upload(
          partsOf(() => [backupOf(urls)]),
          3,
        ),
      ).rejects.toMatchObject({ code: 'RDB_CORRUPT' });
      expectNothingLeft();
    });

    it.each([
      ['corrupt', 8 * MIB, 16 * MIB, corrupt],
      ['truncated, as after an altered length', 16 * MIB, file.length, altered],
    ])(
      'is read a second time before it is believed, because a byte may have been altered on the way: %s',
      async (_name, start, end, body) => {
        const server = await serve(file);
        let spoiled = false;
        const flip: Answer = (request, response, ordinary) => {
          if (spoiled || request.headers.range !== `bytes=${start}-${end - 1}`) {
            server.script(flip);
            return ordinary();
          }
          spoiled = true;
          response.writeHead(206, {
            'content-range': `bytes ${start}-${end - 1}/${file.length}`,
            'content-length': end - start,
          });
          response.end(body.subarray(start, end));
        };
        server.script(flip);

        await upload(partsOf(() => [backupOf([server.url])]));

        expect(spoiled).toBe(true);
        expect(store.objects.get(`${FOLDER}shard-0.rdb`)?.equals(file)).toBe(true);
        expect(store.openUploads()).toEqual([]);
      },
    );

    it('is told from a byte altered on the way by the checksum of the source', async () => {
      const server = await serve(corrupt, { 'x-oss-hash-crc64ecma': checksumOf(corrupt) });

      await expect(upload(partsOf(() => [backupOf([server.url])]))).rejects.toMatchObject({
        code: 'RDB_CORRUPT',
      });
      expect(
        server.requests.filter(({ headers }) => headers.range === `bytes=0-${8 * MIB - 1}`),
      ).toHaveLength(1);
    });
  });

  describe('takes all shards or nothing', () => {
    it.each<[string, (url: string) => SourceBackup, string, RegExp]>([
      ['a shard is missing', (url) => backupOf([url, url]), 'BACKUP_FAILED', /no file of shard 2/],
      [
        'a shard has no URL',
        (url) => backupOf([url, undefined, url]),
        'NO_DOWNLOAD_URL',
        /no download URL for shard 1/,
      ],
      [
        'there are more files than shards',
        (url) => backupOf([url, url, url, url]),
        'BACKUP_FAILED',
        /4 files for 3/,
      ],
      [
        'a shard is there twice and another is missing',
        (url) =>
          backupOf([], { files: [fileOf(0, url), fileOf(1, url), { ...fileOf(1, url), name: 'x.rdb' }] }),
        'BACKUP_FAILED',
        /no file of shard 2/,
      ],
      [
        'two files have the same name',
        (url) =>
          backupOf([], {
            files: [fileOf(0, url), fileOf(1, url), { ...fileOf(2, url), name: 'shard-0.rdb' }],
          }),
        'SOURCE_INVALID',
        /cannot be used/,
      ],
      [
        'a name would leave the folder',
        (url) =>
          backupOf([], { files: [fileOf(0, url), fileOf(1, url), { ...fileOf(2, url), name: '../x.rdb' }] }),
        'SOURCE_INVALID',
        /cannot be used/,
      ],
      [
        'the service calls it failed',
        (url) => backupOf([url, url, url], { state: 'failed' }),
        'BACKUP_FAILED',
        /has failed/,
      ],
      [
        'it is still running',
        (url) => backupOf([url, url, url], { state: 'running' }),
        'BACKUP_FAILED',
        /it is running/,
      ],
      [
        'it is not listed',
        (url) => backupOf([url, url, url], { ids: ['99'], jobIds: ['9'] }),
        'NO_DOWNLOAD_URL',
        /does not list it/,
      ],
    ])('%s', async (_name, listed, code, message) => {
      const server = await serve(plainFile(1000));

      await expect(
        upload(
          partsOf(() => [listed(server.url)]),
          3,
        ),
      ).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
      expect(server.requests).toHaveLength(0);
      expect(store.objects.size).toBe(0);
    });

    it('opens every file before it sends the first byte', async () => {
      const missing = await serve(Buffer.alloc(0));
      const good = await serve(file);
      const target = spoil(store, []);

      await expect(
        upload(
          partsOf(() => [backupOf([good.url, missing.url])], { target }),
          2,
        ),
      ).rejects.toMatchObject({
        code: 'SOURCE_TRUNCATED',
        message: expect.stringContaining('shard-1.rdb of r-bp1'),
      });
      expect(target.calls).toEqual([]);
    });

    it('waits a little for a listing that is not complete yet', async () => {
      const server = await serve(plainFile(1000));

      await upload(partsOf((listing) => [backupOf(listing < 3 ? [] : [server.url])]));

      expect(storedManifest().files).toHaveLength(1);
    });
  });

  it('takes the length from the answer and notes that another one was announced', async () => {
    const server = await serve(plainFile(1000));
    const listed = backupOf([], { files: [{ ...fileOf(0, server.url), announcedBytes: 999 }] });

    await upload(partsOf(() => [listed]));

    expect(storedManifest().files).toMatchObject([{ bytes: 1000, sourceBytes: 1000 }]);
    expect(lines.join('\n')).toContain('"announcedBytes":999');
  });

  it('renews expired URLs once for all lanes and files', async () => {
    const urls = [(await serve(file)).url, (await serve(plainFile(12 * MIB, 2))).url];
    const expire: Answer = (request, response, ordinary) => {
      const isOld = !(request.url ?? '').includes('fresh');
      for (const server of servers) server.script(expire);
      if (isOld && request.headers.range !== 'bytes=0-0')
        response.writeHead(403).end('<Code>AccessDenied</Code>');
      else ordinary();
    };
    for (const server of servers) server.script(expire);
    const parts = partsOf((listing) => [
      backupOf(urls.map((url) => (listing === 1 ? url : `${url}&fresh=${listing}`))),
    ]);

    await upload(parts, 2);

    expect((parts.source as ListedSource).listings()).toBe(2);
    expect(storedManifest().files).toHaveLength(2);
  });

  it('reads again when another uploader ended the upload, and accepts its object', async () => {
    const server = await serve(file);
    let sent = 0;
    const target = {
      ...store,
      uploadPart: async (...call: Parameters<MemoryStore['uploadPart']>) => {
        if (++sent === 2) {
          await store.abort(call[0], call[1], call[4]);
          store.objects.set(call[0], file);
        }
        return store.uploadPart(...call);
      },
    };

    await upload(partsOf(() => [backupOf([server.url])], { target }));

    expect(storedManifest().files).toMatchObject([{ crc64: checksumOf(file) }]);
    expect(store.openUploads()).toEqual([]);
  });

  describe('when two uploaders race for the manifest', () => {
    async function raceWith(change: (manifest: Manifest) => Manifest): Promise<UploadedBackup> {
      const server = await serve(file);
      const rival = {
        ...store,
        create: async (...call: Parameters<MemoryStore['create']>) => {
          const theirs = change(parseManifest(call[1], call[0]));
          store.objects.set(call[0], Buffer.from(JSON.stringify(theirs)));
          return store.create(...call);
        },
      };
      return upload(partsOf(() => [backupOf([server.url])], { store: rival }));
    }

    it('accepts the other one when it describes the same bytes', async () => {
      const uploaded = await raceWith((manifest) => ({ ...manifest, durationMs: 77 }));

      expect(uploaded).toMatchObject({ existed: true, manifest: { durationMs: 77 } });
    });

    it('fails when it describes other bytes', async () => {
      const other = raceWith((manifest) => ({
        ...manifest,
        files: manifest.files.map((entry) => ({ ...entry, crc64: '1' })),
      }));

      await expect(other).rejects.toMatchObject({ code: 'DESTINATION_CONFLICT' });
    });
  });

  it('stops in order at the deadline, and the next call goes on where it stopped', async () => {
    const server = await serve(file);
    const deadline = new AbortController();
    const near = new BackupError('DEADLINE_NEAR', 'finish within 60 s: 30 s are left', { retryable: true });
    const parts = partsOf(() => [backupOf([server.url])], {
      memoryMb: 128,
      onProgress: () => deadline.abort(near),
    });

    await expect(upload(parts, 1, deadline)).rejects.toMatchObject({
      code: 'DEADLINE_NEAR',
      details: { keptBytes: 8 * MIB },
    });
    expect(store.objects.has(MANIFEST)).toBe(false);
    expect(store.openUploads()).toMatchObject([{ parts: 1 }]);

    const before = server.requests.length;
    const { manifest } = await upload(partsOf(() => [backupOf([server.url])]));

    expect(manifest.files[0]).toMatchObject({ crc64: checksumOf(file), rdb: { verdict: 'sound' } });
    const ranges = server.requests.slice(before).map(({ headers }) => headers.range);
    expect(new Set(ranges)).toEqual(
      new Set(['bytes=0-0', `bytes=${8 * MIB}-${16 * MIB - 1}`, `bytes=${16 * MIB}-${file.length - 1}`]),
    );
    expect(store.openUploads()).toEqual([]);
  });

  it('does not read again what it has stored of a cluster, and goes on with the rest', async () => {
    const servers = [await serve(plainFile(9 * MIB, 5)), await serve(plainFile(9 * MIB, 6))];
    const deadline = new AbortController();
    const near = new BackupError('DEADLINE_NEAR', 'finish in time', { retryable: true });
    const urls = servers.map(({ url }) => url);
    const never = (): void => undefined;
    servers[1]?.script((_request, _response, ordinary) => ordinary(), never, never, never);
    const parts = partsOf(() => [backupOf(urls)], {
      memoryMb: 512,
      log: createLog((line) => {
        lines.push(line);
        if (line.includes('the file is stored')) setTimeout(() => deadline.abort(near), 20);
      }),
    });
    await expect(upload(parts, 2, deadline)).rejects.toMatchObject({
      code: 'DEADLINE_NEAR',
      details: { keptBytes: expect.any(Number) },
    });
    const first = [...store.objects.keys()].find((key) => key.endsWith('.rdb')) ?? '';
    const asked = servers.map(({ requests }) => requests.length);

    const { manifest } = await upload(
      partsOf(() => [backupOf(urls)]),
      2,
    );

    expect(manifest.files).toHaveLength(2);
    const more = servers.map(({ requests }, n) => requests.length - (asked[n] ?? 0));
    const storedFirst = manifest.files.findIndex(({ key }) => key === first);
    expect(more[storedFirst]).toBe(0);
    expect(more[1 - storedFirst]).toBeGreaterThan(0);
  });

  it('believes no record of a stored file whose object is another one', async () => {
    const files = [plainFile(9 * MIB, 5), plainFile(9 * MIB, 6)];
    const servers = [await serve(files[0] ?? file), await serve(files[1] ?? file)];
    const urls = servers.map(({ url }) => url);
    await upload(
      partsOf(() => [backupOf(urls)]),
      2,
    );
    const keys = [...store.objects.keys()];
    store.objects.delete(keys.find((key) => key.endsWith('manifest.json')) ?? '');
    const damaged = keys.find((key) => key.endsWith('.rdb')) ?? '';
    store.objects.set(damaged, plainFile(9 * MIB, 7));

    await expect(
      upload(
        partsOf(() => [backupOf(urls)]),
        2,
      ),
    ).rejects.toMatchObject({ code: 'DESTINATION_CONFLICT' });
  });

  it('keeps signatures out of logs and manifests', async () => {
    const server = await serve(file);
    server.script((request) => request.socket.destroy());

    await upload(partsOf(() => [backupOf([server.url])]));

    expect(lines.join('\n') + JSON.stringify(storedManifest())).not.toContain('secret-0');
  });

  it('logs nothing that it throws', async () => {
    const parts = partsOf(() => [backupOf([undefined])]);

    await expect(upload(parts)).rejects.toMatchObject({ code: 'NO_DOWNLOAD_URL' });
    expect(lines).toEqual([]);
  });
});

describe('lanesFor', () => {
  it.each([
    [8, undefined, 8, 10],
    [8, 256, 4, 4],
    [8, 384, 8, 10],
    [8, 512, 12, 16],
    [8, 3072, 16, 22],
    [8, 128, 1, 1],
    [64, 512, 1, 1],
    [64, 1024, 3, 3],
    [105, 256, 1, 1],
    // More memory than WebAssembly can address.
    [315, 32_768, 12, 12],
    [4000, 32_768, 1, 1],
    [512, undefined, 7, 7],
  ])(
    'with parts of %d MiB and %s MB of memory gives %d lanes in %d slots',
    (partMib, memoryMb, lanes, slots) => {
      expect(lanesFor(partMib * MIB, memoryMb)).toEqual({ lanes, slots });
    },
  );

  it('refuses parts that cannot be addressed', () => {
    expect(() => lanesFor(4090 * MIB, 32_768)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', hint: expect.stringContaining('42 TB') }),
    );
  });

  it('says how much memory a file needs whose parts do not fit', () => {
    expect(() => lanesFor(512 * MIB, 512)).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID', hint: 'give the uploader at least 1152 MB' }),
    );
  });
});
