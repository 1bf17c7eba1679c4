import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { runCli } from './run-cli.ts';

const FIXTURES = join(__dirname, '..', 'fixtures', 'rdb');
const SOUND = join(FIXTURES, 'gen__gen-redis7.0.15.rdb');
const WITHOUT_CHECKSUM = join(FIXTURES, 'gen__gen-redis7.0.15-nocrc-nolzf.rdb');

describe('tairlift inspect', () => {
  it('prints what is inside a sound file, and exits 0', async () => {
    const { code, stdout } = await runCli(['inspect', SOUND]);
    expect(stdout).toContain('sound: reads cleanly to its end, and its own checksum holds');
    expect(stdout).toMatch(/redis-ver +7\.0\.15/);
    expect(stdout).toMatch(/^DATABASE +KEYS +WITH TTL$/m);
    expect(stdout).toMatch(/^stream +5 /m);
    expect(code).toBe(0);
  });

  it('prints one JSON document with --json', async () => {
    const { code, stdout } = await runCli(['inspect', '--json', SOUND]);
    expect(JSON.parse(stdout)).toMatchObject({
      file: SOUND,
      verdict: 'sound',
      bytes: 58056,
      version: 10,
      keys: 76,
      databases: { 0: { keys: 64, expires: 4 } },
    });
    expect(code).toBe(0);
  });

  it('says where a cut file ends, and exits 4', async () => {
    const whole = await readFile(SOUND);
    const { code, stdout } = await runCli(['inspect', '-'], { stdin: whole.subarray(0, 30_000) });
    expect(stdout).toMatch(/standard input: truncated: ends too early\n {2}at byte \d+, while reading /);
    expect(code).toBe(4);
  });

  it('names the offset and the key at which a file is damaged, and exits 4', async () => {
    const altered = await readFile(SOUND);
    altered.writeUInt8(altered.readUInt8(20_000) ^ 1, 20_000);
    const { code, stdout } = await runCli(['inspect', '--json', '-'], { stdin: altered });
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'corrupt',
      problem: { offset: expect.any(Number), doing: expect.any(String), reason: expect.any(String) },
    });
    expect(code).toBe(4);
  });

  it('does not call a file proven whose writer left no checksum', async () => {
    const { code, stdout } = await runCli(['inspect', WITHOUT_CHECKSUM]);
    expect(stdout).toContain('unverifiable');
    expect(code).toBe(0);
  });

  it('reads an http address without ever printing its signature', async () => {
    const bytes = await readFile(SOUND);
    const server = createServer((_request, response) => response.end(bytes));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const { code, stdout, stderr } = await runCli([
        'inspect',
        `http://127.0.0.1:${port}/dump.rdb?Signature=geheim`,
      ]);
      expect(stdout).toContain(`http://127.0.0.1:${port}/dump.rdb?<redacted>: sound`);
      expect(stdout + stderr).not.toContain('geheim');
      expect(code).toBe(0);
    } finally {
      server.close();
    }
  });

  it('names the status when a server refuses, and exits 1', async () => {
    const server = createServer((_request, response) => response.writeHead(403).end('<Error/>'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = server.address() as AddressInfo;
      const { code, stderr } = await runCli(['inspect', `http://127.0.0.1:${port}/a.rdb?Expires=1`]);
      expect(stderr).toContain('SOURCE_INVALID');
      expect(stderr).toContain('HTTP 403');
      expect(stderr).toContain('get a fresh one');
      expect(code).toBe(1);
    } finally {
      server.close();
    }
  });

  it.each([
    ['a file that is not there', ['inspect', '/no/such/file.rdb'], 'NOT_FOUND: open /no/such/file.rdb'],
    ['a folder', ['inspect', FIXTURES], 'not a file'],
    ['an address without a key', ['inspect', 'oss://my-backups'], 'write oss://bucket/key'],
  ])('says what is wrong with %s, and exits 1', async (_name, args, expected) => {
    const { code, stderr } = await runCli(args);
    expect(stderr).toContain(expected);
    expect(code).toBe(1);
  });
});
