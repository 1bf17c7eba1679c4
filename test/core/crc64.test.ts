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
