/** The product's OSS client on the emulator's OSS: real HTTP, real signatures. */
import { createOssStore, type OssStore, type OssStoreOptions } from '../../functions/core/aliyun/oss.ts';
import { createHttpClient } from '../../functions/core/transfer/http.ts';
import { QUICK } from '../doubles/policies.ts';
import { BUCKET, startOss, type Stage } from '../emulator/oss/start-oss.ts';

export interface Bucket {
  readonly stage: Stage;
  readonly store: OssStore;
  /** Another client of the same bucket. */
  open(options?: Partial<OssStoreOptions>): OssStore;
  close(): Promise<void>;
}

/** @param idleTimeoutMs after which silence is a fault; short where tests are about silence */
export async function startBucket(idleTimeoutMs = 30_000): Promise<Bucket> {
  const stage = await startOss();
  const http = createHttpClient({ idleTimeoutMs });
  const open = (options: Partial<OssStoreOptions> = {}): OssStore =>
    createOssStore({
      region: 'cn-hangzhou',
      bucket: BUCKET,
      credentials: async () => stage.key,
      endpoint: stage.endpoint.replace('localhost', '127.0.0.1'),
      http,
      policy: QUICK,
      ...options,
    });
  return {
    stage,
    store: open(),
    open,
    close: async () => {
      http.close();
      await stage.stop();
    },
  };
}
