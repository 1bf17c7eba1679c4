import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { HttpAnswer, HttpClient, HttpRequest } from '../../functions/core/transfer/http.ts';
import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import { testHttpClient } from '../contracts/http-client.ts';
import { startRawServer, type RawServer } from '../doubles/raw-server.ts';

testHttpClient('the lean client', createLeanHttpClient);

const { signal } = new AbortController();

async function textOf(answer: HttpAnswer): Promise<string> {
  let text = '';
  await answer.receive((piece) => (text += piece.toString()));
  return text;
}

describe('the lean client', () => {
  let server: RawServer;
  let http: HttpClient;
  beforeEach(async () => {
    server = await startRawServer();
    http = createLeanHttpClient();
  });
  afterEach(async () => {
    http.close();
    await server.close();
  });
  const get = async (): Promise<HttpAnswer> => http.exchange({ method: 'GET', url: server.url }, signal);

  it.each<[string, string]>([
    ['changes to another protocol', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n'],
    ['announces itself without end', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(20)],
  ])('refuses an answer that %s', async (_name, bytes) => {
    server.talk(async (peer) => {
      await peer.request();
      await peer.send(bytes);
    });

    await expect(get()).rejects.toMatchObject({ name: 'ConnectionFailure', kind: 'broken' });
  });

  it('does not keep a connection for longer than the other side says', async () => {
    server.talk(async (peer) => {
      await peer.request();
      await peer.send('HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok');
    });

    for (let n = 0; n < 2; n++) expect(await textOf(await get())).toBe('ok');

    expect(server.connections()).toBe(2);
  });
});

describe('what the lean client does not speak itself', () => {
  let server: Server;
  let url: string;
  let seen: { method: string | undefined; headers: IncomingHttpHeaders } | undefined;
  let http: HttpClient;
  beforeEach(async () => {
    http = createLeanHttpClient();
    server = createServer((request, response) => {
      seen = { method: request.method, headers: request.headers };
      request.resume().on('end', () => response.end('ok'));
    });
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

  it.each<[string, Partial<HttpRequest>, object]>([
    ['another method', { method: 'OPTIONS' }, { method: 'OPTIONS' }],
    ['headers of the connection', { headers: { connection: 'close' } }, { headers: { connection: 'close' } }],
  ])('goes through node:http: %s', async (_name, asked, arrived) => {
    expect(await textOf(await http.exchange({ method: 'GET', url, ...asked }, signal))).toBe('ok');
    expect(seen).toMatchObject(arrived);
  });

  it('goes through node:http: a name and a password in the URL', async () => {
    const named = url.replace('http://', 'http://name:word@');

    expect(await textOf(await http.exchange({ method: 'GET', url: named }, signal))).toBe('ok');
    expect(seen?.headers.authorization).toBe(`Basic ${Buffer.from('name:word').toString('base64')}`);
  });
});
