import type { Effect } from '../../emulator/faults.ts';
import { UPLOAD_GONE } from '../../functions/core/transfer/upload-target.ts';
import { wholePart } from '../../functions/core/transfer/part-body.ts';
import { testObjectStore } from '../contracts/object-store.ts';
import { testUploadTarget } from '../contracts/upload-target.ts';
import { ACCOUNT_ID } from '../emulator/oss/start-oss.ts';
import { startBucket, type Bucket } from './start-bucket.ts';

testObjectStore('OSS', startBucket);
testUploadTarget('OSS', startBucket);

describe('the OSS client', () => {
  const { signal } = new AbortController();
  let bucket: Bucket;
  beforeAll(async () => (bucket = await startBucket(1000)));
  beforeEach(() => {
    bucket.stage.world.faults.clear();
    bucket.stage.world.journal.clear();
  });
  afterAll(async () => bucket.close());

  function fault(action: string, effect: Effect, times = 1): void {
    bucket.stage.world.faults.add({ service: 'oss', action, times, effect });
  }
  const countOf = (action: string): number =>
    bucket.stage.world.journal.entries().filter((entry) => entry.action === action).length;
  const unfinished = async (): Promise<number> =>
    (await bucket.stage.client().listUploads({ 'max-uploads': 1000 }, {})).uploads?.length ?? 0;

  const transient: readonly [string, Effect][] = [
    ['a broken connection', { kind: 'reset' }],
    ['a lost answer', { kind: 'lose-answer' }],
    ['an answer that is cut', { kind: 'cut', afterBytes: 2 }],
    ['silence', { kind: 'stall' }],
    ['an internal error', { kind: 'error', status: 500, code: 'InternalError' }],
    ['throttling', { kind: 'error', status: 503, code: 'DownloadTrafficRateLimitExceeded' }],
    ['a page of a proxy', { kind: 'reply', status: 502, body: '<html>bad gateway</html>' }],
    ['a skewed clock', { kind: 'error', status: 403, code: 'RequestTimeTooSkewed' }],
  ];

  it.each(transient)('survives %s when it reads a small object', async (name, effect) => {
    const key = `read after ${name}`;
    await bucket.store.create(key, Buffer.from('content'), 'text/plain', signal);
    fault('GetObject', effect);

    expect((await bucket.store.get(key, signal))?.toString()).toBe('content');
  });

  it.each(transient)('survives %s when it creates an object', async (name, effect) => {
    fault('PutObject', effect);

    expect(await bucket.store.create(`create after ${name}`, Buffer.from('x'), 'text/plain', signal)).toBe(
      'created',
    );
  });

  it.each(transient)(
    'survives %s when it begins an upload, and leaves no second one behind',
    async (name, effect) => {
      const key = `begin after ${name}`;
      const before = await unfinished();
      fault('InitiateMultipartUpload', effect);

      const upload = await bucket.store.begin(key, signal);

      expect(await unfinished()).toBe(before + 1);
      await bucket.store.abort(key, upload, signal);
      expect(await unfinished()).toBe(before);
    },
  );

  it.each(transient)('survives %s when it sends a part', async (name, effect) => {
    const key = `part after ${name}`;
    const upload = await bucket.store.begin(key, signal);
    const body = Buffer.alloc(3 * 1024 ** 2, 'part');
    fault('UploadPart', effect);

    const receipt = await bucket.store.uploadPart(key, upload, 1, wholePart(body), signal);

    await bucket.store.complete(key, upload, [{ ...receipt, number: 1 }], signal);
    expect(await bucket.store.head(key, signal)).toMatchObject({ bytes: body.length });
  });

  it('asks once only to complete an upload, because only looking tells whether it happened', async () => {
    const upload = await bucket.store.begin('asked once', signal);
    const receipt = await bucket.store.uploadPart(
      'asked once',
      upload,
      1,
      wholePart(Buffer.from('x')),
      signal,
    );
    fault('CompleteMultipartUpload', { kind: 'lose-answer' });

    await expect(
      bucket.store.complete('asked once', upload, [{ ...receipt, number: 1 }], signal),
    ).rejects.toMatchObject({ code: 'UPLOAD_FAILED', retryable: true });

    expect(countOf('CompleteMultipartUpload')).toBe(1);
    expect(await bucket.store.head('asked once', signal)).toMatchObject({ bytes: 1 });
  });

  it('gives up by name when the trouble stays', async () => {
    fault('GetObject', { kind: 'error', status: 503, code: 'TotalQpsLimitExceeded' }, -1);

    await expect(bucket.store.get('any', signal)).rejects.toMatchObject({
      code: 'THROTTLED',
      details: { code: 'TotalQpsLimitExceeded', status: 503 },
    });
  });

  it('reads again what was altered on the way', async () => {
    await bucket.store.create('altered', Buffer.from('content'), 'text/plain', signal);
    fault('GetObject', { kind: 'flip', atByte: 3 });

    expect((await bucket.store.get('altered', signal))?.toString()).toBe('content');
    expect(countOf('GetObject')).toBe(2);
  });

  it('sends a small object again when it was altered on the way', async () => {
    fault('PutObject', { kind: 'flip-request', atByte: 3 });

    await bucket.store.create('sent twice', Buffer.from('content'), 'text/plain', signal);

    expect((await bucket.store.get('sent twice', signal))?.toString()).toBe('content');
  });

  it('goes on reading a large object where the connection broke', async () => {
    const body = Buffer.alloc(9 * 1024 ** 2, 'tairlift ');
    await bucket.store.create('long', body, 'application/octet-stream', signal);
    fault('GetObject', { kind: 'cut', afterBytes: 100_000 }, 2);

    const pieces = [];
    for await (const piece of bucket.store.read('long', signal)) pieces.push(piece);

    expect(Buffer.concat(pieces).equals(body)).toBe(true);
  });

  it.each(['head', 'get'] as const)(
    'says by name that the bucket does not exist when asked to %s',
    async (verb) => {
      const store = bucket.open({ bucket: 'no-such-bucket' });

      await expect(store[verb]('any', signal)).rejects.toMatchObject({
        code: 'NO_SUCH_BUCKET',
        hint: expect.stringContaining('ossutil mb oss://no-such-bucket --region cn-hangzhou'),
      });
    },
  );

  it('says by name that a bucket cannot have such a name, before it asks', async () => {
    await expect(bucket.open({ bucket: 'No_Such_Name' }).get('any', signal)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      message: 'read No_Such_Name/any',
    });
  });

  it.each([
    [
      'a page in the place of a list',
      { kind: 'reply', status: 200, body: '<html><body>sign in</body></html>' },
    ],
    ['nothing in the place of a list', { kind: 'reply', status: 200, body: '' }],
    ['half a list', { kind: 'short', bytes: 60 }],
  ] as const)('does not take %s for an empty list', async (_name, effect) => {
    await bucket.store.create('kept/a', Buffer.from('x'), 'text/plain', signal);
    fault('ListObjectsV2', effect);

    const keys = [];
    for await (const { key } of bucket.store.list('kept/', signal)) keys.push(key);

    expect(keys).toEqual(['kept/a']);
    expect(countOf('ListObjectsV2')).toBe(2);
  });

  it('does not believe an answer that has nothing of OSS', async () => {
    await bucket.store.create('believed', Buffer.from('content'), 'text/plain', signal);
    const ossHeaders = ['request-id', 'hash-crc64ecma', 'object-type', 'storage-class', 'server-time'];
    const removed = ['etag', 'server', ...ossHeaders.map((name) => `x-oss-${name}`)].map((name) => [
      name,
      '',
    ]);
    fault('GetObject', { kind: 'headers', set: Object.fromEntries(removed) as Record<string, string> });

    expect((await bucket.store.get('believed', signal))?.toString()).toBe('content');
    expect(countOf('GetObject')).toBe(2);
  });

  it('believes an answer of OSS that has lost its request id', async () => {
    await bucket.store.create('anonymous', Buffer.from('content'), 'text/plain', signal);
    fault('GetObject', { kind: 'headers', set: { 'x-oss-request-id': '' } });

    expect((await bucket.store.get('anonymous', signal))?.toString()).toBe('content');
    expect(countOf('GetObject')).toBe(1);
  });

  it('asks a provider of credentials once for calls that come together', async () => {
    let asked = 0;
    const store = bucket.open({
      credentials: async () => {
        asked++;
        await new Promise((resolve) => setImmediate(resolve));
        return bucket.stage.key;
      },
    });

    await Promise.all(Array.from({ length: 8 }, async () => store.head('any', signal)));

    expect(asked).toBe(1);
  });

  it('asks a provider again that has failed', async () => {
    let asked = 0;
    const store = bucket.open({
      credentials: () => {
        if (++asked === 1) throw new Error('no metadata service');
        return Promise.resolve(bucket.stage.key);
      },
    });

    expect(await store.head('any', signal)).toBeUndefined();
    expect(asked).toBe(2);
  });

  it('names the permission and the resource that are missing', async () => {
    const store = bucket.open({ bucket: 'of-somebody-else' });

    await expect(store.put('p/a.rdb', Buffer.from('x'), signal)).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      hint: 'allow oss:PutObject on acs:oss:*:*:of-somebody-else/p/a.rdb',
    });
  });

  it('says that a wrong region is wrong', async () => {
    const store = bucket.open({ bucket: 'in-shanghai' });

    await expect(store.get('any', signal)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
      hint: "the bucket is not in cn-hangzhou; correct the destination's region",
    });
  });

  it.each([
    [
      'a bucket of another region',
      'AccessDenied',
      'The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.',
      'CONFIG_INVALID',
      /not in cn-hangzhou/,
    ],
    ['a bucket that has moved', 'PermanentRedirect', '', 'CONFIG_INVALID', /not in cn-hangzhou/],
    [
      'the policy of a VPC endpoint',
      'AccessDenied',
      'Access denied by VPC endpoint policy.',
      'PERMISSION_DENIED',
      /allow oss:GetObject/,
    ],
    [
      'a key of KMS',
      'AccessDenied',
      'This request is forbidden by kms.',
      'PERMISSION_DENIED',
      /encrypts with KMS/,
    ],
    ['an account in debt', 'InDebt', 'Current user is indebted.', 'PERMISSION_DENIED', /look at its bills/],
    [
      'an archived object',
      'InvalidObjectState',
      "The operation is not valid for the object's state",
      'SERVICE_ERROR',
      /ossutil restore/,
    ],
    [
      'a host name that is not served',
      'SecondLevelDomainForbidden',
      'Please use virtual hosted style to access.',
      'CONFIG_INVALID',
      /TAIRLIFT_ENDPOINT_OSS/,
    ],
  ])('tells %s from a missing permission', async (_name, code, message, named, hint) => {
    for (const [action, verb] of [
      ['GetObject', 'get'],
      ['HeadObject', 'head'],
    ] as const) {
      fault(action, { kind: 'error', status: 403, code, message });

      await expect(bucket.store[verb]('any', signal)).rejects.toMatchObject({
        code: named,
        retryable: false,
        hint: expect.stringMatching(hint),
        details: { code },
      });
    }
  });

  it('keeps the number of the page that explains a refusal', async () => {
    const store = bucket.open({ bucket: 'of-somebody-else' });

    await expect(store.get('any', signal)).rejects.toMatchObject({ details: { ec: '0003-00000001' } });
  });

  it('says by how much the clock is wrong when it stays wrong', async () => {
    const anHourAgo = new Date(Date.now() - 3_600_000).toUTCString();
    fault(
      'GetObject',
      {
        kind: 'error',
        status: 403,
        code: 'RequestTimeTooSkewed',
        headers: { date: anHourAgo },
      },
      -1,
    );

    await expect(bucket.store.get('any', signal)).rejects.toMatchObject({
      code: 'SERVICE_ERROR',
      hint: 'the clock of this machine is 60 minutes ahead of that of OSS; set it',
    });
  });

  it('waits as long as a throttling service asks', async () => {
    await bucket.store.create('asked for', Buffer.from('x'), 'text/plain', signal);
    const asked = { kind: 'error', status: 503, code: 'TotalQpsLimitExceeded' } as const;
    fault('GetObject', { ...asked, headers: { 'x-oss-qos-delay-time': '120' } });
    const startedAt = performance.now();

    await bucket.store.get('asked for', signal);

    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(119);
    fault('GetObject', { ...asked, headers: { 'x-oss-qos-delay-time': '86400000' } });
    await expect(bucket.store.get('asked for', signal)).rejects.toMatchObject({
      code: 'THROTTLED',
      details: { retryAfterMs: 86_400_000 },
    });
  });

  it('says what to look at when the endpoint cannot be reached at all', async () => {
    const store = bucket.open({ endpoint: 'http://no-such-host.invalid' });

    await expect(store.get('any', signal)).rejects.toMatchObject({
      code: 'SERVICE_ERROR',
      details: { failure: 'connect' },
      hint: expect.stringContaining("the destination's region (cn-hangzhou)"),
    });
  });

  it.each([
    'with space',
    'a+b',
    '100%',
    'per%20cent',
    '备份/数据',
    'émoji 🚲',
    'q\'uote"&<x>',
    'a?b=c#d',
    '~!*()',
  ])('keeps, lists and uploads under the key "%s"', async (name) => {
    const prefix = `odd/${name}/`;
    await bucket.store.create(`${prefix}small`, Buffer.from('x'), 'text/plain', signal);
    const upload = await bucket.store.begin(`${prefix}large`, signal);
    expect(await bucket.store.unfinished(`${prefix}large`, signal)).toEqual([upload]);
    const receipt = await bucket.store.uploadPart(
      `${prefix}large`,
      upload,
      1,
      wholePart(Buffer.from('y')),
      signal,
    );
    await bucket.store.complete(`${prefix}large`, upload, [{ ...receipt, number: 1 }], signal);

    const keys = [];
    for await (const { key } of bucket.store.list(prefix, signal)) keys.push(key);

    expect(keys).toEqual([`${prefix}large`, `${prefix}small`]);
    expect((await bucket.store.get(`${prefix}small`, signal))?.toString()).toBe('x');
  });

  it('takes new keys when the old ones have expired in the middle of the work', async () => {
    const { identity } = bucket.stage.world;
    const role = identity.addRole({ accountId: ACCOUNT_ID, name: 'uploader', trusts: [], allow: ['oss:*'] });
    const expiring = identity.issue(role, 'work', 3600);
    await bucket
      .open({ credentials: async () => expiring })
      .create('before', Buffer.from('x'), 'text/plain', signal);
    identity.expire(expiring.accessKeyId);
    const offered = [expiring, identity.issue(role, 'work', 3600)];
    const renewing = bucket.open({ credentials: async () => offered.shift() ?? expiring });

    expect((await renewing.get('before', signal))?.toString()).toBe('x');
    await expect(
      bucket.open({ credentials: async () => expiring }).get('before', signal),
    ).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      details: { code: 'SecurityTokenExpired' },
    });
  });

  it('keeps secrets out of its errors', async () => {
    const store = bucket.open({
      credentials: async () => ({ accessKeyId: 'LTAI5tNobodyHasThisOne', accessKeySecret: 'very-secret' }),
    });

    const error: unknown = await store.get('any', signal).catch((thrown: unknown) => thrown);

    expect(error).toMatchObject({ code: 'PERMISSION_DENIED' });
    expect(JSON.stringify(error)).not.toMatch(/very-secret|Signature=/);
  });

  it('tells an upload that somebody ended from other failures', async () => {
    const upload = await bucket.store.begin('ended', signal);
    await bucket.store.abort('ended', upload, signal);

    await expect(
      bucket.store.uploadPart('ended', upload, 1, wholePart(Buffer.from('x')), signal),
    ).rejects.toMatchObject({
      details: { reason: UPLOAD_GONE },
    });
  });

  it('writes nothing to the console, whatever happens', async () => {
    const written = ['log', 'warn', 'error', 'info'].map((level) =>
      jest.spyOn(console, level as 'log').mockImplementation(() => undefined),
    );
    const upload = await bucket.store.begin('quiet', signal);
    fault('UploadPart', { kind: 'reset' }, 3);
    await bucket.store.uploadPart('quiet', upload, 1, wholePart(Buffer.alloc(3 * 1024 ** 2)), signal);
    const late = AbortSignal.timeout(5);
    await bucket.store
      .uploadPart('quiet', upload, 2, wholePart(Buffer.alloc(30 * 1024 ** 2)), late)
      .catch(() => undefined);

    for (const spy of written) {
      expect(spy).not.toHaveBeenCalled();
      spy.mockRestore();
    }
  });
});
