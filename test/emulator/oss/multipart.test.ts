import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { combineCrc64Xz, crc64Xz } from '../../../functions/core/crc64.ts';
import { BUCKET, failure, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await startOss();
});
afterAll(async () => stage.stop());

const PART_BYTES = 100 * 1024;

const crcOf = (bytes: Buffer): bigint => {
  const crc = crc64Xz();
  crc.update(bytes);
  return crc.value();
};

/** Uploads the parts and says what CompleteMultipartUpload needs to know. */
async function upload(key: string, parts: readonly Buffer[]) {
  const client = stage.client();
  const { uploadId } = await client.initMultipartUpload(key);
  const done = [];
  for (const [index, bytes] of parts.entries()) {
    const part = await client.uploadPart(key, uploadId, index + 1, bytes, 0, bytes.length);
    done.push({ number: index + 1, etag: part.etag });
  }
  return { client, uploadId, done };
}

describe.each([
  ['version 4', true],
  ['version 1', false],
])('with signatures of %s', (_name, authorizationV4) => {
  test('parts become one object, whose checksum is that of the whole', async () => {
    const client = stage.client({ authorizationV4 });
    const first = randomBytes(PART_BYTES);
    const second = randomBytes(77);
    const { uploadId } = await client.initMultipartUpload('two parts', {
      meta: { uid: 3, pid: 1 },
    });
    const one = await client.uploadPart('two parts', uploadId, 3, first, 0, first.length);
    const two = await client.uploadPart(
      'two parts',
      uploadId,
      9,
      Readable.from([second.subarray(0, 7), second.subarray(7)]),
      0,
      second.length,
    );
    expect(two.res.headers).toMatchObject({ 'x-oss-hash-crc64ecma': crcOf(second).toString() });

    const listed = await client.listParts('two parts', uploadId);
    expect(listed.parts).toMatchObject([
      { PartNumber: '3', Size: '102400', ETag: one.etag },
      { PartNumber: '9', Size: '77', ETag: two.etag },
    ]);
    const complete = await client.completeMultipartUpload('two parts', uploadId, [
      { number: 3, etag: one.etag },
      { number: 9, etag: two.etag },
    ]);
    const whole = combineCrc64Xz(crcOf(first), crcOf(second), second.length).toString();
    expect(complete.res.headers).toMatchObject({ 'x-oss-hash-crc64ecma': whole });
    expect(complete.etag).toMatch(/^"[0-9A-F]{32}-2"$/);

    const got = await client.get('two parts');
    expect(Buffer.concat([first, second]).equals(got.content as Buffer)).toBe(true);
    expect(got.res.headers).toMatchObject({
      'x-oss-hash-crc64ecma': crcOf(got.content as Buffer).toString(),
      'x-oss-object-type': 'Multipart',
      'x-oss-meta-uid': '3',
    });
  });
});

test('uploading a part again replaces it', async () => {
  const key = 'again';
  const { client, uploadId } = await upload(key, [randomBytes(10)]);
  const bytes = randomBytes(20);
  const { etag } = await client.uploadPart(key, uploadId, 1, bytes, 0, bytes.length);
  await client.completeMultipartUpload(key, uploadId, [{ number: 1, etag }]);
  expect(bytes.equals(await stage.oss.read(BUCKET, key))).toBe(true);
});

test('a completed upload is gone, and so is an aborted one', async () => {
  const { client, uploadId, done } = await upload('gone', [randomBytes(10)]);
  await client.completeMultipartUpload('gone', uploadId, done);
  expect(await failure(client.completeMultipartUpload('gone', uploadId, done))).toMatchObject({
    code: 'NoSuchUpload',
    status: 404,
  });
  const aborted = await upload('gone', [randomBytes(10)]);
  await aborted.client.abortMultipartUpload('gone', aborted.uploadId);
  const bytes = randomBytes(5);
  expect(await failure(client.uploadPart('gone', aborted.uploadId, 1, bytes, 0, 5))).toMatchObject({
    code: 'NoSuchUpload',
  });
  expect(await failure(client.abortMultipartUpload('gone', aborted.uploadId))).toMatchObject({
    code: 'NoSuchUpload',
  });
  expect(stage.oss.uploads(BUCKET).filter(({ key }) => key === 'gone')).toEqual([]);
});
