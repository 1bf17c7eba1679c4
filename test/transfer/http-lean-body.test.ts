import fc from 'fast-check';
import { bodyEnding } from '../../functions/core/transfer/lean-body.ts';

/** Gives the bytes in pieces that end at the cuts; returns the body, and how many bytes were the answer's. */
function read(
  ending: Parameters<typeof bodyEnding>[0],
  bytes: string,
  cuts: readonly number[],
): [string, number] {
  const body = bodyEnding(ending);
  let text = '';
  let own = 0;
  const points = [...new Set([...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  let start = 0;
  for (const end of points) {
    own += body.take(
      Buffer.from(bytes.slice(start, end), 'latin1'),
      (piece) => (text += piece.toString('latin1')),
    );
    start = end;
  }
  return [text, own];
}

const texts = fc.string({ unit: 'binary-ascii', maxLength: 60 });
const cuts = fc.array(fc.nat(), { maxLength: 10 });

it('a body of a known length ends there, wherever it is cut', () => {
  fc.assert(
    fc.property(texts, texts, cuts, (body, rest, points) => {
      expect(read(body.length, body + rest, points)).toEqual([body, body.length]);
    }),
  );
});

it('a body in chunks ends with its last one, wherever it is cut and whatever its chunks and trailers are', () => {
  const chunks = fc.array(
    texts.filter((text) => text !== ''),
    { maxLength: 5 },
  );
  const trailers = fc.constantFrom('', 'A: b\r\n', 'A: b\r\nC: d\r\n');
  fc.assert(
    fc.property(chunks, trailers, texts, cuts, (parts, trailer, rest, points) => {
      const bytes = parts.map((part) => `${part.length.toString(16)};x="y"\r\n${part}\r\n`).join('');
      const answer = `${bytes}0\r\n${trailer}\r\n`;
      expect(read('chunked', answer + rest, points)).toEqual([parts.join(''), answer.length]);
    }),
  );
});

it('the bytes of a chunk that were put where they belong are not asked for again', () => {
  const body = bodyEnding('chunked');
  const nothing = (): void => undefined;

  body.take(Buffer.from('a\r\n0123'), nothing);
  expect(body.sure()).toBe(6);
  body.skip(6);
  expect(body.sure()).toBe(0);
  body.take(Buffer.from('\r\n0\r\n\r\n'), nothing);

  expect(body.isReached()).toBe(true);
});

it.each([
  ['has no size', '\r\n'],
  ['has a size with a sign', '-1\r\n'],
  ['has a size that ends without CR', '1\na'],
  ['has a size beyond all numbers', `${'f'.repeat(13)}\r\n`],
  ['has an extension without an end', `1;${'x'.repeat(5000)}`],
  ['is longer than its size', '1\r\nab\r\n'],
  ['is followed by endless trailers', `0\r\n${'A: b\r\n'.repeat(200)}`],
])('a chunk is refused that %s', (_name, bytes) => {
  expect(() => read('chunked', bytes, [])).toThrow(expect.objectContaining({ kind: 'broken' }));
});
