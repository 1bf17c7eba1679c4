/**
 * How far a file has come without a gap: parts arrive in any order, but what can be built upon is the row of parts
 * from the first one on that are both sent and observed. Of that row a few numbers are enough to recognise it later
 * in what the destination lists.
 */
import { createHash } from 'node:crypto';
import { combineCrc64Jones, combineCrc64Xz } from '../crc64.ts';
import type { PartChecksums } from './lanes.ts';
import type { Part } from './part-plan.ts';
import type { HeldPart, PartReceipt } from './upload-target.ts';

/** The row of parts 1 to `parts`. Plain data: it is stored, and read by another process. */
export interface Prefix {
  readonly parts: number;
  readonly bytes: number;
  /** CRC-64/XZ of these bytes, decimal. */
  readonly crc64: string;
  /** CRC-64/Jones from zero of these bytes, decimal. */
  readonly jones: string;
  /** A chain of SHA-256 over the parts' ETags, hexadecimal: for a destination that lists no checksums. */
  readonly etags: string;
}

export const NOTHING: Prefix = { parts: 0, bytes: 0, crc64: '0', jones: '0', etags: '' };

export interface GrowingPrefix {
  current(): Prefix;
  /** A part is done. Each part once, in any order. True when the row has grown. */
  add(part: Part, checksums: PartChecksums, etag: string): boolean;
}

export function growPrefix(from: Prefix): GrowingPrefix {
  let { parts, bytes, etags } = from;
  let crc64 = BigInt(from.crc64);
  let jones = BigInt(from.jones);
  const ahead = new Map<
    number,
    { readonly part: Part; readonly sums: PartChecksums; readonly etag: string }
  >();
  return {
    current: () => ({ parts, bytes, crc64: crc64.toString(), jones: jones.toString(), etags }),
    add: (part, checksums, etag) => {
      ahead.set(part.number, { part, sums: checksums, etag });
      const before = parts;
      for (let next = ahead.get(parts + 1); next !== undefined; next = ahead.get(parts + 1)) {
        ahead.delete(next.part.number);
        crc64 = parts === 0 ? next.sums.xz : combineCrc64Xz(crc64, next.sums.xz, next.part.bytes);
        jones = combineCrc64Jones(jones, next.sums.jones, next.part.bytes);
        etags = chained(etags, next.etag);
        bytes += next.part.bytes;
        parts++;
      }
      return parts > before;
    },
  };
}

/** Whether what the destination holds begins with exactly this row, cut in the same way. */
export function isPrefixOf(
  prefix: Prefix,
  plan: readonly Part[],
  held: ReadonlyMap<number, HeldPart>,
): boolean {
  let crc64: bigint | undefined = 0n;
  let etags = '';
  for (const part of plan.slice(0, prefix.parts)) {
    const there = held.get(part.number);
    if (there?.bytes !== part.bytes) return false;
    etags = chained(etags, there.etag);
    if (crc64 === undefined || there.crc64 === undefined) crc64 = undefined;
    else
      crc64 =
        part.number === 1 ? BigInt(there.crc64) : combineCrc64Xz(crc64, BigInt(there.crc64), part.bytes);
  }
  return crc64 === undefined ? etags === prefix.etags : crc64.toString() === prefix.crc64;
}

/** Some services quote the tags that they list and some do not, or write them in the other case. */
export function plainEtag(etag: string): string {
  return etag.replaceAll('"', '').toUpperCase();
}

function chained(before: string, etag: PartReceipt['etag']): string {
  return createHash('sha256').update(before).update(plainEtag(etag)).digest('hex');
}
