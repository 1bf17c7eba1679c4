/**
 * Files to back up: what a real server wrote (every type in its encodings), followed by as many values as make several
 * parts of it. No two stretches of a file are alike, so that a byte in the wrong place is a wrong byte.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { crc64Jones } from '../../functions/core/crc64.ts';
import { createRandom } from './random.ts';

export interface SourceFile {
  readonly path: string;
  readonly bytes: number;
}

const STRING = 0;
const LENGTH_32 = 0x80;
const SELECT_DATABASE = 0xfe;
const END = 0xff;
const CHECKSUM_BYTES = 8;
/** Beyond the databases of the file that it continues. */
const DATABASE = 9;
const MAX_VALUE_BYTES = 96 * 1024;

/**
 * Continues the file of a real server to at least this length, by less than one value. Files of one seed are of one
 * length; a seed of its own for the values makes another file of it.
 */
export function writeSourceFile(
  path: string,
  realFile: string,
  atLeastBytes: number,
  seed: string,
  valueSeed = seed,
): SourceFile {
  const real = readFileSync(realFile);
  const lengths = createRandom(seed);
  const values = createRandom(`${valueSeed} values`);
  const pieces: Buffer[] = [
    real.subarray(0, real.length - 1 - CHECKSUM_BYTES),
    Buffer.from([SELECT_DATABASE, DATABASE]),
  ];
  let length = real.length;
  for (let number = 0; length < atLeastBytes; number++) {
    const entry = stringEntry(`value:${number}`, values.bytes(lengths.between(1, MAX_VALUE_BYTES)));
    pieces.push(entry);
    length += entry.length;
  }
  return writeFile(path, seal(pieces));
}

/** Any content, as it is. */
export function writeFile(path: string, content: Buffer): SourceFile {
  writeFileSync(path, content);
  return { path, bytes: content.length };
}

function stringEntry(key: string, value: Buffer): Buffer {
  const length = Buffer.alloc(5);
  length.writeUInt8(LENGTH_32, 0);
  length.writeUInt32BE(value.length, 1);
  return Buffer.concat([Buffer.from([STRING, key.length]), Buffer.from(key), length, value]);
}

/** The end of the file: its marker, and the checksum of everything before. */
function seal(pieces: readonly Buffer[]): Buffer {
  const content = Buffer.concat([...pieces, Buffer.from([END])]);
  const jones = crc64Jones();
  jones.update(content);
  const checksum = Buffer.alloc(CHECKSUM_BYTES);
  checksum.writeBigUInt64LE(jones.value());
  return Buffer.concat([content, checksum]);
}
