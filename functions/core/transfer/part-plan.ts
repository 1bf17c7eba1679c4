/**
 * How a file is cut into parts. OSS takes at most 10,000 parts of 100 KB to 5 GB, the last one may be smaller:
 * https://help.aliyun.com/en/oss/developer-reference/uploadpart
 */
import { BackupError } from '../errors.ts';

export const MAX_PARTS = 10_000;
export const MAX_PART_BYTES = 5 * 1024 ** 3;
/** 48.8 TB, OSS's limit for an object made of parts. */
export const MAX_FILE_BYTES = MAX_PARTS * MAX_PART_BYTES;

/** Parts of this size keep four lanes within 32 MiB; larger ones were not faster in any measurement. */
const USUAL_PART_BYTES = 8 * 1024 ** 2;
const PART_STEP_BYTES = 1024 ** 2;

export interface Part {
  /** Counts from 1, as OSS counts. */
  readonly number: number;
  /** Offset of its first byte in the file. */
  readonly start: number;
  readonly bytes: number;
}

/**
 * The size of all parts but the last. It depends on the file's length alone, so that every attempt at a file cuts it
 * in the same way: 8 MiB up to 78 GiB, then as many whole MiB as keep it within 10,000 parts.
 */
export function partSizeFor(fileBytes: number): number {
  if (fileBytes > MAX_FILE_BYTES) {
    throw new BackupError(
      'UPLOAD_FAILED',
      `cut a file of ${fileBytes} bytes into parts: OSS holds at most ${MAX_FILE_BYTES} bytes in one object`,
      { details: { bytes: fileBytes, maxBytes: MAX_FILE_BYTES } },
    );
  }
  const needed = Math.ceil(fileBytes / MAX_PARTS / PART_STEP_BYTES) * PART_STEP_BYTES;
  return Math.max(USUAL_PART_BYTES, needed);
}

/** All parts of a file, in order and without gaps. A file of at most one part is stored by one plain put. */
export function planParts(fileBytes: number, partBytes = partSizeFor(fileBytes)): readonly Part[] {
  const parts: Part[] = [];
  for (let start = 0; start < fileBytes; start += partBytes) {
    parts.push({ number: parts.length + 1, start, bytes: Math.min(partBytes, fileBytes - start) });
  }
  return parts;
}

/**
 * How many slots a part of a file of unknown length takes. One, as long as there are parts to spare; then more and more,
 * because their number is limited and their size is not: twice as many each time that half of the numbers that were left
 * are used up. Never more than half of the slots, so that the next part arrives while one is sent, until so few numbers
 * are left that all have to be used.
 */
export function slotsOfPart(number: number, slots: number): number {
  const left = MAX_PARTS - number + 1;
  const wanted = 2 ** Math.floor(Math.log2(MAX_PARTS / left));
  return Math.max(1, Math.min(wanted, wanted > slots ? slots : Math.floor(slots / 2)));
}

/** The longest file of unknown length that so many slots of this size can pass on. */
export function longestStream(slots: number, slotBytes: number): number {
  let bytes = 0;
  for (let number = 1; number <= MAX_PARTS; number++)
    bytes += Math.min(MAX_PART_BYTES, slotsOfPart(number, slots) * slotBytes);
  return bytes;
}
