/** The way of the bytes from the function into OSS: the parts, and the files that are stored by one put. */
import type { ErrorCode } from '../../../functions/core/errors.ts';
import { answerWith, encodeAnswer, type Trouble } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Random } from '../random.ts';
import { RDB, isOss, isPart, somePart } from '../requests.ts';
import {
  altered,
  answerOf,
  answerRaw,
  carryOutTwice,
  cutAnswer,
  flipRequest,
  flipped,
  loseAnswer,
  page,
  readSlowly,
  refuse,
  reply,
  reset,
  resetRequest,
  silence,
  stopReading,
  withHeaders,
  withholdAnswer,
} from '../troubles.ts';

const MIB = 1024 ** 2;
const ALWAYS = Infinity;

type Arrange = Fault['arrange'];

function survived(name: string, arrange: Arrange): Fault {
  return { leg: 'upload', name, ends: 'survived', arrange };
}

function harmless(name: string, arrange: Arrange): Fault {
  return { leg: 'upload', name, ends: 'harmless', arrange };
}

function loud(name: string, codes: readonly ErrorCode[], arrange: Arrange): Fault {
  return { leg: 'upload', name, ends: { loud: codes }, arrange };
}

/** One of the parts, once or several times in a row. */
function atSomePart(trouble: (random: Random) => Trouble, mostTimes = 1): Arrange {
  return (place) => {
    const { random, oss, expectTrouble } = place;
    const on = somePart(place);
    expectTrouble(oss.script({ on, times: random.between(1, mostTimes), trouble: trouble(random) }));
  };
}

function everyPart(trouble: (random: Random) => Trouble): Arrange {
  return ({ random, oss, expectTrouble }) =>
    expectTrouble(oss.script({ on: isOss('part'), times: ALWAYS, trouble: trouble(random) }));
}

/** A file that is stored by one put. */
function thePut(trouble: (random: Random) => Trouble, mostTimes = 1): Pick<Fault, 'arrange' | 'files'> {
  return {
    files: ({ small }) => [small],
    arrange: ({ random, oss, expectTrouble }) => {
      const times = mostTimes === ALWAYS ? ALWAYS : random.between(1, mostTimes);
      expectTrouble(oss.script({ on: isOss('put', RDB), times, trouble: trouble(random) }));
    },
  };
}

/** Offsets within the first MiB are within every part. */
const somewhere = (random: Random): number => random.between(0, MIB);

const CRC_HEADER = 'x-oss-hash-crc64ecma';

/** The refusal comes while the part is still on its way, and the connection ends with it. */
const refuseEarly: Trouble = async (exchange) => {
  await exchange.receive(64 * 1024);
  await answerWith(exchange, answerOf(503, '', { 'x-oss-request-id': 'WIRE', connection: 'close' }));
  exchange.hangUp();
  await exchange.gone;
};

const parts: readonly Fault[] = [
  survived(
    'a part is reset on its way',
    atSomePart((random) => resetRequest(somewhere(random)), 3),
  ),
  survived(
    'OSS stops reading a part',
    atSomePart((random) => stopReading(somewhere(random))),
  ),
  survived(
    'OSS reads a part slowly',
    atSomePart(() => readSlowly(100_000, 20, 40)),
  ),
  survived(
    'a part is never answered',
    atSomePart(() => silence),
  ),
  survived(
    'the connection of a part is reset before anything',
    atSomePart(() => reset, 3),
  ),
  survived('connections to OSS are reset as they open', ({ random, oss, expectTrouble }) =>
    expectTrouble(oss.refuse(random.between(1, 4))),
  ),
  survived(
    'the answer to a part is lost',
    atSomePart(() => loseAnswer, 2),
  ),
  survived(
    'the answer to a part never comes',
    atSomePart(() => withholdAnswer),
  ),
  survived(
    'the answer to a part is cut within its head',
    atSomePart((random) => cutAnswer(random.between(1, 150), random.pick(['reset', 'end'])), 2),
  ),
  survived(
    'a part is carried out twice',
    atSomePart(() => carryOutTwice),
  ),
  survived(
    'the answer to a part comes twice',
    atSomePart(() => async (exchange) => {
      const answer = encodeAnswer(await exchange.ask());
      await exchange.send(Buffer.concat([answer, answer]));
    }),
  ),
  survived(
    'a part is refused while it is on its way',
    atSomePart(() => refuseEarly, 2),
  ),
  survived('the endpoint of OSS is gone for a moment', ({ random, oss, expectTrouble }) => {
    const witness = { met: 0 };
    expectTrouble(witness);
    oss.script({
      on: isOss('part'),
      skip: random.between(0, 1),
      trouble: async () => {
        witness.met++;
        await oss.vanish(random.between(100, 400));
      },
    });
  }),
];

const spoiledParts: readonly Fault[] = [
  survived(
    'a byte of a part is altered on its way',
    atSomePart((random) => flipRequest(somewhere(random))),
  ),
  loud(
    'a byte of a part is altered each time',
    ['CHECKSUM_MISMATCH'],
    everyPart((random) => flipRequest(somewhere(random))),
  ),
  survived(
    'OSS tells another checksum for a part, once',
    atSomePart(() => altered((answer) => withHeaders(answer, { [CRC_HEADER]: '1' }))),
  ),
  // The list of the parts tells the right ones.
  harmless(
    'OSS tells another checksum for a part each time',
    everyPart(() => altered((answer) => withHeaders(answer, { [CRC_HEADER]: '1' }))),
  ),
  harmless(
    'OSS tells no checksum for any part',
    everyPart(() => altered((answer) => withHeaders(answer, { [CRC_HEADER]: '' }))),
  ),
  // What was written is never replaced: only another run can do better.
  loud(
    'a byte of a part is altered on its way, and OSS tells no checksum for parts',
    ['CHECKSUM_MISMATCH'],
    ({ random, oss, expectTrouble }) => {
      const silent = altered((answer) => withHeaders(answer, { [CRC_HEADER]: '' }));
      const at = somewhere(random);
      const spoiled: Trouble = async (exchange) => {
        const answer = await exchange.ask(flipped(await exchange.receive(), at));
        await answerWith(exchange, withHeaders(answer, { [CRC_HEADER]: '' }));
      };
      expectTrouble(
        oss.script({ on: isPart(random.between(1, 2)), trouble: spoiled }),
        oss.script({ on: isOss('part'), times: ALWAYS, trouble: silent }),
      );
    },
  ),
];

const refusedParts: readonly Fault[] = [
  survived(
    'OSS is unavailable for a part',
    atSomePart(() => refuse(503, 'ServiceUnavailable'), 4),
  ),
  survived(
    'OSS fails at a part',
    atSomePart(() => refuse(500, 'InternalError'), 4),
  ),
  survived(
    'OSS throttles and says for how long',
    atSomePart(() => refuse(503, 'UploadTrafficRateLimitExceeded', { 'x-oss-qos-delay-time': '1500' }), 3),
  ),
  survived('OSS throttles all parts at once', ({ random, oss, expectTrouble }) =>
    expectTrouble(
      oss.script({
        on: isOss('part'),
        times: random.between(3, 8),
        trouble: refuse(429, 'QpsLimitExceeded', { 'retry-after': '1' }),
      }),
    ),
  ),
  survived(
    'OSS found a part too slow',
    atSomePart(() => refuse(400, 'RequestTimeout'), 2),
  ),
  survived(
    'OSS found the body of a part incomplete',
    atSomePart(() => refuse(400, 'IncompleteBody'), 2),
  ),
  survived(
    'a gateway before OSS fails at a part',
    atSomePart(() => page(502), 3),
  ),
  survived(
    'a page says that a part is stored',
    atSomePart(() => page(200), 2),
  ),
  survived(
    'an answer to a part is not HTTP',
    atSomePart(() => answerRaw('220 mail.example ESMTP\r\n'), 2),
  ),
  survived(
    'the answer to a part is empty',
    atSomePart(() => reply(200, ''), 2),
  ),
  survived(
    'the upload is ended by somebody else',
    atSomePart(() => refuse(404, 'NoSuchUpload')),
  ),
  loud(
    'OSS is unavailable for every part',
    ['THROTTLED'],
    everyPart(() => refuse(503, 'ServiceUnavailable')),
  ),
  loud(
    'OSS fails at every part',
    ['UPLOAD_FAILED'],
    everyPart(() => refuse(500, 'InternalError')),
  ),
  loud(
    'no part may be written',
    ['PERMISSION_DENIED'],
    everyPart(() => refuse(403, 'AccessDenied')),
  ),
  loud(
    'every page says that a part is stored',
    ['SERVICE_ERROR', 'UPLOAD_FAILED'],
    everyPart(() => page(200)),
  ),
  loud(
    'no part is ever answered',
    ['UPLOAD_FAILED'],
    everyPart(() => silence),
  ),
];

const puts: readonly Fault[] = [
  {
    ...survived('a small file is reset on its way', () => undefined),
    ...thePut(() => resetRequest(20_000), 3),
  },
  { ...survived('the answer to a small file is lost', () => undefined), ...thePut(() => loseAnswer, 2) },
  {
    ...survived('the answer to a small file never comes', () => undefined),
    ...thePut(() => withholdAnswer),
  },
  {
    ...survived('a byte of a small file is altered on its way', () => undefined),
    ...thePut((random) => flipRequest(random.between(0, 50_000)), 2),
  },
  {
    ...survived('OSS is unavailable for a small file', () => undefined),
    ...thePut(() => refuse(503, 'ServiceUnavailable'), 4),
  },
  {
    ...survived('a page says that a small file is stored', () => undefined),
    ...thePut(() => page(200), 2),
  },
  {
    ...loud('a small file may not be written', ['PERMISSION_DENIED'], () => undefined),
    ...thePut(() => refuse(403, 'AccessDenied'), ALWAYS),
  },
];

export const uploadFaults: readonly Fault[] = [...parts, ...spoiledParts, ...refusedParts, ...puts];
