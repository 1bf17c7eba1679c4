import fc from 'fast-check';
import {
  MAX_FILE_BYTES,
  MAX_PARTS,
  MAX_PART_BYTES,
  partSizeFor,
  planParts,
} from '../../functions/core/transfer/part-plan.ts';

const MIB = 1024 ** 2;
const MIN_PART_BYTES = 100 * 1024;

describe('partSizeFor', () => {
  it.each([
    [1, 8 * MIB],
    [8 * MIB, 8 * MIB],
    [80_000 * MIB, 8 * MIB],
    [80_000 * MIB + 1, 9 * MIB],
    [500 * 1024 * MIB, 52 * MIB],
    [MAX_FILE_BYTES, MAX_PART_BYTES],
  ])('cuts a file of %d bytes into parts of %d', (fileBytes, partBytes) => {
    expect(partSizeFor(fileBytes)).toBe(partBytes);
  });

  it('refuses what OSS cannot hold', () => {
    expect(() => partSizeFor(MAX_FILE_BYTES + 1)).toThrow(/OSS holds at most/);
  });

  it('stays within OSS’s limits for every length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MAX_FILE_BYTES }), (fileBytes) => {
        const partBytes = partSizeFor(fileBytes);
        expect(Math.ceil(fileBytes / partBytes)).toBeLessThanOrEqual(MAX_PARTS);
        expect(partBytes).toBeLessThanOrEqual(MAX_PART_BYTES);
        expect(partBytes % MIB).toBe(0);
      }),
    );
  });
});

describe('planParts', () => {
  it('covers every byte once, in order, in parts that OSS accepts', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2 ** 45 }),
        fc.integer({ min: MIN_PART_BYTES, max: MAX_PART_BYTES }),
        (fileBytes, wanted) => {
          const partBytes = Math.max(wanted, partSizeFor(fileBytes));
          const parts = planParts(fileBytes, partBytes);
          let end = 0;
          const wrong = parts.filter((part, index) => {
            const isWhole = index === parts.length - 1 || part.bytes === partBytes;
            const isNext = part.number === index + 1 && part.start === end;
            end += part.bytes;
            return !isWhole || !isNext;
          });
          expect(wrong).toEqual([]);
          expect(end).toBe(fileBytes);
          expect(parts.at(-1)?.bytes).toBeGreaterThan(0);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('makes one part of a small file and none of an empty one', () => {
    expect(planParts(8 * MIB)).toHaveLength(1);
    expect(planParts(8 * MIB + 1)).toHaveLength(2);
    expect(planParts(0)).toEqual([]);
  });
});
