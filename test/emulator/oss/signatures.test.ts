import { presignV1 } from '../../../emulator/oss/signature/v1.ts';
import { BUCKET, codeOf, failure, OTHER_ACCOUNT_ID, raw, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startOss();
  await stage.client().put('key', Buffer.from('bytes'));
});
afterAll(async () => stage.stop());
afterEach(() => jest.useRealTimers());

const MINUTE_MS = 60_000;

/** Moves only the clock that clients sign with; the emulator's process shares it, so it is moved back to answer. */
function signedAt<T>(offsetMs: number, sign: () => T): T {
  jest.useFakeTimers({ now: Date.now() + offsetMs, doNotFake: ['nextTick', 'setImmediate', 'setTimeout'] });
  try {
    return sign();
  } finally {
    jest.useRealTimers();
  }
}

describe.each([
  ['version 4', true],
  ['version 1', false],
])('a header of %s', (_name, authorizationV4) => {
  test('is refused when the secret is wrong', async () => {
    const client = stage.client({ authorizationV4, accessKeySecret: 'not it' });
    const error = { code: 'SignatureDoesNotMatch', status: 403 };
    expect(await failure(client.get('key'))).toMatchObject(error);
    expect(await failure(client.head('key'))).toMatchObject(error);
    expect(await failure(client.put('key', Buffer.from('x')))).toMatchObject(error);
  });

  test('is refused when the key is unknown', async () => {
    const client = stage.client({ authorizationV4, accessKeyId: 'LTAIunknown' });
    expect(await failure(client.get('key'))).toMatchObject({ code: 'InvalidAccessKeyId', status: 403 });
  });

  test('is refused when the clocks differ by more than 15 minutes', async () => {
    const skewed = (minutes: number) =>
      stage.client({ authorizationV4, amendTimeSkewed: minutes * MINUTE_MS });
    for (const minutes of [-14, 14]) expect((await skewed(minutes).get('key')).res.status).toBe(200);
    for (const minutes of [-16, 16])
      expect(await failure(skewed(minutes).get('key'))).toMatchObject({
        code: 'RequestTimeTooSkewed',
        status: 403,
      });
  });

  test('is not touched by the clock of the emulator', async () => {
    stage.world.clock.advance(60 * MINUTE_MS);
    expect((await stage.client({ authorizationV4 }).get('key')).res.status).toBe(200);
  });

  test('is accepted with odd keys, parameters and metadata', async () => {
    const client = stage.client({ authorizationV4 });
    for (const name of ["a!b'c(d)e*f", 'tab\tand space', '100%', 'a=b&c', 'a//b', '🎈/ü', 'x+y z']) {
      await client.put(name, Buffer.from(name), { meta: { uid: 1, pid: 2 } });
      expect((await client.get(name)).content).toEqual(Buffer.from(name));
    }
    await client.listV2({ prefix: '', 'max-keys': '3', delimiter: '' });
    await client.list({ prefix: 'a', 'max-keys': 3, marker: '' }, {});
    await client.listUploads({ 'max-uploads': 3, prefix: '' });
  });

  describe('of a session', () => {
    const role = () =>
      stage.world.identity.addRole({
        accountId: stage.world.accountId,
        name: 'reader',
        trusts: [],
        allow: ['oss:GetObject'],
      });
    const session = () => {
      const { accessKeyId, accessKeySecret, securityToken } = stage.world.identity.issue(role(), 'test', 900);
      return { accessKeyId, accessKeySecret, stsToken: securityToken };
    };

    test('is accepted, and limited to what its role allows', async () => {
      const client = stage.client({ authorizationV4, ...session() });
      expect((await client.get('key')).res.status).toBe(200);
      expect(await failure(client.put('key', Buffer.from('x')))).toMatchObject({
        code: 'AccessDenied',
        status: 403,
      });
      expect(await failure(client.delete('key'))).toMatchObject({ code: 'AccessDenied' });
      expect(await failure(client.listV2({}))).toMatchObject({ code: 'AccessDenied' });
      expect(await failure(client.initMultipartUpload('key'))).toMatchObject({ code: 'AccessDenied' });
      const [entry] = stage.world.journal.entries({ action: 'PutObject' }).slice(-1);
      expect(entry).toMatchObject({
        target: `${BUCKET}/key`,
        code: 'AccessDenied',
        caller: `acs:ram::${stage.world.accountId}:assumed-role/reader/test`,
      });
    });

    test('is refused when its token has expired, is missing or is another one', async () => {
      const expired = session();
      stage.world.identity.expire(expired.accessKeyId);
      expect(await failure(stage.client({ authorizationV4, ...expired }).get('key'))).toMatchObject({
        code: 'SecurityTokenExpired',
        status: 403,
      });
      const { stsToken, ...withoutToken } = session();
      expect(await failure(stage.client({ authorizationV4, ...withoutToken }).get('key'))).toMatchObject({
        code: 'InvalidAccessKeyId',
      });
      expect(
        await failure(stage.client({ authorizationV4, ...withoutToken, stsToken: 'other' }).get('key')),
      ).toMatchObject({
        code: 'InvalidSecurityToken',
      });
      expect(await failure(stage.client({ authorizationV4, stsToken }).get('key'))).toMatchObject({
        code: 'InvalidAccessKeyId',
        ecCode: '0002-00000002',
      });
    });

    test('expires by the clock of the emulator', async () => {
      const client = stage.client({ authorizationV4, ...session() });
      stage.world.clock.advance(901_000);
      expect(await failure(client.get('key'))).toMatchObject({ code: 'SecurityTokenExpired' });
      // Everybody else goes on signing with the machine's clock.
      expect((await stage.client({ authorizationV4 }).get('key')).res.status).toBe(200);
    });
  });

  test('is refused when the bucket belongs to another account or is not there', async () => {
    const client = stage.client({ authorizationV4, bucket: 'of-somebody-else' });
    expect(await failure(client.get('key'))).toMatchObject({ code: 'AccessDenied', status: 403 });
    expect(await failure(stage.client({ authorizationV4, bucket: 'never-made' }).get('key'))).toMatchObject({
      code: 'NoSuchBucket',
      status: 404,
    });
  });

  test('works on an IP endpoint, where the SDK writes the host name of the bucket', async () => {
    const endpoint = stage.endpoint.replace('localhost', '127.0.0.1');
    for (const sldEnable of [false, true]) {
      const client = stage.client({ authorizationV4, endpoint, sldEnable });
      await client.put(`${BUCKET}/twice`, Buffer.from('named like the bucket'));
      expect((await client.get('key')).content).toEqual(Buffer.from('bytes'));
      expect((await client.listV2({ prefix: `${BUCKET}/` })).objects).toMatchObject([
        { name: `${BUCKET}/twice` },
      ]);
      // The published type says it is a bare list.
      expect(await client.listBuckets({})).toMatchObject({
        buckets: [{ name: 'in-shanghai' }, { name: BUCKET }],
      });
      await client.delete(`${BUCKET}/twice`);
    }
  });
});

test('version 4 signs for the region of the bucket', async () => {
  const client = stage.client({ bucket: 'in-shanghai' });
  expect(await failure(client.put('key', Buffer.from('x')))).toMatchObject({
    code: 'InvalidArgument',
    status: 400,
  });
  const right = stage.client({ bucket: 'in-shanghai', region: 'oss-cn-shanghai' });
  expect((await right.put('key', Buffer.from('x'))).res.status).toBe(200);
});

test('a host name of another region is told where the bucket is', async () => {
  const endpoint = stage.endpoint.replace('localhost', '127.0.0.1');
  const client = stage.client({ bucket: 'in-shanghai', endpoint, sldEnable: false, authorizationV4: false });
  const error = await failure(client.get('key'));
  expect(error).toMatchObject({ code: 'AccessDenied', status: 403 });
});

test('without a signature nothing is allowed', async () => {
  const response = await fetch(`${stage.endpoint}/${BUCKET}/key`);
  expect(response.status).toBe(403);
  expect(await response.text()).toContain('<Code>AccessDenied</Code>');
  const nonsense = await fetch(`${stage.endpoint}/${BUCKET}/key`, {
    headers: { authorization: 'Basic eDp5' },
  });
  expect(nonsense.status).toBe(400);
});

describe('a signed URL of version 4', () => {
  test('allows its method until it expires', async () => {
    const client = stage.client();
    const url = await client.signatureUrlV4('GET', 60, {}, 'key');
    expect(await (await fetch(url)).text()).toBe('bytes');
    expect(await (await fetch(url, { headers: { range: 'bytes=1-2' } })).text()).toBe('yt');
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.status).toBe(403);
    expect(Buffer.from(head.headers.get('x-oss-err') ?? '', 'base64').toString()).toContain(
      'SignatureDoesNotMatch',
    );

    const late = await signedAt(-2 * MINUTE_MS, async () => client.signatureUrlV4('GET', 60, {}, 'key'));
    const answer = await fetch(late);
    expect(answer.status).toBe(403);
    expect(await answer.text()).toMatch(/AccessDenied.*Request has expired\./s);
    const early = await signedAt(20 * MINUTE_MS, async () => client.signatureUrlV4('GET', 60, {}, 'key'));
    expect(await (await fetch(early)).text()).toContain('Request is not valid yet.');
  });

  test('may demand headers, and carries a token', async () => {
    const role = { accountId: stage.world.accountId, name: 'all', trusts: [], allow: ['oss:*'] };
    const session = stage.world.identity.issue(stage.world.identity.addRole(role), 's', 900);
    const client = stage.client({ ...session, stsToken: session.securityToken });
    const headers = { 'content-type': 'text/plain', 'x-custom': '1' };
    const url = await client.signatureUrlV4('PUT', 60, { headers }, 'by-url', ['x-custom']);
    expect((await fetch(url, { method: 'PUT', body: 'put', headers })).status).toBe(200);
    expect((await stage.oss.read(BUCKET, 'by-url')).toString()).toBe('put');
    const without = await fetch(url, {
      method: 'PUT',
      body: 'put',
      headers: { 'content-type': 'text/plain' },
    });
    expect(without.status).toBe(403);
  });

  test('lasts seven days at most', async () => {
    const url = await stage.client().signatureUrlV4('GET', 7 * 86_400 + 1, {}, 'key');
    expect((await fetch(url)).status).toBe(400);
  });
});

describe('a signed URL of version 1', () => {
  test('allows its method until it expires', async () => {
    const client = stage.client({ authorizationV4: false });
    const url = client.signatureUrl('key', { expires: 60, response: { 'content-type': 'text/rdb' } });
    const response = await fetch(url);
    expect(response.headers.get('content-type')).toBe('text/rdb');
    expect(await response.text()).toBe('bytes');
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(403);
    expect((await fetch(url.replace('key', 'kez'))).status).toBe(403);
    const expired = await fetch(client.signatureUrl('key', { expires: -5 }));
    expect(await expired.text()).toMatch(/AccessDenied.*Request has expired\./s);
  });

  test('does not allow a header of OSS that was not signed', async () => {
    const url = stage.client({ authorizationV4: false }).signatureUrl('key', {});
    const response = await fetch(url, { headers: { 'x-oss-range-behavior': 'standard' } });
    expect(await response.text()).toContain('SignatureDoesNotMatch');
  });

  test('is malformed without a time', async () => {
    const query = presignV1(stage.key, { method: 'GET', resource: `/${BUCKET}/key` }, Date.now());
    query.set('Expires', 'tomorrow');
    const response = await fetch(`${stage.endpoint}/${BUCKET}/key?${query.toString()}`);
    expect(await response.text()).toContain('AccessDenied');
  });

  test('made by the emulator itself carries a session', async () => {
    const role = { accountId: stage.world.accountId, name: 'all', trusts: [], allow: ['oss:*'] };
    const session = stage.world.identity.issue(stage.world.identity.addRole(role), 's', 900);
    const answer = await raw({ ...stage, key: session }, 'GET', `/${BUCKET}/key`);
    expect(answer.body).toBe('bytes');
  });
});

test('requests to another account are refused also when its own key signs for our bucket', async () => {
  const key = stage.world.identity.addAccount(OTHER_ACCOUNT_ID);
  const answer = await raw({ ...stage, key }, 'GET', `/${BUCKET}/key`);
  expect([answer.status, codeOf(answer)]).toEqual([403, 'AccessDenied']);
});
