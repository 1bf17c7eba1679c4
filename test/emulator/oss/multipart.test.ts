import { randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';
import { combineCrc64Xz, crc64Xz } from '../../../functions/core/crc64.ts';
import { BUCKET, codeOf, failure, raw, startOss, type Stage } from './start-oss.ts';

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

describe('completing', () => {
  test('is refused when parts are missing, wrong, out of order or too small', async () => {
    const key = 'refused';
    const { client, uploadId, done } = await upload(key, [randomBytes(10), randomBytes(10)]);
    const other = '"00000000000000000000000000000000"';
    const complete = async (parts: readonly { readonly number: number; readonly etag: string }[]) => {
      const xml = parts.map(
        ({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`,
      );
      const body = `<CompleteMultipartUpload>${xml.join('')}</CompleteMultipartUpload>`;
      return raw(stage, 'POST', `/${BUCKET}/${key}`, { query: { uploadId }, body });
    };
    const [first = { number: 1, etag: '' }, second = { number: 2, etag: '' }] = done;
    expect(codeOf(await complete([first, { number: 3, etag: other }]))).toBe('InvalidPart');
    expect(codeOf(await complete([{ number: 1, etag: other }]))).toBe('InvalidPart');
    expect(codeOf(await complete([second, first]))).toBe('InvalidPartOrder');
    expect(codeOf(await complete([first, first]))).toBe('InvalidPartOrder');
    expect(codeOf(await complete([]))).toBe('MalformedXML');
    expect(codeOf(await raw(stage, 'POST', `/${BUCKET}/${key}`, { query: { uploadId }, body: '<no' }))).toBe(
      'MalformedXML',
    );
    expect(await failure(client.completeMultipartUpload(key, uploadId, done))).toMatchObject({
      code: 'EntityTooSmall',
      status: 400,
    });
    // None of this ended the upload.
    expect((await complete([first])).status).toBe(200);
    expect(await stage.oss.read(BUCKET, key)).toHaveLength(10);
  });

  test('without a list takes all parts on request', async () => {
    const parts = [randomBytes(PART_BYTES), randomBytes(PART_BYTES + 1), randomBytes(3)];
    const { client, uploadId } = await upload('all', parts);
    await client.completeMultipartUpload('all', uploadId, [], { headers: { 'x-oss-complete-all': 'yes' } });
    expect(Buffer.concat(parts).equals(await stage.oss.read(BUCKET, 'all'))).toBe(true);
  });

  test('leaves out the parts that are not named', async () => {
    const parts = [randomBytes(PART_BYTES), randomBytes(PART_BYTES), randomBytes(3)];
    const { client, uploadId, done } = await upload('some', parts);
    await client.completeMultipartUpload('some', uploadId, done.slice(1));
    expect(Buffer.concat(parts.slice(1)).equals(await stage.oss.read(BUCKET, 'some'))).toBe(true);
  });

  test('does not overwrite when that is forbidden, and keeps the upload', async () => {
    const key = 'guarded';
    const { client, uploadId, done } = await upload(key, [randomBytes(10)]);
    await client.put(key, Buffer.from('first'));
    const headers = { 'x-oss-forbid-overwrite': 'true' };
    const error = { code: 'FileAlreadyExists', status: 409 };
    expect(await failure(client.completeMultipartUpload(key, uploadId, done, { headers }))).toMatchObject(
      error,
    );
    expect(await failure(client.initMultipartUpload(key, { headers }))).toMatchObject(error);
    expect((await stage.oss.read(BUCKET, key)).toString()).toBe('first');
    expect(stage.oss.uploads(BUCKET).map((one) => one.uploadId)).toContain(uploadId);
    await client.completeMultipartUpload(key, uploadId, done);
    expect(await stage.oss.read(BUCKET, key)).toHaveLength(10);
  });
});

test('part numbers go from 1 to 10000', async () => {
  const { client, uploadId } = await upload('numbers', []);
  const bytes = Buffer.from('x');
  for (const number of [0, 10_001])
    expect(await failure(client.uploadPart('numbers', uploadId, number, bytes, 0, 1))).toMatchObject({
      code: 'InvalidArgument',
      status: 400,
    });
  await client.uploadPart('numbers', uploadId, 10_000, bytes, 0, 1);
  expect(await failure(client.uploadPart('other key', uploadId, 1, bytes, 0, 1))).toMatchObject({
    code: 'NoSuchUpload',
  });
});

test('a part can be copied from an object, and from a range of it', async () => {
  const client = stage.client();
  const whole = randomBytes(300_000);
  await client.put('copied from', whole);
  const { uploadId } = await client.initMultipartUpload('copied to');
  const source = { sourceKey: 'copied from', sourceBucketName: BUCKET };
  const one = await client.uploadPartCopy('copied to', uploadId, 1, '1000-299999', source, {});
  const two = await client.uploadPart('copied to', uploadId, 2, whole, 0, 1000);
  await client.completeMultipartUpload('copied to', uploadId, [
    { number: 1, etag: one.etag },
    { number: 2, etag: two.etag },
  ]);
  const expected = Buffer.concat([whole.subarray(1000), whole.subarray(0, 1000)]);
  expect(expected.equals(await stage.oss.read(BUCKET, 'copied to'))).toBe(true);
});

test('parts are listed in pages', async () => {
  const { client, uploadId } = await upload(
    'paged',
    [1, 2, 3, 4, 5].map((size) => randomBytes(size)),
  );
  const seen: string[] = [];
  let marker = 0;
  for (;;) {
    const page = await client.listParts('paged', uploadId, {
      'encoding-type': 'url',
      'max-parts': 2,
      'part-number-marker': marker,
    });
    // One part alone is no list for the SDK, and its numbers are texts.
    seen.push(...[page.parts].flat().map(({ PartNumber }) => String(PartNumber)));
    marker = page.nextPartNumberMarker;
    if (String(page.isTruncated) !== 'true') break;
  }
  expect(seen).toEqual(['1', '2', '3', '4', '5']);
});

test('unfinished uploads are listed in pages, several of one key too', async () => {
  const client = stage.client({ bucket: 'in-shanghai', region: 'oss-cn-shanghai' });
  const started: string[] = [];
  for (const key of ['b', 'a', 'b', 'b', 'c/d'])
    started.push((await client.initMultipartUpload(key)).uploadId);
  const seen: { name: string; uploadId: string }[] = [];
  let markers = {};
  for (;;) {
    const page = await client.listUploads({ 'max-uploads': 2, ...markers });
    seen.push(...page.uploads);
    if (!page.isTruncated) break;
    markers = { 'key-marker': page.nextKeyMarker, 'upload-id-marker': page.nextUploadIdMarker };
  }
  expect(seen.map(({ name }) => name)).toEqual(['a', 'b', 'b', 'b', 'c/d']);
  expect(seen.map(({ uploadId }) => uploadId).sort()).toEqual(started.sort());
  const { uploads } = await client.listUploads({ 'max-uploads': 10, prefix: 'c' });
  expect(uploads).toMatchObject([{ name: 'c/d' }]);
});

test('the SDK uploads a large buffer by itself', async () => {
  const whole = randomBytes(3_333_333);
  await stage.client().multipartUpload('by itself', whole, { partSize: 500_000, parallel: 4 });
  expect(whole.equals(await stage.oss.read(BUCKET, 'by itself'))).toBe(true);
});
