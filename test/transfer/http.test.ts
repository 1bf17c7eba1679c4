import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { BackupError } from '../../functions/core/errors.ts';
import {
  ConnectionFailure,
  createHttpClient,
  type HttpAnswer,
  type HttpClient,
} from '../../functions/core/transfer/http.ts';

const { signal } = new AbortController();
const MIB = 1024 ** 2;

describe('an HTTP exchange', () => {
  let server: Server;
  let url: string;
  let onRequest: RequestListener;
  let connections: number;
  let http: HttpClient;
  beforeEach(async () => {
    http = createHttpClient({ idleTimeoutMs: 200, connectTimeoutMs: 300 });
    connections = 0;
    server = createServer((request, response) => onRequest(request, response));
    server.on('connection', () => connections++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  });
  afterEach(async () => {
    http.close();
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  });

  async function textOf(answer: HttpAnswer): Promise<string> {
    let text = '';
    await answer.receive((piece) => (text += piece.toString()));
    return text;
  }

  it('hands over status, headers and body', async () => {
    onRequest = (_request, response) => response.writeHead(404, { 'x-a': '1' }).end('nothing here');

    const answer = await http.exchange({ method: 'GET', url }, signal);

    expect(answer).toMatchObject({ status: 404, headers: { 'x-a': '1' } });
    expect(await textOf(answer)).toBe('nothing here');
  });

  it('uses a connection again whose answer was read to the end', async () => {
    onRequest = (_request, response) => response.end('ok');

    for (let n = 0; n < 3; n++) await textOf(await http.exchange({ method: 'GET', url }, signal));

    expect(connections).toBe(1);
  });

  it('gives up a connection whose answer was not wanted', async () => {
    onRequest = (_request, response) => response.end(Buffer.alloc(10 * MIB));

    (await http.exchange({ method: 'GET', url }, signal)).discard();
    onRequest = (_request, response) => response.end('ok');

    expect(await textOf(await http.exchange({ method: 'GET', url }, signal))).toBe('ok');
    expect(connections).toBe(2);
  });

  it('sends a large body as it is', async () => {
    const body = Buffer.alloc(9 * MIB + 1, 'tairlift');
    let received = Buffer.alloc(0);
    onRequest = (request, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => void pieces.push(piece));
      request.on('end', () => {
        received = Buffer.concat(pieces);
        response.end();
      });
    };

    const headers = { 'content-length': String(body.length) };
    await textOf(await http.exchange({ method: 'PUT', url, headers, body }, signal));

    expect(received.equals(body)).toBe(true);
  });

  it('takes a refusal that comes before the body was sent, and does not use the connection again', async () => {
    onRequest = (request, response) => {
      request.pause();
      response.writeHead(403).end('no');
    };
    const body = Buffer.alloc(30 * MIB);
    const headers = { 'content-length': String(body.length) };

    const answer = await http.exchange({ method: 'PUT', url, headers, body }, signal);
    expect([answer.status, await textOf(answer)]).toEqual([403, 'no']);

    onRequest = (_request, response) => response.end('ok');
    expect(await textOf(await http.exchange({ method: 'GET', url }, signal))).toBe('ok');
    expect(connections).toBe(2);
  });

  it('does not count the time in which a slow body moves', async () => {
    onRequest = (request, response) => request.resume().on('end', () => response.end('ok'));
    async function* slowly(): AsyncGenerator<Buffer> {
      for (let n = 0; n < 8; n++) {
        yield Buffer.from('x');
        await new Promise((resolve) => setTimeout(resolve, 60));
      }
    }

    const request = { method: 'PUT', url, headers: { 'content-length': '8' }, body: slowly() };

    expect(await textOf(await http.exchange(request, signal))).toBe('ok');
  });

  describe('fails as a connection when', () => {
    const failureOf = async (work: () => Promise<unknown>): Promise<unknown> =>
      work().catch((error: unknown) => error);

    it('the head of the answer does not come', async () => {
      onRequest = () => undefined;

      expect(await failureOf(async () => http.exchange({ method: 'GET', url }, signal))).toMatchObject({
        name: 'ConnectionFailure',
        kind: 'stalled',
      });
    });

    it('the body falls silent', async () => {
      onRequest = (_request, response) => void response.writeHead(200, { 'content-length': 10 }).write('abc');

      const answer = await http.exchange({ method: 'GET', url }, signal);

      expect(await failureOf(async () => textOf(answer))).toMatchObject({ kind: 'stalled' });
    });

    it('nobody reads what is sent', async () => {
      onRequest = (request) => request.pause();
      const body = Buffer.alloc(60 * MIB);

      const failure = await failureOf(async () =>
        http.exchange(
          { method: 'PUT', url, headers: { 'content-length': String(body.length) }, body },
          signal,
        ),
      );

      expect(failure).toMatchObject({ kind: 'stalled' });
    });

    it('the connection ends before the body does', async () => {
      onRequest = (_request, response) => {
        response.writeHead(200, { 'content-length': 10 });
        response.write('abc', () => response.destroy());
      };

      const answer = await http.exchange({ method: 'GET', url }, signal);

      expect(await failureOf(async () => textOf(answer))).toMatchObject({ kind: 'broken' });
    });

    it('the connection ended before anybody asked for the body', async () => {
      onRequest = (_request, response) => {
        response.writeHead(200, { 'content-length': 10 });
        response.write('abc', () => response.destroy());
      };

      const answer = await http.exchange({ method: 'GET', url }, signal);
      await new Promise((resolve) => setTimeout(resolve, 50));

      expect(await failureOf(async () => textOf(answer))).toBeInstanceOf(ConnectionFailure);
    });

    it('the other side does not speak HTTP', async () => {
      const tcp = createTcpServer((socket) => socket.resume().end('SSH-2.0-what\r\n'));
      await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve));
      const other = `http://127.0.0.1:${(tcp.address() as AddressInfo).port}/`;

      expect(
        await failureOf(async () => http.exchange({ method: 'GET', url: other }, signal)),
      ).toBeInstanceOf(ConnectionFailure);
      await new Promise((resolve) => tcp.close(resolve));
    });

    it('a kept connection has died in the meantime', async () => {
      onRequest = (_request, response) => response.end('ok');
      await textOf(await http.exchange({ method: 'GET', url }, signal));
      onRequest = (request) => request.socket.resetAndDestroy();

      expect(await failureOf(async () => http.exchange({ method: 'GET', url }, signal))).toMatchObject({
        kind: 'broken',
      });
    });
  });

  it.each(['before it begins', 'before the answer', 'in the middle of the body'])(
    'ends at once with the reason of the signal: %s',
    async (moment) => {
      const stop = new AbortController();
      const reason = new BackupError('DEADLINE_NEAR', 'finish in time');
      onRequest = (_request, response) => {
        if (moment === 'before the answer') stop.abort(reason);
        else response.writeHead(200, { 'content-length': 10 }).write('abc');
      };
      if (moment === 'before it begins') stop.abort(reason);

      const work = (async () => {
        const answer = await http.exchange({ method: 'GET', url }, stop.signal);
        await answer.receive(() => stop.abort(reason));
      })();

      await expect(work).rejects.toBe(reason);
    },
  );

  it('throws what its reader throws, and gives up the connection', async () => {
    onRequest = (_request, response) => response.end('ok');
    const refusal = new BackupError('SOURCE_INVALID', 'not that');
    const answer = await http.exchange({ method: 'GET', url }, signal);

    const received = answer.receive(() => {
      throw refusal;
    });

    await expect(received).rejects.toBe(refusal);
  });

  it('warns nobody about many listeners on one signal', async () => {
    const warnings: Error[] = [];
    const note = (warning: Error): void => void warnings.push(warning);
    process.on('warning', note);
    onRequest = (_request, response) => response.end('ok');
    const shared = new AbortController();

    await Promise.all(
      Array.from({ length: 30 }, async () =>
        textOf(await http.exchange({ method: 'GET', url }, shared.signal)),
      ),
    );
    await new Promise((resolve) => setImmediate(resolve));

    process.off('warning', note);
    expect(warnings).toEqual([]);
  });
});
