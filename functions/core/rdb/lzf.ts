/**
 * LZF, the compression of strings inside an RDB file: literal runs of 1 to 32 bytes and copies of 3 to 264 bytes from
 * at most 8 KiB back.
 *
 * Source: liblzf's format, as lzf_d.c of LibLZF 3.6 decompresses it.
 */
import { corrupt } from './fault.ts';
import type { Input, Parse } from './input.ts';
import { viewOf } from './input.ts';

/** A copy of three bytes yields at most 264, so nothing expands further than this. */
const EXPANSION_MAX = 88;
const HISTORY_BYTES = 8192;
const COPY_BYTES_MAX = 264;
const PIECE_BYTES = 64 * 1024;

export function checkExpansion(compressed: number, original: number): void {
  if (original === 0 || original > compressed * EXPANSION_MAX) {
    corrupt(`${compressed} compressed bytes cannot hold ${original}`);
  }
}

/** Decompresses `from[start, end)` into the first `length` bytes of `to`; both must come out even. */
export function decompress(
  from: Uint8Array,
  start: number,
  end: number,
  to: Uint8Array,
  length: number,
): void {
  let at = start;
  let out = 0;
  while (at < end) {
    const control = from[at++] as number;
    if (control < 32) {
      const run = control + 1;
      if (at + run > end || out + run > length) refuse(length);
      for (let i = 0; i < run; i++) to[out++] = from[at++] as number;
      continue;
    }
    let size = control >> 5;
    if (size === 7) {
      if (at >= end) refuse(length);
      size += from[at++] as number;
    }
    if (at >= end) refuse(length);
    let source = out - ((control & 31) << 8) - (from[at++] as number) - 1;
    size += 2;
    if (source < 0) refuse(length);
    if (out + size > length) refuse(length);
    for (let i = 0; i < size; i++) to[out++] = to[source++] as number;
  }
  if (out !== length) refuse(length);
}

/** The same for a text of any size, in pieces, with the last 8 KiB kept to copy from. */
export function* decompressInPieces(
  input: Input,
  compressed: number,
  length: number,
  onPiece: (bytes: DataView, start: number, end: number) => void,
): Parse<void> {
  const buffer = new Uint8Array(HISTORY_BYTES + PIECE_BYTES + COPY_BYTES_MAX);
  const view = viewOf(buffer);
  let left = compressed;
  let out = 0;
  let given = 0;
  let total = 0;
  while (left > 0) {
    if (input.lacks(1)) yield 1;
    const control = input.bytes[input.position] as number;
    const isLong = control >= 224;
    const taken = control < 32 ? control + 2 : isLong ? 3 : 2;
    if (taken > left) refuse(length);
    if (input.lacks(taken)) yield taken;
    const { bytes, position } = input;
    input.position += taken;
    left -= taken;
    if (control < 32) {
      for (let i = 1; i < taken; i++) buffer[out++] = bytes[position + i] as number;
      total += taken - 1;
    } else {
      const size = isLong ? 9 + (bytes[position + 1] as number) : (control >> 5) + 2;
      let source = out - ((control & 31) << 8) - (bytes[position + taken - 1] as number) - 1;
      if (source < 0) refuse(length);
      for (let i = 0; i < size; i++) buffer[out++] = buffer[source++] as number;
      total += size;
    }
    if (total > length) refuse(length);
    if (out < HISTORY_BYTES + PIECE_BYTES) continue;
    onPiece(view, given, out);
    buffer.copyWithin(0, out - HISTORY_BYTES, out);
    out = HISTORY_BYTES;
    given = HISTORY_BYTES;
  }
  onPiece(view, given, out);
  if (total !== length) refuse(length);
}

/** One reason for all that can be wrong: which of it is noticed first depends on how the bytes arrive. */
function refuse(length: number): never {
  corrupt(`compressed text that does not expand to the ${length} bytes announced`);
}
