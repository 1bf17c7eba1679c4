import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { combineCrc64Xz, crc64Jones, crc64Xz } from '../../functions/core/crc64.ts';

const CHECK = Buffer.from('123456789');

describe('CRC-64', () => {
  it('gives the catalogue check value of CRC-64/XZ', () => {
    const crc = crc64Xz();
    crc.update(CHECK);
    expect(crc.value().toString(16)).toBe('995dc9bbdf1939fa');
  });

  it('gives the check value that Redis documents for its own CRC-64', () => {
    const crc = crc64Jones();
    crc.update(CHECK);
    expect(crc.value().toString(16)).toBe('e9c6d914c4b8d9ca');
  });

  it('does not depend on how the bytes are cut into pieces', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.array(fc.nat(30)), (bytes, cuts) => {
        for (const start of [crc64Xz, crc64Jones]) {
          const whole = start();
          whole.update(bytes);
          const pieces = start();
          let at = 0;
          for (const cut of cuts) {
            const end = Math.min(bytes.length, at + cut);
            pieces.update(bytes, at, end);
            at = end;
          }
          pieces.update(bytes, at);
          expect(pieces.value()).toBe(whole.value());
        }
      }),
    );
  });

  const MIB = 1024 * 1024;
  const random = randomBytes(2 * MIB);
  const upTo = fc.oneof(
    fc.integer({ min: 65_500, max: 65_600 }),
    fc.integer({ min: 23_000, max: 37_500 }),
    fc.integer({ min: 88_000, max: 103_000 }),
    fc.nat(600_000),
  );

  it.each([
    ['XZ', crc64Xz],
    ['Jones', crc64Jones],
  ])('%s of large pieces, which are folded, is that of the same bytes in small pieces', (_name, start) => {
    fc.assert(
      fc.property(fc.nat(64), fc.array(upTo, { minLength: 1, maxLength: 5 }), (offset, sizes) => {
        const total = sizes.reduce((sum, size) => sum + size, 0);
        const bytes = random.subarray(offset, Math.min(random.length, offset + total));
        const [folded, lookedUp] = [start(), start()];
        let at = 0;
        for (const size of sizes) {
          folded.update(bytes, at, Math.min(bytes.length, at + size));
          at = Math.min(bytes.length, at + size);
        }
        for (let small = 0; small < bytes.length; small += 60_000) {
          lookedUp.update(bytes, small, Math.min(bytes.length, small + 60_000));
        }
        expect(folded.value()).toBe(lookedUp.value());
      }),
      { numRuns: 150 },
    );
  });

  it('of pieces that arrive in turns for several sums is not mixed up between them', () => {
    const sums = [crc64Xz(), crc64Jones(), crc64Xz()];
    for (let at = 0; at < random.length; at += 200_001)
      for (const [index, sum] of sums.entries())
        sum.update(random, Math.min(random.length, at + index), Math.min(random.length, at + 200_001));
    const alone = crc64Xz();
    for (let at = 0; at < random.length; at += 50_000)
      alone.update(random, at, Math.min(random.length, at + 50_000));
    expect(sums[0]?.value()).toBe(alone.value());
    expect(sums[2]?.value()).not.toBe(alone.value());
  });

  it.each([
    ['XZ', 0x42f0_e1eb_a9ea_3693n, [53, 510, 826, 880, 1013, 1325, 1480]],
    ['Jones', 0xad93_d235_94c9_35a9n, [175, 189, 435, 1189, 1338, 1601, 2312]],
  ])('folds %s over distances at which words cancel out', (_name, poly, distances) => {
    const longest = distances.at(-1) ?? 0;
    const sum = [0, ...distances].reduce(
      (rest, distance) => rest ^ powerOfX(128 * (longest - distance), poly),
      0n,
    );
    expect(sum).toBe(0n);
  });

  it('combines the checksums of two pieces into that of the whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        const [first, second, whole] = [crc64Xz(), crc64Xz(), crc64Xz()];
        first.update(a);
        second.update(b);
        whole.update(a);
        whole.update(b);
        expect(combineCrc64Xz(first.value(), second.value(), b.length)).toBe(whole.value());
      }),
    );
  });

  it('is zero for Jones over data followed by its own little-endian checksum', () => {
    const crc = crc64Jones();
    crc.update(CHECK);
    const trailer = Buffer.alloc(8);
    trailer.writeBigUInt64LE(crc.value());
    crc.update(trailer);
    expect(crc.value()).toBe(0n);
  });
});

/** x to a power modulo a polynomial of degree 64, bit by bit. */
function powerOfX(exponent: number, poly: bigint): bigint {
  let power = 1n;
  for (let step = 0; step < exponent; step++) {
    const carry = power >> 63n;
    power = BigInt.asUintN(64, power << 1n) ^ (carry === 1n ? poly : 0n);
  }
  return power;
}
