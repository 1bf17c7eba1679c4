import fc from 'fast-check';
import { findHeadEnd, parseHead } from '../../functions/core/transfer/lean-head.ts';

const headOf = (...lines: readonly string[]): string => ['HTTP/1.1 200 OK', ...lines, '', ''].join('\r\n');

describe('the end of a head', () => {
  const end = (text: string, from = 0): number | undefined => findHeadEnd(Buffer.from(text, 'latin1'), from);

  it('is after the first empty line', () => {
    const head = headOf('A: b');

    expect(end(`${head}body\r\n\r\n`)).toBe(head.length);
  });

  it('is found whatever was looked at before', () => {
    const head = headOf('A: b', 'C: d');
    const steps = fc
      .array(fc.nat(head.length - 1), { maxLength: 8 })
      .map((cuts) => cuts.sort((a, b) => a - b));

    fc.assert(
      fc.property(steps, (cuts) => {
        let from = 0;
        for (const cut of cuts) {
          expect(end(head.slice(0, cut), from)).toBeUndefined();
          from = cut;
        }
        expect(end(`${head}and more`, from)).toBe(head.length);
      }),
    );
  });

  it.each([
    ['begins like another protocol, as soon as that is seen', 'HTTQ'],
    ['begins with an empty line', '\r\nHTTP/1.1 200 OK\r\n\r\n'],
    ['has a line that ends without CR', 'HTTP/1.1 200 OK\nA: b\r\n\r\n'],
    ['is longer than 64 KiB', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(65_536)}`],
  ])('is not looked for when it %s', (_name, text) => {
    expect(() => end(text)).toThrow(expect.objectContaining({ kind: 'broken' }));
  });
});

describe('a head', () => {
  const parse = (...lines: readonly string[]): ReturnType<typeof parseHead> =>
    parseHead(headOf(...lines), false);

  it('joins headers that come more than once, but takes the first where there can be one only', () => {
    expect(parse('Via: a', 'VIA:b ', 'ETag: "1"', 'etag: "2"').headers).toEqual({ via: 'a, b', etag: '"1"' });
  });

  it('cannot name what every object has', () => {
    const { headers } = parse('__proto__: evil', 'constructor: c');

    expect(Object.entries(headers)).toEqual([
      ['__proto__', 'evil'],
      ['constructor', 'c'],
    ]);
  });

  it.each<[readonly string[], ReturnType<typeof parseHead>['ending']]>([
    [['Content-Length: 12'], 12],
    [['Transfer-Encoding: Chunked'], 'chunked'],
    [[], 'close'],
  ])('%j tells how the body ends: %s', (lines, ending) => {
    expect(parse(...lines).ending).toBe(ending);
  });

  it.each<[string, number]>([
    ['Connection: keep-alive', Number.POSITIVE_INFINITY],
    ['Connection: close', 0],
    ['Connection: Keep-Alive, Close', 0],
    ['Keep-Alive: timeout=5', 4000],
    ['Keep-Alive: max=100, timeout=61', 60_000],
    ['Keep-Alive: timeout=1', 0],
  ])('%s tells how long the connection is kept: %d ms', (line, ms) => {
    expect(parse(line).keepAliveMs).toBe(ms);
  });

  it.each<[string, readonly string[]]>([
    ['continues a header on the next line', ['A: b', ' c']],
    ['tells the same length twice', ['Content-Length: 1', 'Content-Length: 1']],
    ['tells a length with a sign', ['Content-Length: +1']],
    ['tells a length beyond all numbers', [`Content-Length: ${'9'.repeat(20)}`]],
    ['tells an empty length', ['Content-Length:']],
    ['is encoded as nobody asked', ['Transfer-Encoding: gzip, chunked']],
    ['is encoded twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: chunked']],
    ['has a space before the colon', ['Content-Length : 1']],
    ['has a control character', ['A: \x01']],
    ['has more than two hundred headers', Array.from({ length: 201 }, (_, n) => `A${n}: b`)],
  ])('is refused that %s', (_name, lines) => {
    expect(() => parse(...lines)).toThrow(expect.objectContaining({ kind: 'broken' }));
  });

  it('of HTTP/1.0 is refused in chunks', () => {
    expect(() => parseHead('HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n', false)).toThrow(
      'not HTTP',
    );
  });
});
