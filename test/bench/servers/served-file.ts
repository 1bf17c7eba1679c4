/** A file as the servers know it: its bytes, in memory, and the CRC-64 of any range of it. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { combineCrc64Xz, crc64Xz } from '../../../functions/core/crc64.ts';
import { syntheticRdb } from '../rdb-file.ts';

export interface ServedFile {
  /** The last piece of its URL, and of the object's key. */
  readonly name: string;
  readonly bytes: number;
  /** The bytes `[start, end)`. */
  pieces(start: number, end: number): Iterable<Buffer>;
  /** CRC-64/XZ of the bytes `[start, end)`, as OSS writes it. A range is computed once. */
  crc64(start: number, end: number): string;
}

/**
 * The instance for which all checksums of files are told as zero, which is what an uploader comes to that computes none.
 * It is in the path of its URLs and keys.
 */
export const UNCHECKED = 'r-unchecked';

export function isUnchecked(path: string): boolean {
  return path.includes(`${UNCHECKED}/`);
}

/** Either read from disk, or made up: string values of 256 KiB, of which only one is held in memory. */
export type FileSpec =
  | { readonly name: string; readonly path: string }
  | { readonly name: string; readonly syntheticBytes: number; readonly hashTag?: string };

/** The checksums of parts of this size, and of the whole, are known before the first request. */
const PART_BYTES = 8 * 1024 ** 2;

export function openServedFile(spec: FileSpec): ServedFile {
  const content = 'path' in spec ? readWhole(spec.path) : syntheticRdb(spec.syntheticBytes, spec.hashTag);
  const { bytes, pieces } = content;
  const known = new Map<string, bigint>();

  function checksum(start: number, end: number): bigint {
    const key = `${start}-${end}`;
    let value = known.get(key);
    if (value === undefined) {
      const crc = crc64Xz();
      for (const piece of pieces(start, end)) crc.update(piece);
      value = crc.value();
      known.set(key, value);
    }
    return value;
  }

  let whole = 0n;
  for (let start = 0; start < bytes; start += PART_BYTES) {
    const end = Math.min(bytes, start + PART_BYTES);
    whole = combineCrc64Xz(whole, checksum(start, end), end - start);
  }
  known.set(`0-${bytes}`, whole);
  return { name: spec.name, bytes, pieces, crc64: (start, end) => checksum(start, end).toString() };
}

/** As large as one buffer may be in every Node that is supported, and more than any range that is asked for. */
const BLOCK_BYTES = 1024 ** 3;

function readWhole(path: string): Pick<ServedFile, 'bytes' | 'pieces'> {
  const file = openSync(path, 'r');
  const { size: bytes } = fstatSync(file);
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes; at += BLOCK_BYTES) {
    const block = Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, bytes - at));
    for (let filled = 0; filled < block.length;) {
      const read = readSync(file, block, filled, block.length - filled, at + filled);
      if (read === 0) throw new Error(`read ${path}: it ends at byte ${at + filled} of ${bytes}`);
      filled += read;
    }
    blocks.push(block);
  }
  closeSync(file);
  return {
    bytes,
    *pieces(start, end) {
      for (const [number, block] of blocks.entries()) {
        const from = number * BLOCK_BYTES;
        if (end > from && start < from + block.length)
          yield block.subarray(Math.max(0, start - from), Math.max(0, end - from));
      }
    },
  };
}
