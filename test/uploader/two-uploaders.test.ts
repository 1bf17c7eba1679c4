/** Two uploaders of the same backup at the same time, on OSS: the platform may deliver an event twice. */
import { silentLog } from '../../functions/core/log.ts';
import type { HttpClient } from '../../functions/core/transfer/http.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import { uploadBackup, type UploadedBackup } from '../../functions/uploader/upload-backup.ts';
import { startBucket, type Bucket } from '../aliyun/start-bucket.ts';
import { startFileServer, type FileServer } from '../doubles/file-server.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { checksumOf } from '../doubles/memory-store.ts';
import { createPlainScanner, plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { FOLDER, MANIFEST, backupOf, requestOf } from './upload-request.ts';

const file = plainFile(20 * 1024 ** 2);

describe('two uploaders of one backup', () => {
  const { signal } = new AbortController();
  let bucket: Bucket;
  let server: FileServer;
  let http: HttpClient;
  beforeEach(async () => {
    bucket = await startBucket();
    server = await startFileServer(file);
    http = createLeanHttpClient();
  });
  afterEach(async () => {
    http.close();
    await server.close();
    await bucket.close();
  });

  const upload = async (): Promise<UploadedBackup> => {
    const store = bucket.open();
    return uploadBackup(
      requestOf(),
      {
        source: createListedSource(() => [backupOf([server.url])]),
        store,
        target: store,
        http,
        scanner: createPlainScanner,
        policy: QUICK,
        log: silentLog,
      },
      signal,
    );
  };

  async function expectOneGoodCopy(): Promise<void> {
    const keys = [];
    for await (const { key } of bucket.store.list('', signal)) keys.push(key);
    expect(keys).toEqual([MANIFEST, `${FOLDER}shard-0.rdb`]);
    expect(await bucket.store.head(`${FOLDER}shard-0.rdb`, signal)).toMatchObject({
      crc64: checksumOf(file),
    });
    expect((await bucket.stage.client().listUploads({ 'max-uploads': 1000 }, {})).uploads ?? []).toEqual([]);
  }

  it('end in one good copy that both report, and in no unfinished upload', async () => {
    const [one, other] = await Promise.all([upload(), upload()]);

    expect(one.manifest).toEqual(other.manifest);
    expect(one.existed).toBe(!other.existed);
    await expectOneGoodCopy();
  });

  it.each(['InitiateMultipartUpload', 'CompleteMultipartUpload'])(
    'do so as well when answers to %s are lost',
    async (action) => {
      bucket.stage.world.faults.add({ service: 'oss', action, times: 2, effect: { kind: 'lose-answer' } });

      await Promise.all([upload(), upload()]);

      await expectOneGoodCopy();
    },
  );

  it('one after the other: the second reads nothing', async () => {
    await upload();
    const { length } = server.requests;

    expect(await upload()).toMatchObject({ existed: true });
    expect(server.requests).toHaveLength(length);
  });
});
