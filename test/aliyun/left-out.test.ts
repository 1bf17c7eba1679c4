/**
 * The functions' bundles leave out what they never call of the vendor's packages (scripts/slim.mjs). Here the clients
 * are taken from a bundle made in that way, and promise all that they promise when they are made of the whole packages.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readEnvironment } from '../../functions/core/config.ts';
import { createFunctionInvoker } from '../../functions/core/invoker.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { testInvoker } from '../contracts/invoker.ts';
import { testObjectStore } from '../contracts/object-store.ts';
import { CONTRACT_INSTANCES, STAGED, testSource } from '../contracts/source.ts';
import { testUploadTarget } from '../contracts/upload-target.ts';
import { startFc } from '../emulator/fc/fc-world.ts';
import { BUCKET, startOss } from '../emulator/oss/start-oss.ts';
import { startTair } from '../emulator/tair/start-tair.ts';
import type * as Bundled from './bundled-cloud.ts';

// What the contracts throw must be of the bundle's own classes.
jest.mock(
  '../../functions/core/errors.ts',
  () => jest.requireActual<typeof Bundled>('../../dist/cloud/index.js').errors,
);

const { composeCloud, composeFunctions } = jest.requireActual<typeof Bundled>('../../dist/cloud/index.js');
const REGION = 'cn-hangzhou';

const openBucket = async () => {
  const stage = await startOss();
  const cloud = composeCloud(
    readEnvironment({ TAIRLIFT_ENDPOINT_OSS: stage.endpoint.replace('localhost', '127.0.0.1') }),
    { region: REGION, credentials: stage.key },
  );
  return {
    store: cloud.storeFor({ region: REGION, bucket: BUCKET, prefix: '' }),
    close: async () => stage.stop(),
  };
};

testObjectStore('OSS, without what is never called,', openBucket);
testUploadTarget('OSS, without what is never called,', openBucket);

describe('Tair, without what is never called,', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-left-out-'));
    await writeFile(join(folder, 'shard.rdb'), 'REDIS0011 not looked at here');
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  testSource('read as a contract says,', async () => {
    const running = await startTair(
      CONTRACT_INSTANCES.map((spec) => ({
        region: REGION,
        ...spec,
        rdbFiles: Array.from({ length: 'shards' in spec ? spec.shards : 1 }, () => join(folder, 'shard.rdb')),
      })),
    );
    const { world, tair, accessKey } = running;
    const environment = readEnvironment({ TAIRLIFT_ENDPOINT_TAIR: world.endpoints.tair });
    return {
      source: composeCloud(environment, { region: REGION, credentials: accessKey }).sourceFor({}),
      region: REGION,
      instances: STAGED,
      now: () => world.clock.now(),
      hold: (id) => tair.holdBackup(id),
      failNext: (id) => tair.failNextBackup(id),
      setStatus: (id, status) => tair.setStatus(id, status),
      exhaustQuota: () => {
        tair.options.manualBackupsPerDay = 0;
      },
      close: async () => running.stop(),
    };
  });
});

for (const { generation, uploader, service } of [
  { generation: '3.0', uploader: 'uploader', service: undefined },
  { generation: '2.0', uploader: 'backup/uploader', service: 'backup' },
]) {
  testInvoker(`Function Compute ${generation}, without what is never called,`, async () => {
    const fc = await startFc();
    fc.deploy('uploader', 'scribe', {
      maxAsyncRetryAttempts: 0,
      ...(service === undefined ? {} : { service }),
    });
    const requests: UploadRequest[] = [];
    fc.fc.onLog(({ text }) => {
      if (text.startsWith('got ')) requests.push(JSON.parse(text.slice(4)) as UploadRequest);
    });
    const functions = composeFunctions(readEnvironment({ TAIRLIFT_ENDPOINT_FC: `http://${fc.host}` }), {
      region: REGION,
      accountId: '1111111111111111',
      credentials: fc.accessKey,
    });
    return {
      invoker: createFunctionInvoker(functions(uploader), uploader),
      requests: () => requests,
      settled: async () => fc.fc.whenIdle(),
      tellsState: service === undefined,
      close: async () => fc.stop(),
    };
  });
}
