/** The other side of the bench: an uploader can be wrong about a file here as it can be in the world. */
import { connect } from 'node:net';
import { crc64Xz } from '../../functions/core/crc64.ts';
import { syntheticRdb } from './rdb-file.ts';
import { createPace } from './servers/pace.ts';
import { startServers, type Servers } from './servers/servers.ts';

const MIB = 1024 ** 2;
const FILE = 'a.rdb';
const KEY = 'my-backups/folder/a.rdb';

describe('the lean servers', () => {
  const rdb = syntheticRdb(20 * MIB);
  const whole = Buffer.concat([...rdb.pieces(0, rdb.bytes)]);
  let servers: Servers;
  let parts = 0;
  beforeEach(async () => {
    parts = 0;
    servers = await startServers(
      {
        files: [{ name: FILE, syntheticBytes: 20 * MIB }],
        backups: [{ instanceId: 'r-bp1', files: [FILE] }],
      },
      () => parts++,
    );
  });
  afterEach(() => servers.close());

  const ask = async (method: string, path: string, body?: Uint8Array<ArrayBuffer>): Promise<Response> =>
    fetch(`${servers.ends.oss}/${path}`, { method, ...(body === undefined ? {} : { body }) });

  async function begin(): Promise<string> {
    const answer = await (await ask('POST', `${KEY}?uploads`)).text();
    return /<UploadId>(\w+)</.exec(answer)?.[1] ?? '';
  }

  function slice(start: number, end: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(whole.subarray(start, end));
  }

  it('give the file as a whole and in exact ranges, with its checksum', async () => {
    const all = await fetch(`${servers.ends.download}/${FILE}?Signature=s`);
    expect(all.status).toBe(200);
    expect(all.headers.get('x-oss-hash-crc64ecma')).toBe(crc64Of(whole));
    expect(whole.equals(Buffer.from(await all.arrayBuffer()))).toBe(true);

    const some = await fetch(`${servers.ends.download}/${FILE}`, {
      headers: { range: 'bytes=262100-786500' },
    });
    expect(some.status).toBe(206);
    expect(some.headers.get('content-range')).toBe(`bytes 262100-786500/${whole.length}`);
    expect(Buffer.from(await some.arrayBuffer()).equals(whole.subarray(262_100, 786_501))).toBe(true);
  });

  it('tell for each part the checksum of the range that it is, the last one first as well', async () => {
    const upload = await begin();
    for (const [number, start, end] of [
      [3, 16 * MIB, whole.length],
      [1, 0, 8 * MIB],
      [2, 8 * MIB, 16 * MIB],
    ] as const) {
      const answer = await ask('PUT', `${KEY}?partNumber=${number}&uploadId=${upload}`, slice(start, end));
      expect(answer.headers.get('x-oss-hash-crc64ecma')).toBe(crc64Of(whole.subarray(start, end)));
    }
    const listed = await (await ask('GET', `${KEY}?uploadId=${upload}`)).text();
    expect([...listed.matchAll(/<Size>(\d+)</g)].map(([, size]) => Number(size))).toEqual([
      8 * MIB,
      8 * MIB,
      whole.length - 16 * MIB,
    ]);
    expect(servers.traffic(FILE)).toEqual({ lanes: 1, parts: [3, 1, 2] });
    expect(parts).toBe(3);
  });

  it('refuse a part that holds other bytes than the file, and an upload with a hole', async () => {
    const upload = await begin();
    const spoiled = slice(0, 8 * MIB);
    spoiled[0] = 0;
    expect((await ask('PUT', `${KEY}?partNumber=1&uploadId=${upload}`, spoiled)).status).toBe(400);
    expect((await ask('PUT', `${KEY}?partNumber=1&uploadId=${upload}`, slice(0, 8 * MIB))).status).toBe(200);
    const named = new TextEncoder().encode('<Part><PartNumber>1</PartNumber></Part>');
    expect((await ask('POST', `${KEY}?uploadId=${upload}`, named)).status).toBe(400);
    expect((await ask('HEAD', KEY)).status).toBe(404);
  });

  it('never replace an object that must not be replaced, and keep small ones', async () => {
    const body = new TextEncoder().encode('{}');
    const headers = { 'x-oss-forbid-overwrite': 'true' };
    const put = async (): Promise<Response> =>
      fetch(`${servers.ends.oss}/my-backups/manifest.json`, { method: 'PUT', body, headers });
    expect((await put()).status).toBe(200);
    expect((await put()).status).toBe(409);
    expect(await (await ask('GET', 'my-backups/manifest.json')).text()).toBe('{}');
  });

  it('read a chunked body however it is cut', async () => {
    const text =
      'PUT /my-backups/x.json HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n';
    const socket = connect(Number(new URL(servers.ends.oss).port), '127.0.0.1');
    const answered = new Promise<string>((resolve) =>
      socket.once('data', (piece: Buffer) => resolve(piece.toString())),
    );
    for (const byte of text) await new Promise((resolve) => socket.write(byte, resolve));
    expect(await answered).toMatch(/^HTTP\/1\.1 200 /);
    socket.destroy();
    expect(await (await ask('GET', 'my-backups/x.json')).text()).toBe('abc0123456789');
  });

  it('list the backup as the API does, by its instance', async () => {
    const answer = await fetch(`${servers.ends.tair}/?InstanceId=r-bp1`, {
      method: 'POST',
      headers: { 'x-acs-action': 'DescribeBackups' },
    });
    expect(await answer.json()).toMatchObject({
      TotalCount: 1,
      Backups: {
        Backup: [{ BackupStatus: 'Success', BackupSize: whole.length, NodeInstanceId: 'r-bp1-db-0' }],
      },
    });
  });
});

describe('the pace of a shaped connection', () => {
  it('asks to wait for as long as the bytes would have taken, and saves up nothing between two bodies', () => {
    const pace = createPace({ bytesPerSecond: 1000, latencyMs: 0 });
    pace.begin();
    expect(pace.spend(100_000)).toBeGreaterThan(99_000);
    expect(pace.spend(100_000)).toBeGreaterThan(199_000);
    pace.begin();
    expect(pace.spend(100_000)).toBeLessThanOrEqual(100_000);
  });
});

function crc64Of(bytes: Buffer): string {
  const crc = crc64Xz();
  crc.update(bytes);
  return crc.value().toString();
}
