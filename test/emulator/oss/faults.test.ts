import { randomBytes } from 'node:crypto';
import { BUCKET, failure, startOss, type Stage } from './start-oss.ts';

let stage: Stage;
beforeEach(async () => {
  stage = await startOss();
});
afterEach(async () => stage.stop());

test('a part whose answer is lost is there all the same', async () => {
  const client = stage.client();
  const { uploadId } = await client.initMultipartUpload('key');
  stage.world.faults.add({ service: 'oss', action: 'UploadPart', effect: { kind: 'lose-answer' } });
  const error = await failure(client.uploadPart('key', uploadId, 1, Buffer.from('x'), 0, 1));
  expect(error.status).toBeLessThan(0);
  expect([...(stage.oss.uploads(BUCKET)[0]?.parts.keys() ?? [])]).toEqual([1]);
});

test('a completion whose answer is lost has made the object, and a second one finds no upload', async () => {
  const client = stage.client();
  const { uploadId } = await client.initMultipartUpload('key');
  const { etag } = await client.uploadPart('key', uploadId, 1, Buffer.from('x'), 0, 1);
  stage.world.faults.add({
    service: 'oss',
    action: 'CompleteMultipartUpload',
    effect: { kind: 'lose-answer' },
  });
  const complete = async () => client.completeMultipartUpload('key', uploadId, [{ number: 1, etag }]);
  expect((await failure(complete())).status).toBeLessThan(0);
  expect(await failure(complete())).toMatchObject({ code: 'NoSuchUpload' });
  expect((await stage.oss.read(BUCKET, 'key')).toString()).toBe('x');
});

test('a scripted error reaches a client that is still sending', async () => {
  const client = stage.client();
  const body = randomBytes(20_000_000);
  stage.world.faults.add({
    service: 'oss',
    action: 'PutObject',
    target: '^my-backups/key$',
    times: 2,
    effect: { kind: 'error', status: 503, code: 'ServiceUnavailable' },
  });
  for (let attempt = 0; attempt < 2; attempt++)
    expect(await failure(client.put('key', body))).toMatchObject({ code: 'ServiceUnavailable', status: 503 });
  await client.put('key', body);
  expect(body.equals(await stage.oss.read(BUCKET, 'key'))).toBe(true);
});

test('a scripted error of HEAD has its code too', async () => {
  stage.world.faults.add({
    service: 'oss',
    action: 'HeadObject',
    effect: { kind: 'error', status: 503, code: 'TotalQpsLimitExceeded' },
  });
  expect(await failure(stage.client().head('key'))).toMatchObject({
    code: 'TotalQpsLimitExceeded',
    status: 503,
  });
});

test('a bit that flips on its way shows in the checksum', async () => {
  const client = stage.client();
  const { uploadId } = await client.initMultipartUpload('key');
  const bytes = randomBytes(1000);
  const right = await client.uploadPart('key', uploadId, 1, bytes, 0, 1000);
  stage.world.faults.add({
    service: 'oss',
    action: 'UploadPart',
    effect: { kind: 'flip-request', atByte: 999 },
  });
  const flipped = await client.uploadPart('key', uploadId, 2, bytes, 0, 1000);
  const crc = ({ res }: typeof right): unknown =>
    (res.headers as Record<string, string>)['x-oss-hash-crc64ecma'];
  expect(crc(flipped)).not.toBe(crc(right));
});

test('the journal tells what was asked, by whom, and how much of it moved', async () => {
  const client = stage.client();
  await client.put('a/b', Buffer.from('12345'));
  await client.get('a/b', { headers: { Range: 'bytes=1-2' } });
  await failure(client.head('nothing'));
  expect(stage.world.journal.entries()).toMatchObject([
    { action: 'PutObject', target: `${BUCKET}/a/b`, status: 200, received: 5 },
    { action: 'GetObject', target: `${BUCKET}/a/b`, status: 206, sent: 2, range: 'bytes=1-2' },
    { action: 'HeadObject', target: `${BUCKET}/nothing`, status: 404, code: 'NoSuchKey' },
  ]);
});
