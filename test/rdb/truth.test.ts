import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LogicalType } from '../../functions/core/rdb/report.ts';
import type { Truth, TruthOfKey } from './corpus.ts';
import { COLLECTION, FIXTURES, hasCollection, readTruth, scan } from './corpus.ts';
import type { RecordedKey } from './recorder.ts';
import { datasetDigest, recordKeys } from './recorder.ts';

/** Odd, so that every kind of item straddles chunks somewhere. */
const CHUNK_BYTES = 997;
const CLIENT_TYPES = new Set(['string', 'list', 'set', 'zset', 'hash', 'stream']);

/** Files in which real servers and this reader disagree on purpose, with the reader's reason. */
const STRICTER: Readonly<Record<string, RegExp>> = {
  // Servers skip empty keys while loading and say so in their log; redis-check-rdb refuses them, and no server saves them.
  'keydb__corrupt_empty_keys.rdb': /without any element/,
  // Merged by hand: redis-check-rdb does not notice that a key is there twice, loading them kills the server.
  'rdbcli__12.rdb': /the same key is there twice/,
  'rdbcli__34.rdb': /the same key is there twice/,
  'rdbcli__89.rdb': /the same key is there twice/,
  // Saved with the end-of-file mark of the replication stream that it came from.
  'rdbtools__redis_40_with_module.rdb': /40 bytes follow the end/,
};

const collections = [
  { name: 'fixtures', folder: FIXTURES, files: FIXTURES },
  ...(hasCollection ? [{ name: 'collection', folder: COLLECTION, files: join(COLLECTION, 'rdb') }] : []),
];

describe.each(collections)('the files of the $name', ({ folder, files }) => {
  const truths = Object.entries(readTruth(folder));

  test.each(truths)('%s gets the verdict that real servers give', (name, truth) => {
    const report = scan(readFileSync(join(files, name)), CHUNK_BYTES);
    const isAccepted = Object.values(truth.check).some(({ ok }) => ok);
    const stricter = STRICTER[name];
    if (stricter !== undefined) {
      expect(report.verdict).toBe('corrupt');
      expect(report.problem?.reason).toMatch(stricter);
    } else if (!isAccepted || (truth.structure?.version ?? 0) > 80) {
      expect(['corrupt', 'unsupported']).toContain(report.verdict);
    } else {
      expect(report.problem).toBeUndefined();
      expect(report.verdict).toBe(truth.structure?.crc === 'ok' ? 'sound' : 'unverifiable');
    }
  });

  test.each(truths.filter(([, truth]) => truth.truth !== undefined))(
    '%s holds what real servers found in it after loading',
    (name, truth) => expectContents(readFileSync(join(files, name)), truth),
  );
});

/** Not what Redis says of the file, with the reason. */
const STRICTER_VALUES: Readonly<Record<string, RegExp>> = {
  // A negative number of fields, which no server writes: Redis 8.6 lets it pass, Valkey's own test wants it refused.
  'corrupt-0f4afebb79.rdb': /a count of -3 fields/,
};

if (hasCollection) {
  test.each(readList('corrupt'))(
    '$file is called sound only if redis-check-rdb accepts it',
    ({ file, checkRdb }) => {
      const report = scan(readFileSync(join(COLLECTION, 'corrupt', file)), CHUNK_BYTES);
      const stricter = STRICTER_VALUES[file];
      if (stricter !== undefined) expect(report.problem?.reason).toMatch(stricter);
      else expect(report.verdict === 'sound').toBe(checkRdb.ok);
    },
  );

  test.each(readList('damaged'))('$file is not called sound', ({ file, damage }) => {
    const report = scan(readFileSync(join(COLLECTION, 'damaged', file)), CHUNK_BYTES);
    const verdicts: readonly string[] = damage?.startsWith('cut')
      ? ['truncated']
      : ['truncated', 'corrupt', 'unsupported'];
    // Without a checksum, because it was zeroed or the version has none, a flipped bit of a value cannot be seen.
    const isBlind =
      damage === 'crc-zeroed' || (damage?.startsWith('flip') && file.startsWith('parser_filters'));
    expect(isBlind ? ['unverifiable', ...verdicts] : verdicts).toContain(report.verdict);
  });
}

interface ListedFile {
  readonly file: string;
  readonly checkRdb: { readonly ok: boolean };
  readonly damage?: string;
}

function readList(name: string): readonly ListedFile[] {
  // Written by the project's own tools in exactly this shape.
  return JSON.parse(readFileSync(join(COLLECTION, name, `${name}.json`), 'utf8')) as ListedFile[];
}

test('the collection of RDB files is there, or this is not CI', () => {
  // Cloned alone, the repository tests the fixtures only; CI has the collection beside it.
  expect(hasCollection || process.env['CI'] === undefined).toBe(true);
});

function expectContents(file: Buffer, { truth, structure }: Truth): void {
  if (truth === undefined) throw new Error('no truth for this file');
  const { contents, keys } = recordKeys();
  const { fingerprint } = scan(file, CHUNK_BYTES, { contents });

  expect(keys.map(comparable).sort(byName)).toEqual(truth.perKey.map(comparableTruth).sort(byName));
  expect(fingerprint.keys).toBe(truth.keys);
  expect(fingerprint.expires).toBe(truth.perKey.filter(({ expireAt }) => expireAt !== undefined).length);
  expect(fingerprint.databases).toEqual(
    Object.fromEntries(
      Object.entries(truth.dbs).map(([db, counts]) => [db, { keys: counts.keys, expires: counts.expires }]),
    ),
  );
  expect(
    Object.fromEntries(Object.entries(fingerprint.types).map(([type, { keys }]) => [type, keys])),
  ).toEqual(typeCounts(truth.perKey));
  expect(fingerprint.functions).toBe(structure?.functions ?? 0);
  if (keys.every(({ type }) => type !== 'module')) expect(datasetDigest(keys)).toBe(truth.datasetDigest);
}

type Comparable = Readonly<Record<string, unknown>> & { readonly name: string };

function comparable({ key, ...rest }: RecordedKey): Comparable {
  const isModule = rest.type === 'module';
  return { ...rest, name: `${rest.db} ${key.toString('latin1')}`, ...(isModule ? { n: null, d: null } : {}) };
}

function comparableTruth(key: TruthOfKey): Comparable {
  const type = logical(key.type);
  const { db, expireAt, d, fieldTtls, ttlDigest, lastId, entriesAdded, maxDeletedId } = key;
  const groups = key.groups?.map(({ name, lastDelivered, pending, consumers }) => ({
    name,
    lastDelivered,
    pending,
    consumers,
  }));
  const n = type === 'module' ? null : key.n;
  const name = `${db} ${key.key}`;
  return { db, expireAt, n, d, fieldTtls, ttlDigest, lastId, entriesAdded, maxDeletedId, groups, name, type };
}

function typeCounts(keys: readonly TruthOfKey[]): Partial<Record<LogicalType, number>> {
  const counts: Partial<Record<LogicalType, number>> = {};
  for (const { type } of keys) counts[logical(type)] = (counts[logical(type)] ?? 0) + 1;
  return counts;
}

function logical(type: string): LogicalType {
  return CLIENT_TYPES.has(type) ? (type as LogicalType) : 'module';
}

function byName(a: Comparable, b: Comparable): number {
  return a.name < b.name ? -1 : 1;
}
