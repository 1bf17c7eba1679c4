/**
 * A process as Function Compute makes one for the uploader: it loads the built bundle and calls its handler, once.
 * Nothing else is loaded, so that what is measured is what runs there. The argument is a `UploaderRun` as JSON.
 */
import { createRequire } from 'node:module';
import type { UploadRequest } from '../../../functions/core/upload-request.ts';
import { peakRssKb, tell } from './tell.ts';

export interface UploaderRun {
  /** Path of the function's `index.js`. */
  readonly bundle: string;
  readonly event: UploadRequest;
  readonly memoryMb: number;
}

/** The part of the bundle's interface that is used. */
interface Bundle {
  handler(event: Buffer, context: unknown): Promise<{ readonly manifest: string }>;
}

const TIMEOUT_SECONDS = 3600;

async function main(run: UploaderRun): Promise<void> {
  tell({ pid: process.pid });
  const bundle = createRequire(__filename)(run.bundle) as Bundle;
  const { manifest } = await bundle.handler(Buffer.from(JSON.stringify(run.event)), contextOf(run));
  tell({ peakRssKb: peakRssKb(), manifest });
}

/** https://help.aliyun.com/zh/functioncompute/fc-3-0/user-guide/context-1 */
function contextOf({ memoryMb }: UploaderRun): object {
  return {
    requestId: `bench-${process.pid}`,
    credentials: { accessKeyId: 'bench', accessKeySecret: 'bench', securityToken: 'bench' },
    function: { name: 'uploader', handler: 'index.handler', memory: memoryMb, timeout: TIMEOUT_SECONDS },
    service: { name: '', logProject: '', logStore: '', qualifier: 'LATEST', versionId: '' },
    region: 'cn-hangzhou',
    accountId: '1234567890123456',
    retryCount: 0,
  };
}

main(JSON.parse(process.argv[2] ?? '') as UploaderRun).then(
  // As the platform ends an instance: without waiting for connections that are kept open.
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
