/** A Function Compute of its own for a test: listening, with one account, one role and the fixture functions. */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buildSync } from 'esbuild';
import FcModern, { InvokeFunctionHeaders, InvokeFunctionRequest } from '@alicloud/fc20230330';
import { $OpenApiUtil } from '@alicloud/openapi-core';
import { RuntimeOptions } from '@darabonba/typescript';
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { createFc, type Fc, type FcOptions } from '../../../emulator/fc/fc-service.ts';
import { listen } from '../../../emulator/http.ts';
import { createIdentity, type AccessKey, type Role, type Session } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import { noEndpoints, type FunctionSpec, type World } from '../../../emulator/world.ts';

const ACCOUNT_ID = '1111111111111111';
const ROOT = join(__dirname, '..', '..', '..');
const FIXTURES = join(ROOT, 'test', 'fixtures', 'functions');

export interface FcWorld {
  readonly world: World;
  readonly fc: Fc;
  readonly accessKey: AccessKey;
  readonly role: Role;
  /** `127.0.0.1:<port>` */
  readonly host: string;
  deploy(name: string, fixture: string, changes?: Partial<FunctionSpec>): void;
  client(key?: AccessKey | Session): FcModern;
  stop(): Promise<void>;
}

export async function startFc(options: FcOptions = {}): Promise<FcWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'tairlift-fc-test-'));
  const clock = createClock();
  const world: World = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder,
    accountId: ACCOUNT_ID,
    endpoints: noEndpoints(),
  };
  const accessKey = world.identity.addAccount(ACCOUNT_ID);
  const role = world.identity.addRole({
    accountId: ACCOUNT_ID,
    name: 'function-role',
    trusts: ['fc.aliyuncs.com'],
    allow: ['fc:InvokeFunction'],
  });
  const fc = createFc(world, { hostFile: buildHost(folder), retryDelayMs: () => 0, ...options });
  const listening = await listen(fc.service, world);
  const host = `127.0.0.1:${listening.port}`;
  return {
    world,
    fc,
    accessKey,
    role,
    host,
    deploy(name, fixture, changes = {}) {
      fc.deploy([
        {
          name,
          region: 'cn-hangzhou',
          codeFolder: join(FIXTURES, fixture),
          memoryMb: 256,
          timeoutSeconds: 60,
          role: role.arn,
          ...changes,
        },
      ]);
    },
    client: (key = accessKey) =>
      new FcModern(new $OpenApiUtil.Config({ ...key, endpoint: host, protocol: 'http' })),
    async stop() {
      await fc.stop();
      await listening.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The host as it is now in the sources, so that no stale build is tested. */
export function buildHost(folder: string): string {
  const outfile = join(folder, 'function-host.js');
  buildSync({
    entryPoints: [join(ROOT, 'emulator', 'fc', 'function-host.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
  });
  return outfile;
}

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** InvokeFunction through the official SDK, with time enough. */
export async function invoke(
  client: FcModern,
  functionName: string,
  event: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  readTimeout = 60_000,
): Promise<Answer> {
  const response = await client.invokeFunctionWithOptions(
    functionName,
    new InvokeFunctionRequest({ body: Readable.from([Buffer.from(event)]) }),
    new InvokeFunctionHeaders({ commonHeaders: { ...headers } }),
    new RuntimeOptions({ readTimeout, connectTimeout: 5_000 }),
  );
  const pieces: Buffer[] = [];
  for await (const piece of response.body ?? []) pieces.push(piece as Buffer);
  return { status: response.statusCode ?? 0, headers: response.headers ?? {}, body: Buffer.concat(pieces) };
}

export async function enqueue(
  client: FcModern,
  functionName: string,
  event: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return await invoke(client, functionName, JSON.stringify(event), {
    'x-fc-invocation-type': 'Async',
    ...headers,
  });
}

/** Waits for something that has no event of its own; the test's time limit ends it. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
