/** A file through the transfer into OSS, with something going wrong on the way to each action. */
import type { Effect } from '../../emulator/faults.ts';
import { createSlotPool } from '../../functions/core/transfer/slot-pool.ts';
import { transferFile, type TransferredFile } from '../../functions/core/transfer/transfer-file.ts';
import { createMemoryFile } from '../doubles/memory-file.ts';
import { checksumOf } from '../doubles/memory-store.ts';
import { plainFile } from '../doubles/plain-scanner.ts';
import { QUICK } from '../doubles/policies.ts';
import { blindObserver } from '../doubles/observers.ts';
import { startBucket, type Bucket } from './start-bucket.ts';

const MIB = 1024 ** 2;
const file = plainFile(17 * MIB);
const small = plainFile(300_000, 2);

const ACTIONS = ['HeadObject', 'InitiateMultipartUpload', 'UploadPart', 'CompleteMultipartUpload'] as const;
const EFFECTS: readonly [string, Effect][] = [
  ['a broken connection', { kind: 'reset' }],
  ['a lost answer', { kind: 'lose-answer' }],
  ['silence', { kind: 'stall' }],
  ['an internal error', { kind: 'error', status: 500, code: 'InternalError' }],
  ['throttling', { kind: 'error', status: 503, code: 'UploadTrafficRateLimitExceeded' }],
];

describe('a transfer into OSS', () => {
  const { signal } = new AbortController();
  let bucket: Bucket;
  let count = 0;
  beforeAll(async () => (bucket = await startBucket(1000)));
  afterEach(() => bucket.stage.world.faults.clear());
  afterAll(async () => bucket.close());

  async function transfer(body: Buffer): Promise<{ key: string; stored: TransferredFile }> {
    const key = `Backup_r-1/2026-11-20/run/${++count}.rdb`;
    const stored = await transferFile(
      createMemoryFile(body),
      bucket.store,
      key,
      {
        pool: createSlotPool(3, 8 * MIB),
        policy: QUICK,
        observe: () => blindObserver(),
      },
      signal,
    );
    return { key, stored };
  }

  async function expectStored(key: string, body: Buffer): Promise<void> {
    expect(await bucket.store.head(key, signal)).toMatchObject({
      bytes: body.length,
      crc64: checksumOf(body),
    });
    expect((await bucket.stage.client().listUploads({ 'max-uploads': 1000 }, {})).uploads ?? []).toEqual([]);
  }

  it.each(ACTIONS.flatMap((action) => EFFECTS.map(([name, effect]) => [name, action, effect] as const)))(
    'survives %s at %s and leaves no unfinished upload',
    async (_name, action, effect) => {
      bucket.stage.world.faults.add({ service: 'oss', action, effect });

      const { key } = await transfer(file);

      await expectStored(key, file);
    },
  );

  it.each(EFFECTS)('survives %s at the put of a small file', async (_name, effect) => {
    bucket.stage.world.faults.add({ service: 'oss', action: 'PutObject', effect });

    const { key, stored } = await transfer(small);

    await expectStored(key, small);
    expect(stored.parts).toBe(1);
  });

  it.each([
    ['a part', file, 'UploadPart'],
    ['a small file', small, 'PutObject'],
  ])('sends %s again that was altered on the way', async (_name, body, action) => {
    bucket.stage.world.faults.add({
      service: 'oss',
      action,
      effect: { kind: 'flip-request', atByte: 12_345 },
    });

    const { key } = await transfer(body);

    await expectStored(key, body);
  });

  it.each([
    ['InitiateMultipartUpload', 403, 'AccessDenied', 'PERMISSION_DENIED'],
    ['UploadPart', 403, 'AccessDenied', 'PERMISSION_DENIED'],
    ['CompleteMultipartUpload', 400, 'InvalidPart', 'UPLOAD_FAILED'],
  ])(
    'fails by name and leaves nothing behind when %s always answers %d %s',
    async (action, status, code, named) => {
      bucket.stage.world.faults.add({
        service: 'oss',
        action,
        times: -1,
        effect: { kind: 'error', status, code },
      });

      await expect(transfer(file)).rejects.toMatchObject({ code: named });

      expect(await bucket.store.head(`Backup_r-1/2026-11-20/run/${count}.rdb`, signal)).toBeUndefined();
      expect(await unfinished()).toEqual([]);
    },
  );

  it.each([
    [500, 'InternalError', 'UPLOAD_FAILED'],
    [503, 'TotalQpsLimitExceeded', 'THROTTLED'],
  ])(
    'fails by name when UploadPart always answers %d %s, and leaves the upload for the next attempt',
    async (status, code, named) => {
      bucket.stage.world.faults.add({
        service: 'oss',
        action: 'UploadPart',
        times: -1,
        effect: { kind: 'error', status, code },
      });

      await expect(transfer(file)).rejects.toMatchObject({ code: named });

      expect(await unfinished()).toEqual([`Backup_r-1/2026-11-20/run/${count}.rdb`]);
      bucket.stage.world.faults.clear();
      count--;
      await expectStored((await transfer(file)).key, file);
    },
  );

  async function unfinished(): Promise<readonly string[]> {
    // Not typed so, but it is left out when there is none.
    const { uploads } = (await bucket.stage.client().listUploads({ 'max-uploads': 1000 }, {})) as {
      uploads?: { name: string }[];
    };
    return (uploads ?? []).map(({ name }) => name);
  }
});
