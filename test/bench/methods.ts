/** The ways to bring one file from a download host into OSS that are compared, each the whole work of one process. */
import { get as httpGet } from 'node:http';
import OSS from 'ali-oss';
import { createOssStore } from '../../functions/core/aliyun/oss.ts';
import { silentLog } from '../../functions/core/log.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { createHttpClient } from '../../functions/core/transfer/http.ts';
import { uploadBackup } from '../../functions/uploader/upload-backup.ts';
import { createListedSource } from '../doubles/listed-source.ts';
import { backupOf, requestOf } from '../uploader/upload-request.ts';

export interface Ends {
  readonly download: string;
  readonly oss: string;
}

const KEYS = { accessKeyId: 'bench', accessKeySecret: 'bench' };
const BUCKET = 'my-backups';

/** The uploader as it is deployed with 256 MB: everything verified, manifest included. */
export async function upload({ download, oss }: Ends): Promise<void> {
  const store = createOssStore({
    region: 'cn-hangzhou',
    bucket: BUCKET,
    credentials: async () => KEYS,
    endpoint: oss,
  });
  const http = createHttpClient();
  const { manifest } = await uploadBackup(
    requestOf(),
    {
      source: createListedSource(() => [backupOf([download])]),
      store,
      target: store,
      http,
      scanner: () => createRdbScanner(),
      memoryMb: 256,
      log: silentLog,
    },
    new AbortController().signal,
  );
  if (manifest.level !== 'parsed') throw new Error(`the level is ${manifest.level}`);
}

/** What the public template does, in this language: the whole file in memory, then one put. Verifies nothing. */
export async function wholeFileInMemory({ download, oss }: Ends): Promise<void> {
  const pieces: Buffer[] = [];
  await new Promise<void>((resolve, reject) => {
    httpGet(download, (response) => {
      response.on('data', (piece: Buffer) => void pieces.push(piece));
      response.on('end', resolve);
      response.on('error', reject);
    }).on('error', reject);
  });
  await clientOf(oss).put('template/big.rdb', Buffer.concat(pieces));
}

/** The template with the one line mended that hurts most: the answer is passed on while it arrives. Verifies nothing. */
export async function streamedPut({ download, oss }: Ends): Promise<void> {
  await new Promise((resolve, reject) => {
    httpGet(download, (response) => {
      // The published types demand options that the SDK does not.
      const options = { contentLength: Number(response.headers['content-length']) } as OSS.PutStreamOptions;
      resolve(clientOf(oss).putStream('template/big.rdb', response, options));
    }).on('error', reject);
  });
}

function clientOf(oss: string): OSS {
  const options = {
    ...KEYS,
    bucket: BUCKET,
    region: 'oss-cn-hangzhou',
    endpoint: oss,
    authorizationV4: true,
    sldEnable: true,
    timeout: 600_000,
  };
  return new OSS(options);
}
