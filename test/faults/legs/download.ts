/** The way of the bytes from the source to the function. */
import { setTimeout as sleepFor } from 'node:timers/promises';
import type { ErrorCode } from '../../../functions/core/errors.ts';
import { answerWith, encodeAnswer, encodeHead, type Trouble, type WireAnswer } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import { isReading, isReadingByte, rangeOf } from '../requests.ts';
import {
  PAGE,
  altered,
  answerOf,
  answerRaw,
  cutAnswer,
  cutBody,
  drip,
  flipped,
  page,
  refuse,
  reply,
  reset,
  silence,
  stallBody,
  withHeaders,
} from '../troubles.ts';

const MIB = 1024 ** 2;
const ALWAYS = Infinity;

type Arrange = Fault['arrange'];
type Rest = Pick<Fault, 'files' | 'setting'>;

function survived(name: string, arrange: Arrange, rest: Rest = {}): Fault {
  return { leg: 'download', name, ends: 'survived', arrange, ...rest };
}

function harmless(name: string, arrange: Arrange): Fault {
  return { leg: 'download', name, ends: 'harmless', arrange };
}

function loud(name: string, codes: readonly ErrorCode[], arrange: Arrange, rest: Rest = {}): Fault {
  return { leg: 'download', name, ends: { loud: codes }, arrange, ...rest };
}

/** Whoever reads a certain byte of the file meets the trouble, told where that byte is in the answer's body. */
function atSomeByte(trouble: (offset: number) => Trouble, mostTimes = 1): Arrange {
  return ({ random, download, files, expectTrouble }) => {
    const at = random.between(2, (files[0]?.bytes ?? 0) - 2);
    const witness = download.script({
      on: isReadingByte(at),
      times: random.between(1, mostTimes),
      trouble: async (exchange) => trouble(at - (rangeOf(exchange.request)?.start ?? 0))(exchange),
    });
    expectTrouble(witness);
  };
}

/** Some read of more than the first byte, wherever it is. */
function someRead(trouble: Trouble, mostTimes = 1): Arrange {
  return atSomeByte(() => trouble, mostTimes);
}

function everyRead(trouble: Trouble): Arrange {
  return ({ download, expectTrouble }) =>
    expectTrouble(download.script({ on: isReading, times: ALWAYS, trouble }));
}

/** The first byte's, by which the file is known, as well. */
function everyRequest(trouble: Trouble): Arrange {
  return ({ download, expectTrouble }) =>
    expectTrouble(download.script({ on: () => true, times: ALWAYS, trouble }));
}

function withoutSourceChecksum(arrange: Arrange): Arrange {
  return (place) => {
    place.emulator.tair.options.sendsCrc64 = false;
    return arrange(place);
  };
}

const nothingIsArranged: Arrange = () => undefined;

/** Another range than the one that was asked for, in the answer's words. */
function saysOtherRange(answer: WireAnswer): WireAnswer {
  const range = answer.headers.find(([name]) => name === 'content-range')?.[1] ?? '';
  const moved = range.replace(/(\d+)-(\d+)/, (_, first, last) => `${Number(first) + 1}-${Number(last) + 1}`);
  return withHeaders(answer, { 'content-range': moved });
}

function inChunks(answer: WireAnswer): Buffer {
  const head = withHeaders(answer, { 'content-length': '', 'transfer-encoding': 'chunked' });
  const chunks: Buffer[] = [];
  for (let at = 0; at < answer.body.length; at += 100_000) {
    const chunk = answer.body.subarray(at, at + 100_000);
    chunks.push(Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n'));
  }
  return Buffer.concat([encodeHead(head), ...chunks, Buffer.from('0\r\n\r\n')]);
}

const cuts: readonly Fault[] = [
  survived(
    'a download is reset in the middle',
    atSomeByte((offset) => cutBody(offset, 'reset')),
  ),
  survived(
    'a download ends in order before its length',
    atSomeByte((offset) => cutBody(offset, 'end')),
  ),
  survived('a download is cut within its head', ({ random, download, files, expectTrouble }) => {
    const trouble = cutAnswer(random.between(1, 200), random.pick(['reset', 'end']));
    const at = random.between(2, (files[0]?.bytes ?? 0) - 2);
    expectTrouble(download.script({ on: isReadingByte(at), trouble }));
  }),
  survived('the answer to the first byte is cut', ({ random, download, expectTrouble }) =>
    expectTrouble(download.script({ on: () => true, trouble: cutAnswer(random.between(0, 300), 'reset') })),
  ),
  survived(
    'a download is reset several times at the same byte',
    atSomeByte((offset) => cutBody(offset, 'reset'), 4),
  ),
  harmless('no connection brings more than two MiB', everyRead(cutBody(2 * MIB, 'reset'))),
  survived('a connection is reset as it opens', ({ random, download, expectTrouble }) =>
    expectTrouble(download.refuse(random.between(1, 4))),
  ),
  survived('the download host is gone for a moment', ({ random, download, expectTrouble }) => {
    const witness = { met: 0 };
    expectTrouble(witness);
    download.script({
      on: isReading,
      skip: random.between(0, 2),
      trouble: async () => {
        witness.met++;
        await download.vanish(random.between(100, 400));
      },
    });
  }),
  survived('the names of all hosts cannot be looked up at first', nothingIsArranged, {
    setting: { time: { NAMELESS: '3' } },
  }),
  loud('no connection is ever answered', ['SOURCE_UNAVAILABLE'], everyRequest(reset)),
];

const silences: readonly Fault[] = [
  survived('a download falls silent in the middle', atSomeByte(stallBody)),
  survived('a download is never answered', someRead(silence)),
  survived('a download drips and then flows', someRead(drip(40_000, 15, 40))),
  survived('an answer comes byte by byte to the end of its head', someRead(drip(1, 1, 400))),
  survived('all downloads fall silent at once, one time', ({ random, download, expectTrouble }) => {
    const trouble = stallBody(random.between(0, MIB));
    expectTrouble(download.script({ on: isReading, times: 4, trouble }));
  }),
];

const lengths: readonly Fault[] = [
  survived(
    'an answer is short, and says so',
    atSomeByte((offset) =>
      altered((answer) => ({
        ...withHeaders(answer, { 'content-length': String(offset) }),
        body: answer.body.subarray(0, offset),
      })),
    ),
  ),
  survived(
    'an answer promises more bytes than the range has',
    someRead(async (exchange) => {
      const answer = await exchange.ask();
      await exchange.send(
        encodeAnswer(withHeaders(answer, { 'content-length': String(answer.body.length + 100) })),
      );
      exchange.hangUp();
    }),
  ),
  survived(
    'an answer brings more bytes than it promises',
    someRead(async (exchange) => {
      await exchange.send(Buffer.concat([encodeAnswer(await exchange.ask()), Buffer.from('left over')]));
      await sleepFor(50);
    }, 2),
  ),
  survived(
    'an answer comes twice',
    someRead(async (exchange) => {
      const bytes = encodeAnswer(await exchange.ask());
      await exchange.send(bytes);
      await exchange.send(bytes);
    }, 2),
  ),
  survived(
    'an answer without a length ends with its connection',
    someRead(async (exchange) => {
      const answer = withHeaders(await exchange.ask(), { 'content-length': '', connection: 'close' });
      await answerWith(exchange, answer);
      exchange.hangUp();
    }),
  ),
  survived(
    'an answer without a length ends early with its connection',
    atSomeByte((offset) => async (exchange) => {
      const answer = withHeaders(await exchange.ask(), { 'content-length': '', connection: 'close' });
      await exchange.send(Buffer.concat([encodeHead(answer), answer.body.subarray(0, offset)]));
      exchange.hangUp();
    }),
  ),
  survived(
    'an answer comes in chunks',
    someRead(async (exchange) => exchange.send(inChunks(await exchange.ask()))),
  ),
  survived(
    'an answer in chunks is cut',
    atSomeByte((offset) => async (exchange) => {
      await exchange.send(inChunks(await exchange.ask()).subarray(0, 300 + offset));
      exchange.hangUp();
    }),
  ),
  survived(
    'an answer begins with an interim one',
    someRead(async (exchange) => {
      const answer = encodeAnswer(await exchange.ask());
      await exchange.send('HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n');
      await exchange.send(answer);
    }),
  ),
];

const otherAnswers: readonly Fault[] = [
  survived('an answer is of another range', someRead(altered(saysOtherRange))),
  loud('every answer is of another range', ['SOURCE_INVALID'], everyRead(altered(saysOtherRange))),
  survived(
    'an answer says its range and brings other bytes of the file',
    someRead(
      altered((answer) => ({ ...answer, body: Buffer.concat([answer.body.subarray(1), Buffer.from([0])]) })),
    ),
  ),
  survived(
    'a range is answered with the whole file and status 200',
    someRead(altered((answer) => ({ ...withHeaders(answer, { 'content-range': '' }), status: 200 }))),
  ),
  loud(
    'ranges are never honoured',
    ['SOURCE_INVALID'],
    everyRequest(altered((answer) => ({ ...withHeaders(answer, { 'content-range': '' }), status: 200 }))),
  ),
  survived(
    'an answer does not say which range it is',
    someRead(altered((answer) => withHeaders(answer, { 'content-range': '' }))),
  ),
  survived('a page comes in the place of a range', someRead(page(200), 2)),
  survived(
    'a page comes as a range of the file',
    someRead(async (exchange) => {
      const { start = 0, end = 1 } = rangeOf(exchange.request) ?? {};
      const body = Buffer.alloc(end - start, PAGE);
      const headers = {
        'content-type': 'text/html',
        'content-range': `bytes ${start}-${end - 1}/20000000`,
      };
      await answerWith(exchange, answerOf(206, body, headers));
    }),
  ),
  loud('a page comes in the place of the file', ['SOURCE_INVALID'], everyRequest(page(200))),
  survived(
    'an answer leads to another address',
    someRead(reply(302, '', { location: 'http://127.0.0.1:9/login' })),
  ),
  loud(
    'every answer leads to another address',
    ['SOURCE_INVALID'],
    everyRequest(reply(302, '', { location: 'http://127.0.0.1:9/login' })),
  ),
  survived(
    'an answer is compressed on its way',
    someRead(altered((answer) => withHeaders(answer, { 'content-encoding': 'gzip' }))),
  ),
  survived('an answer is not HTTP', someRead(answerRaw(Buffer.alloc(4000, 0xf7)), 2)),
  survived(
    'the head of an answer does not end',
    someRead(async (exchange) => {
      await exchange.send('HTTP/1.1 206 Partial Content\r\n');
      for (let line = 0; line < 5000; line++) await exchange.send(`x-${line}: ${'y'.repeat(100)}\r\n`);
      exchange.hangUp();
    }),
  ),
];

const refusals: readonly Fault[] = [
  survived(
    'the URL is refused as expired',
    someRead(refuse(403, 'AccessDenied', {}, 'Request has expired.')),
  ),
  loud('every URL is refused', ['URL_EXPIRED'], everyRequest(refuse(403, 'AccessDenied'))),
  survived('all URLs expire in the middle of the file', ({ random, emulator, download, expectTrouble }) => {
    const trouble: Trouble = async (exchange) => {
      emulator.world.clock.advance(4 * 3_600_000);
      await answerWith(exchange, await exchange.ask());
    };
    expectTrouble(download.script({ on: isReading, skip: random.between(0, 2), trouble }));
  }),
  loud('the file is not there', ['SOURCE_INVALID'], everyRequest(refuse(404, 'NoSuchKey'))),
  survived('the download host fails', someRead(refuse(500, 'InternalError'), 4)),
  survived('a gateway before the download host fails', someRead(page(502), 4)),
  loud('the download host fails always', ['SOURCE_UNAVAILABLE'], everyRead(refuse(500, 'InternalError'))),
  survived(
    'the download host throttles and says for how long',
    someRead(refuse(503, 'SlowDown', { 'retry-after': '1' }), 3),
  ),
  survived('the download host throttles', someRead(refuse(429, 'TooManyRequests'), 3)),
  loud(
    'the file ends before a range',
    ['SOURCE_CHANGED', 'SOURCE_TRUNCATED'],
    someRead(refuse(416, 'InvalidRange'), 1),
  ),
];

const spoiledBytes: readonly Fault[] = [
  survived(
    'a byte is altered on its way, once',
    atSomeByte((offset) => altered((answer) => ({ ...answer, body: flipped(answer.body, offset) }))),
  ),
  survived(
    'a byte is altered on its way, once, and the source tells no checksum',
    withoutSourceChecksum(
      atSomeByte((offset) => altered((answer) => ({ ...answer, body: flipped(answer.body, offset) }))),
    ),
  ),
  loud(
    'the same byte is altered each time',
    ['CHECKSUM_MISMATCH'],
    everyRead(altered((answer) => ({ ...answer, body: flipped(answer.body, 4_000_000) }))),
  ),
  loud(
    'the same byte is altered each time, and the source tells no checksum',
    ['RDB_CORRUPT'],
    withoutSourceChecksum(
      everyRead(altered((answer) => ({ ...answer, body: flipped(answer.body, 4_000_000) }))),
    ),
  ),
  loud(
    'the source tells the checksum of another file',
    ['CHECKSUM_MISMATCH'],
    everyRequest(altered((answer) => withHeaders(answer, { 'x-oss-hash-crc64ecma': '1234567890' }))),
  ),
];

const changes: readonly Fault[] = [
  loud(
    'the file is replaced while it is read, and its tag says so',
    ['SOURCE_CHANGED'],
    someRead(
      altered((answer) => withHeaders(answer, { etag: '"ANOTHER"' })),
      1,
    ),
  ),
  loud(
    'the file grows while it is read',
    ['SOURCE_CHANGED'],
    someRead(
      altered((answer) => {
        const range = answer.headers.find(([name]) => name === 'content-range')?.[1] ?? '';
        return withHeaders(answer, {
          'content-range': range.replace(/\d+$/, (total) => `${Number(total) + 1}`),
        });
      }),
      1,
    ),
  ),
  loud('the file is cut at its source', ['RDB_TRUNCATED'], nothingIsArranged, { files: ({ cut }) => [cut] }),
  loud('the file is damaged at its source', ['RDB_CORRUPT'], nothingIsArranged, {
    files: ({ corrupt }) => [corrupt],
  }),
  loud('the file is empty at its source', ['SOURCE_TRUNCATED'], nothingIsArranged, {
    files: ({ empty }) => [empty],
  }),
  loud('the file is a page at its source', ['RDB_CORRUPT'], nothingIsArranged, {
    files: ({ page }) => [page],
  }),
  loud('the file is of a kind that cannot be read', ['RDB_UNSUPPORTED'], nothingIsArranged, {
    files: ({ unsupported }) => [unsupported],
  }),
  loud('one of three files is damaged at its source', ['RDB_CORRUPT'], nothingIsArranged, {
    files: ({ small, corrupt, otherSmall }) => [small, corrupt, otherSmall],
  }),
  loud('one of three files is cut at its source', ['RDB_TRUNCATED'], nothingIsArranged, {
    files: ({ small, cut, otherSmall }) => [cut, small, otherSmall],
  }),
];

export const downloadFaults: readonly Fault[] = [
  ...cuts,
  ...silences,
  ...lengths,
  ...otherAnswers,
  ...refusals,
  ...spoiledBytes,
  ...changes,
];
