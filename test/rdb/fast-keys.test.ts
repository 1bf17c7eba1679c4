/**
 * The fast loop over keys, held against the slow reader: for every file there is, cut into any chunks, damaged in any
 * way, the two give the same report.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { ContentDigest } from '../../functions/core/rdb/digest.ts';
import type { RdbReport } from '../../functions/core/rdb/report.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { createWorkspace } from '../../functions/core/wasm/workspace.ts';
import {
  COLLECTION,
  FIXTURES,
  fileOf,
  fixtureNames,
  oneKeyFiles,
  readFixture,
  scan,
  withChecksum,
} from './corpus.ts';

const SLOT_BYTES = 8 * 1024 * 1024;
const workspace = createWorkspace(1, SLOT_BYTES);
const slot = workspace.slots[0] ?? Buffer.alloc(0);

/** By the fast loop, with every chunk in the workspace, where a download would have put it. */
function scanInPlace(bytes: Uint8Array, chunkBytes = SLOT_BYTES): RdbReport {
  const scanner = createRdbScanner({ workspace });
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const piece = bytes.subarray(at, at + Math.min(chunkBytes, SLOT_BYTES));
    slot.set(piece);
    scanner.write(slot.subarray(0, piece.length));
  }
  return scanner.end();
}

function scanSlowly(bytes: Uint8Array, chunkBytes = bytes.length): RdbReport {
  return scan(bytes, chunkBytes, { fastLoop: false });
}

const files = [
  ...fixtureNames().map((name) => join(FIXTURES, name)),
  ...['rdb', 'corrupt', 'damaged']
    .map((folder) => join(COLLECTION, folder))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name))),
];

test.each(files)('%s gives the same report, whole or in chunks', (path) => {
  const bytes = readFileSync(path);
  for (const file of [bytes, behindBiggest(bytes)]) expectTheSame(file);
});

function expectTheSame(bytes: Buffer): void {
  const report = scanSlowly(bytes);
  expect(scanInPlace(bytes)).toEqual(report);
  expect(scanInPlace(bytes, 4099)).toEqual(scanSlowly(bytes, 4099));
  expect(scan(bytes, bytes.length, { workspace })).toEqual(report);
}

const head = (name: string, type = 0): Buffer => Buffer.from([type, name.length, ...Buffer.from(name)]);
const text = (bytes: string): Buffer => Buffer.from([bytes.length, ...Buffer.from(bytes)]);

/** The biggest keys are always left to the slow reader: without ten bigger ones, every key of a small file would be. */
const BIGGEST = Buffer.concat(
  [...Array(10).keys()].map((index) =>
    Buffer.concat([head(`biggest:${index}`), Buffer.from([0x50, 0]), Buffer.alloc(0x1000, index)]),
  ),
);

function behindBiggest(file: Buffer): Buffer {
  return Buffer.concat([file.subarray(0, 9), BIGGEST, file.subarray(9)]);
}

/** Small files of every type that each server writes. */
const small = fixtureNames()
  .flatMap((name) => oneKeyFiles(readFixture(name)))
  .map(({ bytes }) => bytes)
  .filter((bytes) => bytes.length <= 3000);

test('most keys are taken by the fast loop', () => {
  const taken = jest.spyOn(ContentDigest.prototype, 'addTaken');
  for (const name of [
    'gen__gen-redis7.0.15.rdb',
    'gen__gen-redis6.2.16-lfu.rdb',
    'gen__gen-valkey8.1.1.rdb',
  ]) {
    taken.mockClear();
    const { fingerprint } = scanInPlace(behindBiggest(readFixture(name)));
    const keys = taken.mock.calls.reduce((sum, [, { keys }]) => sum + keys, 0);
    // All but the biggest.
    expect(keys / fingerprint.keys).toBeGreaterThan(0.75);
  }
  taken.mockRestore();
});

test('any chunks, in the workspace or outside, give the same report', () => {
  const whole = fixtureNames().map((name) => behindBiggest(readFixture(name)));
  fc.assert(
    fc.property(
      fc.constantFrom(...whole),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 70_000 }), fc.boolean()), { minLength: 1, maxLength: 20 }),
      (file, cuts) => {
        const scanner = createRdbScanner({ workspace });
        let at = 0;
        for (let turn = 0; at < file.length; turn++) {
          const [size, isInside] = cuts[turn % cuts.length] ?? [1, true];
          const piece = file.subarray(at, at + size);
          slot.set(piece);
          scanner.write(isInside ? slot.subarray(0, piece.length) : piece);
          at += size;
        }
        expect(scanner.end()).toEqual(scanSlowly(file));
      },
    ),
    { numRuns: 100 },
  );
});

test('files that are cut anywhere give the same report', () => {
  fc.assert(
    fc.property(fc.constantFrom(...small), fc.nat(), (file, length) => {
      const cut = behindBiggest(file.subarray(0, 9 + (length % (file.length - 9))));
      expect(scanInPlace(cut)).toEqual(scanSlowly(cut, SLOT_BYTES));
      // Also where the memory ends.
      const scanner = createRdbScanner({ workspace });
      const end = slot.subarray(slot.length - cut.length);
      end.set(cut);
      scanner.write(end);
      expect(scanner.end()).toEqual(scanSlowly(cut, SLOT_BYTES));
    }),
    { numRuns: 5000 },
  );
});

/** Bytes that mean something in one of the encodings. */
const anyByte = fc.oneof(
  fc.nat(255),
  fc.constantFrom(
    0,
    1,
    2,
    3,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0x81,
    0xc0,
    0xc3,
    0xe0,
    0xf0,
    0xf1,
    0xf4,
    0xfd,
    0xfe,
    0xff,
  ),
);

test('values altered under a checksum that fits give the same report', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...small),
      fc.array(fc.tuple(fc.nat(), anyByte), { minLength: 1, maxLength: 4 }),
      (file, changes) => {
        const body = Buffer.from(file.subarray(0, file.length - 8));
        for (const [where, value] of changes) body[9 + (where % (body.length - 9))] = value;
        const altered = withChecksum(behindBiggest(body));
        expect(scanInPlace(altered)).toEqual(scanSlowly(altered));
      },
    ),
    { numRuns: 5000 },
  );
});

test('single bits flipped in a large file with many keys give the same report', () => {
  const file = behindBiggest(readFixture('gen__gen-redis7.0.15.rdb'));
  fc.assert(
    fc.property(fc.nat(file.length * 8 - 1), (bit) => {
      const flipped = Buffer.from(file);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(scanInPlace(flipped)).toEqual(scanSlowly(flipped));
    }),
    { numRuns: 100 },
  );
});

test('the same key twice is found wherever the first one was read', () => {
  const keys = Array.from({ length: 50 }, (_, index) => Buffer.concat([head(`key:${index}`), text('value')]));
  const long = Buffer.concat([head('key:7'), Buffer.from([0x80, 0, 1, 0x86, 0xa0]), Buffer.alloc(100_000)]);
  for (const again of [Buffer.concat([head('key:7'), text('x')]), long]) {
    const file = fileOf('REDIS0009', BIGGEST, ...keys, again);
    const report = scanInPlace(file, 1000);
    expect(report).toMatchObject({ verdict: 'corrupt', problem: { key: 'key:7' } });
    expect(report).toEqual(scanSlowly(file, 1000));
    expect(scanInPlace(fileOf('REDIS0009', BIGGEST, again, ...keys), 1000)).toMatchObject({
      verdict: 'corrupt',
    });
  }
  const other = fileOf(
    'REDIS0009',
    ...keys,
    Buffer.from([0xfe, 1]),
    Buffer.concat([head('key:7'), text('x')]),
  );
  expect(scanInPlace(other)).toMatchObject({ verdict: 'sound', fingerprint: { keys: 51 } });
});

test('small strings in a row, expiring, of integers, in several databases, are read as one by one', () => {
  // So many keys that they are not compared with each other any more: from there on another loop takes them.
  const keys = Array.from({ length: 300_000 }, (_, index) => {
    const [kind, length] = [index % 7, (index * 31) % 66];
    const expiry = kind === 3 ? [252, index & 255, 2, 3, 4, 5, 0, 0, 0] : kind === 5 ? [253, 1, 2, 3, 4] : [];
    const select = index % 50_000 === 49_999 ? [254, index / 50_000] : [];
    const key = Buffer.from(`k${index}${'-'.repeat((index * 7) % 40)}`);
    const value =
      kind === 1
        ? [0xc0, index & 255]
        : kind === 2
          ? [0xc2, 1, 2, index & 255, 0x80]
          : [...(length < 64 ? [length] : [0x40, length]), ...Array<number>(length).fill(0x78)];
    return Buffer.from([...select, ...expiry, 0, key.length, ...key, ...value]);
  });
  const last = Buffer.concat([
    head('the-longest-name-of-all-that-are-there-in-this-file'),
    text('x'.repeat(63)),
  ]);
  const file = fileOf('REDIS0009', Buffer.concat([...keys, last]));
  const report = scanSlowly(file, 65_537);
  expect(report).toMatchObject({ verdict: 'sound', fingerprint: { keys: 300_001 } });
  expect(report.fingerprint.biggest[0]?.key).toContain('the-longest-name-of-all');
  expect(scanInPlace(file)).toEqual(report);
  expect(scanInPlace(file, 1000)).toEqual(report);
  // Without a workspace the loop begins in the middle, and gets the keys that were seen so far.
  expect(scan(file, 65_537)).toEqual(report);
  expect(scan(file)).toEqual(report);
});

test('scores of any number of digits are rounded as JavaScript rounds them', () => {
  const score = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
    fc.tuple(fc.nat(1000), fc.integer({ min: 1, max: 97 })).map(([a, b]) => String(a / b)),
    fc.tuple(fc.bigInt(0n, 10n ** 20n), fc.nat(24)).map(([digits, point]) => {
      const all = String(digits).padStart(point + 1, '0');
      return point === 0 ? all : `${all.slice(0, -point)}.${all.slice(-point)}`;
    }),
  );
  fc.assert(
    fc.property(fc.array(score, { minLength: 1, maxLength: 8 }), (scores) => {
      const entries = scores.flatMap((value, index) => [`m${index}`, value]);
      const packed = entries
        .map((entry) => [0x80 + entry.length, ...Buffer.from(entry), entry.length + 1])
        .flat();
      const size = 7 + packed.length;
      const listpack = [size & 255, size >> 8, 0, 0, entries.length, 0, ...packed, 0xff];
      const file = fileOf('REDIS0011', BIGGEST, head('zset', 17), [0x40 | (size >> 8), size & 255], listpack);
      const report = scanSlowly(file);
      expect(report.verdict).toBe('sound');
      expect(scanInPlace(file)).toEqual(report);
    }),
    { numRuns: 1000 },
  );
});

test('one workspace serves scanners one after the other and at the same time', () => {
  const file = readFixture('gen__gen-redis7.0.15.rdb');
  const [first, second] = [createRdbScanner({ workspace }), createRdbScanner({ workspace })];
  for (let at = 0; at < file.length; at += 5000) {
    const piece = file.subarray(at, at + 5000);
    slot.set(piece);
    for (const scanner of [first, second]) scanner.write(slot.subarray(0, piece.length));
  }
  const report = scanSlowly(file);
  expect([first.end(), second.end(), scanInPlace(file)]).toEqual([report, report, report]);
});

describe('a value that is larger than what is before the reader', () => {
  /** Ordinary, an integer, compressed, longer than the loops hash in a row. */
  const varied = (index: number): Buffer => {
    if (index % 5 === 1) return Buffer.from([0xc1, index & 255, (index >> 8) & 127]);
    if (index % 5 === 2)
      return Buffer.from([0xc3, 11, 16, 0x05, ...Buffer.from(String(index).padStart(6)), 0xe0, 1, 5, 0]);
    if (index % 50 === 3)
      return Buffer.concat([Buffer.from([0x44, index & 255]), Buffer.alloc(1024 + (index & 255), index)]);
    return text(`element-${index}`);
  };
  const length = (count: number): Buffer => Buffer.from([0x40 | (count >> 8), count & 255]);
  const double = (value: number): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes;
  };
  const COUNT = 3000;
  const packed = [...Array(25).keys()].flatMap((value) => [value, 1]);
  const node = Buffer.from([2, packed.length + 7, packed.length + 7, 0, 0, 0, 25, 0, ...packed, 0xff]);
  const element: Record<string, { readonly type: number; readonly of: (index: number) => Buffer }> = {
    set: { type: 2, of: varied },
    hash: { type: 4, of: (index) => Buffer.concat([text(`field:${index}`), varied(index)]) },
    zset: { type: 5, of: (index) => Buffer.concat([text(`member:${index}`), double(index / 7)]) },
    list: { type: 1, of: varied },
    nodes: {
      type: 18,
      of: (index) => (index % 3 === 0 ? Buffer.concat([Buffer.from([1]), varied(index)]) : node),
    },
  };
  const elementsOf = (kind: string): Buffer[] =>
    [...Array(COUNT).keys()].map((index) => element[kind]?.of(index * 5) ?? Buffer.alloc(0));

  test.each(Object.keys(element))('%s: its elements are taken in any chunks, to the same report', (kind) => {
    const all =
      kind === 'set' ? elementsOf(kind).map((_, index) => text(`m:${index * index}`)) : elementsOf(kind);
    const value = Buffer.concat([head('large', element[kind]?.type), length(COUNT), ...all]);
    const file = fileOf('REDIS0011', head('before'), text('1'), value, head('after'), text('2'));
    const report = scanSlowly(file);
    expect(report).toMatchObject({ verdict: 'sound', fingerprint: { keys: 3 } });
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20_000 }),
        fc.boolean(),
        fc.nat(file.length),
        (size, isInside, cut) => {
          const scanned = isInside ? scanInPlace(file, size) : scan(file, size, { workspace });
          expect(scanned).toEqual(report);
          const part = file.subarray(0, cut);
          expect(scanInPlace(part, size)).toEqual(scanSlowly(part, size));
        },
      ),
      { numRuns: 40 },
    );
  });

  test.each(['set', 'hash', 'zset'])(
    '%s: an element that is there twice is found wherever the two are',
    (kind) => {
      const members = [...Array(COUNT).keys()].map((index) => text(`m:${index}`));
      const tail = kind === 'hash' ? text('value') : kind === 'zset' ? double(1) : Buffer.alloc(0);
      fc.assert(
        fc.property(
          fc.nat(COUNT - 1),
          fc.nat(COUNT - 1),
          fc.integer({ min: 1, max: 9000 }),
          (one, other, size) => {
            fc.pre(one !== other);
            const all = members.map((member, index) => [
              index === other ? (members[one] ?? member) : member,
              tail,
            ]);
            const value = Buffer.concat([head('large', element[kind]?.type), length(COUNT), ...all.flat()]);
            const file = fileOf('REDIS0011', value);
            const report = scanInPlace(file, size);
            expect(report).toMatchObject({
              verdict: 'corrupt',
              problem: { reason: 'the same element is there twice' },
            });
            expect(report).toEqual(scanSlowly(file, size));
          },
        ),
        { numRuns: 30 },
      );
    },
  );

  test('of a scanner that begins to be fast in the middle of it is read to the same report', () => {
    const members = [...Array(32_000).keys()].map((index) => text(`member:${index}-${'x'.repeat(45)}`));
    const value = Buffer.concat([head('large', 2), Buffer.from([0x80, 0, 0, 0x7d, 0]), ...members]);
    const file = fileOf('REDIS0011', value);
    const report = scan(file, 10_000);
    expect(report.verdict).toBe('sound');
    expect(report).toEqual(scanSlowly(file));
    expect(scanInPlace(file)).toEqual(report);
    const twice = fileOf('REDIS0011', value.subarray(0, -1000), ...members.slice(0, 20));
    expect(scan(twice, 10_000)).toEqual(scanSlowly(twice));
  });
});
