/**
 * A valid RDB file of any size, cheaply: string values of 256 KiB, which is the shape of a cache of pages or of a
 * store of sessions. The bytes of the values repeat; the keys do not. Nothing of it is compressible by a gap.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { crc64Jones } from '../../functions/core/crc64.ts';

export interface RdbFile {
  readonly path: string;
  readonly bytes: number;
  readonly keys: number;
}

/** Its bytes are made when they are asked for: no size of it needs more memory than one value. */
export interface SyntheticRdb {
  readonly bytes: number;
  readonly keys: number;
  /** The bytes `[start, end)`. A piece must not be changed: others are made of the same memory. */
  pieces(start: number, end: number): Iterable<Buffer>;
}

const VALUE_BYTES = 256 * 1024;
const STRING = 0;
const LENGTH_32 = 0x80;
const HEADER = Buffer.from('REDIS0011', 'latin1');
const END = 0xff;

/**
 * The file is at least this long, by less than one value.
 * @param hashTag of all its keys, which puts them in one cluster slot
 */
export function syntheticRdb(atLeastBytes: number, hashTag?: string): SyntheticRdb {
  const prefix = hashTag === undefined ? '' : `{${hashTag}}`;
  const value = valueOf(VALUE_BYTES);
  const keys = Math.ceil(atLeastBytes / VALUE_BYTES);
  const recordBytes = recordHead(0, prefix).length + VALUE_BYTES;
  const trailerAt = HEADER.length + keys * recordBytes;
  const trailer = Buffer.from([END, 0, 0, 0, 0, 0, 0, 0, 0]);
  const bytes = trailerAt + trailer.length;

  /** In blocks, each with its offset: the header, then head and value of each record, then the trailer. */
  function* blocks(start: number): Generator<readonly [at: number, block: Buffer]> {
    if (start < HEADER.length) yield [0, HEADER];
    const first = Math.max(0, Math.floor((start - HEADER.length) / recordBytes));
    for (let number = first; number < keys; number++) {
      const at = HEADER.length + number * recordBytes;
      const head = recordHead(number, prefix);
      yield [at, head];
      yield [at + head.length, value];
    }
    yield [trailerAt, trailer];
  }

  function* pieces(start: number, end: number): Generator<Buffer> {
    for (const [at, block] of blocks(start)) {
      if (at >= end) return;
      if (at + block.length > start) yield block.subarray(Math.max(0, start - at), end - at);
    }
  }

  const jones = crc64Jones();
  for (const piece of pieces(0, bytes - 8)) jones.update(piece);
  trailer.writeBigUInt64LE(jones.value(), 1);
  return { bytes, keys, pieces };
}

/** The same on disk. */
export async function writeRdbFile(path: string, atLeastBytes: number): Promise<RdbFile> {
  const rdb = syntheticRdb(atLeastBytes);
  const out = createWriteStream(path);
  for (const piece of rdb.pieces(0, rdb.bytes)) if (!out.write(piece)) await once(out, 'drain');
  out.end();
  await once(out, 'close');
  return { path, bytes: rdb.bytes, keys: rdb.keys };
}

function recordHead(number: number, prefix: string): Buffer {
  const key = Buffer.from(`${prefix}page:${String(number).padStart(10, '0')}`);
  const length = Buffer.alloc(5);
  length.writeUInt8(LENGTH_32, 0);
  length.writeUInt32BE(VALUE_BYTES, 1);
  return Buffer.concat([Buffer.from([STRING, key.length]), key, length]);
}

function valueOf(bytes: number): Buffer {
  const value = Buffer.allocUnsafe(bytes);
  let state = 1;
  for (let at = 0; at < bytes; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    value[at] = state >>> 24;
  }
  return value;
}
