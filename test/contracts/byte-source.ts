/** What every ByteSource promises of a file that is there and stays as it is. */
import fc from 'fast-check';
import type { ByteSource } from '../../functions/core/transfer/byte-source.ts';

export interface OpenedSource {
  readonly source: ByteSource;
  readonly file: Buffer;
  close(): Promise<void>;
}

export function testByteSource(name: string, open: () => Promise<OpenedSource>): void {
  describe(`${name} as a source of bytes`, () => {
    const { signal } = new AbortController();
    let opened: OpenedSource;
    beforeAll(async () => (opened = await open()));
    afterAll(async () => opened.close());

    it('knows the length of the file', () => {
      expect(opened.source.bytes).toBe(opened.file.length);
    });

    it('fills what it is given with any range of the file', async () => {
      const { source, file } = opened;
      const ranges = fc
        .tuple(fc.nat(file.length - 1), fc.integer({ min: 1, max: 100_000 }))
        .map(([start, length]) => ({ start, end: Math.min(file.length, start + length) }));

      await fc.assert(
        fc.asyncProperty(ranges, async ({ start, end }) => {
          const into = Buffer.alloc(end - start);
          await source.read(start, into, signal);
          expect(into.equals(file.subarray(start, end))).toBe(true);
        }),
        { numRuns: 30 },
      );
    });

    it('reads several ranges at once', async () => {
      const { source, file } = opened;
      const size = Math.ceil(file.length / 7);

      const pieces = await Promise.all(
        Array.from({ length: 7 }, async (_, n) => {
          const into = Buffer.alloc(Math.min(size, file.length - n * size));
          await source.read(n * size, into, signal);
          return into;
        }),
      );

      expect(Buffer.concat(pieces).equals(file)).toBe(true);
    });

    it('never asks beyond the end', async () => {
      const { source, file } = opened;

      await expect(source.read(file.length - 1, Buffer.alloc(2), signal)).rejects.toMatchObject({
        code: 'INTERNAL',
      });
    });

    it('stops at an aborted signal with its reason', async () => {
      await expect(opened.source.read(0, Buffer.alloc(1), AbortSignal.abort())).rejects.toMatchObject({
        code: 'INTERRUPTED',
      });
    });
  });
}
