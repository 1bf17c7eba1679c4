/**
 * Writes a valid RDB file of any size, cheaply: string values of 256 KiB, which is the shape of a cache of pages or
 * of a store of sessions. The bytes of the values repeat; the keys do not. Nothing of it is compressible by a gap.
 */
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { crc64Jones } from '../../functions/core/crc64.ts';

export interface RdbFile {
  readonly path: string;
  readonly bytes: number;
  readonly keys: number;
}

const VALUE_BYTES = 256 * 1024;
const STRING = 0;
const LENGTH_32 = 0x80;
const END = 0xff;

/** The file is at least this long, by less than one value. */
export async function writeRdbFile(path: string, atLeastBytes: number): Promise<RdbFile> {
  const out = createWriteStream(path);
  const jones = crc64Jones();
  let bytes = 0;
  const write = async (piece: Buffer): Promise<void> => {
    jones.update(piece);
    bytes += piece.length;
    if (!out.write(piece)) await once(out, 'drain');
  };

  await write(Buffer.from('REDIS0011', 'latin1'));
  const value = valueOf(VALUE_BYTES);
  const keys = Math.ceil(atLeastBytes / VALUE_BYTES);
  for (let number = 0; number < keys; number++) {
    const key = Buffer.from(`page:${String(number).padStart(10, '0')}`);
    const length = Buffer.alloc(5);
    length.writeUInt8(LENGTH_32, 0);
    length.writeUInt32BE(VALUE_BYTES, 1);
    // A fresh buffer: the stream may still hold the one before.
    await write(Buffer.concat([Buffer.from([STRING, key.length]), key, length, value]));
  }
  await write(Buffer.from([END]));
  const trailer = Buffer.alloc(8);
  trailer.writeBigUInt64LE(jones.value());
  await write(trailer);
  out.end();
  await once(out, 'close');
  return { path, bytes, keys };
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
