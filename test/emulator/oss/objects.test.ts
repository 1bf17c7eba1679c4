import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { presignV1 } from '../../../emulator/oss/signature/v1.ts';
import { BUCKET, codeOf, failure, raw, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startOss();
});
afterAll(async () => stage.stop());

describe.each([
  ['version 4', true],
  ['version 1', false],
])('with signatures of %s', (_name, authorizationV4) => {
  const client = () => stage.client({ authorizationV4 });

  test('an object comes back as it was put, with its metadata', async () => {
    const body = randomBytes(300_000);
    const put = await client().put('a/b c+d&e?ä中.rdb', body, {
      meta: { uid: 1, pid: 2 },
      headers: {
        'x-oss-storage-class': 'IA',
        'x-oss-server-side-encryption': 'AES256',
        'Cache-Control': 'no-store',
      },
    });
    const md5 = createHash('md5').update(body).digest('hex').toUpperCase();
    expect(put.res.headers).toMatchObject({ etag: `"${md5}"`, 'x-oss-server-side-encryption': 'AES256' });

    const got = await client().get('a/b c+d&e?ä中.rdb');
    expect(body.equals(got.content as Buffer)).toBe(true);
    expect(got.res.headers).toMatchObject({
      etag: `"${md5}"`,
      'content-length': '300000',
      'x-oss-meta-uid': '1',
      'x-oss-meta-pid': '2',
      'x-oss-storage-class': 'IA',
      'x-oss-server-side-encryption': 'AES256',
      'cache-control': 'no-store',
      'x-oss-object-type': 'Normal',
    });
    const head = await client().head('a/b c+d&e?ä中.rdb');
    expect(head.meta).toEqual({ uid: '1', pid: '2' });
  });

  test('a stream without a length is stored to its end', async () => {
    const body = randomBytes(200_000);
    await client().putStream('streamed', Readable.from([body.subarray(0, 99_999), body.subarray(99_999)]));
    expect(body.equals(await stage.oss.read(BUCKET, 'streamed'))).toBe(true);
  });

  test('errors of GET and HEAD carry the code of OSS', async () => {
    expect(await failure(client().get('nothing-here'))).toMatchObject({
      code: 'NoSuchKey',
      status: 404,
      ecCode: '0026-00000001',
    });
    expect(await failure(client().head('nothing-here'))).toMatchObject({ code: 'NoSuchKey', status: 404 });
  });
});

describe('ranges of an object of 1000 bytes', () => {
  const body = randomBytes(1000);
  const standard = { 'x-oss-range-behavior': 'standard' };
  beforeAll(async () => {
    await stage.client().put('ranged', body);
  });
  const get = async (range: string, headers: Record<string, string> = {}) => {
    const url = stage.client().signatureUrl('ranged', headers);
    const response = await fetch(url, { headers: { range, ...headers } });
    return { response, bytes: Buffer.from(await response.arrayBuffer()) };
  };

  test.each([
    ['bytes=0-0', 0, 1],
    ['bytes=0-999', 0, 1000],
    ['bytes=500-', 500, 1000],
    ['bytes=-1', 999, 1000],
    ['bytes=100-199', 100, 200],
  ])('%s is answered with 206 and these bytes only', async (range, start, end) => {
    const { response, bytes } = await get(range);
    expect(response.status).toBe(206);
    expect(response.headers.get('content-range')).toBe(`bytes ${start}-${end - 1}/1000`);
    expect(response.headers.get('x-oss-hash-crc64ecma')).toMatch(/^\d+$/);
    expect(bytes.equals(body.subarray(start, end))).toBe(true);
  });

  test.each([
    'bytes=0-1000',
    'bytes=1000-2000',
    'bytes=1000-',
    'bytes=-2000',
    'bytes=9-5',
    'byte=0-4',
    'bytes=-',
  ])('%s does not lie within the object and is answered with all of it', async (range) => {
    const { response, bytes } = await get(range);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-range')).toBeNull();
    expect(bytes.equals(body)).toBe(true);
  });

  test.each([
    ['bytes=500-2000', 206, 500],
    ['bytes=-2000', 206, 1000],
  ])('%s is cut at the end of the object on request', async (range, status, length) => {
    const { response, bytes } = await get(range, standard);
    expect(response.status).toBe(status);
    expect(bytes.equals(body.subarray(1000 - length))).toBe(true);
  });

  test('a start behind the end is refused on request, several ranges always', async () => {
    expect((await get('bytes=1000-', standard)).response.status).toBe(416);
    const several = await get('bytes=0-1,5-6');
    expect(several.response.status).toBe(416);
    expect(several.bytes.toString()).toContain('<Code>InvalidRange</Code>');
  });

  test('a range over several parts of an object is put together', async () => {
    const client = stage.client();
    const whole = randomBytes(250_000);
    const { uploadId } = await client.initMultipartUpload('parts');
    const done = [];
    for (const [index, [start, end]] of [
      [0, 110_000],
      [110_000, 220_000],
      [220_000, 250_000],
    ].entries()) {
      const part = await client.uploadPart('parts', uploadId, index + 1, whole, start ?? 0, end ?? 0);
      done.push({ number: index + 1, etag: part.etag });
    }
    await client.completeMultipartUpload('parts', uploadId, done);
    const got = await client.get('parts', { headers: { Range: 'bytes=109999-220000' } });
    expect(whole.subarray(109_999, 220_001).equals(got.content as Buffer)).toBe(true);
  });
});

test('forbid-overwrite protects an object that is there', async () => {
  const client = stage.client();
  const headers = { 'x-oss-forbid-overwrite': 'true' };
  await client.put('once', Buffer.from('first'), { headers });
  const error = { code: 'FileAlreadyExists', status: 409 };
  expect(await failure(client.put('once', Buffer.from('second'), { headers }))).toMatchObject(error);
  expect(await failure(client.copy('once', 'ranged', { headers }))).toMatchObject(error);
  expect(await stage.oss.read(BUCKET, 'once')).toEqual(Buffer.from('first'));
  await client.put('once', Buffer.from('third'));
  expect(await stage.oss.read(BUCKET, 'once')).toEqual(Buffer.from('third'));
});

test('of two puts that forbid overwriting, at the same time, one wins and its bytes stay', async () => {
  const put = async (text: string): Promise<string> => {
    await stage.client().put('race', Buffer.from(text), { headers: { 'x-oss-forbid-overwrite': 'true' } });
    return text;
  };
  const outcomes = await Promise.allSettled(['a', 'b', 'c', 'd'].map(put));
  const winners = outcomes.filter((outcome) => outcome.status === 'fulfilled');
  expect(winners).toHaveLength(1);
  expect((await stage.oss.read(BUCKET, 'race')).toString()).toBe(winners[0]?.value);
});

test('a body that does not fit its Content-MD5 is refused and leaves nothing', async () => {
  const headers = { 'Content-MD5': createHash('md5').update('something else').digest('base64') };
  const error = await failure(stage.client().put('wrong-digest', Buffer.from('this'), { headers }));
  expect(error).toMatchObject({ code: 'InvalidDigest', status: 400 });
  expect(await failure(stage.client().head('wrong-digest'))).toMatchObject({ code: 'NoSuchKey' });
});

test('a put without a length is refused', async () => {
  const resource = `/${BUCKET}/no-length`;
  const query = presignV1(stage.key, { method: 'PUT', resource }, Date.now() + 60_000);
  const call = request(`${stage.endpoint}${resource}?${query.toString()}`, { method: 'PUT' });
  call.removeHeader('transfer-encoding');
  call.useChunkedEncodingByDefault = false;
  const answered = once(call, 'response') as Promise<[IncomingMessage]>;
  call.end();
  const [response] = await answered;
  response.resume();
  expect(response.statusCode).toBe(411);
});

test('keys that begin with a slash are refused', async () => {
  const answer = await raw(stage, 'PUT', `/${BUCKET}//slash`, { body: 'x' });
  expect([answer.status, codeOf(answer)]).toEqual([400, 'InvalidObjectName']);
});

test('deleting is silent about what is not there, one by one and together', async () => {
  const client = stage.client();
  for (const name of ['d/1', 'd/2 & <3>', 'd/4']) await client.put(name, Buffer.from('x'));
  expect((await client.delete('d/1')).res.status).toBe(204);
  expect((await client.delete('d/1')).res.status).toBe(204);
  const result = await client.deleteMulti(['d/2 & <3>', 'd/4', 'd/never']);
  expect(result.deleted).toEqual([{ Key: 'd/2 & <3>' }, { Key: 'd/4' }, { Key: 'd/never' }]);
  expect(stage.oss.list(BUCKET).filter(({ key }) => key.startsWith('d/'))).toEqual([]);
});

test('a copy has the bytes, the checksum and the metadata of its source', async () => {
  const client = stage.client();
  await client.put('source ä', Buffer.from('copied'), { meta: { uid: 7, pid: 8 } });
  await client.copy('copy', 'source ä');
  const source = await client.head('source ä');
  const copy = await client.head('copy');
  expect(copy.meta).toEqual({ uid: '7', pid: '8' });
  expect(copy.res.headers).toMatchObject({
    'x-oss-hash-crc64ecma': (source.res.headers as Record<string, string>)['x-oss-hash-crc64ecma'],
  });
  expect(await failure(client.copy('copy', 'no such source'))).toMatchObject({ code: 'NoSuchKey' });
});

test('tags can be set with the object, replaced and removed', async () => {
  const client = stage.client();
  await client.put('tagged', Buffer.from('x'), { headers: { 'x-oss-tagging': 'plan=nightly&keep=7' } });
  expect((await client.getObjectTagging('tagged')).tag).toEqual({ plan: 'nightly', keep: '7' });
  const head = await client.head('tagged');
  expect(head.res.headers).toMatchObject({ 'x-oss-tagging-count': '2' });
  await client.putObjectTagging('tagged', { a: '1' });
  expect((await client.getObjectTagging('tagged')).tag).toEqual({ a: '1' });
  await client.deleteObjectTagging('tagged');
  expect((await client.getObjectTagging('tagged')).tag).toEqual({});
});

test('conditions decide whether an object is sent', async () => {
  const client = stage.client();
  const { res } = await client.put('conditional', Buffer.from('x'));
  const { etag } = res.headers as { etag: string };
  const meta = await client.head('conditional', { headers: { 'If-None-Match': etag } });
  expect(meta.status).toBe(304);
  const stale = client.get('conditional', { headers: { 'If-Match': '"00"' } });
  expect(await failure(stale)).toMatchObject({ code: 'PreconditionFailed', status: 412 });
  const later = new Date(Date.now() + 5000).toUTCString();
  expect((await client.head('conditional', { headers: { 'If-Modified-Since': later } })).status).toBe(304);
});

test('what the emulator does not know it refuses by name', async () => {
  expect(await failure(stage.client().getACL('ranged'))).toMatchObject({
    code: 'NotImplemented',
    status: 501,
  });
  expect(await failure(stage.client().getBucketCORS(BUCKET))).toMatchObject({ code: 'NotImplemented' });
});

describe('settings of a bucket', () => {
  const STRICT = { headers: { 'x-oss-forbid-overwrite': 'true' } };

  test('are told as they were made, and cannot be changed', async () => {
    await stage.oss.createBucket({
      name: 'kept-versions',
      region: 'cn-hangzhou',
      versioning: 'Suspended',
      lifecycle: [
        { prefix: 'a/', isEnabled: true, abortUploadsAfterDays: 3 },
        { prefix: '', isEnabled: false, expireAfterDays: 30 },
      ],
    });
    const client = stage.client();

    expect(await client.getBucketVersioning('kept-versions')).toMatchObject({ versionStatus: 'Suspended' });
    expect(await client.getBucketLifecycle('kept-versions')).toMatchObject({
      rules: [
        { prefix: 'a/', status: 'Enabled', abortMultipartUpload: { days: '3' } },
        { status: 'Disabled', expiration: { days: '30' } },
      ],
    });
    // The SDK takes every answer to this for success.
    expect((await client.putBucketVersioning('kept-versions', 'Enabled')).status).toBe(501);
  });

  test('are none of a plain bucket', async () => {
    const client = stage.client();
    expect((await client.getBucketVersioning(BUCKET)).versionStatus).toBeUndefined();
    expect(await failure(client.getBucketLifecycle(BUCKET))).toMatchObject({ code: 'NoSuchLifecycle' });
  });

  test('with versions, every write replaces, whatever it forbids', async () => {
    await stage.oss.createBucket({ name: 'versioned', region: 'cn-hangzhou', versioning: 'Enabled' });
    const client = stage.client({ bucket: 'versioned' });
    await client.put('key', Buffer.from('first'), STRICT);
    await client.put('key', Buffer.from('second'), STRICT);
    expect((await stage.oss.read('versioned', 'key')).toString()).toBe('second');
  });
});
