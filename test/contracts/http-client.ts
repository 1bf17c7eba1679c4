/** What every HttpClient promises, to a server that behaves and to one that does not. */
import { mkdtempSync, rmSync } from 'node:fs';
import { getEventListeners } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { createCertificate } from '../../emulator/sts/certificate.ts';
import { BackupError } from '../../functions/core/errors.ts';
import type { HttpAnswer, HttpClient, HttpOptions, HttpRequest } from '../../functions/core/transfer/http.ts';
import {
  startRawServer,
  type Identity,
  type Peer,
  type RawRequest,
  type RawServer,
} from '../doubles/raw-server.ts';

const KIB = 1024;
const MIB = 1024 ** 2;
/** Longer than a busy machine needs: where no timeout is tested, none must come. */
const LONG_MS = 20_000;
/** Where silence is what is tested. */
const SHORT_MS = 100;
/** Where something goes on for longer than this, step by step. */
const MIDDLING_MS = 500;

export function testHttpClient(name: string, create: (options: HttpOptions) => HttpClient): void {
  describe.each(['http', 'https'] as const)(`${name} over %s`, (protocol) => {
    const { signal } = new AbortController();
    let folder: string;
    let identity: Identity;
    let options: HttpOptions;
    let server: RawServer;
    let http: HttpClient;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tairlift-http-'));
      identity = await createCertificate(folder);
      options = {
        idleTimeoutMs: LONG_MS,
        connectTimeoutMs: LONG_MS,
        ca: identity.cert,
      };
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));
    beforeEach(async () => {
      http = create(options);
      server = await startRawServer(protocol === 'https' ? identity : undefined);
    });
    afterEach(async () => {
      http.close();
      await server.close();
    });
    /** From now on, silence of this length is a failure. */
    const allowSilence = (idleTimeoutMs: number): void => {
      http.close();
      http = create({ ...options, idleTimeoutMs });
    };

    const get = async (stop: AbortSignal = signal): Promise<HttpAnswer> =>
      http.exchange({ method: 'GET', url: server.url }, stop);
    const put = async (body: HttpRequest['body'], bytes?: number): Promise<HttpAnswer> =>
      http.exchange(
        {
          method: 'PUT',
          url: server.url,
          ...(bytes === undefined ? {} : { headers: { 'content-length': String(bytes) } }),
          ...(body === undefined ? {} : { body }),
        },
        signal,
      );
    const textOf = async (answer: HttpAnswer): Promise<string> => {
      let text = '';
      await answer.receive((piece) => (text += piece.toString('latin1')));
      return text;
    };
    const failureOf = async (work: Promise<unknown>): Promise<unknown> =>
      work.then(
        () => 'no failure',
        (error: unknown) => error,
      );
    const whole = (body: string): string =>
      `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    /** Answers each request on each connection with the same bytes. */
    const always =
      (answer: string | Buffer) =>
      async (peer: Peer): Promise<void> => {
        for (;;) {
          await peer.request();
          await peer.send(answer);
        }
      };
    const bytesOf = (count: number): Buffer =>
      Buffer.from(Uint8Array.from({ length: count }, (_, at) => (at * 31 + (at >> 8)) & 0xff));

    describe('reads an answer', () => {
      it('with its status, its headers by lower-case names, and its body', async () => {
        server.talk(always('HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-B:two\r\nContent-Length: 5\r\n\r\nnope!'));

        const answer = await get();

        expect(answer.status).toBe(404);
        expect(answer.headers).toMatchObject({ 'x-a': '1', 'x-b': 'two', 'content-length': '5' });
        expect(await textOf(answer)).toBe('nope!');
      });

      it.each<[string, string, string]>([
        ['of a known length', whole('abc'), 'abc'],
        ['that is empty', whole(''), ''],
        [
          'in chunks',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n',
          'abc0123456789',
        ],
        [
          'in chunks with extensions and trailers',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\n',
          'x',
        ],
        ['without a reason', 'HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok', 'ok'],
        [
          'after others that say to go on',
          `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\n${whole('ok')}`,
          'ok',
        ],
        [
          'with a head of forty thousand bytes',
          `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(40_000)}\r\nContent-Length: 2\r\n\r\nok`,
          'ok',
        ],
        ['that has no body and says so', 'HTTP/1.1 204 No Content\r\n\r\n', ''],
        [
          'that has not changed, whatever its length',
          'HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n',
          '',
        ],
      ])('%s, and uses the connection again', async (_name, bytes, body) => {
        server.talk(always(bytes));

        expect(await textOf(await get())).toBe(body);
        const into = Buffer.alloc(20, '-');
        const filled = await (await get()).fill(into);

        expect(into.toString('latin1')).toBe(body.padEnd(20, '-'));
        expect(filled).toBe(body.length);
        expect(server.connections()).toBe(1);
      });

      it.each<[string, string]>([
        ['HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nuntil the end'],
        ['HTTP/1.1', 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end'],
      ])('of %s that ends with the connection', async (_name, bytes) => {
        server.talk(async (peer) => {
          await peer.request();
          await peer.send(bytes);
          peer.end();
        });

        expect(await textOf(await get())).toBe('until the end');
        const into = Buffer.alloc(100);
        expect(await (await get()).fill(into)).toBe(13);
      });

      it('to HEAD, which has a length and no body', async () => {
        server.talk(always('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n'));

        for (let n = 0; n < 2; n++) {
          const answer = await http.exchange({ method: 'HEAD', url: server.url }, signal);
          expect([answer.headers['content-length'], await textOf(answer)]).toEqual(['1000', '']);
        }
        expect(server.connections()).toBe(1);
      });

      it('of several megabytes into the middle of something larger, and nothing beside it', async () => {
        const body = bytesOf(5 * MIB + 123);
        server.talk(async (peer) => {
          for (;;) {
            await peer.request();
            await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body);
          }
        });
        const memory = Buffer.alloc(body.length + 2000, 7);
        const told: number[] = [];

        for (let n = 0; n < 3; n++) {
          const answer = await get();
          const filled = await answer.fill(
            memory.subarray(1000, 1000 + body.length),
            (bytes) => void told.push(bytes),
          );
          expect(filled).toBe(body.length);
          expect(memory.subarray(1000, 1000 + body.length).equals(body)).toBe(true);
        }

        expect(memory.subarray(0, 1000).equals(Buffer.alloc(1000, 7))).toBe(true);
        expect(memory.subarray(-1000).equals(Buffer.alloc(1000, 7))).toBe(true);
        expect(told.at(-1)).toBe(body.length);
        expect(told.filter((bytes, n) => bytes <= (told[n - 1] ?? 0))).toHaveLength(2);
        expect(server.connections()).toBe(1);
      });

      it('of several megabytes in chunks of odd sizes', async () => {
        const body = bytesOf(2 * MIB + 77);
        const sizes = [1, 70_000, 3, 600_000, 17, 65_536];
        server.talk(async (peer) => {
          for (;;) {
            await peer.request();
            await peer.send('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
            for (let at = 0, n = 0; at < body.length; n++) {
              const piece = body.subarray(at, at + (sizes[n % sizes.length] ?? 1));
              await peer.send(`${piece.length.toString(16)}\r\n`, piece, '\r\n');
              at += piece.length;
            }
            await peer.send('0\r\n\r\n');
          }
        });

        const into = Buffer.alloc(body.length);
        expect(await (await get()).fill(into)).toBe(body.length);
        expect(into.equals(body)).toBe(true);
        const pieces: Buffer[] = [];
        await (await get()).receive((piece) => void pieces.push(Buffer.from(piece)));
        expect(Buffer.concat(pieces).equals(body)).toBe(true);
        expect(server.connections()).toBe(1);
      });

      it('that comes byte by byte, each of which counts as progress', async () => {
        allowSilence(MIDDLING_MS);
        server.talk(async (peer) => {
          await peer.request();
          for (const byte of whole('drip')) {
            await peer.send(byte);
            await new Promise((resolve) => setTimeout(resolve, 25));
          }
        });

        expect(await textOf(await get())).toBe('drip');
      });

      it('wherever the network cuts it', async () => {
        const answers = fc.constantFrom(
          [
            'HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\nabcdefghijklmnopqrstuvwxyz',
            'abcdefghijklmnopqrstuvwxyz',
          ],
          [
            'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n15;x=y\r\nfghijklmnopqrstuvwxyz\r\n0\r\nT: u\r\n\r\n',
            'abcdefghijklmnopqrstuvwxyz',
          ],
          [
            'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\n\r\nxyz',
            'xyz',
          ],
        );
        const cases = fc.tuple(answers, fc.array(fc.nat(120), { maxLength: 6 }), fc.boolean());

        await fc.assert(
          fc.asyncProperty(cases, async ([[bytes = '', body], cuts, fills]) => {
            const points = [...new Set([0, ...cuts.map((cut) => cut % bytes.length), bytes.length])].sort(
              (a, b) => a - b,
            );
            server.talk(async (peer) => {
              for (;;) {
                await peer.request();
                for (const [n, point] of points.entries()) {
                  const piece = bytes.slice(point, points[n + 1]);
                  if (piece === '' || point === bytes.length) continue;
                  await peer.send(piece);
                  await new Promise((resolve) => setImmediate(resolve));
                }
              }
            });
            const client = create(options);
            try {
              const answer = await client.exchange({ method: 'GET', url: server.url }, signal);
              const into = Buffer.alloc(40);
              if (fills) expect(into.toString('latin1', 0, await answer.fill(into))).toBe(body);
              else expect(await textOf(answer)).toBe(body);
            } finally {
              client.close();
            }
          }),
          { numRuns: 60 },
        );
      });
    });

    describe('does not use a connection again', () => {
      const ok = whole('ok');

      it.each<[string, string]>([
        ['whose answer is followed by something', `${ok}garbage`],
        ['whose answer is followed by another answer', `${ok}${whole('poison')}`],
        [
          'whose chunks are followed by something',
          'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
        ],
        ['that the answer closes', 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok'],
        ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
      ])('%s', async (_name, bytes) => {
        server.talk(async (peer, number) => {
          await peer.request();
          await peer.send(number <= 2 ? bytes : ok);
        });

        // Whether an answer is believed that something follows is left open; that what follows is not read is not.
        for (let n = 0; n < 2; n++) {
          const outcome = await get()
            .then(textOf)
            .catch((error: unknown) => error);
          if (outcome !== 'ok') expect(outcome).toMatchObject({ name: 'ConnectionFailure' });
        }
        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(3);
      });

      it('whose answer fills its place to the last byte and is followed by another', async () => {
        const body = bytesOf(3 * MIB);
        server.talk(async (peer, number) => {
          await peer.request();
          if (number > 1) return peer.send(whole('ok'));
          const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`;
          await peer.send(Buffer.concat([Buffer.from(head), body, Buffer.from(whole('poison'))]));
        });
        const into = Buffer.alloc(body.length);

        await (await get()).fill(into);

        expect(into.equals(body)).toBe(true);
        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(2);
      });

      it('whose answer was not wanted', async () => {
        server.talk(async (peer, number) => {
          await peer.request();
          await peer.send(number === 1 ? `HTTP/1.1 200 OK\r\nContent-Length: ${10 * MIB}\r\n\r\n` : ok);
          if (number === 1) await peer.send(Buffer.alloc(10 * MIB));
        });

        (await get()).discard();

        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(2);
      });

      it('on which something comes while it rests', async () => {
        let spoil = async (): Promise<void> => undefined;
        let gone = Promise.resolve();
        server.talk(async (peer, number) => {
          if (number === 1) {
            spoil = async () => peer.send(whole('poison'));
            ({ gone } = peer);
          }
          await always(ok)(peer);
        });
        expect(await textOf(await get())).toBe('ok');

        await spoil();
        await gone;

        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(2);
      });

      it('that the other side has closed while it rested', async () => {
        let first: Peer | undefined;
        server.talk(async (peer, number) => {
          if (number === 1) first = peer;
          await always(ok)(peer);
        });
        expect(await textOf(await get())).toBe('ok');

        first?.end();
        await first?.gone;

        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(2);
      });
    });

    describe('sends a request', () => {
      const accepted = whole('');
      async function sentBy(work: () => Promise<HttpAnswer>): Promise<RawRequest> {
        let seen: RawRequest = { head: '', body: Buffer.alloc(0) };
        server.talk(async (peer) => {
          seen = await peer.request();
          await peer.send(accepted);
        });
        await textOf(await work());
        return seen;
      }

      it('with the headers that were given, and Host and Connection', async () => {
        const url = `${server.url}a%20b?x=1&y=%2F`;
        const { head } = await sentBy(async () =>
          http.exchange({ method: 'GET', url, headers: { range: 'bytes=0-0' } }, signal),
        );

        const [first, ...lines] = head.trimEnd().split('\r\n');
        expect(first).toBe('GET /a%20b?x=1&y=%2F HTTP/1.1');
        expect(lines.map((line) => line.toLowerCase()).sort()).toEqual([
          'connection: keep-alive',
          `host: 127.0.0.1:${server.port}`,
          'range: bytes=0-0',
        ]);
      });

      it.each([0, 1, 1000, 512 * KIB, 9 * MIB + 1])('whose body is %d bytes long', async (length) => {
        const body = bytesOf(length);

        const seen = await sentBy(async () => put(body));

        expect(seen.head).toMatch(new RegExp(`^content-length: ${length}\\r$`, 'im'));
        expect(seen.body.equals(body)).toBe(true);
      });

      it('whose body comes in pieces', async () => {
        const body = bytesOf(3 * MIB);
        async function* pieces(): AsyncGenerator<Uint8Array> {
          yield body.subarray(0, 1);
          yield body.subarray(1, 1);
          yield body.subarray(1, 2 * MIB);
          await new Promise((resolve) => setImmediate(resolve));
          yield body.subarray(2 * MIB);
        }

        const seen = await sentBy(async () => put(pieces(), body.length));

        expect(seen.body.equals(body)).toBe(true);
      });

      it('whose body lies in the memory of a WebAssembly instance', async () => {
        // The types of Node leave the global out.
        const { WebAssembly } = globalThis as unknown as {
          WebAssembly: { Memory: new (limits: { initial: number }) => { readonly buffer: ArrayBuffer } };
        };
        const memory = new Uint8Array(new WebAssembly.Memory({ initial: 32 }).buffer);
        memory.set(bytesOf(2 * MIB));
        server.talk(async (peer) => {
          const { body } = await peer.request();
          await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`, body.reverse());
        });

        const answer = await put(memory);
        await answer.fill(memory.subarray());

        expect(
          bytesOf(2 * MIB)
            .reverse()
            .equals(memory),
        ).toBe(true);
      });

      it('and uses the connection again when its body has ended after all of it was sent', async () => {
        server.talk(always(accepted));
        let finish = (): void => undefined;
        const finished = new Promise<void>((resolve) => (finish = resolve));
        async function* lingering(): AsyncGenerator<Uint8Array> {
          yield Buffer.from('all');
          await finished;
        }

        await textOf(await put(lingering(), 3));
        finish();
        await textOf(await get());

        expect(server.connections()).toBe(1);
      });

      it('and does not count the time in which its body has nothing to give', async () => {
        allowSilence(MIDDLING_MS);
        server.talk(async (peer) => {
          await peer.head();
          await peer.send('HTTP/1.1 100 Continue\r\n\r\n');
          await peer.drain();
          await peer.drain();
          await peer.send(accepted);
        });
        async function* slowly(): AsyncGenerator<Uint8Array> {
          yield Buffer.from('a');
          await new Promise((resolve) => setTimeout(resolve, 2 * MIDDLING_MS));
          yield Buffer.from('b');
        }

        expect(await textOf(await put(slowly(), 2))).toBe('');
      });

      it.each<[string, string]>([
        ['a line break in a header', 'header'],
        ['a line break in the name of a header', 'name'],
        ['a line break in the method', 'method'],
        ['a line break in the URL', 'url'],
        ['a character beyond Latin-1 in a header', 'wide'],
      ])('but not with %s', async (_name, where) => {
        const evil = 'x\r\nX-Evil: 1';
        const request: HttpRequest = {
          method: where === 'method' ? evil : 'GET',
          url: server.url + (where === 'url' ? evil : ''),
          headers: {
            ...(where === 'header' ? { 'x-a': evil } : {}),
            ...(where === 'name' ? { [evil]: '1' } : {}),
            ...(where === 'wide' ? { 'x-a': 'č' } : {}),
          },
        };

        await expect(http.exchange(request, signal)).rejects.toMatchObject({ code: 'INTERNAL' });
        expect(server.connections()).toBe(0);
      });

      it.each<[string, readonly string[], number | undefined]>([
        ['is shorter than announced', ['ab'], 3],
        ['is longer than announced', ['ab', 'cd'], 3],
        ['comes in pieces and tells no length', ['ab'], undefined],
      ])('but not when its body %s', async (_name, pieces, bytes) => {
        server.talk(async (peer) => void (await peer.request()));
        async function* body(): AsyncGenerator<Uint8Array> {
          for (const piece of pieces) yield Buffer.from(piece);
        }

        await expect(put(body(), bytes)).rejects.toMatchObject({ code: 'INTERNAL' });
      });

      it('and throws what its body throws', async () => {
        server.talk(async (peer) => void (await peer.request()));
        const reason = new BackupError('SOURCE_CHANGED', 'not the same');
        // oxlint-disable-next-line require-yield -- it fails before its first piece
        async function* body(): AsyncGenerator<Uint8Array> {
          throw reason;
        }

        await expect(put(body(), 3)).rejects.toBe(reason);
      });

      it.each(['answer', 'end', 'reset'] as const)(
        'and waits for no more of its body when the other side sends: %s',
        async (what) => {
          server.talk(async (peer) => {
            await peer.head();
            if (what === 'answer') await peer.send('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno');
            else if (what === 'end') peer.end();
            else peer.reset();
          });
          let isLetGo = false;
          let pieces = 0;
          const body: AsyncIterable<Uint8Array> = {
            [Symbol.asyncIterator]: () => ({
              next: async () =>
                pieces++ === 0
                  ? { done: false, value: Buffer.from('a') }
                  : new Promise<IteratorResult<Uint8Array>>(() => undefined),
              return: async () => {
                isLetGo = true;
                return { done: true, value: undefined };
              },
            }),
          };

          const outcome = put(body, 100);

          if (what === 'answer') {
            const answer = await outcome;
            expect([answer.status, await textOf(answer)]).toEqual([403, 'no']);
          } else {
            expect(await failureOf(outcome)).toMatchObject({ name: 'ConnectionFailure', kind: 'broken' });
          }
          await new Promise((resolve) => setImmediate(resolve));
          expect(isLetGo).toBe(true);
          server.talk(always(whole('ok')));
          expect(await textOf(await get())).toBe('ok');
          expect(server.connections()).toBe(2);
        },
      );

      it('and takes a refusal while nobody reads it', async () => {
        server.talk(async (peer, number) => {
          await peer.head();
          await peer.send(
            number === 1 ? 'HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno' : whole('ok'),
          );
        });

        const answer = await put(Buffer.alloc(40 * MIB));

        expect([answer.status, await textOf(answer)]).toEqual([403, 'no']);
        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(2);
      });

      it('no faster than it is taken', async () => {
        let given = 0;
        let goOn = (): void => undefined;
        const pause = new Promise<void>((resolve) => (goOn = resolve));
        server.talk(async (peer) => {
          await peer.head();
          await pause;
          for (let left = 64 * MIB; left > 0;) left -= await peer.drain();
          await peer.send(accepted);
        });
        const piece = Buffer.alloc(MIB);
        async function* body(): AsyncGenerator<Uint8Array> {
          for (; given < 64; given++) yield piece;
        }

        const outcome = put(body(), 64 * MIB);
        await quiet(() => given);
        const ahead = given;
        goOn();

        expect(await textOf(await outcome)).toBe('');
        expect(ahead).toBeLessThan(32);
        expect(given).toBe(64);
      });
    });

    describe('reads no faster than is wanted', () => {
      const size = 64 * MIB;
      const flood = async (peer: Peer): Promise<void> => {
        await peer.request();
        await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        const piece = Buffer.alloc(256 * KIB, 'x');
        for (let at = 0; at < size; at += piece.length) {
          await peer.send(piece);
          sent = peer.sent();
        }
      };
      let sent = 0;
      beforeEach(() => (sent = 0));

      it('and does not take the pause for silence', async () => {
        allowSilence(MIDDLING_MS);
        server.talk(flood);
        const into = Buffer.alloc(size);
        let pauses = 0;
        let ahead = 0;

        const filled = await (
          await get()
        ).fill(into, (bytes) => {
          if (pauses++ > 0) return undefined;
          return (async () => {
            await new Promise((resolve) => setTimeout(resolve, 2 * MIDDLING_MS));
            ahead = sent - bytes;
          })();
        });

        expect(filled).toBe(size);
        expect(ahead).toBeLessThan(size / 2);
        expect(into.equals(Buffer.alloc(size, 'x'))).toBe(true);
      });

      it('but ends at once when it is called off in the pause, and writes nothing afterwards', async () => {
        server.talk(flood);
        const stop = new AbortController();
        const reason = new BackupError('DEADLINE_NEAR', 'finish in time');
        const into = Buffer.alloc(size);
        const answer = await get(stop.signal);
        let filled = 0;

        const outcome = answer.fill(into, async (bytes) => {
          filled = bytes;
          setImmediate(() => stop.abort(reason));
          await new Promise(() => undefined);
        });

        await expect(outcome).rejects.toBe(reason);
        into.fill('-', filled);
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(into.subarray(filled).equals(Buffer.alloc(size - filled, '-'))).toBe(true);
      });

      it('and writes nothing any more once it was called off in full flow', async () => {
        server.talk(flood);
        const stop = new AbortController();
        const reason = new BackupError('DEADLINE_NEAR', 'finish in time');
        const into = Buffer.alloc(size);
        const answer = await get(stop.signal);

        const outcome = answer.fill(into, (bytes) => {
          if (bytes > size / 4) stop.abort(reason);
        });

        await expect(outcome).rejects.toBe(reason);
        into.fill('-');
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(into.equals(Buffer.alloc(size, '-'))).toBe(true);
      });

      it.each(['throws', 'rejects'])('and passes on what the one who is told %s', async (how) => {
        server.talk(flood);
        const reason = new BackupError('RDB_CORRUPT', 'no');
        const answer = await get();

        const outcome = answer.fill(Buffer.alloc(size), () => {
          if (how === 'throws') throw reason;
          return Promise.reject(reason);
        });

        await expect(outcome).rejects.toBe(reason);
      });

      it('and waits for the last pause as well', async () => {
        server.talk(always(whole('ok')));
        const order: string[] = [];

        await (
          await get()
        ).fill(Buffer.alloc(2), async () => {
          await new Promise((resolve) => setTimeout(resolve, 20));
          order.push('paused');
        });
        order.push('filled');

        expect(order).toEqual(['paused', 'filled']);
      });
    });

    describe('writes nothing beyond the place when the answer is longer', () => {
      it.each<[string, (peer: Peer) => Promise<void>]>([
        ['and said so', async (peer) => peer.send(whole('0123456789abc'))],
        [
          'and came in chunks',
          async (peer) =>
            peer.send(
              'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n01234567\r\n5\r\n89abc\r\n0\r\n\r\n',
            ),
        ],
        [
          'and came in pieces',
          async (peer) => {
            await peer.send('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n01234567');
            await new Promise((resolve) => setTimeout(resolve, 20));
            await peer.send('89', 'abc');
          },
        ],
      ])('%s', async (_name, answer) => {
        server.talk(async (peer) => {
          await peer.request();
          await answer(peer);
        });
        const memory = Buffer.alloc(30, '-');

        const outcome = (await get()).fill(memory.subarray(10, 20));

        await expect(outcome).rejects.toMatchObject({ name: 'ConnectionFailure', kind: 'too-long' });
        expect(memory.toString('latin1', 0, 10)).toBe('-'.repeat(10));
        expect(memory.toString('latin1', 20)).toBe('-'.repeat(10));
      });
    });

    describe('fails as a connection when the other side', () => {
      const head = 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n';
      const chunks = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
      const stages: readonly [string, string][] = [
        ['before the answer', ''],
        ['in the status line', 'HTTP/1.'],
        ['in the head', 'HTTP/1.1 200 OK\r\nContent-Len'],
        ['after a head to go on', 'HTTP/1.1 100 Continue\r\n\r\n'],
        ['after the head', head],
        ['in the body', `${head}12345`],
        ['in the size of a chunk', `${chunks}1`],
        ['in a chunk', `${chunks}5\r\nab`],
        ['after a chunk', `${chunks}2\r\nab`],
        ['before the last chunk', `${chunks}2\r\nab\r\n`],
        ['in the last chunk', `${chunks}2\r\nab\r\n0\r\n`],
        ['in a trailer', `${chunks}2\r\nab\r\n0\r\nX-T: 1\r\n`],
      ];
      const ways: readonly ['ends' | 'resets' | 'falls silent', string][] = [
        ['ends', 'broken'],
        ['resets', 'broken'],
        ['falls silent', 'stalled'],
      ];

      it.each(ways.flatMap(([way, kind]) => stages.map(([stage, bytes]) => ({ way, kind, stage, bytes }))))(
        '$way $stage',
        async ({ way, kind, bytes }) => {
          if (kind === 'stalled') allowSilence(SHORT_MS);
          server.talk(async (peer) => {
            await peer.request();
            if (bytes !== '') await peer.send(bytes);
            if (way === 'ends') peer.end();
            else if (way === 'resets') peer.reset();
          });

          const failures = await Promise.all(
            [textOf, async (answer: HttpAnswer) => answer.fill(Buffer.alloc(100))].map(async (read) =>
              failureOf(get().then(async (answer): Promise<unknown> => read(answer))),
            ),
          );

          for (const failure of failures) expect(failure).toMatchObject({ name: 'ConnectionFailure', kind });
        },
      );

      it.each<[string, string]>([
        ['speaks another protocol', 'SSH-2.0-what\r\n'],
        ['speaks HTTP/2', '\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x64'],
        ['gives no status', 'HTTP/1.1 \r\n\r\n'],
        ['gives a status of letters', 'HTTP/1.1 abc OK\r\n\r\n'],
        ['gives a status of two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
        ['gives a status of four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
        ['has NUL in a header', 'HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n'],
        ['has a space in the name of a header', 'HTTP/1.1 200 OK\r\nX A: a\r\nContent-Length: 0\r\n\r\n'],
        ['has a header without a name', 'HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n'],
        ['has a line without a colon', 'HTTP/1.1 200 OK\r\nwhat\r\nContent-Length: 0\r\n\r\n'],
        ['tells two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
        ['tells two lengths in one', 'HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\nab'],
        ['tells a negative length', 'HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n'],
        ['tells a length of letters', 'HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n'],
        [
          'tells a length and sends chunks',
          'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
        ],
        ['sends a chunk of a size that is no number', `${chunks}xyz\r\nab\r\n0\r\n\r\n`],
        ['sends a chunk that is longer than its size', `${chunks}1\r\nab\r\n0\r\n\r\n`],
        ['sends a chunk of an enormous size', `${chunks}fffffffffffffffffff\r\nab\r\n0\r\n\r\n`],
        ['sends a head that is too long', `HTTP/1.1 200 OK\r\n${'X-A: a\r\n'.repeat(20_000)}\r\n`],
      ])('%s', async (_name, bytes) => {
        server.talk(async (peer) => {
          await peer.request();
          await peer.send(bytes);
        });

        const failure = await failureOf(get().then(textOf));

        expect(failure).toMatchObject({ name: 'ConnectionFailure', kind: 'broken' });
      });

      it('closes a kept connection under the next request', async () => {
        server.talk(async (peer) => {
          await peer.request();
          await peer.send(whole('ok'));
          await peer.request();
          peer.reset();
        });
        await textOf(await get());

        expect(await failureOf(get())).toMatchObject({ kind: 'broken' });
        expect(server.connections()).toBe(1);
      });

      it('reads nothing of a large request', async () => {
        allowSilence(MIDDLING_MS);
        server.talk(async (peer) => void (await peer.head()));

        expect(await failureOf(put(Buffer.alloc(60 * MIB)))).toMatchObject({ kind: 'stalled' });
      });

      it('resets in the middle of a large request', async () => {
        server.talk(async (peer) => {
          await peer.head();
          await peer.drain();
          peer.reset();
        });

        expect(await failureOf(put(Buffer.alloc(60 * MIB)))).toMatchObject({ kind: 'broken' });
      });

      it('has ended before anybody asked for the body', async () => {
        server.talk(async (peer) => {
          await peer.request();
          await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc');
          peer.reset();
        });

        const answer = await get();
        await new Promise((resolve) => setTimeout(resolve, 50));

        expect(await failureOf(textOf(answer))).toMatchObject({ name: 'ConnectionFailure' });
      });

      it('talks at random', async () => {
        const starts = ['', 'HTTP/1.1 200 OK\r\n', chunks, 'HTTP/1.1 200 OK\r\nContent-Length: 40\r\n', head];
        const noise = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
        allowSilence(30);

        await fc.assert(
          fc.asyncProperty(fc.constantFrom(...starts), noise, fc.boolean(), async (start, bytes, ends) => {
            server.talk(async (peer) => {
              await peer.request();
              await peer.send(Buffer.concat([Buffer.from(start), bytes]));
              if (ends) peer.end();
            });
            let outcome: unknown;
            try {
              const answer = await get();
              outcome = await answer.fill(Buffer.alloc(400));
            } catch (error) {
              outcome = error;
            }
            // Some noise is an answer; everything else has one name.
            if (typeof outcome !== 'number') expect(outcome).toMatchObject({ name: 'ConnectionFailure' });
          }),
          { numRuns: 50 },
        );
      });
    });

    describe('ends at once with the reason of the signal', () => {
      const reason = new BackupError('DEADLINE_NEAR', 'finish in time');

      it('before it begins, and does not even connect', async () => {
        await expect(get(AbortSignal.abort(reason))).rejects.toBe(reason);
        expect(server.connections()).toBe(0);
      });

      it('before the answer', async () => {
        const stop = new AbortController();
        let gone: Promise<void> | undefined;
        server.talk(async (peer) => {
          ({ gone } = peer);
          await peer.request();
          stop.abort(reason);
        });

        await expect(get(stop.signal)).rejects.toBe(reason);
        await gone;
        expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
      });

      it('between the head and the body', async () => {
        const stop = new AbortController();
        server.talk(always('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));

        const answer = await get(stop.signal);
        stop.abort(reason);

        await expect(textOf(answer)).rejects.toBe(reason);
      });

      it('in the middle of the body', async () => {
        const stop = new AbortController();
        server.talk(always('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc'));

        const answer = await get(stop.signal);

        await expect(answer.receive(() => stop.abort(reason))).rejects.toBe(reason);
      });

      it('in the middle of the request', async () => {
        const stop = new AbortController();
        server.talk(async (peer) => void (await peer.head()));
        async function* body(): AsyncGenerator<Uint8Array> {
          yield Buffer.from('a');
          stop.abort(reason);
          await new Promise(() => undefined);
        }

        const outcome = http.exchange(
          { method: 'PUT', url: server.url, headers: { 'content-length': '10' }, body: body() },
          stop.signal,
        );

        await expect(outcome).rejects.toBe(reason);
      });
    });

    describe('when an answer', () => {
      beforeEach(() => server.talk(always(whole('ok'))));

      it('is refused by its reader, throws the refusal and gives up the connection', async () => {
        const refusal = new BackupError('SOURCE_INVALID', 'not that');
        const answer = await get();

        const received = answer.receive(() => {
          throw refusal;
        });

        await expect(received).rejects.toBe(refusal);
        await textOf(await get());
        expect(server.connections()).toBe(2);
      });

      it('is read twice, says that this is a defect', async () => {
        const answer = await get();

        expect(await textOf(answer)).toBe('ok');
        await expect(textOf(answer)).rejects.toMatchObject({ code: 'INTERNAL' });
        await expect(answer.fill(Buffer.alloc(2))).rejects.toMatchObject({ code: 'INTERNAL' });
      });

      it('is discarded, before or while it is read, throws a connection failure to its reader', async () => {
        const early = await get();
        early.discard();
        early.discard();
        const late = await get();

        expect(await failureOf(textOf(early))).toMatchObject({ name: 'ConnectionFailure' });
        expect(await failureOf(late.receive(() => late.discard()))).toMatchObject({
          name: 'ConnectionFailure',
        });
      });

      it('is discarded after it was read, leaves the connection as it is', async () => {
        const answer = await get();
        await textOf(answer);

        answer.discard();

        expect(await textOf(await get())).toBe('ok');
        expect(server.connections()).toBe(1);
      });
    });

    describe('in the long run', () => {
      it('keeps one connection and no listener over a thousand exchanges', async () => {
        const warnings: Error[] = [];
        const note = (warning: Error): void => void warnings.push(warning);
        process.on('warning', note);
        server.talk(always(whole('ok')));
        const stop = new AbortController();
        const into = Buffer.alloc(2);

        for (let n = 0; n < 1000; n++) await (await get(stop.signal)).fill(into);

        process.off('warning', note);
        expect(server.connections()).toBe(1);
        expect(getEventListeners(stop.signal, 'abort')).toHaveLength(0);
        expect(warnings).toEqual([]);
      });

      it('makes as many connections as there are exchanges at once, and no more', async () => {
        server.talk(always(whole('ok')));

        for (let round = 0; round < 20; round++) {
          await Promise.all(Array.from({ length: 30 }, async () => textOf(await get())));
        }

        expect(server.connections()).toBeLessThanOrEqual(30);
      });

      it('leaves no connection behind that failed', async () => {
        server.talk((peer) => void peer.request().then(async () => peer.send('garbage')));
        for (let n = 0; n < 50; n++) await failureOf(get());

        await quiet(() => server.open());
        expect(server.open()).toBe(0);
      });

      it('lets exchanges go on when it is closed, and keeps no connection afterwards', async () => {
        let goOn = (): void => undefined;
        server.talk(async (peer) => {
          await peer.request();
          await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no');
          await new Promise<void>((resolve) => (goOn = resolve));
          await peer.send('k');
          await peer.gone;
        });
        const answer = await get();

        http.close();
        goOn();

        expect(await textOf(answer)).toBe('ok');
        await quiet(() => server.open());
        expect(server.open()).toBe(0);
      });

      it('needs no more memory for half a gigabyte than for a little', async () => {
        const total = protocol === 'http' ? 512 * MIB : 128 * MIB;
        const piece = Buffer.alloc(MIB, 'x');
        server.talk(async (peer) => {
          await peer.request();
          await peer.send(`HTTP/1.1 200 OK\r\nContent-Length: ${total}\r\n\r\n`);
          for (let at = 0; at < total; at += piece.length) await peer.send(piece);
          await peer.head();
          for (let left = total; left > 0;) left -= await peer.drain();
          await peer.send(whole('ok'));
        });
        const before = process.memoryUsage().rss;
        let peak = 0;
        const look = (): void => void (peak = Math.max(peak, process.memoryUsage.rss()));
        async function* body(): AsyncGenerator<Uint8Array> {
          for (let at = 0; at < total; at += piece.length) {
            look();
            yield piece;
          }
        }

        let received = 0;
        await (
          await get()
        ).receive((bytes) => {
          received += bytes.length;
          if (received % (8 * MIB) < bytes.length) look();
        });
        expect(await textOf(await put(body(), total))).toBe('ok');

        expect(received).toBe(total);
        // What was read waits for the collector, in this process for both sides.
        expect(peak - before).toBeLessThan(128 * MIB);
      });
    });
  });

  describe(`${name} connects`, () => {
    const { signal } = new AbortController();
    let folder: string;
    let identity: Identity;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'tairlift-http-'));
      identity = await createCertificate(folder);
    });
    afterAll(() => rmSync(folder, { recursive: true, force: true }));

    async function outcomeOf(server: RawServer, url: string, options: HttpOptions = {}): Promise<unknown> {
      const http = create({ connectTimeoutMs: LONG_MS, idleTimeoutMs: LONG_MS, ...options });
      try {
        const answer = await http.exchange({ method: 'GET', url }, signal);
        await answer.receive(() => undefined);
        return answer.status;
      } catch (error) {
        return error;
      } finally {
        http.close();
        await server.close();
      }
    }
    const answering = async (who?: Identity, host?: string): Promise<RawServer> => {
      const server = await startRawServer(who, host);
      server.talk(async (peer) => {
        await peer.request();
        await peer.send('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n');
      });
      return server;
    };

    it('to a host by its name, with and without TLS', async () => {
      const plain = await answering();
      expect(await outcomeOf(plain, `http://localhost:${plain.port}/`)).toBe(200);
      const secure = await answering(identity);
      expect(await outcomeOf(secure, `https://localhost:${secure.port}/`, { ca: identity.cert })).toBe(200);
    });

    it('to an address of IPv6', async () => {
      const server = await answering(undefined, '::1');

      expect(await outcomeOf(server, `http://[::1]:${server.port}/`)).toBe(200);
    });

    it('to nobody whose certificate is not known, and says so', async () => {
      const server = await answering(identity);

      expect(await outcomeOf(server, server.url)).toMatchObject({
        name: 'ConnectionFailure',
        kind: 'untrusted',
      });
    });

    it('to nobody whose certificate is another host’s', async () => {
      // 127.0.0.2 is the same machine, and not in the certificate.
      const server = await answering(identity, '127.0.0.2');

      expect(await outcomeOf(server, server.url, { ca: identity.cert })).toMatchObject({ kind: 'untrusted' });
    });

    it('to nobody where nobody listens', async () => {
      const server = await startRawServer();
      const { url } = server;
      await server.close();

      expect(await outcomeOf(server, url)).toMatchObject({ name: 'ConnectionFailure', kind: 'connect' });
    });

    it('to nobody under a name that does not exist', async () => {
      const server = await startRawServer();

      expect(await outcomeOf(server, 'http://nowhere.invalid/')).toMatchObject({ kind: 'connect' });
    });

    it('to nobody who does not answer the handshake in time', async () => {
      const server = await startRawServer();

      expect(
        await outcomeOf(server, `https://127.0.0.1:${server.port}/`, { connectTimeoutMs: 100 }),
      ).toMatchObject({
        name: 'ConnectionFailure',
        kind: 'connect',
      });
    });

    it('to nobody who breaks off the handshake', async () => {
      const server = await startRawServer();
      server.talk(async (peer) => {
        await peer.drain();
        peer.reset();
      });

      expect(await outcomeOf(server, `https://127.0.0.1:${server.port}/`)).toMatchObject({ kind: 'connect' });
    });

    it('with the TLS session of an earlier connection', async () => {
      const server = await answering(identity);
      const http = create({ ca: identity.cert });
      const reused: boolean[] = [];
      server.talk(async (peer) => {
        await peer.request();
        reused.push(peer.isSessionReused());
        await peer.send('HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      });

      for (let n = 0; n < 2; n++) {
        await (await http.exchange({ method: 'GET', url: server.url }, signal)).receive(() => undefined);
      }
      http.close();
      await server.close();

      expect(reused).toEqual([false, true]);
    });
  });
}

/** Resolves when the number has stopped changing for a while. */
async function quiet(look: () => number): Promise<void> {
  for (let last = Number.NaN, same = 0; same < 5;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const now = look();
    same = now === last ? same + 1 : 0;
    last = now;
  }
}
