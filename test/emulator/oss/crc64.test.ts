import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { combineCrc64, startCrc64 } from '../../../emulator/oss/crc64.ts';
import { crc64Xz } from '../../../functions/core/crc64.ts';

const crcOf = async (bytes: Uint8Array): Promise<bigint> => {
  const crc = await startCrc64();
  crc.update(bytes);
  return crc.digest();
};

test('is CRC-64/XZ by its published check value', async () => {
  expect(await crcOf(Buffer.from('123456789'))).toBe(0x995d_c9bb_df19_39fan);
});

test('combines the checksums of pieces to that of the whole', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), fc.uint8Array({ maxLength: 500 }), async (a, b) => {
      const whole = await crcOf(Buffer.concat([a, b]));
      expect(combineCrc64(await crcOf(a), await crcOf(b), b.length)).toBe(whole);
    }),
  );
});

test('agrees with the implementation of the product, of which it knows nothing', async () => {
  for (const size of [0, 1, 7, 8, 65_537, 1_000_000]) {
    const bytes = randomBytes(size);
    const other = crc64Xz();
    other.update(bytes);
    expect(await crcOf(bytes)).toBe(other.value());
  }
});

test('several can run at once', async () => {
  const [one, two] = await Promise.all([startCrc64(), startCrc64()]);
  one.update(Buffer.from('1234'));
  two.update(Buffer.from('x'));
  one.update(Buffer.from('56789'));
  expect(two.digest()).toBe(await crcOf(Buffer.from('x')));
  expect(one.digest()).toBe(0x995d_c9bb_df19_39fan);
});
