/**
 * CRC-64/XZ, which OSS calls crc64ecma. The checksum over bytes is a compiled one, because gigabytes pass through
 * it; the checksum of an object made of parts is computed here from the parts' checksums. The product has its own
 * implementation of both, and shares none of it: two that agree are worth more than one used twice.
 */
import { createCRC64, type IHasher } from 'hash-wasm';

export interface RunningCrc64 {
  update(bytes: Uint8Array): void;
  /** Ends the computation. */
  digest(): bigint;
}

/** Instances are reused: a compiled one costs a memory of its own. Never more than have run at once. */
const idle: IHasher[] = [];

export async function startCrc64(): Promise<RunningCrc64> {
  const hasher = idle.pop() ?? (await createCRC64());
  hasher.init();
  return {
    update: (bytes) => void hasher.update(bytes),
    digest: () => {
      const value = BigInt(`0x${hasher.digest('hex')}`);
      idle.push(hasher);
      return value;
    },
  };
}

/**
 * The checksum of two pieces laid end to end: the first piece's register is moved on by as many zero bits as the
 * second piece has bits, by squaring the one-bit step as a 64 x 64 matrix over GF(2).
 */
export function combineCrc64(first: bigint, second: bigint, secondSize: number): bigint {
  let register = first;
  let bits = BigInt(secondSize) * 8n;
  for (let power = 0; bits > 0n; power++, bits >>= 1n)
    if ((bits & 1n) === 1n) register = times(stepOf(power), register);
  return register ^ second;
}

const POLYNOMIAL = 0xc96c_5795_d787_0f42n;

/** `steps[n]` moves a register on by 2^n zero bits; column i is what the bit i becomes. */
const steps: (readonly bigint[])[] = [];

function stepOf(power: number): readonly bigint[] {
  const known = steps[power];
  if (known !== undefined) return known;
  const made =
    power === 0
      ? Array.from({ length: 64 }, (_, bit) => (bit === 0 ? POLYNOMIAL : 1n << BigInt(bit - 1)))
      : stepOf(power - 1).map((column) => times(stepOf(power - 1), column));
  steps[power] = made;
  return made;
}

function times(matrix: readonly bigint[], vector: bigint): bigint {
  let product = 0n;
  let rest = vector;
  for (const column of matrix) {
    if ((rest & 1n) === 1n) product ^= column;
    rest >>= 1n;
    if (rest === 0n) break;
  }
  return product;
}
