import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { createCRC64 } from 'hash-wasm';
import {
  combineCrc64Jones,
  combineCrc64Xz,
  crc64Jones,
  crc64Pair,
  crc64Xz,
} from '../../functions/core/crc64.ts';
import { createWorkspace } from '../../functions/core/wasm/workspace.ts';

const XZ_TABLE = tableOf(0xc96c_5795_d787_0f42n);
const JONES_TABLE = tableOf(0x95ac_9329_ac4b_c9b5n);

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
  const workspace = createWorkspace(2, MIB);
  const slot = workspace.slots[1] ?? Buffer.alloc(0);
  slot.set(randomBytes(MIB));
  /** Around everything at which the loops change their ways. */
  const upTo = fc.oneof(
    fc.nat(40),
    fc.integer({ min: 4080, max: 4110 }),
    fc.integer({ min: 4980, max: 5000 }),
    fc.integer({ min: 16_380, max: 16_400 }),
    fc.integer({ min: 262_140, max: 262_150 }),
    fc.nat(300_000),
  );

  it('of pieces of any size, at any place, in the workspace or outside, is that of the bytes one by one', () => {
    fc.assert(
      fc.property(fc.nat(64), fc.array(fc.tuple(upTo, fc.boolean()), { maxLength: 6 }), (offset, sizes) => {
        const pair = workspace.checksums();
        const alone = [crc64Xz(), crc64Jones()];
        let at = offset;
        for (const [size, isInside] of sizes) {
          const piece = slot.subarray(at, at + size);
          pair.update(isInside ? piece : Uint8Array.from(piece));
          for (const sum of alone) sum.update(slot, at, Math.min(slot.length, at + size));
          at += piece.length;
        }
        const [xz, jones] = byteByByte(slot.subarray(offset, at));
        expect([pair.xz(), pair.jones()]).toEqual([xz, jones]);
        expect(alone.map((sum) => sum.value())).toEqual([xz, jones]);
      }),
      { numRuns: 40 },
    );
  });

  it('XZ agrees with another implementation on what both were made for: large pieces', async () => {
    const other = await createCRC64();
    const pair = workspace.checksums();
    for (let turn = 0; turn < 20; turn++) {
      const piece = slot.subarray(turn, MIB - turn * 1001);
      other.update(piece);
      pair.update(piece);
    }
    expect(pair.xz().toString(16).padStart(16, '0')).toBe(other.digest());
  });

  it('can be read at any time and goes on', () => {
    const [read, unread] = [workspace.checksums(), workspace.checksums()];
    for (let at = 0; at < 40_000; at += 997) {
      const piece = slot.subarray(at, at + 997);
      read.update(piece);
      unread.update(piece);
      read.xz();
      read.jones();
    }
    expect([read.xz(), read.jones()]).toEqual([unread.xz(), unread.jones()]);
  });

  it('of pieces that arrive in turns for several sums is not mixed up between them', () => {
    const sums = [workspace.checksums(), workspace.checksums(), crc64Pair()];
    for (let at = 0; at < MIB; at += 200_001)
      for (const [index, sum] of sums.entries()) sum.update(slot.subarray(at + index, at + 200_001));
    for (const [index, sum] of sums.entries()) {
      const alone = workspace.checksums();
      for (let at = 0; at < MIB; at += 200_001) alone.update(slot.subarray(at + index, at + 200_001));
      expect([sum.xz(), sum.jones()]).toEqual([alone.xz(), alone.jones()]);
    }
  });

  it('does not write where it reads: the bytes are on their way to the bucket meanwhile', () => {
    const before = Buffer.from(slot);
    const pair = workspace.checksums();
    pair.update(slot);
    pair.jones();
    expect(slot.equals(before)).toBe(true);
  });

  it.each([
    ['XZ', 0x42f0_e1eb_a9ea_3693n, [2504, 2957, 3806, 3944, 4254, 4396, 4931]],
    ['Jones', 0xad93_d235_94c9_35a9n, [2655, 3618, 3952, 4199, 4406, 4690, 4714]],
  ])('folds %s over distances at which bytes cancel out', (_name, poly, distances) => {
    const longest = distances.at(-1) ?? 0;
    const sum = [0, ...distances].reduce(
      (rest, distance) => rest ^ powerOfX(8 * (longest - distance), poly),
      0n,
    );
    expect(sum).toBe(0n);
  });

  it('combines the checksums of two pieces into that of the whole', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.uint8Array({ maxLength: 300 }), (a, b) => {
        const [first, second, whole] = [crc64Pair(), crc64Pair(), crc64Pair()];
        first.update(a);
        second.update(b);
        whole.update(a);
        whole.update(b);
        expect(combineCrc64Xz(first.xz(), second.xz(), b.length)).toBe(whole.xz());
        expect(combineCrc64Jones(first.jones(), second.jones(), b.length)).toBe(whole.jones());
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

/** Both checksums, by tables of a byte each. */
function byteByByte(bytes: Uint8Array): [xz: bigint, jones: bigint] {
  let [xz, jones] = [0xffff_ffff_ffff_ffffn, 0n];
  for (const byte of bytes) {
    xz = (xz >> 8n) ^ (XZ_TABLE[Number(xz & 255n) ^ byte] ?? 0n);
    jones = (jones >> 8n) ^ (JONES_TABLE[Number(jones & 255n) ^ byte] ?? 0n);
  }
  return [xz ^ 0xffff_ffff_ffff_ffffn, jones];
}

function tableOf(polynomial: bigint): bigint[] {
  return Array.from({ length: 256 }, (_, byte) => {
    let crc = BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1n) === 1n ? (crc >> 1n) ^ polynomial : crc >> 1n;
    return crc;
  });
}

/** x to a power modulo a polynomial of degree 64, bit by bit. */
function powerOfX(exponent: number, poly: bigint): bigint {
  let power = 1n;
  for (let step = 0; step < exponent; step++) {
    const carry = power >> 63n;
    power = BigInt.asUintN(64, power << 1n) ^ (carry === 1n ? poly : 0n);
  }
  return power;
}
