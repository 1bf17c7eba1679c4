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
import type { World } from '../../../emulator/world.ts';

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
  client(options?: Partial<ClientOptions>): OSS;
  stop(): Promise<void>;
}

/** The published types lack `sldEnable`, which the SDK needs to put the bucket into the path. */
export interface ClientOptions extends OSS.Options {
  readonly sldEnable?: boolean;
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
    endpoints: { tair: '', oss: '', fc: '', sts: '', download: '' },
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
    client: (options = {}) =>
      new OSS({
        endpoint,
        sldEnable: true,
        region: 'oss-cn-hangzhou',
        authorizationV4: true,
        bucket: BUCKET,
        ...key,
        ...options,
      }),
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
