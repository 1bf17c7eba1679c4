import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { BUCKET, failure, startOss, type Stage } from './start-oss.ts';

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
