/** The calls of OSS that carry no file: each of them, with each of the things that can happen to a call. */
import { answerWith, type WireRequest } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import { MANIFEST, RDB, isOss } from '../requests.ts';
import { loseAnswer, page, refuse, reply, reset, silence, withholdAnswer, type Mishap } from '../troubles.ts';

const ALWAYS = Infinity;

interface Call {
  /** As in "… is reset". */
  readonly name: string;
  /** Only large files are begun and completed. */
  readonly of: 'small' | 'medium';
  readonly on: (request: WireRequest) => boolean;
  /** What it ends in when the role may not make the call. */
  readonly denied: Fault['ends'];
}

const DENIED: Fault['ends'] = { loud: ['PERMISSION_DENIED'] };

const CALLS: readonly Call[] = [
  { name: 'the look for a manifest', of: 'small', on: isOss('get', MANIFEST), denied: DENIED },
  { name: 'the look for the object', of: 'small', on: isOss('head', RDB), denied: DENIED },
  { name: 'the beginning of an upload', of: 'medium', on: isOss('begin'), denied: DENIED },
  { name: 'the completion', of: 'medium', on: isOss('complete'), denied: DENIED },
  // Sweeping is a courtesy: the file is stored, whatever becomes of it.
  { name: 'the list of unfinished uploads', of: 'medium', on: isOss('list-uploads'), denied: 'harmless' },
  {
    name: 'the look for the manifest before it is written',
    of: 'small',
    on: isOss('head', MANIFEST),
    denied: DENIED,
  },
  { name: 'the writing of the manifest', of: 'small', on: isOss('put', MANIFEST), denied: DENIED },
];

const MISHAPS: readonly Mishap[] = [
  { name: 'is reset', trouble: () => reset, mostTimes: 3 },
  { name: 'is never answered', trouble: () => silence, mostTimes: 1 },
  { name: 'is done, and its answer is lost', trouble: () => loseAnswer, mostTimes: 2 },
  { name: 'is done, and its answer never comes', trouble: () => withholdAnswer, mostTimes: 1 },
  {
    name: 'meets an OSS in trouble',
    trouble: (random) => refuse(random.pick([500, 503]), 'InternalError'),
    mostTimes: 4,
  },
  {
    name: 'is answered with nonsense',
    trouble: (random) => random.pick([page(200), page(502), reply(200, ''), reply(200, '{"ok":true}')]),
    mostTimes: 2,
  },
];

const transient: readonly Fault[] = CALLS.flatMap(({ name, of, on }) =>
  MISHAPS.map((mishap): Fault => ({
    leg: 'control',
    name: `${name} ${mishap.name}`,
    ends: 'survived',
    files: (files) => [files[of]],
    arrange: ({ random, oss, expectTrouble }) => {
      const times = random.between(1, mishap.mostTimes);
      expectTrouble(oss.script({ on, times, trouble: mishap.trouble(random) }));
    },
  })),
);

const denied: readonly Fault[] = CALLS.map(({ name, of, on, denied: ends }) => ({
  leg: 'control',
  name: `${name} is denied`,
  ends,
  files: (files) => [files[of]],
  arrange: ({ oss, expectTrouble }) =>
    expectTrouble(oss.script({ on, times: ALWAYS, trouble: refuse(403, 'AccessDenied') })),
}));

const { signal } = new AbortController();

const others: readonly Fault[] = [
  {
    leg: 'control',
    name: 'another object is under the key already',
    ends: { loud: ['DESTINATION_CONFLICT'] },
    files: ({ medium }) => [medium],
    arrange: async ({ bucket, keyOf }) => {
      await bucket.create(await keyOf(), Buffer.from('other'), 'application/octet-stream', signal);
    },
  },
  {
    leg: 'control',
    name: 'another object appears under the key before the completion',
    ends: { loud: ['DESTINATION_CONFLICT'] },
    files: ({ medium }) => [medium],
    arrange: ({ bucket, keyOf, oss, expectTrouble }) =>
      expectTrouble(
        oss.script({
          on: isOss('complete'),
          trouble: async (exchange) => {
            await bucket.create(await keyOf(), Buffer.from('other'), 'application/octet-stream', signal);
            await answerWith(exchange, await exchange.ask());
          },
        }),
      ),
  },
  {
    leg: 'control',
    name: 'the bucket does not exist',
    ends: { loud: ['NO_SUCH_BUCKET'] },
    files: ({ small }) => [small],
    arrange: ({ oss, expectTrouble }) =>
      expectTrouble(oss.script({ on: () => true, times: ALWAYS, trouble: refuse(404, 'NoSuchBucket') })),
  },
  {
    leg: 'control',
    name: 'OSS answers nothing at all, ever',
    ends: { loud: ['SERVICE_ERROR'] },
    files: ({ small }) => [small],
    arrange: ({ oss, expectTrouble }) =>
      expectTrouble(oss.script({ on: () => true, times: ALWAYS, trouble: silence })),
  },
  {
    leg: 'control',
    name: 'the download fails for good, and ending the upload fails as well',
    ends: { loud: ['SOURCE_INVALID'] },
    arrange: ({ random, oss, download, expectTrouble }) =>
      expectTrouble(
        download.script({
          on: ({ headers }) => Number(headers['range']?.split('-')[1]) > 10_000_000,
          times: ALWAYS,
          trouble: refuse(404, 'NoSuchKey'),
        }),
        oss.script({
          on: isOss('abort'),
          times: ALWAYS,
          trouble: random.pick([reset, refuse(503, 'ServiceUnavailable'), refuse(403, 'AccessDenied')]),
        }),
      ),
  },
];

export const controlFaults: readonly Fault[] = [...transient, ...denied, ...others];
