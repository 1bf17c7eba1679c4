import { randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { get } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ask, backupsOf, startTair, type RunningTair } from './start-tair.ts';

const HOUR_MS = 3_600_000;
const SIZE = 300_000;
const BYTES = randomBytes(SIZE);

let folder: string;
let running: RunningTair;
let url: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-download-'));
  await writeFile(join(folder, 'ready.rdb'), BYTES);
});

afterAll(async () => rm(folder, { recursive: true, force: true }));

beforeEach(async () => {
  const spec = { region: 'cn-hangzhou', id: 'r-one', rdbFiles: [join(folder, 'ready.rdb')] };
  running = await startTair([spec]);
  await running.tair.plantBackup('r-one', { startedAt: Date.parse('2026-01-01T00:00:00Z') });
  url = await freshUrl();
});

afterEach(async () => running.stop());

async function freshUrl(): Promise<string> {
  return (await backupsOf(running, 'r-one'))[0]?.backupDownloadURL ?? '';
}

const codeIn = (body: Buffer): string => /<Code>(.*)<\/Code>/.exec(body.toString())?.[1] ?? '';
const messageIn = (body: Buffer): string => /<Message>(.*)<\/Message>/.exec(body.toString())?.[1] ?? '';

it('serves the whole file with the headers of an object', async () => {
  const { status, headers, body } = await ask(url);
  expect({ status, same: body.equals(BYTES) }).toEqual({ status: 200, same: true });
  expect(headers).toMatchObject({
    'content-length': String(SIZE),
    'accept-ranges': 'bytes',
    etag: expect.stringMatching(/^"[0-9A-F]{32}"$/) as string,
    'last-modified': expect.stringMatching(/ GMT$/) as string,
    'x-oss-object-type': 'Normal',
    'x-oss-request-id': expect.any(String) as string,
  });
});

it('writes the path, the range and what it sent into the journal, and nothing of the signature', async () => {
  await ask(url, { headers: { range: 'bytes=5-9' } });
  const [entry] = running.world.journal.entries({ service: 'download' });
  expect(entry).toMatchObject({
    action: 'Download',
    target: new URL(url).pathname,
    range: 'bytes=5-9',
    status: 206,
    sent: 5,
  });
  expect(JSON.stringify(entry)).not.toContain('Signature');
});

describe('ranges', () => {
  it.each([
    ['bytes=0-0', 0, 1],
    ['bytes=100-299999', 100, SIZE],
    ['bytes=299990-', SIZE - 10, SIZE],
    ['bytes=-7', SIZE - 7, SIZE],
  ])('%s is answered in part', async (range, start, end) => {
    const { status, headers, body } = await ask(url, { headers: { range } });
    expect(status).toBe(206);
    expect(headers['content-range']).toBe(`bytes ${start}-${end - 1}/${SIZE}`);
    expect(body.equals(BYTES.subarray(start, end))).toBe(true);
  });

  it.each(['bytes=0-300000', 'bytes=300000-', 'bytes=9-5', 'bytes=-300001', 'lines=1-2'])(
    '%s does not lie within the file, and the whole file comes',
    async (range) => {
      const { status, headers, body } = await ask(url, { headers: { range } });
      expect({ status, range: headers['content-range'], length: body.length }).toEqual({
        status: 200,
        range: undefined,
        length: SIZE,
      });
    },
  );

  it('several at once are refused', async () => {
    expect((await ask(url, { headers: { range: 'bytes=0-1,5-6' } })).status).toBe(416);
  });
});

describe('the signature', () => {
  it('is for GET: a HEAD is refused', async () => {
    expect((await ask(url, { method: 'HEAD' })).status).toBe(403);
  });

  it.each([
    { 'content-type': 'application/octet-stream' },
    { 'x-oss-range-behavior': 'standard' },
    { 'content-md5': 'x' },
  ])('does not cover %j: a request with it is refused', async (headers: Record<string, string>) => {
    const { status, body } = await ask(url, { headers });
    expect({ status, code: codeIn(body) }).toEqual({ status: 403, code: 'SignatureDoesNotMatch' });
  });

  it('lets headers pass that it does not sign', async () => {
    expect((await ask(url, { headers: { 'user-agent': 'tairlift', accept: '*/*' } })).status).toBe(200);
  });

  it('does not fit another file', async () => {
    await running.tair.plantBackup('r-one', { startedAt: Date.parse('2026-01-02T00:00:00Z') });
    const other = new URL(await freshUrl());
    other.search = new URL(url).search;
    expect(codeIn((await ask(other.href)).body)).toBe('SignatureDoesNotMatch');
  });

  it.each([
    ['Signature', 'AAAA', 'SignatureDoesNotMatch'],
    ['Expires', '4000000000', 'SignatureDoesNotMatch'],
    ['OSSAccessKeyId', 'STS.other', 'InvalidAccessKeyId'],
    ['security-token', 'other', 'InvalidSecurityToken'],
  ])('is broken by another %s', async (name, value, code) => {
    const changed = new URL(url);
    changed.searchParams.set(name, value);
    const { status, body } = await ask(changed.href);
    expect({ status, code: codeIn(body) }).toEqual({ status: 403, code });
  });

  it('is needed', async () => {
    const bare = new URL(url);
    bare.search = '';
    expect(await ask(bare.href)).toMatchObject({ status: 403 });
  });

  it('ends after its lifetime, and a fresh URL has a new one', async () => {
    running.world.clock.advance(3 * HOUR_MS - 5_000);
    expect((await ask(url)).status).toBe(200);
    running.world.clock.advance(10_000);
    const { status, body } = await ask(url);
    expect({ status, code: codeIn(body), message: messageIn(body) }).toEqual({
      status: 403,
      code: 'AccessDenied',
      message: 'Request has expired.',
    });
    expect((await ask(await freshUrl())).status).toBe(200);
  });

  it('has the lifetime that the options say, which its Expires tells', async () => {
    running.tair.options.urlLifetimeMs = 60_000;
    const short = await freshUrl();
    const expires = Number(new URL(short).searchParams.get('Expires')) * 1000;
    expect(Math.abs(expires - running.world.clock.now() - 60_000)).toBeLessThan(5_000);
    running.world.clock.advance(62_000);
    expect((await ask(short)).status).toBe(403);
  });
});

describe('checksums and conditions', () => {
  it('tells the CRC-64 of the whole file, also with a part of it', async () => {
    const whole = (await ask(url)).headers['x-oss-hash-crc64ecma'];
    const part = (await ask(url, { headers: { range: 'bytes=1-2' } })).headers['x-oss-hash-crc64ecma'];
    expect(whole).toMatch(/^\d{10,20}$/);
    expect(part).toBe(whole);
  });

  it('tells the CRC-64 of known bytes', async () => {
    const file = join(folder, 'known.rdb');
    await writeFile(file, '123456789');
    await running.tair.plantBackup('r-one', { startedAt: Date.parse('2026-01-03T00:00:00Z'), files: [file] });
    // The check value of CRC-64/XZ.
    expect((await ask(await freshUrl())).headers['x-oss-hash-crc64ecma']).toBe(
      BigInt('0x995dc9bbdf1939fa').toString(),
    );
  });

  it('tells none when it should not', async () => {
    running.tair.options.sendsCrc64 = false;
    expect((await ask(url)).headers).not.toHaveProperty('x-oss-hash-crc64ecma');
  });

  it('refuses a read on condition that it is another file', async () => {
    const { etag } = (await ask(url)).headers;
    expect((await ask(url, { headers: { 'if-match': String(etag) } })).status).toBe(200);
    expect((await ask(url, { headers: { 'if-match': '"0"' } })).status).toBe(412);
  });
});

it('breaks off where a fault says, and goes on from there when asked again', async () => {
  running.world.faults.add({ service: 'download', effect: { kind: 'short', bytes: 1000 } });
  const first = await ask(url);
  expect(first.body).toHaveLength(1000);
  const rest = await ask(url, { headers: { range: `bytes=1000-${SIZE - 1}` } });
  expect(Buffer.concat([first.body, rest.body]).equals(BYTES)).toBe(true);
});

it('streams a large file without holding it', async () => {
  const file = join(folder, 'large.rdb');
  const handle = await open(file, 'w');
  const bytes = 400 * 1024 * 1024;
  await handle.truncate(bytes);
  await handle.close();
  running.tair.options.sendsCrc64 = false;
  await running.tair.plantBackup('r-one', { startedAt: Date.parse('2026-01-04T00:00:00Z'), files: [file] });
  const large = await freshUrl();
  const before = process.memoryUsage.rss();
  let peak = before;
  let received = 0;
  await new Promise<void>((done, fail) => {
    get(large, (response) => {
      response.on('data', (piece: Buffer) => {
        received += piece.length;
        peak = Math.max(peak, process.memoryUsage.rss());
      });
      response.once('end', done).once('error', fail);
    }).once('error', fail);
  });
  expect(received).toBe(bytes);
  expect(peak - before).toBeLessThan(150 * 1024 * 1024);
});
