/** OSS alone on a port, with one account and two buckets, and the official SDK pointed at it. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OSS from 'ali-oss';
import { createClock } from '../../../emulator/clock.ts';
import { createFaults } from '../../../emulator/faults.ts';
import { listen, type Listening } from '../../../emulator/http.ts';
import { createIdentity, type AccessKey } from '../../../emulator/identity.ts';
import { createJournal } from '../../../emulator/journal.ts';
import { createOss, type Oss } from '../../../emulator/oss/oss-service.ts';
import { presignV1 } from '../../../emulator/oss/signature/v1.ts';
import { noEndpoints, type World } from '../../../emulator/world.ts';

export const ACCOUNT_ID = '1111222233334444';
export const OTHER_ACCOUNT_ID = '5555666677778888';
export const BUCKET = 'my-backups';

export interface Stage {
  readonly world: World;
  readonly oss: Oss;
  readonly key: AccessKey;
  /** `http://localhost:<port>` */
  readonly endpoint: string;
  /** The SDK, unmodified, signing with version 4 unless told otherwise. */
  client(options?: Partial<ClientOptions>): Sdk;
  stop(): Promise<void>;
}

/** What the SDK has and its published types lack. */
type Sdk = OSS & {
  getObjectTagging(name: string): Promise<{ readonly tag: Readonly<Record<string, string>> }>;
  putObjectTagging(name: string, tag: Readonly<Record<string, string>>): Promise<unknown>;
  deleteObjectTagging(name: string): Promise<unknown>;
  getBucketVersioning(name: string): Promise<{ readonly versionStatus?: string }>;
  putBucketVersioning(name: string, status: string): Promise<{ readonly status: number }>;
  signatureUrlV4(
    method: string,
    expires: number,
    request?: { readonly headers?: Record<string, string>; readonly queries?: Record<string, string> },
    name?: string,
    additionalHeaders?: readonly string[],
  ): Promise<string>;
};

export interface ClientOptions extends OSS.Options {
  /** Puts the bucket into the path; the published types lack it. */
  readonly sldEnable?: boolean;
  /** What the SDK adds to its clock, in milliseconds; they lack this, too. */
  readonly amendTimeSkewed?: number;
}

/** @param folder kept after `stop` when given */
export async function startOss(folder?: string): Promise<Stage> {
  const home = folder ?? (await mkdtemp(join(tmpdir(), 'tairlift-oss-')));
  const clock = createClock();
  const world: World = {
    clock,
    faults: createFaults(),
    journal: createJournal(),
    identity: createIdentity(clock),
    folder: home,
    accountId: ACCOUNT_ID,
    endpoints: noEndpoints(),
  };
  const key = world.identity.addAccount(ACCOUNT_ID);
  const oss = await createOss(world, [
    { name: BUCKET, region: 'cn-hangzhou' },
    { name: 'in-shanghai', region: 'cn-shanghai' },
    { name: 'of-somebody-else', region: 'cn-hangzhou', accountId: OTHER_ACCOUNT_ID },
  ]);
  const listening: Listening = await listen(oss.service, world);
  const endpoint = `http://localhost:${listening.port}`;

  return {
    world,
    oss,
    key,
    endpoint,
    client(options = {}) {
      const credentials = { ...key, ...options };
      const { accessKeyId, accessKeySecret, stsToken = '' } = credentials;
      return new OSS({
        endpoint,
        sldEnable: true,
        region: 'oss-cn-hangzhou',
        authorizationV4: true,
        bucket: BUCKET,
        ...credentials,
        // Without it the SDK warns on the console about every session.
        refreshSTSToken: async () => ({ accessKeyId, accessKeySecret, stsToken }),
        // The methods are there; see the type.
      }) as Sdk;
    },
    async stop() {
      await listening.close();
      await oss.stop();
      if (folder === undefined) await rm(home, { recursive: true, force: true });
    },
  };
}

/** The SDK's error, for asserting on its code and status. */
export async function failure(
  promise: Promise<unknown>,
): Promise<{ code: string; status: number; ecCode?: string }> {
  try {
    await promise;
  } catch (error) {
    // What the SDK throws carries these; a test fails on the comparison when it does not.
    return error as { code: string; status: number };
  }
  throw new Error('expected the request to fail');
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** A request that the SDK would not send, signed in its URL with version 1. */
export async function raw(
  { endpoint, key }: Stage,
  method: string,
  resource: string,
  options: {
    readonly query?: Record<string, string>;
    readonly headers?: Record<string, string>;
    readonly body?: string | Uint8Array<ArrayBuffer>;
  } = {},
): Promise<Answer> {
  const headers = { 'content-type': 'application/octet-stream', ...options.headers };
  const query = presignV1(
    key,
    { method, resource, headers, query: new URLSearchParams(options.query) },
    Date.now() + 60_000,
  );
  const path = resource.split('/').map(encodeURIComponent).join('/');
  const response = await fetch(`${endpoint}${path}?${query.toString()}`, {
    method,
    headers,
    ...(options.body === undefined ? {} : { body: options.body }),
  });
  return { status: response.status, headers: response.headers, body: await response.text() };
}

/** The code in an error document. */
export const codeOf = ({ body }: Answer): string | undefined => /<Code>(\w+)<\/Code>/.exec(body)?.[1];
