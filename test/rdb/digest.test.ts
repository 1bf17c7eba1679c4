import { createXXHash64, type IHasher } from 'hash-wasm';
import type { RdbContents } from '../../functions/core/rdb/digest.ts';
import { LOGICAL_TYPES, mergeSummaries } from '../../functions/core/rdb/digest.ts';
import { bytesOf } from '../../functions/core/rdb/input.ts';
import { fileOf, fixtureNames, readFixture, readTruth, scan, FIXTURES } from './corpus.ts';

let xxh64: IHasher;
beforeAll(async () => {
  xxh64 = await createXXHash64();
});

describe('the reference implementation of the hash', () => {
  test('gives the verification value that SMHasher publishes for MurmurHash3_x64_128', () => {
    const hashes: Buffer[] = [];
    const key = Buffer.from(Array.from({ length: 256 }, (_, index) => index));
    for (let length = 0; length < 256; length++) hashes.push(murmur(key.subarray(0, length), 256 - length));
    expect(murmur(Buffer.concat(hashes), 0).readUInt32LE(0)).toBe(0x6384_ba69);
  });
});

test.each(fixtureNames())('the digest of %s can be recomputed from its definition', (name) => {
  const file = readFixture(name);
  const { contents, digest } = byDefinition();
  const { fingerprint } = scan(file, 1009, { contents });
  expect(fingerprint.digest).toBe(digest());
});

test('files of the same contents have the same digest, whatever server wrote them and how', () => {
  // A small collection of one hash as each encoding that a hash can have.
  const field = [1, 0x66];
  const value = [0xc0, 7];
  const plain = fileOf('REDIS0012', [4, 1, 0x6b, 1], field, value);
  const listpack = fileOf('REDIS0012', [16, 1, 0x6b, 12, 12, 0, 0, 0, 2, 0, 0x81, 0x66, 2, 7, 1, 0xff]);
  const ziplist = fileOf(
    'REDIS0009',
    [13, 1, 0x6b, 16, 16, 0, 0, 0, 13, 0, 0, 0, 2, 0, 0, 1, 0x66, 3, 0xf8, 0xff],
  );
  const zipmap = fileOf('REDIS0005', [9, 1, 0x6b, 7, 1, 1, 0x66, 1, 0, 0x37, 0xff]);
  const valkey = fileOf('VALKEY080', [22, 1, 0x6b, 1], field, value, Array<number>(8).fill(0xff));
  const reports = [plain, listpack, ziplist, zipmap, valkey].map((file) => scan(file));
  expect(reports.map(({ verdict }) => verdict)).toEqual(Array(5).fill('sound'));
  expect(new Set(reports.map(({ fingerprint }) => fingerprint.digest)).size).toBe(1);
});

test('the digest does not depend on the order of keys', () => {
  const a = [0, 1, 0x61, 1, 0x31];
  const b = [0, 1, 0x62, 1, 0x32];
  expect(scan(fileOf('REDIS0009', a, b)).fingerprint.digest).toBe(
    scan(fileOf('REDIS0009', b, a)).fingerprint.digest,
  );
});

test.each([0, 1, 15, 16, 1007, 1015, 1016, 1017, 1023, 1024, 1025, 1055, 1056, 70_000, 70_031])(
  'a value of %i bytes enters the digest as it is defined, in whatever pieces it is read',
  (length) => {
    const size = Buffer.alloc(5, 0x80);
    size.writeUInt32BE(length, 1);
    const value = Buffer.from(Array.from({ length }, (_, index) => (index * index) >> 3));
    const file = fileOf('REDIS0009', [0, 1, 0x6b], size, value);
    const { contents, digest } = byDefinition();
    const { fingerprint } = scan(file, file.length, { contents });
    expect(fingerprint.digest).toBe(digest());
    for (const chunkBytes of [1, 33, 1009]) expect(scan(file, chunkBytes).fingerprint).toEqual(fingerprint);
  },
);

const key = [1, 0x6b];
const one = [1, 0x31];
const two = [1, 0x32];
const scores = [Buffer.alloc(8), Buffer.from([0, 0, 0, 0, 0, 0, 0xf0, 0x3f])] as const;
const expiry = (ms: number): Buffer => {
  const bytes = Buffer.alloc(9, 252);
  bytes.writeBigInt64LE(BigInt(ms), 1);
  return bytes;
};

test.each([
  ['another value', [[0], key, one], [[0], key, two]],
  ['another key', [[0], key, one], [[0], [1, 0x6c], one]],
  ['another database', [[0], key, one], [[254, 1, 0], key, one]],
  ['another type', [[1], key, [1], one], [[2], key, [1], one]],
  ['an expiry', [[0], key, one], [expiry(0), [0], key, one]],
  ['another expiry', [expiry(1), [0], key, one], [expiry(2), [0], key, one]],
  ['another order of a list', [[1], key, [2], one, two], [[1], key, [2], two, one]],
  ['another score', [[5], key, [1], one, scores[0]], [[5], key, [1], one, scores[1]]],
  [
    'values changed between two fields',
    [[4], key, [2], one, one, two, two],
    [[4], key, [2], one, two, two, one],
  ],
])('%s makes another digest', (_what, first, second) => {
  const digests = [first, second].map((body) => {
    const report = scan(fileOf('REDIS0009', ...body));
    expect(report.verdict).toBe('sound');
    return report.fingerprint.digest;
  });
  expect(digests[0]).not.toBe(digests[1]);
});

test('what expires before an instant is left out of the live contents, as servers leave it out', () => {
  const truths = readTruth(FIXTURES);
  for (const name of [
    'gen__gen-redis7.0.15.rdb',
    'gen__gen-redis8.6.3.rdb',
    'gen__gen-redis6.2.16-lfu.rdb',
  ]) {
    const loaded = truths[name]?.atRealClock;
    const now = Date.parse('2026-12-01T00:00:00Z');
    const { live, fingerprint } = scan(readFixture(name), 4096, { expiredBefore: now });
    expect(live?.keys).toBe(loaded?.keysLoaded);
    expect(live?.databases).toEqual(loaded?.dbs);
    expect(live?.digest).not.toBe(fingerprint.digest);
  }
});

test('an expired field is left out, and so is a hash of which nothing else remains', () => {
  const expired = [1, 0, 0, 0, 0, 0, 0, 0];
  const lasting = Array<number>(8).fill(0xff);
  const mixed = fileOf('VALKEY080', [22, 1, 0x6b, 2], one, one, expired, two, two, lasting);
  const rest = fileOf('VALKEY080', [22, 1, 0x6b, 1], two, two, lasting);
  const gone = fileOf('VALKEY080', [22, 1, 0x6b, 1], one, one, expired);
  expect(scan(mixed, 9, { expiredBefore: 1000 }).live).toEqual(scan(rest, 9, { expiredBefore: 1000 }).live);
  expect(scan(gone, 9, { expiredBefore: 1000 }).live).toMatchObject({ keys: 0, databases: {}, types: {} });
  expect(scan(gone, 9, { expiredBefore: 1 }).live).toMatchObject({ keys: 1 });
});

test('summaries of several files add up to that of all keys in one', () => {
  const a = [[0, 1, 0x61], one];
  const b = [[254, 2, 2, 1, 0x62, 1], two];
  const parts = [a, b].map((body) => scan(fileOf('REDIS0009', ...body), 9, { expiredBefore: 0 }).live);
  const whole = scan(fileOf('REDIS0009', ...a, ...b), 9, { expiredBefore: 0 }).live;
  expect(mergeSummaries(parts.flatMap((part) => (part === undefined ? [] : [part])))).toEqual(whole);
});

/** The digest as digest.ts defines it, from bytes instead of words, with nothing of the implementation. */
function byDefinition(): { contents: RdbContents; digest: () => string } {
  let ordered: Buffer[] = [];
  let elements: bigint[] = [];
  let element: Buffer[] | undefined;
  let sum = 0n;
  let pieces: Buffer[] = [];
  const put = (bytes: Buffer): void => void (element ?? ordered).push(bytes);
  const contents: RdbContents = {
    beginKey(database, type, { bytes, start, end }, expires, low, high) {
      const code = LOGICAL_TYPES.indexOf(type) + (expires ? 256 : 0);
      elements = [];
      ordered = [textRow(bytesOf(bytes, start, end), database)];
      if (code !== 0) ordered.push(words(0, code, expires ? low : 0, expires ? high : 0));
    },
    beginElement() {
      element = [];
    },
    endElement() {
      elements.push(asNumber(murmur(Buffer.concat(element ?? []), 0)));
      element = undefined;
    },
    text: (bytes, start, end) => put(textRow(bytesOf(bytes, start, end))),
    beginText() {
      pieces = [];
    },
    piece: (bytes, start, end) => void pieces.push(Buffer.from(bytesOf(bytes, start, end))),
    endText: () => put(textRow(Buffer.concat(pieces))),
    score(value) {
      const row = Buffer.alloc(16);
      row.writeDoubleLE(value === 0 ? 0 : value);
      put(row);
    },
    fieldExpiry: (low, high) => put(words(low, high, 0, 0)),
    id: (msHigh, msLow, seqHigh, seqLow) => put(words(msLow, msHigh, seqLow, seqHigh)),
    number: (value) => put(words(value % 2 ** 32, Math.floor(value / 2 ** 32), 0, 0)),
    block: (a, b, c, d) => put(words(a, b, c, d)),
    endKey() {
      if (elements.length > 0) {
        const total = Buffer.alloc(16);
        const all = BigInt.asUintN(
          128,
          elements.reduce((a, b) => a + b, 0n),
        );
        total.writeBigUInt64LE(BigInt.asUintN(64, all));
        total.writeBigUInt64LE(all >> 64n, 8);
        ordered.push(total, words(elements.length, 0, 0, 0));
      }
      sum = BigInt.asUintN(128, sum + asNumber(murmur(Buffer.concat(ordered), 0)));
    },
  };
  return { contents, digest: () => sum.toString(16).padStart(32, '0') };
}

function textRow(bytes: Uint8Array, word = 0): Buffer {
  const isLong = bytes.length >= 1024;
  const row = Buffer.alloc(isLong ? 16 : Math.ceil((8 + bytes.length) / 16) * 16);
  row.writeUInt32LE(isLong ? bytes.length + 2 ** 31 : bytes.length);
  row.writeUInt32LE(word, 4);
  if (isLong) row.writeBigUInt64LE(BigInt(`0x${xxh64.init().update(bytes).digest()}`), 8);
  else row.set(bytes, 8);
  return row;
}

function words(...values: readonly number[]): Buffer {
  const row = Buffer.alloc(16);
  for (const [index, value] of values.entries()) row.writeUInt32LE(value >>> 0, index * 4);
  return row;
}

function asNumber(hash: Buffer): bigint {
  return hash.readBigUInt64LE(0) | (hash.readBigUInt64LE(8) << 64n);
}

const TWO_64 = 2n ** 64n;

/** MurmurHash3_x64_128 with any seed and any length, written for reading. */
function murmur(bytes: Buffer, seed: number): Buffer {
  const [c1, c2] = [0x87c3_7b91_1142_53d5n, 0x4cf5_ad43_2745_937fn];
  const rotate = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) % TWO_64;
  const scrambleFirst = (word: bigint): bigint => (rotate((word * c1) % TWO_64, 31n) * c2) % TWO_64;
  const scrambleSecond = (word: bigint): bigint => (rotate((word * c2) % TWO_64, 33n) * c1) % TWO_64;
  let [h1, h2] = [BigInt(seed), BigInt(seed)];

  const whole = bytes.length - (bytes.length % 16);
  for (let at = 0; at < whole; at += 16) {
    h1 ^= scrambleFirst(bytes.readBigUInt64LE(at));
    h1 = ((rotate(h1, 27n) + h2) * 5n + 0x52dc_e729n) % TWO_64;
    h2 ^= scrambleSecond(bytes.readBigUInt64LE(at + 8));
    h2 = ((rotate(h2, 31n) + h1) * 5n + 0x3849_5ab5n) % TWO_64;
  }
  const tail = Buffer.alloc(16);
  bytes.copy(tail, 0, whole);
  h1 ^= scrambleFirst(tail.readBigUInt64LE(0));
  h2 ^= scrambleSecond(tail.readBigUInt64LE(8));

  const mixed = (lane: bigint): bigint => {
    let k = lane;
    k = ((k ^ (k >> 33n)) * 0xff51_afd7_ed55_8ccdn) % TWO_64;
    k = ((k ^ (k >> 33n)) * 0xc4ce_b9fe_1a85_ec53n) % TWO_64;
    return k ^ (k >> 33n);
  };
  h1 ^= BigInt(bytes.length);
  h2 ^= BigInt(bytes.length);
  h1 = (h1 + h2) % TWO_64;
  h2 = (h2 + h1) % TWO_64;
  h1 = mixed(h1);
  h2 = mixed(h2);
  h1 = (h1 + h2) % TWO_64;
  h2 = (h2 + h1) % TWO_64;
  const hash = Buffer.alloc(16);
  hash.writeBigUInt64LE(h1);
  hash.writeBigUInt64LE(h2, 8);
  return hash;
}
