import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { crc64Jones } from '../../functions/core/crc64.ts';
import { bytesOf } from '../../functions/core/rdb/input.ts';
import type { RdbReport } from '../../functions/core/rdb/report.ts';
import type { RdbScannerOptions } from '../../functions/core/rdb/scanner.ts';
import { createRdbScanner } from '../../functions/core/rdb/scanner.ts';

/** Files written by named servers from a data set of our own, with what those servers said of them. */
export const FIXTURES = resolve(__dirname, '../fixtures/rdb');

/** The large collection of files from many origins; it is not part of the repository. */
export const COLLECTION = process.env['TAIRLIFT_RDB_DATA'] ?? resolve(__dirname, '../../../shared/data/rdb');

export const hasCollection = existsSync(join(COLLECTION, 'truth.json'));

export interface Truth {
  readonly check: Readonly<Record<string, { readonly ok: boolean }>>;
  readonly loads: Readonly<Record<string, { readonly ok: boolean }>>;
  readonly structure?: {
    readonly version: number;
    readonly crc?: string;
    readonly keys?: number;
    readonly expires?: number;
    readonly modules?: Readonly<Record<string, number>>;
    readonly functions?: number;
  };
  /** What a load in November 2026 left of it. */
  readonly atRealClock?: LoadAtRealClock;
  readonly truth?: {
    readonly keys: number;
    readonly dbs: Readonly<
      Record<
        string,
        { readonly keys: number; readonly expires: number; readonly types: Readonly<Record<string, number>> }
      >
    >;
    readonly datasetDigest: string;
    readonly perKey: readonly TruthOfKey[];
  };
}

interface LoadAtRealClock {
  readonly keysLoaded: number;
  readonly dbs: Readonly<Record<string, { readonly keys: number; readonly expires: number }>>;
}

export interface TruthOfKey {
  readonly db: number;
  readonly key: string;
  readonly type: string;
  readonly expireAt?: number;
  readonly n: number | null;
  readonly d: string | null;
  readonly fieldTtls?: number;
  readonly ttlDigest?: string;
  readonly lastId?: string;
  readonly entriesAdded?: number;
  readonly maxDeletedId?: string;
  readonly groups?: readonly {
    readonly name: string;
    readonly lastDelivered: string;
    readonly pending: number;
    readonly consumers: readonly { readonly name: string; readonly pending: number }[];
  }[];
}

export function readTruth(folder: string): Readonly<Record<string, Truth>> {
  // Written by the project's own tools in exactly this shape.
  return JSON.parse(readFileSync(join(folder, 'truth.json'), 'utf8')) as Record<string, Truth>;
}

export function fixtureNames(): string[] {
  return readdirSync(FIXTURES).filter((name) => name.endsWith('.rdb'));
}

export function readFixture(name: string): Buffer {
  return readFileSync(join(FIXTURES, name));
}

/** Scans bytes in chunks of one size. */
export function scan(
  bytes: Uint8Array,
  chunkBytes = bytes.length,
  options: RdbScannerOptions = {},
): RdbReport {
  const scanner = createRdbScanner(options);
  for (let at = 0; at < bytes.length; at += chunkBytes) scanner.write(bytes.subarray(at, at + chunkBytes));
  return scanner.end();
}

/** The same bytes with a checksum at their end that fits; `body` ends with the end marker. */
export function withChecksum(body: Uint8Array): Buffer {
  const crc = crc64Jones();
  crc.update(body);
  const footer = Buffer.alloc(8);
  footer.writeBigUInt64LE(crc.value());
  return Buffer.concat([body, footer]);
}

/** A file with nothing but these bytes between its header and its end. */
export function fileOf(magic: string, ...body: readonly (Uint8Array | readonly number[])[]): Buffer {
  return withChecksum(
    Buffer.concat([Buffer.from(magic), ...body.map((part) => Buffer.from(part)), Buffer.from([0xff])]),
  );
}

/** Cuts a file into files of one key each: with what stands before the key, and a checksum of its own. */
export function oneKeyFiles(
  file: Buffer,
): { readonly type: string; readonly key: string; readonly bytes: Buffer }[] {
  const magic = file.toString('latin1', 0, 9);
  const files: { type: string; key: string; bytes: Buffer }[] = [];
  let start = 9;
  let at = 0;
  let head = { type: '', key: '' };
  const nothing = (): void => undefined;
  const scanner = createRdbScanner({
    contents: {
      beginKey: (_database, type, { bytes, start, end }) => {
        head = { type, key: Buffer.from(bytesOf(bytes, start, end)).toString('latin1') };
      },
      endKey() {
        files.push({ ...head, bytes: fileOf(magic, file.subarray(start, at)) });
        start = at;
      },
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
    },
  });
  // Byte by byte: a key ends with the byte that is being written.
  while (at < file.length) {
    at++;
    scanner.write(file.subarray(at - 1, at));
  }
  return files;
}
