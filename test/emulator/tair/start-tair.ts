/** r-kvstore alone, with its download host, and the official client pointed at it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import KvStore, {
  CreateBackupRequest,
  DescribeBackupsRequest,
  DescribeBackupTasksRequest,
} from '@alicloud/r-kvstore20150101';
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { RuntimeOptions } from '@darabonba/typescript';
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { listen, type Listening } from '../../../emulator/http.ts';
import { createIdentity, type AccessKey } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import type { TairOptions } from '../../../emulator/tair/options.ts';
import { createTair, type Tair } from '../../../emulator/tair/tair-service.ts';
import { noEndpoints, type InstanceSpec, type World } from '../../../emulator/world.ts';

export const ACCOUNT_ID = '1111111111111111';

export interface RunningTair {
  readonly world: World;
  readonly tair: Tair;
  readonly accessKey: AccessKey;
  readonly client: KvStore;
  clientFor(key: AccessKey & { readonly securityToken?: string }, signatureAlgorithm?: string): KvStore;
  /** Ends everything; the folder stays when it was given. */
  stop(): Promise<void>;
}

export async function startTair(
  specs: readonly InstanceSpec[],
  { folder: given, ...options }: Partial<TairOptions> & { readonly folder?: string } = {},
): Promise<RunningTair> {
  const folder = given ?? (await mkdtemp(join(tmpdir(), 'tairlift-tair-')));
  const clock = createClock();
  const endpoints = noEndpoints();
  const world: World = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder,
    accountId: ACCOUNT_ID,
    endpoints,
  };
  const accessKey = world.identity.addAccount(ACCOUNT_ID);
  const tair = await createTair(world, specs, options);
  const open: Listening[] = [];
  for (const service of [tair.service, tair.download]) {
    const listening = await listen(service, world);
    open.push(listening);
    endpoints[service.name] = `http://127.0.0.1:${listening.port}`;
  }
  await tair.start();

  const clientFor: RunningTair['clientFor'] = (key, signatureAlgorithm) =>
    new KvStore(
      new $OpenApiUtil.Config({
        endpoint: new URL(endpoints.tair).host,
        protocol: 'http',
        regionId: 'cn-hangzhou',
        readTimeout: 10_000,
        ...(signatureAlgorithm === undefined ? {} : { signatureAlgorithm }),
        ...key,
      }),
    );
  return {
    world,
    tair,
    accessKey,
    client: clientFor(accessKey),
    clientFor,
    stop: async () => {
      await Promise.all(open.map(async (listening) => listening.close()));
      await tair.stop();
      if (given === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a backup and polls its job, as any client would, until it is finished. */
export async function backUp({ client }: RunningTair, instanceId: string): Promise<string> {
  const { body } = await client.createBackup(new CreateBackupRequest({ instanceId }));
  const jobId = body?.backupJobID ?? '';
  for (const backupJobId of jobId.split(',')) {
    for (;;) {
      const tasks = await client.describeBackupTasks(
        new DescribeBackupTasksRequest({ instanceId, backupJobId }),
      );
      if (tasks.body?.backupJobs?.[0]?.backupProgressStatus === 'Finished') break;
    }
  }
  return jobId;
}

export const ALL_TIME = { startTime: '2010-01-01T10:00Z', endTime: '2050-01-01T10:00Z' };

/** The rows of DescribeBackups for one job. */
export async function backupsOf({ client }: RunningTair, instanceId: string, backupJobId?: string) {
  const request = new DescribeBackupsRequest({
    instanceId,
    ...ALL_TIME,
    ...(backupJobId === undefined ? {} : { backupJobId: Number(backupJobId) }),
  });
  return (await client.describeBackups(request)).body?.backups?.backup ?? [];
}

/** The answer as it came, through the official core but past its models, which coerce and drop. */
export async function callRaw(
  { world, accessKey }: RunningTair,
  action: string,
  query: Readonly<Record<string, string>>,
  method = 'POST',
): Promise<Readonly<Record<string, unknown>>> {
  const core = new OpenApi(
    new $OpenApiUtil.Config({ endpoint: new URL(world.endpoints.tair).host, protocol: 'http', ...accessKey }),
  );
  const params = new $OpenApiUtil.Params({
    action,
    version: '2015-01-01',
    protocol: 'HTTP',
    pathname: '/',
    method,
    authType: 'AK',
    style: 'RPC',
    reqBodyType: 'formData',
    bodyType: 'json',
  });
  const answer = await core.callApi(
    params,
    new $OpenApiUtil.OpenApiRequest({ query }),
    new RuntimeOptions({}),
  );
  return answer['body'] as Readonly<Record<string, unknown>>;
}

/** A bare HTTP request: nothing is added to it, as `fetch` would. */
export async function ask(
  url: string,
  {
    method = 'GET',
    headers = {},
  }: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ readonly status: number; readonly headers: Record<string, unknown>; readonly body: Buffer }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers }, (response) => {
      const pieces: Buffer[] = [];
      response
        .on('data', (piece: Buffer) => pieces.push(piece))
        .once('error', reject)
        .once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            body: Buffer.concat(pieces),
          }),
        );
    });
    request.once('error', reject).end();
  });
}
