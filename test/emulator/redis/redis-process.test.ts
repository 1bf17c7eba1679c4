import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { loadRdb, startRedis, type RedisProcess } from '../../../emulator/redis/redis-process.ts';

let folder: string;
let running: RedisProcess[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-redis-'));
  running = [];
});

afterEach(async () => {
  await Promise.all(running.map(async (server) => server.stop()));
  await rm(folder, { recursive: true, force: true });
});

async function start(args: readonly string[] = []): Promise<RedisProcess> {
  const server = await startRedis({ folder, args });
  running.push(server);
  return server;
}

async function load(file: string): Promise<RedisProcess> {
  const server = await loadRdb(file);
  running.push(server);
  return server;
}

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((done) => {
    socket.once('connect', () => done(true)).once('error', () => done(false));
  }).then((open) => {
    socket.destroy();
    return open === true;
  });
}

async function writeRdb(): Promise<string> {
  const server = await start();
  await server.client.mset({ one: '1', two: '2'.repeat(500), three: '3' });
  await server.client.select(15);
  await server.client.rpush('list', 'a', 'b');
  await server.client.save();
  await server.stop();
  return join(folder, 'dump.rdb');
}

describe('startRedis', () => {
  it('resolves with a server that answers, on a port and with a process id of its own', async () => {
    const [one, other] = await Promise.all([start(), start()]);
    expect(await one.client.ping()).toBe('PONG');
    expect(one.port).not.toBe(other.port);
    expect(await one.client.info('server')).toContain(`process_id:${one.pid}\r\n`);
  });

  it('writes nothing by itself', async () => {
    const server = await start();
    await server.client.set('a', '1');
    await server.stop();
    expect(existsSync(join(folder, 'dump.rdb'))).toBe(false);
  });

  it('stops once however often it is asked to, and the port is free afterwards', async () => {
    const server = await start();
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(await isListening(server.port)).toBe(false);
  });

  it('rejects with what the server said when it does not accept its options', async () => {
    await expect(start(['--maxmemory-policy', 'no-such-policy'])).rejects.toThrow(
      /no-such-policy|maxmemory-policy/,
    );
  });

  it('leaves no server behind when its parent is killed without a chance to clean up', async () => {
    const parent = join(folder, 'parent.cjs');
    await build({
      stdin: {
        contents: `import { startRedis } from './emulator/redis/redis-process.ts';
          startRedis({ folder: ${JSON.stringify(folder)} }).then((server) => console.log(server.port));`,
        resolveDir: process.cwd(),
        loader: 'ts',
      },
      bundle: true,
      platform: 'node',
      outfile: parent,
    });
    const child = spawn(process.execPath, [parent], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [printed] = (await once(child.stdout, 'data')) as [Buffer];
    const port = Number(printed.toString());
    const server = connect(port, '127.0.0.1');
    await once(server, 'connect');
    const ended = once(server, 'close');
    server.on('error', () => undefined).resume();
    child.kill('SIGKILL');
    await ended;
    // Its sockets close one after the other; a server that goes on would keep this one for ever.
    let open = true;
    for (const until = Date.now() + 10_000; open && Date.now() < until;) open = await isListening(port);
    expect(open).toBe(false);
  });
});

describe('loadRdb', () => {
  it('serves what a file holds, in databases that a default server does not have', async () => {
    const { client } = await load(await writeRdb());
    expect(await client.dbsize()).toBe(3);
    await client.select(15);
    expect(await client.lrange('list', 0, -1)).toEqual(['a', 'b']);
    expect(await client.select(255)).toBe('OK');
  });

  it('leaves the file as it is', async () => {
    const file = await writeRdb();
    const server = await load(file);
    await server.client.flushall();
    await server.stop();
    expect(await (await load(file)).client.dbsize()).toBe(3);
  });

  it('rejects with the words of the server when the file is cut short', async () => {
    const file = await writeRdb();
    await truncate(file, 120);
    await expect(load(file)).rejects.toThrow(/load .*dump\.rdb: redis-server ended: .*Unexpected EOF/);
  });

  it('rejects when the file is something else', async () => {
    const file = join(folder, 'page.rdb');
    await writeFile(file, '<Error><Code>AccessDenied</Code></Error>');
    await expect(load(file)).rejects.toThrow(/Wrong signature/);
  });

  it('rejects when the checksum is wrong', async () => {
    const file = await writeRdb();
    const bytes = await readFile(file);
    bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1);
    await writeFile(file, bytes);
    await expect(load(file)).rejects.toThrow(/checksum/i);
  });

  it('rejects when there is no such file, instead of serving an empty database', async () => {
    await expect(load(join(folder, 'missing.rdb'))).rejects.toThrow(/missing\.rdb/);
  });
});
