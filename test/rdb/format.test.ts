import fc from 'fast-check';
import { viewOf } from '../../functions/core/rdb/input.ts';
import { readScore, writeInteger } from '../../functions/core/rdb/numbers.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { slotOf } from '../../functions/core/rdb/slots.ts';
import { fileOf, scan } from './corpus.ts';

const KEY = [0, 1, 0x6b, 1, 0x76];

test('integers are written as the servers write them', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), fc.nat(63), (value, shift) => {
      const integer = value >> BigInt(shift);
      const scratch = new Uint8Array(20);
      const start = writeInteger(
        Number(BigInt.asIntN(32, integer >> 32n)),
        Number(BigInt.asIntN(32, integer)),
        scratch,
      );
      expect(Buffer.from(scratch.subarray(start)).toString()).toBe(integer.toString());
    }),
    { numRuns: 3000 },
  );
});

test('scores are read as exactly as JavaScript reads them', () => {
  const decimal = fc
    .tuple(fc.bigInt({ min: 0n, max: 10n ** 17n }), fc.nat(17), fc.nat(16), fc.boolean())
    .map(([digits, shorter, decimals, isNegative]) => {
      const text = String(digits / 10n ** BigInt(shorter)).padStart(decimals + 1, '0');
      const point = text.length - decimals;
      const decimal = decimals === 0 ? text : `${text.slice(0, point)}.${text.slice(point)}`;
      return isNegative ? `-${decimal}` : decimal;
    });
  fc.assert(
    fc.property(
      fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }).map(String), decimal),
      (text) => {
        expect(readScore(viewOf(Buffer.from(text)), 0, text.length)).toBe(Number(text));
      },
    ),
    { numRuns: 10_000 },
  );
});

test.each([
  ['9007199254740993', 9_007_199_254_740_992],
  ['inf', Infinity],
  ['-inf', -Infinity],
  ['nan', undefined],
  ['', undefined],
  ['-', undefined],
  ['1e', undefined],
  ['0x10', undefined],
  ['1 ', undefined],
])('the score %j is %p', (text, value) => {
  expect(readScore(viewOf(Buffer.from(text)), 0, text.length)).toBe(value);
});

test.each([
  ['123456789', 0x31c3],
  ['foo{}{bar}', 8363],
  ['foo{{bar}}zap', 4015],
  ['{user1000}.following', 3443],
  ['{user1000}.followers', 3443],
])('the slot of %s is the one that a cluster gives it', (key, slot) => {
  const bytes = viewOf(Buffer.from(key));
  expect(slotOf(bytes, 0, bytes.byteLength)).toBe(slot);
});

test('the slots of database 0 are listed as ranges', () => {
  const key = (name: string): number[] => [0, name.length, ...Buffer.from(name), 1, 0x31];
  const { fingerprint } = scan(
    fileOf('REDIS0011', key('{user1000}.a'), key('{user1000}.b'), key('123456789'), [254, 1], key('x')),
  );
  expect(fingerprint.slots).toEqual({ seen: 2, ranges: '3443,12739' });
});

describe('what may stand between keys', () => {
  const metadata = [243, 1, 1, 2, 3, 4, 2, 5, 5, 1, 0x61, 0];
  test.each([
    ['an aux field', 'REDIS0012', [250, 1, 0x61, 1, 0x62]],
    ['an integer as an aux field', 'REDIS0012', [250, 1, 0x61, 0xc2, 1, 2, 3, 4]],
    ['database sizes', 'REDIS0012', [251, 0x40, 0x40, 0x80, 0, 0, 0, 1]],
    ['an expiry in seconds', 'REDIS0009', [253, 1, 0, 0, 0]],
    ['an idle time and a frequency', 'REDIS0012', [248, 0x81, 0, 0, 0, 0, 0, 0, 0, 9, 249, 200]],
    ['a function library', 'REDIS0012', [245, 3, 0x23, 0x21, 0x6c]],
    ['a function of a release candidate', 'REDIS0010', [246, 1, 0x6e, 1, 0x65, 1, 1, 0x64, 1, 0x63]],
    [
      'module data',
      'REDIS0012',
      [
        247, 0x81, 1, 2, 3, 4, 5, 6, 7, 8, 2, 1, 1, 7, 2, 8, 3, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 5, 1,
        0x61, 0,
      ],
    ],
    ['the size of a slot', 'REDIS0012', [244, 1, 2, 3]],
    ['metadata of a key', 'REDIS0013', metadata],
    ['a slot import of Valkey', 'VALKEY080', [243, 2, 0x6a, 0x6a, 2, 1, 2, 3, 4]],
    ['opcodes of Redis Enterprise', 'REDIS0009', [107, 1, 121, 0x40, 0x40]],
    ['a database selected twice', 'REDIS0009', [254, 0, 254, 0]],
  ])('%s', (_what, magic, bytes) => {
    const file = fileOf(magic, bytes, KEY);
    const report = scan(file, 1);
    expect(report.problem).toBeUndefined();
    expect(report.fingerprint.keys).toBe(1);
    expect(scan(file)).toEqual(report);
  });

  test('an expiry that survives a change of database', () => {
    const { fingerprint } = scan(fileOf('REDIS0009', [252, 1, 0, 0, 0, 0, 0, 0, 0, 254, 2], KEY));
    expect(fingerprint.databases).toEqual({ 2: { keys: 1, expires: 1 } });
  });
});

test.each([
  ['a module value of a release candidate', [6, 1, 0x6b], /type 6/],
  ['a KeyDB cron job', [64, 1, 0x6b], /KeyDB/],
  ['a native Dragonfly snapshot', [200, 1, 0x6b], /Dragonfly/],
  ['a type nobody knows', [99, 1, 0x6b], /unknown type 99/],
])('%s is unsupported, with the reason', (_what, body, reason) => {
  expect(scan(fileOf('REDIS0009', body))).toMatchObject({
    verdict: 'unsupported',
    problem: { offset: 9, reason: expect.stringMatching(reason) as string },
  });
});

test.each([
  ['REDIS0014', 'unsupported'],
  ['VALKEY081', 'unsupported'],
  ['REDIS0000', 'unsupported'],
  ['REDISabcd', 'corrupt'],
  ['\x1f\x8b\x08aaaaaa', 'corrupt'],
])('a file that begins with %j is %s', (magic, verdict) => {
  expect(scan(fileOf(magic, KEY)).verdict).toBe(verdict);
});

test('type 22 is read as the magic says', () => {
  const redis = fileOf('REDIS0012', [22, 1, 0x6b, 1, 5, 1, 0x66, 1, 0x76]);
  const valkey = fileOf('VALKEY080', [22, 1, 0x6b, 1, 1, 0x66, 1, 0x76, 5, 0, 0, 0, 0, 0, 0, 0]);
  expect(scan(redis).fingerprint.digest).toBe(scan(valkey).fingerprint.digest);
  expect(scan(fileOf('VALKEY080', [24, 1, 0x6b])).verdict).toBe('unsupported');
});

test('the same key twice in one database is corrupt, and the rest is read all the same', () => {
  const report = scan(fileOf('REDIS0009', KEY, KEY, [0, 1, 0x6c, 1, 0x76]));
  expect(report).toMatchObject({
    verdict: 'corrupt',
    problem: { offset: 15, doing: 'a key', reason: 'the same key is there twice', database: 0, key: 'k' },
    fingerprint: { keys: 3 },
  });
  expect(scan(fileOf('REDIS0009', KEY, [254, 1], KEY)).verdict).toBe('sound');
});

test('a problem tells where, what, why and at which key', () => {
  const file = fileOf('REDIS0009', [254, 3, 4, 3, 0x61, 0xff, 0x5c, 2, 1, 0x66, 1, 0x31, 1, 0x66, 1, 0x32]);
  expect(scan(file, 2).problem).toEqual({
    offset: 21,
    doing: 'a field of a hash',
    reason: 'the same element is there twice',
    database: 3,
    key: 'a\\xff\\\\',
  });
});

describe('an empty node of a list', () => {
  const empty = [11, 11, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0xff];
  const full = [14, 14, 0, 0, 0, 10, 0, 0, 0, 1, 0, 0, 1, 0x61, 0xff];
  const emptyListpack = [2, 7, 7, 0, 0, 0, 0, 0, 0xff];

  test('is skipped, as servers skip it', () => {
    full[0] = full.length - 1;
    full[1] = full.length - 1;
    const one = scan(fileOf('REDIS0009', [14, 1, 0x6b, 1], full));
    const both = scan(fileOf('REDIS0009', [14, 1, 0x6b, 2], empty, full));
    expect(one.verdict).toBe('sound');
    expect(both.verdict).toBe('sound');
    expect(both.fingerprint.digest).toBe(one.fingerprint.digest);
  });

  test.each([
    ['ziplists', fileOf('REDIS0009', [14, 1, 0x6b, 1], empty)],
    ['listpacks', fileOf('REDIS0010', [18, 1, 0x6b, 1], emptyListpack)],
    ['plain nodes', fileOf('REDIS0010', [18, 1, 0x6b, 1, 1, 0])],
  ])('is refused where there is nothing else: %s', (_what, file) => {
    expect(scan(file)).toMatchObject({ verdict: 'corrupt', problem: { key: 'k' } });
    expect(scan(file, 1)).toEqual(scan(file));
  });
});

test('a stream whose last id was set back behind a deleted entry is sound, and so is one that grew again from there', () => {
  // What Redis 7.0.15 saves after XADD 1-1, XADD 5-5, XDEL 5-5, XSETID 2-1, and after XADD 3-1.
  const id = [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
  const first = [2, 1, 0, 1, 0, 1, 0x81, 0x61, 2, 0, 1, 2, 1, 0, 1, 0, 1, 0x81, 0x31, 2, 4, 1];
  const deleted = [3, 1, 4, 1, 4, 1, 0x81, 0x31, 2, 4, 1];
  const again = [2, 1, 2, 1, 0, 1, 0x81, 0x31, 2, 4, 1];
  const stream = (live: number, last: number, ...entries: readonly number[][]): Buffer => {
    const parts = [live, 1, 1, 1, 1, 1, 0x81, 0x61, 2, 0, 1, ...entries.flat(), 0xff];
    const listpack = [parts.length + 6, 0, 0, 0, 255, 255, ...parts];
    const tail = [live, last, 1, 1, 1, 5, 5, live + 1, 0];
    return fileOf('REDIS0010', [19, 1, 0x73, 1, 16], id, [0x40, listpack.length], listpack, tail);
  };
  const live = first.slice(11);
  expect(scan(stream(1, 2, live, deleted))).toMatchObject({ verdict: 'sound' });
  expect(scan(stream(2, 3, live, deleted, again))).toMatchObject({ verdict: 'sound' });
  expect(scan(stream(2, 3, again, deleted, live)).problem?.reason).toBe('stream ids that do not increase');
  expect(scan(stream(2, 2, live, deleted, again)).problem?.reason).toMatch(/before its last entry/);
});

test('a stream that has a length but no nodes is corrupt', () => {
  const empty = fileOf('REDIS0010', [19, 1, 0x6b, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  const lying = fileOf('REDIS0010', [19, 1, 0x6b, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
  expect(scan(empty).verdict).toBe('sound');
  expect(scan(lying)).toMatchObject({
    verdict: 'corrupt',
    problem: { reason: 'a length of 1 for 0 entries' },
  });
});

describe('values larger than any buffer', () => {
  const size = 5_000_000;
  const big = Buffer.alloc(size, 'abc');
  const length = Buffer.from([0x80, 0, 0, 0, 0]);
  length.writeUInt32BE(size, 1);

  /** The literal `abc`, then copies of what is three bytes back, 264 at a time. */
  function compressed(): Buffer {
    const parts = [Buffer.from([2, 0x61, 0x62, 0x63])];
    let left = size - 3;
    for (; left >= 264; left -= 264) parts.push(Buffer.from([0xe0, 255, 2]));
    if (left >= 9) parts.push(Buffer.from([0xe0, left - 9, 2]));
    else if (left > 2) parts.push(Buffer.from([(left - 2) << 5, 2]));
    else if (left > 0) parts.push(Buffer.from([left - 1, ...Buffer.from('abc').subarray(0, left)]));
    const bytes = Buffer.concat(parts);
    const header = Buffer.from([0xc3, 0x80, 0, 0, 0, 0]);
    header.writeUInt32BE(bytes.length, 2);
    return Buffer.concat([header, length, bytes]);
  }

  test.each([
    ['a string', (value: Buffer) => [[0, 1, 0x6b], value]],
    ['an element of a list', (value: Buffer) => [[1, 1, 0x6b, 2, 1, 0x31], value]],
    ['a node of a list', (value: Buffer) => [[18, 1, 0x6b, 1, 1], value]],
    ['a value of a hash', (value: Buffer) => [[4, 1, 0x6b, 1, 1, 0x66], value]],
    ['a member of a set', (value: Buffer) => [[2, 1, 0x6b, 1], value]],
  ])('%s is digested as it streams by, compressed or not', (_what, body) => {
    const raw = fileOf('REDIS0012', ...body(Buffer.concat([length, big])));
    const packed = fileOf('REDIS0012', ...body(compressed()));
    const reports = [scan(raw, 65_537), scan(raw), scan(packed, 101), scan(packed)];
    expect(reports.map(({ verdict }) => verdict)).toEqual(Array(4).fill('sound'));
    expect(new Set(reports.map(({ fingerprint }) => fingerprint.digest)).size).toBe(1);
  });

  test('no more memory is used than for a small one', () => {
    const scanner = createRdbScanner();
    const chunk = Buffer.alloc(256 * 1024, 7);
    const total = 400 * 1024 * 1024;
    const header = Buffer.concat([Buffer.from('REDIS0012'), Buffer.from([0, 1, 0x6b, 0x80, 0, 0, 0, 0])]);
    header.writeUInt32BE(total, header.length - 4);
    scanner.write(header);
    const before = process.memoryUsage();
    for (let sent = 0; sent < total; sent += chunk.length) scanner.write(chunk);
    const after = process.memoryUsage();
    expect(after.arrayBuffers - before.arrayBuffers).toBeLessThan(4 * 1024 * 1024);
    expect(after.rss - before.rss).toBeLessThan(64 * 1024 * 1024);
    scanner.write(Buffer.from([0xff, 0, 0, 0, 0, 0, 0, 0, 0]));
    expect(scanner.end()).toMatchObject({ verdict: 'unverifiable', fingerprint: { keys: 1 } });
  });
});
