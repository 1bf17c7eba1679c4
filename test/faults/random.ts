/** Chance that can be had again: the same seed gives the same choices, on every machine. */
import { createCipheriv, createHash } from 'node:crypto';

export interface Random {
  /** A whole number, both ends included. */
  between(least: number, most: number): number;
  pick<T>(choices: readonly [T, ...T[]]): T;
  /** Incompressible bytes. */
  bytes(length: number): Buffer;
}

export function createRandom(seed: string): Random {
  const key = createHash('sha256').update(seed).digest();
  const stream = createCipheriv('aes-128-ctr', key.subarray(0, 16), key.subarray(16, 32));
  const bytes = (length: number): Buffer => stream.update(Buffer.alloc(length));
  const between = (least: number, most: number): number =>
    least + Math.floor((bytes(4).readUInt32LE() / 2 ** 32) * (most - least + 1));
  return {
    between,
    // The list is not empty, and the index is within it.
    pick: (choices) => choices[between(0, choices.length - 1)] ?? choices[0],
    bytes,
  };
}
