/**
 * The two ends of a transfer, as cheap as they can be made, so that the client between them is what is measured: a
 * download host that answers ranges from the page cache, and an OSS that drops what it receives. It checks no
 * signature and computes no checksum; it knows the file and answers with its true length and CRC-64, so a client
 * that moved other bytes than the file's is found out by its own arithmetic.
 */
import { createReadStream } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { crc64Xz } from '../../functions/core/crc64.ts';
import type { RdbFile } from './rdb-file.ts';

export interface LeanServers {
  readonly download: string;
  readonly oss: string;
  close(): void;
}

export async function startLeanServers(file: RdbFile): Promise<LeanServers> {
  const download = await listen((request, response) => sendRange(file, request, response));
  const oss = await listen(ossOf(file, await crc64Of(file)));
  return {
    download: `${download.url}/big.rdb`,
    oss: oss.url,
    close: () => {
      download.close();
      oss.close();
    },
  };
}

async function crc64Of({ path }: RdbFile): Promise<string> {
  const crc = crc64Xz();
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 }))
    crc.update(piece as Buffer);
  return crc.value().toString();
}

async function listen(listener: RequestListener): Promise<{ readonly url: string; close(): void }> {
  const server = createServer({ keepAliveTimeout: 60_000, highWaterMark: 1024 * 1024 }, listener);
  server.requestTimeout = 0;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

function sendRange(file: RdbFile, request: IncomingMessage, response: ServerResponse): void {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  const [start, end] = range === null ? [0, file.bytes - 1] : [Number(range[1]), Number(range[2])];
  response.writeHead(range === null ? 200 : 206, {
    'content-length': end - start + 1,
    'content-type': 'application/octet-stream',
    etag: '"bench"',
    ...(range === null ? {} : { 'content-range': `bytes ${start}-${end}/${file.bytes}` }),
  });
  createReadStream(file.path, { start, end, highWaterMark: 1024 * 1024 })
    .on('error', () => response.destroy())
    .pipe(response);
}

function ossOf(file: RdbFile, crc64: string): RequestListener {
  let stored = new Map<string, Buffer | 'the file'>();
  return (request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const kept: Buffer[] = [];
    request.on('data', (piece: Buffer) => {
      // Manifests and outcomes are kept; the file is not.
      if (kept.length < 4 && !url.pathname.endsWith('.rdb')) kept.push(piece);
    });
    request.on('end', () => {
      if (url.pathname === '/forget') stored = new Map();
      const reply = replyTo(request.method ?? '', url, Buffer.concat(kept), stored, {
        bytes: file.bytes,
        crc64,
      });
      response.writeHead(reply.status, {
        'x-oss-request-id': 'bench',
        etag: '"bench"',
        'last-modified': new Date(0).toUTCString(),
        ...reply.headers,
      });
      response.end(request.method === 'HEAD' ? undefined : reply.body);
    });
  };
}

interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Buffer | string;
}

function replyTo(
  method: string,
  { pathname, searchParams }: URL,
  body: Buffer,
  stored: Map<string, Buffer | 'the file'>,
  file: { readonly bytes: number; readonly crc64: string },
): Reply {
  const object = stored.get(pathname);
  const describesFile = { 'x-oss-hash-crc64ecma': file.crc64 };
  if (method === 'POST' && searchParams.has('uploads'))
    return {
      status: 200,
      body: '<?xml version="1.0"?><InitiateMultipartUploadResult><UploadId>bench</UploadId></InitiateMultipartUploadResult>',
    };
  if (method === 'PUT' && searchParams.has('partNumber')) return { status: 200 };
  if (method === 'PUT' || method === 'POST') {
    stored.set(pathname, method === 'PUT' && !pathname.endsWith('.rdb') ? body : 'the file');
    return {
      status: 200,
      headers: method === 'POST' ? describesFile : {},
      body: method === 'POST' ? '<Done/>' : '',
    };
  }
  if (method === 'DELETE') return { status: 204 };
  if (searchParams.has('uploads'))
    return {
      status: 200,
      body: '<ListMultipartUploadsResult><Bucket>my-backups</Bucket></ListMultipartUploadsResult>',
    };
  if (object === undefined) return { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' };
  if (object === 'the file')
    return { status: 200, headers: { ...describesFile, 'content-length': String(file.bytes) } };
  return { status: 200, headers: { 'content-length': String(object.length) }, body: object };
}
