/** A scanner that goes on where another one left off ends in the report of one that saw everything. */
import fc from 'fast-check';
import { crc64Jones } from '../../functions/core/crc64.ts';
import type { RdbReport } from '../../functions/core/rdb/report.ts';
import type { RdbScanner, RdbScannerOptions, ScannerCheckpoint } from '../../functions/core/rdb/scanner.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';
import { createWorkspace } from '../../functions/core/wasm/workspace.ts';
import { fileOf, fixtureNames, readFixture } from './corpus.ts';

const workspace = createWorkspace(1, 1024 * 1024);
const given = { checksum: 'given' } as const;

function write(scanner: RdbScanner, bytes: Uint8Array, chunkBytes: number): void {
  for (let at = 0; at < bytes.length; at += chunkBytes) scanner.write(bytes.subarray(at, at + chunkBytes));
}

function residueOf(file: Uint8Array): bigint {
  const sum = crc64Jones();
  sum.update(file);
  return sum.value();
}

function uninterrupted(file: Uint8Array, chunkBytes: number, options: RdbScannerOptions = {}): RdbReport {
  const scanner = createRdbScanner({ ...given, ...options });
  write(scanner, file, chunkBytes);
  return scanner.end(residueOf(file));
}

/** What is known when so many bytes were written. */
function checkpointAt(
  file: Uint8Array,
  cut: number,
  chunkBytes: number,
  options: RdbScannerOptions = {},
): ScannerCheckpoint | undefined {
  const scanner = createRdbScanner({ ...given, ...options });
  write(scanner, file.subarray(0, cut), chunkBytes);
  const checkpoint = scanner.checkpoint();
  // Gives the workspace back.
  scanner.end();
  return checkpoint;
}

function resumed(
  file: Uint8Array,
  from: ScannerCheckpoint,
  chunkBytes: number,
  options: RdbScannerOptions = {},
): RdbReport {
  const scanner = createRdbScanner({ ...given, ...options, from });
  write(scanner, file.subarray(from.offset), chunkBytes);
  return scanner.end(residueOf(file));
}

test('cut at any byte, a small file of everything goes on to the same report', () => {
  const file = readFixture('one-of-each.rdb');
  const report = uninterrupted(file, file.length);
  expect(report).toMatchObject({ verdict: 'sound', fingerprint: { functions: 1 } });
  let resumptions = 0;
  for (const fastLoop of [true, false]) {
    const options = { fastLoop, ...(fastLoop ? { workspace } : {}) };
    for (let cut = 0; cut <= file.length; cut++) {
      const checkpoint = checkpointAt(file, cut, 1 + (cut % 50), options);
      if (checkpoint === undefined) continue;
      expect(checkpoint.offset).toBeLessThanOrEqual(cut);
      expect(resumed(file, checkpoint, 1 + (cut % 70), options)).toEqual(report);
      resumptions++;
    }
  }
  expect(resumptions).toBeGreaterThan(file.length);
});

const loops = fc.constantFrom<RdbScannerOptions>({ workspace }, { fastLoop: false }, {});

test('any file, in any chunks, interrupted any number of times, ends in the same report', () => {
  const files = fixtureNames().map(readFixture);
  fc.assert(
    fc.property(
      fc.constantFrom(...files),
      fc.array(fc.tuple(fc.nat(), fc.integer({ min: 1, max: 9000 }), loops), { minLength: 1, maxLength: 5 }),
      (file, interruptions) => {
        let from: ScannerCheckpoint | undefined;
        for (const [more, chunkBytes, options] of interruptions) {
          const start = from?.offset ?? 0;
          const scanner = createRdbScanner({ ...given, ...options, ...(from === undefined ? {} : { from }) });
          write(scanner, file.subarray(start, start + (more % (file.length - start + 1))), chunkBytes);
          const next = scanner.checkpoint();
          scanner.end();
          if (next !== undefined) expect(next.offset).toBeGreaterThanOrEqual(start);
          from = next ?? from;
        }
        const scanner = createRdbScanner({ ...given, ...(from === undefined ? {} : { from }) });
        write(scanner, file.subarray(from?.offset ?? 0), 5000);
        expect(scanner.end(residueOf(file))).toEqual(uninterrupted(file, 70_000));
      },
    ),
    { numRuns: 150 },
  );
});

test('a file that is damaged behind the checkpoint is reported in the same words', () => {
  const files = fixtureNames().map(readFixture);
  fc.assert(
    fc.property(fc.constantFrom(...files), fc.nat(), fc.nat(255), fc.nat(), (whole, where, value, cutAt) => {
      const file = Buffer.from(whole);
      const damagedAt = 9 + (where % (file.length - 9));
      file[damagedAt] = value;
      const checkpoint = checkpointAt(file, cutAt % file.length, 3000);
      fc.pre(checkpoint !== undefined);
      expect(resumed(file, checkpoint, 1234)).toEqual(uninterrupted(file, 4321));
    }),
    { numRuns: 300 },
  );
});

const key = (name: string): Buffer =>
  Buffer.concat([Buffer.from([0, name.length]), Buffer.from(name), Buffer.from([1, 0x31])]);

test.each([{ workspace }, { fastLoop: false }])(
  'a key from before is known behind the checkpoint',
  (options) => {
    const keys = Array.from({ length: 2000 }, (_, index) => key(`key:${index}`));
    const file = fileOf('REDIS0009', Buffer.concat([...keys, key('key:7')]));
    const from = checkpointAt(file, 10_000, 500, options) as ScannerCheckpoint; // that there is one is said next
    expect(from.offset).toBeGreaterThan(9000);
    const report = resumed(file, from, 500, options);
    expect(report).toMatchObject({ verdict: 'corrupt', problem: { key: 'key:7' } });
    expect(report).toEqual(uninterrupted(file, 500, options));
  },
);

test('the state is small, and stays so once there are too many keys to be compared', () => {
  const keys = Array.from({ length: 300_000 }, (_, index) => key(`key:${index}`));
  const file = fileOf('REDIS0009', Buffer.concat(keys));
  const sizes = [2000, 1_000_000, file.length - 20].map(
    (cut) => checkpointAt(file, cut, 60_000)?.state.length ?? 0,
  );
  expect(sizes[0]).toBeLessThan(10_000);
  expect(sizes[1]).toBeLessThan(4 * 1024 * 1024);
  expect(sizes[1]).toBeGreaterThan(1024 * 1024);
  expect(sizes[2]).toBeLessThan(10_000);
  const last = checkpointAt(file, file.length - 20, 60_000) as ScannerCheckpoint; // as above
  expect(resumed(file, last, 7)).toEqual(uninterrupted(file, 60_000));
});

describe('there is no checkpoint', () => {
  const file = readFixture('gen__gen-redis7.0.15.rdb');

  test('before the header was read', () => {
    expect(checkpointAt(file, 8, 8)).toBeUndefined();
  });

  test('after a problem', () => {
    expect(
      checkpointAt(Buffer.concat([file.subarray(0, 2000), Buffer.alloc(100, 0xee)]), 2100, 100),
    ).toBeUndefined();
  });

  test('of a scanner that computes the checksum, or that somebody listens to', () => {
    expect(checkpointAt(file, 5000, 100, { checksum: 'computed' })).toBeUndefined();
    expect(checkpointAt(file, 5000, 100, { expiredBefore: 0 })).toBeUndefined();
  });

  test('after the report', () => {
    const scanner = createRdbScanner(given);
    scanner.write(file);
    scanner.end();
    expect(scanner.checkpoint()).toBeUndefined();
  });
});

describe('a checkpoint is refused by name', () => {
  const file = readFixture('gen__gen-redis7.0.15.rdb');
  const checkpoint = checkpointAt(file, 5000, 100) ?? { offset: 0, state: Buffer.alloc(0) };
  const refusal = expect.objectContaining({ code: 'INTERNAL' }) as Error;

  test('with any single byte changed', () => {
    const { offset, state } = checkpoint;
    for (let at = 0; at < state.length; at++) {
      const changed = Buffer.from(state);
      changed[at] = (changed[at] ?? 0) ^ 0x11;
      expect(() => createRdbScanner({ ...given, from: { offset, state: changed } })).toThrow(refusal);
    }
    expect(state.length).toBeGreaterThan(1000);
  });

  test('cut short, or empty, or something else', () => {
    const { offset, state } = checkpoint;
    for (const other of [state.subarray(0, 100), Buffer.alloc(0), Buffer.from('{}'), Buffer.alloc(5000)])
      expect(() => createRdbScanner({ ...given, from: { offset, state: other } })).toThrow(refusal);
  });

  test('for another place, another limit, or a scanner that cannot go on', () => {
    const from = checkpoint;
    const other = { ...checkpoint, offset: checkpoint.offset + 1 };
    expect(() => createRdbScanner({ ...given, from: other })).toThrow(refusal);
    expect(() => createRdbScanner({ ...given, from, heldBytesMax: 77 })).toThrow(refusal);
    expect(() => createRdbScanner({ from })).toThrow(refusal);
    expect(() => createRdbScanner({ ...given, from, expiredBefore: 0 })).toThrow(refusal);
  });
});
