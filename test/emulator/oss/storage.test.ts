import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { buildSync } from 'esbuild';
import OSS from 'ali-oss';
import { presignV1 } from '../../../emulator/oss/signature/v1.ts';
import { BUCKET, startOss, type ClientOptions } from './start-oss.ts';
import type { Memory, Started } from './serve-oss.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-oss-'));
});
afterEach(async () => rm(folder, { recursive: true, force: true }));

const dataFiles = async (): Promise<number> => (await readdir(join(folder, 'oss', BUCKET, 'data'))).length;

test('objects and unfinished uploads are found again after a restart', async () => {
  const before = await startOss(folder);
  const whole = randomBytes(200_000);
  await before.client().put('kept', Buffer.from('kept'), { meta: { uid: 1, pid: 2 } });
  await before.client().put('replaced', Buffer.from('old'));
  await before.client().put('replaced', Buffer.from('new'));
  await before.client().put('removed', Buffer.from('x'));
  await before.client().delete('removed');
  const { uploadId } = await before.client().initMultipartUpload('resumed');
  const one = await before.client().uploadPart('resumed', uploadId, 1, whole, 0, 150_000);
  const listed = before.oss.list(BUCKET);
  await before.stop();

  const after = await startOss(folder);
  try {
    expect(after.oss.list(BUCKET)).toEqual(listed);
    expect((await after.oss.read(BUCKET, 'replaced')).toString()).toBe('new');
    expect((await after.client({ ...after.key }).head('kept')).meta).toEqual({ uid: '1', pid: '2' });
    const client = after.client();
    const two = await client.uploadPart('resumed', uploadId, 2, whole, 150_000, 200_000);
    const parts = [one, two].map(({ etag }, index) => ({ number: index + 1, etag }));
    await client.completeMultipartUpload('resumed', uploadId, parts);
    expect(whole.equals(await after.oss.read(BUCKET, 'resumed'))).toBe(true);
    // One file for each of the two puts that are left, and one for each part.
    expect(await dataFiles()).toBe(4);
  } finally {
    await after.stop();
  }
});

test('a client that leaves before its body is whole stores nothing', async () => {
  const before = await startOss(folder);
  const query = presignV1(before.key, { method: 'PUT', resource: `/${BUCKET}/half` }, Date.now() + 60_000);
  const call = request(`${before.endpoint}/${BUCKET}/half?${query.toString()}`, {
    method: 'PUT',
    headers: { 'content-length': '1000' },
  });
  // Not `once`: it would reject with the error that leaving is.
  const left = new Promise((resolve) => call.once('close', resolve));
  call.on('error', () => undefined);
  call.write(Buffer.alloc(500), () => call.destroy());
  await left;
  await before.stop();

  const after = await startOss(folder);
  expect(after.oss.list(BUCKET)).toEqual([]);
  expect(await dataFiles()).toBe(0);
  await after.stop();
});

test('what a killed emulator left half-done is put right at the next start', async () => {
  const bucket = join(folder, 'oss', BUCKET);
  const before = await startOss(folder);
  const client = before.client();
  const { uploadId } = await client.initMultipartUpload('key');
  const { etag } = await client.uploadPart('key', uploadId, 1, Buffer.from('bytes'), 0, 5);
  await cp(join(bucket, 'uploads', uploadId), join(folder, 'saved'), { recursive: true });
  await client.completeMultipartUpload('key', uploadId, [{ number: 1, etag }]);
  await before.stop();
  // The object was written down, its upload not yet forgotten, another body and description were on their way.
  await cp(join(folder, 'saved'), join(bucket, 'uploads', uploadId), { recursive: true });
  await writeFile(join(bucket, 'data', 'stray'), 'half a body');
  await writeFile(join(bucket, 'objects', 'stray.json'), '{"key":"hal');

  const after = await startOss(folder);
  // Aborting the left-over upload would delete the object's bytes.
  expect(after.oss.uploads(BUCKET)).toEqual([]);
  expect(after.oss.list(BUCKET).map(({ key }) => key)).toEqual(['key']);
  expect((await after.oss.read(BUCKET, 'key')).toString()).toBe('bytes');
  expect(await dataFiles()).toBe(1);
  await after.stop();
});

test('aborting and replacing give the space back', async () => {
  const stage = await startOss(folder);
  try {
    const client = stage.client();
    const bytes = randomBytes(1000);
    const { uploadId } = await client.initMultipartUpload('aborted');
    for (const number of [1, 2, 1]) await client.uploadPart('aborted', uploadId, number, bytes, 0, 1000);
    expect(await dataFiles()).toBe(2);
    await client.abortMultipartUpload('aborted', uploadId);
    expect(await dataFiles()).toBe(0);
    await client.put('same', bytes);
    await client.put('same', bytes);
    expect(await dataFiles()).toBe(1);
  } finally {
    await stage.stop();
  }
});

test('a download goes on when its object is replaced meanwhile', async () => {
  const stage = await startOss(folder);
  try {
    const client = stage.client();
    const old = randomBytes(8_000_000);
    const { uploadId } = await client.initMultipartUpload('read');
    const parts = [];
    for (let at = 0; at < 4; at++) {
      const part = await client.uploadPart('read', uploadId, at + 1, old, at * 2e6, (at + 1) * 2e6);
      parts.push({ number: at + 1, etag: part.etag });
    }
    await client.completeMultipartUpload('read', uploadId, parts);
    const { stream } = (await client.getStream('read')) as { stream: Readable };
    await client.put('read', Buffer.from('new'));
    const pieces: Buffer[] = [];
    for await (const piece of stream) pieces.push(piece as Buffer);
    expect(Buffer.concat(pieces).equals(old)).toBe(true);
    expect((await client.get('read')).content).toEqual(Buffer.from('new'));
  } finally {
    await stage.stop();
  }
});

test('a bit can be made to rot, and nothing but the bytes tells', async () => {
  const stage = await startOss(folder);
  try {
    const body = randomBytes(1000);
    await stage.client().put('rots', body);
    const [before] = stage.oss.list(BUCKET);
    await stage.oss.corrupt(BUCKET, 'rots', 500);
    expect(stage.oss.list(BUCKET)).toEqual([before]);
    const after = await stage.oss.read(BUCKET, 'rots');
    expect([...after.keys()].filter((at) => after[at] !== body[at])).toEqual([500]);
    await expect(stage.oss.corrupt(BUCKET, 'rots', 1000)).rejects.toThrow(RangeError);
    expect(await stage.oss.remove(BUCKET, 'rots')).toBe(true);
    expect(await stage.oss.remove(BUCKET, 'rots')).toBe(false);
  } finally {
    await stage.stop();
  }
});

test('memory stays flat while a part of 300 MB comes in and goes out again', async () => {
  const { child, port } = await startChild();
  try {
    const options: ClientOptions = {
      endpoint: `http://localhost:${port}`,
      sldEnable: true,
      region: 'oss-cn-hangzhou',
      bucket: BUCKET,
      accessKeyId: 'LTAItest',
      accessKeySecret: 'secret',
      timeout: 50_000,
    };
    const client = new OSS(options);
    const size = 300 * 1024 * 1024;
    const { uploadId } = await client.initMultipartUpload('large');
    const piece = Buffer.alloc(1024 * 1024, 7);
    const pieces = Readable.from(Array.from({ length: 300 }, () => piece));
    const { etag } = await client.uploadPart('large', uploadId, 1, pieces, 0, size);
    await client.completeMultipartUpload('large', uploadId, [{ number: 1, etag }]);
    const { stream } = (await client.getStream('large')) as { stream: Readable };
    let received = 0;
    for await (const chunk of stream) received += (chunk as Buffer).length;
    expect(received).toBe(size);
    const asked = once(child, 'message') as Promise<[Memory]>;
    child.send('memory');
    const [{ maxRssBytes }] = await asked;
    expect(maxRssBytes).toBeLessThan(200 * 1024 * 1024);
  } finally {
    const ended = once(child, 'exit');
    child.kill();
    await ended;
  }
});

/** OSS in a process of its own, as `serve-oss.ts` starts it. */
async function startChild(): Promise<{ child: ChildProcess; port: number }> {
  const outfile = join(folder, 'serve-oss.js');
  buildSync({
    entryPoints: [join(__dirname, 'serve-oss.ts')],
    bundle: true,
    platform: 'node',
    logLevel: 'error',
    outfile,
  });
  const child = fork(outfile, [folder], { execArgv: [] });
  const started = once(child, 'message') as Promise<[Started]>;
  const [{ port }] = await Promise.race([
    started,
    wait(20_000, undefined, { ref: false }).then(() => {
      child.kill();
      throw new Error('the child does not say its port');
    }),
  ]);
  return { child, port };
}
