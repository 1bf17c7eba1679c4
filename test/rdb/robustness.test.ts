import fc from 'fast-check';
import type { RdbContents } from '../../functions/core/rdb/digest.ts';
import type { RdbReport } from '../../functions/core/rdb/report.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { fileOf, fixtureNames, oneKeyFiles, readFixture, scan, withChecksum } from './corpus.ts';

const FIRST_BYTE_OF_BODY = 9;
const FOOTER_BYTES = 8;

/** The smallest key of each type that each server wrote, as a file of its own: all encodings of all versions. */
const small = fixtureNames()
  .flatMap((name) => smallestOfEachType(name))
  .concat([{ name: 'one-of-each.rdb', bytes: readFixture('one-of-each.rdb') }]);

function smallestOfEachType(fixture: string): { name: string; bytes: Buffer }[] {
  const smallest = new Map<string, { name: string; bytes: Buffer }>();
  for (const { type, key, bytes } of oneKeyFiles(readFixture(fixture))) {
    const known = smallest.get(type);
    if (known === undefined || bytes.length < known.bytes.length)
      smallest.set(type, { name: `${fixture} ${key}`, bytes });
  }
  return [...smallest.values()].filter(({ bytes }) => bytes.length <= 1024);
}

describe('every damage to a small file is noticed', () => {
  test.each(small)('$name is sound as it is', ({ bytes }) => {
    expect(scan(bytes)).toMatchObject({ verdict: 'sound', bytes: bytes.length });
  });

  test.each(small)('$name cut at any byte is truncated, at the same place for any chunks', ({ bytes }) => {
    for (let length = 0; length < bytes.length; length++) {
      const cut = bytes.subarray(0, length);
      const report = scan(cut, Math.max(1, length));
      expect(report.verdict).toBe('truncated');
      expect(report.problem?.offset).toBeLessThanOrEqual(length);
      expect(scan(cut, 3)).toEqual(report);
    }
  });

  test.each(small)('$name with any single bit flipped is never called sound', ({ bytes }) => {
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const report = scan(flipped);
      if (['sound', 'unverifiable'].includes(report.verdict) || isDefect(report)) {
        throw new Error(`bit ${bit}: ${JSON.stringify(report)}`);
      }
    }
    expect(bytes.length).toBeGreaterThan(FIRST_BYTE_OF_BODY);
  });

  test.each(small)('$name with bytes after its end is corrupt', ({ bytes }) => {
    const report = scan(Buffer.concat([bytes, Buffer.from([0])]), 5);
    expect(report).toMatchObject({
      verdict: 'corrupt',
      problem: { offset: bytes.length, reason: '1 bytes follow the end' },
    });
  });

  test.each(small)('$name without its checksum is unverifiable, never sound', ({ bytes }) => {
    const disabled = Buffer.from(bytes);
    disabled.fill(0, bytes.length - FOOTER_BYTES);
    const report = scan(disabled, 11);
    expect(report.verdict).toBe('unverifiable');
    expect(report.checksum).toBeUndefined();
  });
});

test('reports do not depend on how the bytes are cut into chunks', () => {
  const files = fixtureNames().map(readFixture);
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1 }),
      (file, sizes) => {
        expect(inChunks(file, sizes)).toEqual(scan(file));
      },
    ),
    { numRuns: 60 },
  );
});

test('small strings read in a row give the same report as read one by one', () => {
  // So many keys that they are not compared with each other any more: from there on they are read in a row.
  const keys = Array.from({ length: 300_000 }, (_, index) => {
    const [kind, length] = [index % 7, (index * 31) % 66];
    const expiry = kind === 3 ? [252, index & 255, 2, 3, 4, 5, 0, 0, 0] : [];
    const select = index % 50_000 === 49_999 ? [254, index / 50_000] : [];
    const key = Buffer.from(`k${index}`);
    const text = [
      length < 64 ? length : 0x40,
      ...(length < 64 ? [] : [length]),
      ...Array<number>(length).fill(0x78),
    ];
    const value = kind === 1 ? [0xc0, index & 255] : kind === 2 ? [0xc2, 1, 2, index & 255, 0x80] : text;
    return Buffer.from([...select, ...expiry, 0, key.length, ...key, ...value]);
  });
  const file = fileOf('REDIS0009', Buffer.concat(keys));
  const { contents, keys: recorded } = countKeys();
  const report = scan(file, 65_537, { contents });
  expect(report).toMatchObject({ verdict: 'sound', fingerprint: { keys: 300_000 } });
  expect(recorded()).toBe(300_000);
  expect(scan(file, 65_537)).toEqual(report);
  expect(scan(file, 1000)).toEqual(report);
  expect(scan(file)).toEqual(report);

  const expiredBefore = 0x0403_0280;
  const { live } = scan(file, 65_537, { contents, expiredBefore });
  expect(scan(file, 65_537, { expiredBefore }).live).toEqual(live);
});

test('the biggest keys are found among small strings read in a row as well, integers among them', () => {
  const counter = (name: string): Buffer =>
    Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([0xc1, 1, 2])]);
  const counters = Array.from({ length: 265_000 }, (_, index) => counter(`c${index}`));
  const file = fileOf(
    'REDIS0009',
    Buffer.concat([...counters, counter('the-longest-name-of-all'), counter('short')]),
  );
  const { fingerprint } = scan(file);
  expect(fingerprint.biggest[0]).toMatchObject({ key: 'the-longest-name-of-all', bytes: 27 });
  expect(scan(file, 65_537, { contents: countKeys().contents }).fingerprint).toEqual(fingerprint);
});

test('a chunk may be overwritten as soon as it was taken', () => {
  const file = readFixture('one-of-each.rdb');
  const scanner = createRdbScanner();
  const chunk = Buffer.alloc(7);
  for (let at = 0; at < file.length; at += chunk.length) {
    const size = file.copy(chunk, 0, at);
    scanner.write(chunk.subarray(0, size));
    chunk.fill(0xee);
  }
  expect(scanner.end()).toEqual(scan(file));
});

test('values altered under a checksum that fits are read without a defect, and the same for any chunks', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...small),
      fc.array(
        fc.tuple(
          fc.nat(),
          fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0x81, 0xc3, 0xf0, 0xfe, 0xff)),
        ),
        {
          minLength: 1,
          maxLength: 4,
        },
      ),
      fc.integer({ min: 1, max: 50 }),
      ({ bytes }, changes, chunkBytes) => {
        const body = Buffer.from(bytes.subarray(0, bytes.length - FOOTER_BYTES));
        for (const [where, value] of changes) {
          body[FIRST_BYTE_OF_BODY + (where % (body.length - FIRST_BYTE_OF_BODY))] = value;
        }
        const altered = withChecksum(body);
        const report = scan(altered);
        expect(isDefect(report)).toBe(false);
        expect(scan(altered, chunkBytes)).toEqual(report);
      },
    ),
    { numRuns: 4000 },
  );
});

test('random bytes never throw and are never called sound', () => {
  fc.assert(
    fc.property(
      fc.constantFrom('', 'REDIS0003', 'REDIS0012', 'VALKEY080'),
      fc.uint8Array({ maxLength: 2000 }),
      fc.integer({ min: 1, max: 300 }),
      (magic, garbage, chunkBytes) => {
        const report = scan(Buffer.concat([Buffer.from(magic), garbage]), chunkBytes);
        expect(isDefect(report)).toBe(false);
        // A version without checksums may by chance hold nothing but its end.
        expect(report.verdict).not.toBe('sound');
      },
    ),
    { numRuns: 3000 },
  );
});

test.each([
  ['a string', [0, 1, 0x6b, 0x81, 0, 0, 0, 0xff, 0, 0, 0, 0]],
  ['a compressed string', [0, 1, 0x6b, 0xc3, 0x80, 0xff, 0xff, 0xff, 0xff, 0x81, 0, 0, 0, 0x10, 0, 0, 0, 0]],
  ['a key', [0, 0x80, 0x03, 0xff, 0xff, 0xff]],
  ['a listpack', [16, 1, 0x6b, 0x80, 0x03, 0xff, 0xff, 0xff]],
  ['a huge key', [0, 0x81, 0, 0, 0, 0xff, 0, 0, 0, 0]],
  ['a huge listpack', [16, 1, 0x6b, 0x81, 0, 0, 0, 0xff, 0, 0, 0, 0]],
  ['a list', [1, 1, 0x6b, 0x81, 0, 0x1f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]],
])('%s that announces more than there is costs no memory', (_what, body) => {
  const file = Buffer.concat([Buffer.from('REDIS0012'), Buffer.from(body), Buffer.alloc(1000)]);
  const before = process.memoryUsage().arrayBuffers;
  const report = scan(file, 10);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * 1024 * 1024);
  expect(['truncated', 'corrupt']).toContain(report.verdict);
});

describe('a value that is too large to be held', () => {
  const file = readFixture('gen__gen-redis7.0.15.rdb');
  const heldBytesMax = 300;

  test('is proven by the checksum of the file, and counted as not looked into', () => {
    const whole = scan(file);
    const report = scan(file, 100, { heldBytesMax, expiredBefore: 0 });
    expect(report).toMatchObject({
      verdict: 'sound',
      fingerprint: { keys: whole.fingerprint.keys, types: whole.fingerprint.types },
    });
    expect(report.fingerprint.unchecked).toBeGreaterThan(2);
    expect(report.live?.unchecked).toBe(report.fingerprint.unchecked);
    expect(whole.fingerprint.unchecked).toBeUndefined();
    expect(report.fingerprint.digest).not.toBe(whole.fingerprint.digest);
  });

  test('is not trusted where there is no checksum to prove it', () => {
    const disabled = Buffer.from(file);
    disabled.fill(0, disabled.length - FOOTER_BYTES);
    expect(scan(disabled, 100, { heldBytesMax }).verdict).toBe('unverifiable');
  });

  test('still changes the digest with every change of its bytes', () => {
    const listpack = [12, 0, 0, 0, 2, 0, 0x81, 0x66, 2, 7, 1, 0xff];
    const digests = [7, 8].map((value) => {
      const bytes = listpack.map((byte) => (byte === 7 ? value : byte));
      const report = scan(fileOf('REDIS0012', [16, 1, 0x6b, 0x40, 12], bytes), 1, { heldBytesMax: 11 });
      expect(report).toMatchObject({ verdict: 'sound', fingerprint: { keys: 1, unchecked: 1 } });
      return report.fingerprint.digest;
    });
    expect(digests[0]).not.toBe(digests[1]);
  });

  test('is a fault if it is a key', () => {
    const key = fileOf('REDIS0012', [0, 0x43, 0xe9], Buffer.alloc(1001, 'k'), [1, 0x31]);
    expect(scan(key, 100, { heldBytesMax: 1000 })).toMatchObject({
      verdict: 'unsupported',
      problem: { reason: expect.stringContaining('more than the 1000 that are held') as string },
    });
  });
});

test('a report can be asked for twice, and bytes that come later change nothing', () => {
  const file = readFixture('one-of-each.rdb');
  const scanner = createRdbScanner();
  scanner.write(file);
  const report = scanner.end();
  scanner.write(file);
  expect(scanner.end()).toBe(report);
});

/** Listens, and so keeps keys from being read in a row. */
function countKeys(): { readonly contents: RdbContents; readonly keys: () => number } {
  let keys = 0;
  const nothing = (): void => undefined;
  const contents: RdbContents = {
    beginKey: nothing,
    beginElement: nothing,
    endElement: nothing,
    text: nothing,
    beginText: nothing,
    piece: nothing,
    endText: nothing,
    score: nothing,
    fieldExpiry: nothing,
    id: nothing,
    number: nothing,
    block: nothing,
    endKey: () => void keys++,
  };
  return { contents, keys: () => keys };
}

function inChunks(file: Buffer, sizes: readonly number[]): RdbReport {
  const scanner = createRdbScanner();
  let at = 0;
  for (let turn = 0; at < file.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    scanner.write(file.subarray(at, at + size));
    at += size;
  }
  return scanner.end();
}

/** The reader turns its own mistakes into a verdict as well; none may be found. */
function isDefect(report: RdbReport): boolean {
  return report.problem?.reason.includes('a defect of the reader itself') ?? false;
}
