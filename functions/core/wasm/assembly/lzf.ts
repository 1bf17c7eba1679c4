/**
 * LZF, the compression of strings inside an RDB file.
 *
 * Source: liblzf's format, as lzf_d.c of LibLZF 3.6 decompresses it.
 */
import { expanded } from './memory';

/** Where `decompress` puts the text. */
export function scratch(): usize {
  return expanded;
}

/**
 * Decompresses `from` to `end` into the scratch; false unless that gives exactly `bytes`. Copies whole
 * vectors, and so some bytes past the end of what it copies: behind the scratch there is room for that.
 */
export function decompress(from: usize, end: usize, bytes: usize): bool {
  const first = scratch();
  const last = first + bytes;
  let at = from;
  let out = first;
  while (at < end) {
    const control = <u32>load<u8>(at);
    at += 1;
    if (control < 32) {
      const run = <usize>control + 1;
      if (at + run > end || out + run > last) return false;
      v128.store(out, v128.load(at));
      v128.store(out, v128.load(at, 16), 16);
      at += run;
      out += run;
      continue;
    }
    let size = <usize>(control >> 5) + 2;
    if (size == 9) {
      if (at >= end) return false;
      size += load<u8>(at);
      at += 1;
    }
    if (at >= end) return false;
    const distance = (<usize>(control & 31) << 8) + load<u8>(at) + 1;
    at += 1;
    if (out - first < distance || out + size > last) return false;
    copyBack(out, distance, size);
    out += size;
  }
  return out == last;
}

function copyBack(out: usize, distance: usize, bytes: usize): void {
  const from = out - distance;
  if (distance >= 16) {
    // Most copies are short: two vectors without a question are faster than one with.
    v128.store(out, v128.load(from));
    v128.store(out, v128.load(from, 16), 16);
    for (let i: usize = 32; i < bytes; i += 16) v128.store(out + i, v128.load(from + i));
  } else if (distance >= 8) {
    for (let i: usize = 0; i < bytes; i += 8) store<u64>(out + i, load<u64>(from + i));
  } else {
    for (let i: usize = 0; i < bytes; i++) store<u8>(out + i, load<u8>(from + i));
  }
}
