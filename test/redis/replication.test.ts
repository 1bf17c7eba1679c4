/** A snapshot over the wire: recorded by real servers of several versions, and cut, spoiled and refused by hand. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createCertificate, type Certificate } from '../../emulator/sts/certificate.ts';
import type { BackupError } from '../../functions/core/errors.ts';
import { describe as describeError } from '../../functions/core/errors.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { openSnapshot, type ReplicationOptions } from '../../functions/core/redis/replication.ts';
import { MARK, RESYNC, snapshotOf, startRedisPeer, type RedisPeer } from '../doubles/redis-peer.ts';
import { plainFile } from '../doubles/plain-scanner.ts';
import { COLLECTION } from '../rdb/corpus.ts';

const { signal } = new AbortController();
const NAME = 'orders_0.rdb of orders';
const PLAIN: ReplicationOptions = {
  isSecure: false,
  psync: 'PSYNC',
  connectTimeoutMs: 5_000,
  idleTimeoutMs: 5_000,
};
const file = plainFile(300_000);

let peer: RedisPeer | undefined;
afterEach(async () => {
  await peer?.close();
  peer = undefined;
});

async function start(...answer: Parameters<typeof startRedisPeer>): Promise<void> {
  peer = await startRedisPeer(...answer);
}

async function pull(
  options: Partial<ReplicationOptions> = {},
  pieceBytes = 65_536,
): Promise<{ readonly id: string; readonly bytes: Buffer; readonly announced?: number }> {
  const snapshot = await openSnapshot(
    { host: '127.0.0.1', port: peer?.port ?? 0 },
    NAME,
    { ...PLAIN, ...options },
    signal,
  );
  const pieces: Buffer[] = [];
  for (;;) {
    const into = Buffer.alloc(pieceBytes);
    const filled = await snapshot.read(into, signal);
    pieces.push(into.subarray(0, filled));
    if (filled < into.length) break;
  }
  return {
    id: snapshot.id,
    bytes: Buffer.concat(pieces),
    ...(snapshot.bytes === undefined ? {} : { announced: snapshot.bytes }),
  };
}

const refused = async (options: Partial<ReplicationOptions> = {}): Promise<BackupError> =>
  pull(options).then(
    () => Promise.reject(new Error('it was not refused')),
    (error: unknown) => error as BackupError,
  );

describe('a snapshot', () => {
  it('of announced length is read to its end, and not a byte further', async () => {
    await start(snapshotOf(RESYNC, `$${file.length}\r\n`, file, '*1\r\n$4\r\nPING\r\n'));

    const pulled = await pull();

    expect(pulled.bytes.equals(file)).toBe(true);
    expect(pulled.id).toBe(`${'ab'.repeat(20)}:4711`);
    expect(pulled.announced).toBe(file.length);
  });

  it('with a mark at its end is read up to the mark', async () => {
    await start(snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, file, MARK));

    const pulled = await pull();

    expect(pulled.bytes.equals(file)).toBe(true);
    expect(pulled.announced).toBeUndefined();
  });

  it.each([1, 2, 20, 39])('is found to end when its mark is cut after %d characters', async (at) => {
    await start(snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, file, Buffer.from(MARK.slice(0, at)), MARK.slice(at)));

    expect((await pull()).bytes.equals(file)).toBe(true);
  });

  it('is found to end when its mark comes character by character, into small buffers', async () => {
    const short = file.subarray(0, 1000);
    await start(snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, short, ...MARK.split('')));

    expect((await pull({}, 7)).bytes.equals(short)).toBe(true);
  });

  it('may hold what looks like the beginning of the mark', async () => {
    const sly = Buffer.concat([
      file,
      Buffer.from(MARK.slice(0, 39)),
      Buffer.from('x'),
      Buffer.from(MARK.slice(0, 20)),
    ]);
    await start(snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, sly, MARK));

    expect((await pull()).bytes.equals(sly)).toBe(true);
  });

  it('is waited for while the server gives signs of life, before and after it agrees', async () => {
    await start(snapshotOf('\n', '\n\n', RESYNC, '\n', '\n', `$EOF:${MARK}\r\n`, file, MARK));

    expect((await pull()).bytes.equals(file)).toBe(true);
  });

  it('is not waited for without end, though the server gives signs of life', async () => {
    await start(snapshotOf(RESYNC, '\n', '\n', '\n', '\n', '\n', '\n', '\n', '\n'));
    const begunAt = Date.now();
    let looks = 0;
    const clock = jest.spyOn(Date, 'now').mockImplementation(() => begunAt + looks++ * 3600_000);

    const error = await refused();
    clock.mockRestore();

    expect(error).toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: true,
      message: expect.stringMatching(/signs of life for \d+ h$/) as string,
    });
  });

  it('is asked for step by step, and the connection is closed after it', async () => {
    await start(snapshotOf(RESYNC, `$${file.length}\r\n`, file));

    await pull();

    expect(peer?.commands).toEqual([
      ['PING'],
      ['REPLCONF', 'listening-port', '-1'],
      ['REPLCONF', 'version', '9.0.0'],
      ['REPLCONF', 'capa', 'eof'],
      ['REPLCONF', 'rdb-only', '1'],
      ['PSYNC', '?', '-1'],
    ]);
    while (peer?.open() !== 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('is had from servers that know none of the options', async () => {
    const plain = snapshotOf(RESYNC, `$${file.length}\r\n`, file);
    await start((words, socket) =>
      words[0] === 'REPLCONF' ? '-ERR Unrecognized REPLCONF option: version\r\n' : plain(words, socket),
    );

    expect((await pull()).bytes.equals(file)).toBe(true);
  });

  it.each([
    ['listening-port', '-ERR value is out of range'],
    ['version', '-ERR Unrecognized version format: 9.0.0'],
  ])('is had from servers that have something against our %s', async (option, line) => {
    const plain = snapshotOf(RESYNC, `$${file.length}\r\n`, file);
    await start((words, socket) => (words[1] === option ? `${line}\r\n` : plain(words, socket)));

    expect((await pull()).bytes.equals(file)).toBe(true);
  });

  it.each([
    ['that nobody here knows at its address', 'node-1.invalid', '127.0.0.1'],
    // Nothing listens there.
    ['that is known where the name leads', 'localhost', '127.255.255.254'],
  ])('is had from a server with a name %s', async (_what, host, ip) => {
    await start(snapshotOf(RESYNC, `$${file.length}\r\n`, file));

    const snapshot = await openSnapshot({ host, ip, port: peer?.port ?? 0 }, NAME, PLAIN, signal);

    expect(await snapshot.read(Buffer.alloc(file.length), signal)).toBe(file.length);
    snapshot.close();
  });

  it('is asked for by the name that the server has for it, with user and password', async () => {
    const plain = snapshotOf(RESYNC, `$${file.length}\r\n`, file);
    await start((words, socket) => {
      if (words[0] === 'AUTH') return '+OK\r\n';
      if (words[0] === 'PSYNC') return "-ERR unknown command 'PSYNC'\r\n";
      return plain(words[0] === 'xPSYNC7' ? ['PSYNC'] : words, socket);
    });

    await pull({ psync: 'xPSYNC7', username: 'backup', password: 'hush' });

    expect(peer?.commands[0]).toEqual(['AUTH', 'backup', 'hush']);
  });

  it.each([
    [
      'a length',
      [`$${file.length}\r\n`, file.subarray(0, 70_000)],
      /the connection ended at byte 70000 of 300000$/,
    ],
    ['nothing of a length', [`$${file.length}\r\n`], /at byte 0 of 300000$/],
    ['a mark', [`$EOF:${MARK}\r\n`, file.subarray(0, 70_000)], /at byte 69961, before the mark of its end$/],
    ['half of the mark', [`$EOF:${MARK}\r\n`, file, MARK.slice(0, 39)], /before the mark of its end$/],
    ['another mark', [`$EOF:${MARK}\r\n`, file, MARK.replace('0', 'f')], /before the mark of its end$/],
  ])('that breaks off with %s is a failure that may pass, and says where', async (_what, pieces, message) => {
    await start(snapshotOf(RESYNC, ...pieces));

    expect(await refused()).toMatchObject({
      code: 'SOURCE_TRUNCATED',
      retryable: true,
      message: expect.stringMatching(message) as string,
    });
  });

  it('that falls silent is given up', async () => {
    await start(([command]) =>
      command === 'PSYNC' ? [RESYNC, `$${file.length}\r\n`, file.subarray(0, 10)] : '+OK\r\n',
    );

    expect(await refused({ idleTimeoutMs: 50 })).toMatchObject({ code: 'SOURCE_TRUNCATED', retryable: true });
  });

  it('is given up at once when it is not wanted any more', async () => {
    await start(([command]) =>
      command === 'PSYNC' ? [RESYNC, `$${file.length}\r\n`, file.subarray(0, 10)] : '+OK\r\n',
    );
    const stopping = new AbortController();
    const snapshot = await openSnapshot(
      { host: '127.0.0.1', port: peer?.port ?? 0 },
      NAME,
      PLAIN,
      stopping.signal,
    );
    const reading = snapshot.read(Buffer.alloc(100), stopping.signal);

    stopping.abort();

    await expect(reading).rejects.toMatchObject({ code: 'INTERRUPTED' });
    while (peer?.open() !== 0) await new Promise((resolve) => setImmediate(resolve));
  });

  it('does not come faster than it is taken', async () => {
    let sent = 0;
    const block = Buffer.alloc(1024 * 1024, 7);
    await start(async ([command], socket) => {
      if (command !== 'PSYNC') return '+OK\r\n';
      socket.write(`${RESYNC}$${block.length * 200}\r\n`);
      for (; sent < 200; sent++)
        if (!socket.write(block))
          await Promise.race([
            new Promise((r) => socket.once('drain', r)),
            new Promise((r) => socket.once('close', r)),
          ]);
      return undefined;
    });
    const snapshot = await openSnapshot({ host: '127.0.0.1', port: peer?.port ?? 0 }, NAME, PLAIN, signal);
    await snapshot.read(Buffer.alloc(1), signal);

    // As much as the two sockets and the inbox hold, and no more: it settles.
    for (let before = -1; before !== sent;) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }

    expect(sent).toBeLessThan(100);
    snapshot.close();
  });
});

describe('a server that refuses', () => {
  const toPsync =
    (line: string) =>
    ([command = '']: readonly string[]): string =>
      command === 'PSYNC' ? `${line}\r\n` : command === 'PING' ? '+PONG\r\n' : '+OK\r\n';

  it.each([
    [
      "-NOPERM this user has no permissions to run the 'psync' command",
      'PERMISSION_DENIED',
      false,
      /\+psync \+replconf \+ping/,
    ],
    ["-NOMASTERLINK Can't SYNC while not connected with my master", 'SOURCE_UNAVAILABLE', true, /primary/],
    ["-ERR Can't SYNC while not connected with my master", 'SOURCE_UNAVAILABLE', true, /primary/],
    ['-BUSY Redis is busy running a script.', 'SOURCE_UNAVAILABLE', true, /SCRIPT KILL/],
    ['-LOADING Redis is loading the dataset in memory', 'SOURCE_UNAVAILABLE', true, /loaded/],
    [
      "-ERR unknown command 'PSYNC', with args beginning with: '?' '-1'",
      'REPLICATION_REFUSED',
      false,
      /docs\/self-managed\.md/,
    ],
    ['-ERR PSYNC is not allowed', 'REPLICATION_REFUSED', false, /docs\/self-managed\.md/],
    ['-ERR unsupported command', 'REPLICATION_REFUSED', false, /docs\/self-managed\.md/],
    ['-SOMETHING else', 'REPLICATION_REFUSED', false, /docs\/self-managed\.md/],
  ] as const)('by %s is explained', async (line, code, retryable, hint) => {
    await start(toPsync(line));

    const error = await refused();

    expect(error).toMatchObject({ code, retryable, hint: expect.stringMatching(hint) as string });
    expect(error.message).toContain(`redis://127.0.0.1:${peer?.port}`);
  });

  it('after it agreed, because its snapshot fails, is tried again', async () => {
    await start(snapshotOf(RESYNC, "-ERR BGSAVE failed, replication can't continue\r\n"));

    expect(await refused()).toMatchObject({ code: 'SOURCE_UNAVAILABLE', retryable: true });
  });

  it('by hanging up is tried again, and a proxy is suspected', async () => {
    await start(([command], socket) => {
      if (command !== 'PSYNC') return '+OK\r\n';
      socket.destroy();
      return undefined;
    });

    expect(await refused()).toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: true,
      hint: expect.stringContaining('proxy') as string,
    });
  });

  it.each([
    [
      'asks for a password',
      '-NOAUTH Authentication required.',
      undefined,
      'PERMISSION_DENIED',
      /passwordFrom/,
    ],
    [
      'is in protected mode',
      '-DENIED Redis is running in protected mode',
      undefined,
      'PERMISSION_DENIED',
      /password/,
    ],
    [
      'does not know the user',
      '-WRONGPASS invalid username-password pair or user is disabled.',
      'hush-hush',
      'PERMISSION_DENIED',
      /username/,
    ],
    [
      'has no password',
      '-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?',
      'hush-hush',
      'CONFIG_INVALID',
      /passwordFrom/,
    ],
    [
      'knows no users',
      "-ERR wrong number of arguments for 'auth' command",
      'hush-hush',
      'CONFIG_INVALID',
      /username/,
    ],
    [
      'repeats what it was sent',
      "-ERR unknown command 'AUTH', with args beginning with: 'backup' 'hush-hush' ",
      'hush-hush',
      'REPLICATION_REFUSED',
      /./,
    ],
  ] as const)('because it %s says so, and never the password', async (_what, line, password, code, hint) => {
    await start(() => `${line}\r\n`);

    const error = await refused(password === undefined ? {} : { username: 'backup', password });

    expect(error).toMatchObject({ code, retryable: false, hint: expect.stringMatching(hint) as string });
    const said = `${describeError(error)} ${error.hint} ${JSON.stringify(error.details)}`;
    expect(said).not.toContain('hush-hush');
  });

  it.each([
    ['an HTTP server', 'HTTP/1.1 400 Bad Request\r\n\r\n'],
    ['binary noise', Buffer.from([0, 255, 254, 10, 13, 10])],
  ])('because it is %s is named as what it is not', async (_what, answer) => {
    await start(() => answer);

    expect(await refused()).toMatchObject({ code: 'SOURCE_INVALID' });
  });

  it.each(['+CONTINUE', '+FULLRESYNC', '+FULLRESYNC short 1', ':1'])(
    'by the nonsense "%s" is not believed',
    async (line) => {
      await start(toPsync(line));

      expect(await refused()).toMatchObject({ code: 'SOURCE_INVALID' });
    },
  );

  it.each(['$-1', '$0', '$99999999999999999999', '$EOF:short', '+OK'])(
    'by the framing "%s" is not believed',
    async (line) => {
      await start(snapshotOf(RESYNC, `${line}\r\n`, file));

      expect(await refused()).toMatchObject({ code: 'SOURCE_INVALID' });
    },
  );

  it('is not even asked with a key that is none', async () => {
    await start(() => '+OK\r\n');

    const error = await refused({ isSecure: true, cert: 'no certificate', key: 'hush-hush' });

    expect(error).toMatchObject({
      code: 'CONFIG_INVALID',
      hint: expect.stringContaining('keyFrom') as string,
    });
    expect(describeError(error)).not.toContain('hush-hush');
    expect(peer?.commands).toEqual([]);
  });

  it('because it is not there is tried again', async () => {
    await start(() => undefined);
    await peer?.close();

    expect(await refused()).toMatchObject({ code: 'SOURCE_UNAVAILABLE', retryable: true });
  });
});

describe('over TLS, a server', () => {
  // The certificate is for localhost and 127.0.0.1. Other loopback addresses exist on Linux only.
  const elsewhere = '127.0.0.2';
  const whereElse = process.platform === 'linux' ? it : it.skip;
  let folder: string;
  let identity: Certificate;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'tairlift-replication-'));
    identity = await createCertificate(folder);
  });
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  const pullFrom = async (host: string, options: Partial<ReplicationOptions>): Promise<number> => {
    const secure = { ...PLAIN, isSecure: true, password: 'hush', ...options };
    const snapshot = await openSnapshot({ host, port: peer?.port ?? 0 }, NAME, secure, signal);
    const filled = await snapshot.read(Buffer.alloc(file.length + 1), signal);
    snapshot.close();
    return filled;
  };
  const plain = snapshotOf(RESYNC, `$EOF:${MARK}\r\n`, file, MARK);
  const answer: typeof plain = (words, socket) => (words[0] === 'AUTH' ? '+OK\r\n' : plain(words, socket));

  it('is pulled from as over plain sockets', async () => {
    await start(answer, identity);

    expect(await pullFrom('127.0.0.1', { ca: identity.cert })).toBe(file.length);
  });

  it('whose certificate nobody vouches for gets no password', async () => {
    await start(answer, identity);

    await expect(pullFrom('127.0.0.1', {})).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: false,
    });
    expect(peer?.commands).toEqual([]);
  });

  it('with a name that nobody here knows has to show a certificate for it', async () => {
    await start(answer, identity);
    const pullAt = async (host: string): Promise<unknown> => {
      const secure = { ...PLAIN, isSecure: true, password: 'hush', ca: identity.cert };
      return openSnapshot({ host, ip: '127.0.0.1', port: peer?.port ?? 0 }, NAME, secure, signal);
    };

    await expect(pullAt('node-1.invalid')).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      hint: expect.stringContaining('the name that its certificate is for') as string,
    });
    expect(peer?.commands).toEqual([]);
  });

  whereElse.each([
    ['', {}],
    [', nor for the name that was given', { knownHost: 'redis.example' }],
  ])('whose certificate is not for its address%s gets no password', async (_what, options) => {
    await start(answer, identity, elsewhere);

    await expect(pullFrom(elsewhere, { ca: identity.cert, ...options })).rejects.toMatchObject({
      code: 'SOURCE_UNAVAILABLE',
      retryable: false,
      hint: expect.stringContaining('the name that its certificate is for') as string,
    });
    expect(peer?.commands).toEqual([]);
  });

  whereElse('that is known by its address may show a certificate for the name that was given', async () => {
    await start(answer, identity, elsewhere);

    expect(await pullFrom(elsewhere, { ca: identity.cert, knownHost: 'localhost' })).toBe(file.length);
  });
});

/** What real servers sent, byte for byte. */
const WIRE = join(COLLECTION, 'wire');
const withWire = existsSync(WIRE) ? describe : describe.skip;

withWire('what real servers sent', () => {
  const replay = async (name: string): Promise<void> => {
    const bytes = readFileSync(join(WIRE, `${name}.bin`));
    // Odd pieces, so that nothing lies where it is convenient.
    const pieces: Buffer[] = [];
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size * 7 + 3) % 1987)
      pieces.push(bytes.subarray(at, at + size));
    await start(snapshotOf(...pieces));
  };

  it.each([
    ['redis6.2-PSYNC-disk-then-stream', 671],
    ['redis6.2-PSYNC-rdbonly-closed-by-server', 671],
    ['redis7.0-PSYNC-disk-slow-newlines', 1112],
    ['redis7.0-PSYNC-eof-5s-delay-newlines', undefined],
    ['redis7.0-PSYNC-eof-ack-stream', undefined],
    ['redis8.6-PSYNC-rdbonly-eof', undefined],
    ['valkey9.1-PSYNC-version9-eof', undefined],
  ])('%s is a sound file', async (name, announced) => {
    await replay(name);

    const pulled = await pull();

    expect(pulled.announced).toBe(announced);
    const scanner = createRdbScanner();
    scanner.write(pulled.bytes);
    expect(scanner.end()).toMatchObject({ verdict: 'sound', bytes: pulled.bytes.length });
  });

  it('Valkey 9 sends all that it has, for it is told which version is understood', async () => {
    const read = (name: string): Buffer => readFileSync(join(WIRE, `valkey9.1-PSYNC-${name}.bin`));
    let version = '';
    await start((words, socket) => {
      if (words[1] === 'version') version = words[2] ?? '';
      // To others it sends an older file, and breaks off at the first hash whose fields expire.
      return snapshotOf(read(version.startsWith('9.') ? 'version9-eof' : 'noversion-ABORTS'))(words, socket);
    });

    const { bytes } = await pull();

    expect(bytes.toString('latin1', 0, 9)).toBe('VALKEY080');
  });

  it('valkey9.1-PSYNC-noversion-ABORTS is a failure', async () => {
    await replay('valkey9.1-PSYNC-noversion-ABORTS');

    expect(await refused()).toMatchObject({ code: 'SOURCE_TRUNCATED' });
  });

  it.each([
    ['err-NOPERM', 'PERMISSION_DENIED'],
    ['err-NOMASTERLINK', 'SOURCE_UNAVAILABLE'],
  ])('%s is explained', async (name, code) => {
    await replay(name);

    expect(await refused()).toMatchObject({ code });
  });
});
