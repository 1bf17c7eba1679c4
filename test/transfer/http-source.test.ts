import { BackupError } from '../../functions/core/errors.ts';
import type { ByteSource, UrlSupply } from '../../functions/core/transfer/byte-source.ts';
import { createHttpClient, type HttpClient } from '../../functions/core/transfer/http.ts';
import { openHttpSource } from '../../functions/core/transfer/http-source.ts';
import { testByteSource } from '../contracts/byte-source.ts';
import { rangeOf, startFileServer, type Answer, type FileServer } from '../doubles/file-server.ts';
import { plainFile } from '../doubles/plain-scanner.ts';
import { fixedUrl } from '../doubles/urls.ts';
import { QUICK } from '../doubles/policies.ts';

const { signal } = new AbortController();

testByteSource('a file behind a URL', async () => {
  const file = plainFile(1_234_567);
  const server = await startFileServer(file);
  const http = createHttpClient();
  const source = await openHttpSource(
    { name: 'a.rdb of r-1', http, urls: fixedUrl(server.url), policy: QUICK },
    signal,
  );
  return {
    source,
    file,
    close: async () => {
      http.close();
      await server.close();
    },
  };
});

describe('a file behind a URL', () => {
  const file = plainFile(300_000);
  let http: HttpClient;
  let server: FileServer;
  beforeEach(async () => {
    http = createHttpClient({ idleTimeoutMs: 200, connectTimeoutMs: 2000 });
    server = await startFileServer(file);
  });
  afterEach(async () => {
    http.close();
    await server.close();
  });

  const open = async (urls: UrlSupply = fixedUrl(server.url)): Promise<ByteSource> =>
    openHttpSource({ name: 'a.rdb of r-1', http, urls, policy: QUICK }, signal);

  async function readWhole(source: ByteSource): Promise<Buffer> {
    const into = Buffer.alloc(source.bytes);
    await source.read(0, into, signal);
    return into;
  }
  const rangesAsked = (): unknown[] => server.requests.slice(1).map(({ headers }) => headers.range);

  it('asks with GET and no header that the signature would not cover', async () => {
    await readWhole(await open());

    for (const { method, headers } of server.requests) {
      expect(method).toBe('GET');
      expect(Object.keys(headers).sort()).toEqual(['connection', 'host', 'range']);
    }
    expect(server.requests.map(({ headers }) => headers.range)).toEqual(['bytes=0-0', 'bytes=0-299999']);
  });

  it('takes the checksum that the source tells', async () => {
    server.serve(file, { 'x-oss-hash-crc64ecma': '123' });

    expect((await open()).crc64).toBe('123');
  });

  describe('survives, and goes on at the byte where it stopped, when', () => {
    const cutAfter =
      (bytes: number): Answer =>
      (request, response) => {
        const { first, last } = rangeOf(request);
        response.writeHead(206, {
          'content-length': last - first + 1,
          'content-range': `bytes ${first}-${last}/${file.length}`,
        });
        response.write(file.subarray(first, first + bytes), () => response.destroy());
      };

    it('the connection is cut', async () => {
      const source = await open();
      server.script(cutAfter(1000), cutAfter(70_000));

      expect((await readWhole(source)).equals(file)).toBe(true);
      expect(rangesAsked()).toEqual(['bytes=0-299999', 'bytes=1000-299999', 'bytes=71000-299999']);
    });

    it('the answer ends early but cleanly', async () => {
      const source = await open();
      server.script((_request, response) => {
        response.writeHead(206, { 'content-length': 500, 'content-range': `bytes 0-299999/${file.length}` });
        response.end(file.subarray(0, 500));
      });

      expect((await readWhole(source)).equals(file)).toBe(true);
      expect(rangesAsked()).toEqual(['bytes=0-299999', 'bytes=500-299999']);
    });

    it('the answer falls silent', async () => {
      const source = await open();
      server.script((_request, response) => {
        response.writeHead(206, {
          'content-length': 300_000,
          'content-range': `bytes 0-299999/${file.length}`,
        });
        response.write(file.subarray(0, 2000));
      });

      expect((await readWhole(source)).equals(file)).toBe(true);
      expect(rangesAsked()).toEqual(['bytes=0-299999', 'bytes=2000-299999']);
    });

    it('no answer comes at all', async () => {
      const source = await open();
      server.script(() => undefined);

      expect((await readWhole(source)).equals(file)).toBe(true);
    });

    it('the connection is reset before the answer', async () => {
      const source = await open();
      server.script((request) => request.socket.resetAndDestroy());

      expect((await readWhole(source)).equals(file)).toBe(true);
    });

    it.each([500, 502, 503, 429, 408])('the service answers %d', async (status) => {
      const source = await open();
      server.script((_request, response) => response.writeHead(status).end('later'));

      expect((await readWhole(source)).equals(file)).toBe(true);
    });

    it('one answer ignores the range', async () => {
      const source = await open();
      server.script((_request, response) => response.writeHead(200).end(file));

      expect((await readWhole(source)).equals(file)).toBe(true);
    });

    it('one answer is a page in the place of the file', async () => {
      const source = await open();
      server.script((_request, response) =>
        response.writeHead(200, { 'content-type': 'text/html' }).end('<html>'),
      );

      expect((await readWhole(source)).equals(file)).toBe(true);
    });
  });

  describe('takes every byte from an answer that', () => {
    const head = (version: string, headers: readonly string[]): string =>
      [
        `HTTP/${version} 206 Partial Content`,
        'Content-Range: bytes 0-299999/300000',
        ...headers,
        '',
        '',
      ].join('\r\n');

    it.each<[string, Answer]>([
      [
        'comes in chunks and tells no length',
        (_request, response) => {
          response.writeHead(206, { 'content-range': 'bytes 0-299999/300000' });
          response.write(file.subarray(0, 100_000));
          response.end(file.subarray(100_000));
        },
      ],
      [
        'is of HTTP/1.0, whose end is the end of the connection',
        ({ socket }) => {
          socket.write(head('1.0', []));
          socket.end(file);
        },
      ],
      [
        'tells its length while the connection stays open and silent',
        ({ socket }) => {
          socket.write(head('1.1', ['Content-Length: 300000']));
          socket.write(file);
        },
      ],
      [
        'is followed by a broken connection at its very last byte',
        ({ socket }) => {
          socket.write(head('1.1', ['Content-Length: 300000']));
          socket.write(file, () => socket.destroy());
        },
      ],
      [
        'is preceded by an answer that says to go on',
        (_request, response, ordinary) => {
          response.writeContinue();
          ordinary();
        },
      ],
    ])('%s', async (_name, answer) => {
      const source = await open();
      server.script(answer);

      expect((await readWhole(source)).equals(file)).toBe(true);
      expect(rangesAsked()).toEqual(['bytes=0-299999']);
    });
  });

  it('keeps nothing of an answer that goes on after the range, whatever its first bytes were', async () => {
    const source = await open();
    server.script((_request, response) => {
      response.writeHead(206, { 'content-range': 'bytes 0-299999/300000' });
      response.write(Buffer.alloc(300_000, 'wrong'), () => response.end('and more'));
    });

    expect((await readWhole(source)).equals(file)).toBe(true);
    expect(rangesAsked()).toEqual(['bytes=0-299999', 'bytes=0-299999']);
  });

  it('does not follow where a signed URL is redirected to', async () => {
    const elsewhere = await startFileServer(file);
    try {
      server.script(
        ...Array.from({ length: QUICK.attempts }, (): Answer => (_request, response) => {
          response.writeHead(302, { location: elsewhere.url }).end();
        }),
      );

      await expect(open()).rejects.toMatchObject({
        code: 'SOURCE_INVALID',
        details: { status: 302 },
        hint: expect.stringContaining('redirects'),
      });
      expect(elsewhere.requests).toEqual([]);
    } finally {
      await elsewhere.close();
    }
  });

  it.each([
    ['milliseconds where OSS throttles', { 'x-oss-qos-delay-time': '150' }, 150],
    ['seconds as HTTP has it', { 'retry-after': '2' }, 2000],
    ['nothing it understands', { 'retry-after': 'Sat, 21 Nov 2026 00:00:00 GMT' }, undefined],
  ])('reads how long it is asked to wait: %s', async (_name, headers, retryAfterMs) => {
    const impatient = { ...QUICK, attempts: 1 };
    server.script((_request, response) => response.writeHead(503, headers).end());

    const failure: unknown = await openHttpSource(
      { name: 'a.rdb of r-1', http, urls: fixedUrl(server.url), policy: impatient },
      signal,
    ).catch((error: unknown) => error);

    expect((failure as BackupError).details['retryAfterMs']).toBe(retryAfterMs);
  });

  it('does not wait for the end of an error that drips', async () => {
    const source = await open();
    let drip: NodeJS.Timeout | undefined;
    server.script((_request, response) => {
      response.writeHead(503);
      drip = setInterval(() => response.write(' '), 50);
    });

    expect((await readWhole(source)).equals(file)).toBe(true);
    clearInterval(drip);
  });

  it('is slow but sound when the bytes drip, because silence counts and not duration', async () => {
    const source = await open();
    server.script((_request, response) => {
      response.writeHead(206, {
        'content-length': 300_000,
        'content-range': `bytes 0-299999/${file.length}`,
      });
      let sent = 0;
      const drip = setInterval(() => {
        response.write(file.subarray(sent, (sent += 50_000)));
        if (sent >= file.length) {
          clearInterval(drip);
          response.end();
        }
      }, 60);
    });

    expect((await readWhole(source)).equals(file)).toBe(true);
    expect(rangesAsked()).toEqual(['bytes=0-299999']);
  });

  describe('fails by name when', () => {
    it.each<[string, Answer, string]>([
      [
        'the file is empty',
        (_request, response) => response.writeHead(200, { 'content-length': 0 }).end(),
        'SOURCE_TRUNCATED',
      ],
      [
        'the file is empty and the range is refused',
        (_request, response) => response.writeHead(416).end(),
        'SOURCE_TRUNCATED',
      ],
      ['the range is ignored', (_request, response) => response.writeHead(200).end(file), 'SOURCE_INVALID'],
      [
        'another range is sent',
        (_request, response) =>
          response.writeHead(206, { 'content-range': 'bytes 5-5/300000', 'content-length': 1 }).end('x'),
        'SOURCE_INVALID',
      ],
      [
        'the answer does not say which range it is',
        (_request, response) => response.writeHead(206, { 'content-length': 1 }).end('x'),
        'SOURCE_INVALID',
      ],
      [
        'the answer is longer than the range',
        (_request, response) => response.writeHead(206, { 'content-range': 'bytes 0-0/300000' }).end('xx'),
        'SOURCE_INVALID',
      ],
      [
        'the answer says that it is longer than the range',
        (_request, response) =>
          response.writeHead(206, { 'content-range': 'bytes 0-0/300000', 'content-length': 2 }).end('xx'),
        'SOURCE_INVALID',
      ],
      [
        'the range lies beyond the end of its own file',
        (_request, response) => response.writeHead(206, { 'content-range': 'bytes 0-0/0' }).end('x'),
        'SOURCE_INVALID',
      ],
      [
        'the answer is a page',
        (_request, response) =>
          response
            .writeHead(206, {
              'content-range': 'bytes 0-0/300000',
              'content-type': 'text/html; charset=utf-8',
            })
            .end('<'),
        'SOURCE_INVALID',
      ],
      [
        'the answer is compressed',
        (_request, response) =>
          response
            .writeHead(206, { 'content-range': 'bytes 0-0/300000', 'content-encoding': 'gzip' })
            .end('x'),
        'SOURCE_INVALID',
      ],
      [
        'the address moved',
        (_request, response) => response.writeHead(302, { location: 'http://example.com' }).end(),
        'SOURCE_INVALID',
      ],
      ['there is no such file', (_request, response) => response.writeHead(404).end(), 'SOURCE_INVALID'],
      ['the service is down', (_request, response) => response.writeHead(503).end(), 'SOURCE_UNAVAILABLE'],
      ['the connection is always broken', (request) => request.socket.destroy(), 'SOURCE_UNAVAILABLE'],
      [
        'the answer always ends early',
        (_request, response) =>
          response.writeHead(206, { 'content-range': 'bytes 0-0/300000', 'content-length': 0 }).end(),
        'SOURCE_TRUNCATED',
      ],
    ])('%s', async (_name, answer, code) => {
      server.script(...Array.from({ length: QUICK.attempts }, () => answer));

      await expect(open()).rejects.toMatchObject({ code });
    });

    it('nobody listens', async () => {
      await server.close();

      await expect(open()).rejects.toMatchObject({
        code: 'SOURCE_UNAVAILABLE',
        details: { failure: 'connect' },
      });
    });

    it.each<[string, Buffer, Record<string, string>]>([
      ['length', plainFile(300_001), { etag: '"v1"' }],
      ['ETag', file, { etag: '"v2"' }],
      ['modification time', file, { etag: '"v1"', 'last-modified': 'Sun, 22 Nov 2026 00:00:00 GMT' }],
      ['checksum', file, { etag: '"v1"', 'x-oss-hash-crc64ecma': '2' }],
    ])('another file appears under the address: its %s differs', async (what, changed, headers) => {
      server.serve(file, {
        etag: '"v1"',
        'last-modified': 'Sat, 21 Nov 2026 00:00:00 GMT',
        'x-oss-hash-crc64ecma': '1',
      });
      const source = await open();
      server.serve(changed, headers);

      await expect(source.read(1000, Buffer.alloc(10), signal)).rejects.toMatchObject({
        code: 'SOURCE_CHANGED',
        message: expect.stringContaining(what),
        details: { byte: 1000 },
      });
    });

    it('it is read on, and names file, instance and byte', async () => {
      const source = await open();
      server.script(
        ...Array.from({ length: QUICK.attempts }, (): Answer => (_request, response) => {
          response.writeHead(500).end();
        }),
      );

      await expect(source.read(4096, Buffer.alloc(10), signal)).rejects.toMatchObject({
        message: expect.stringMatching(/^download a\.rdb of r-1 at byte 4096/),
        details: { byte: 4096, status: 500 },
      });
    });
  });

  describe('with a URL that expires', () => {
    const expired: Answer = (_request, response) =>
      response
        .writeHead(403)
        .end('<Error><Code>AccessDenied</Code><Message>Request has expired.</Message></Error>');

    it('goes on with a new URL at the byte where it stopped', async () => {
      let url = server.url;
      const renewed: string[] = [];
      const source = await open({
        current: () => url,
        renew: async (refused) => {
          renewed.push(refused);
          return (url = `${server.url}&renewed=1`);
        },
      });
      server.script((_request, response) => {
        response.writeHead(206, {
          'content-length': 300_000,
          'content-range': `bytes 0-299999/${file.length}`,
        });
        response.write(file.subarray(0, 1000), () => response.destroy());
      }, expired);

      expect((await readWhole(source)).equals(file)).toBe(true);
      expect(renewed).toEqual([server.url]);
      expect(server.requests.at(-1)?.url).toContain('renewed=1');
      expect(server.requests.at(-1)?.headers.range).toBe('bytes=1000-299999');
    });

    it('gives up by name when new URLs are refused as well', async () => {
      server.script(...Array.from({ length: 10 }, () => expired));

      const failure = open();

      await expect(failure).rejects.toMatchObject({
        code: 'URL_EXPIRED',
        details: { status: 403, code: 'AccessDenied' },
      });
      expect(server.requests).toHaveLength(3);
    });

    it('passes on why no new URL can be had', async () => {
      server.script(expired);
      const urls: UrlSupply = {
        current: () => server.url,
        renew: async () => {
          throw new BackupError('NO_DOWNLOAD_URL', 'renew the URL');
        },
      };

      await expect(open(urls)).rejects.toMatchObject({ code: 'NO_DOWNLOAD_URL' });
    });

    it('keeps the signature out of every error', async () => {
      server.script(...Array.from({ length: 10 }, () => expired));

      const error: unknown = await open().catch((thrown: unknown) => thrown);

      expect(String((error as Error).stack) + JSON.stringify(error)).not.toContain('secret-0');
    });
  });

  it('ends a read at once when the signal aborts, with its reason', async () => {
    const source = await open();
    const stop = new AbortController();
    server.script((_request, response) => {
      response.writeHead(206, {
        'content-length': 300_000,
        'content-range': `bytes 0-299999/${file.length}`,
      });
      response.write(file.subarray(0, 10), () =>
        stop.abort(new BackupError('DEADLINE_NEAR', 'finish in time')),
      );
    });

    await expect(source.read(0, Buffer.alloc(300_000), stop.signal)).rejects.toMatchObject({
      code: 'DEADLINE_NEAR',
    });
  });
});
