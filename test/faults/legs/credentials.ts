/** Sessions that end, keys that are refused. */
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import { answerWith, type Trouble, type WireRequest } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { isOss, somePart } from '../requests.ts';
import { refuse } from '../troubles.ts';

const ALWAYS = Infinity;
const run = async (place: Place): Promise<AsyncTask> => place.invokeOrchestrator();

/** The session with which the request is signed ends before the service looks at it. */
function endSession({ emulator }: Place): Trouble {
  return async (exchange) => {
    for (const id of accessKeysIn(exchange.request)) emulator.world.identity.expire(id);
    await answerWith(exchange, await exchange.ask());
  };
}

function accessKeysIn({ url, headers }: WireRequest): readonly string[] {
  const signed = `${decodeURIComponent(url)} ${headers['authorization'] ?? ''}`;
  return [...signed.matchAll(/STS\.[0-9a-zA-Z]+/g)].map(([id]) => id);
}

function refusedParts(code: string): Fault['arrange'] {
  return ({ oss, expectTrouble }) =>
    expectTrouble(oss.script({ on: isOss('part'), times: ALWAYS, trouble: refuse(403, code) }));
}

export const credentialsFaults: readonly Fault[] = [
  {
    leg: 'credentials',
    name: "the uploader's session ends in the middle of the file",
    ends: 'survived',
    arrange: (place) => {
      place.expectTrouble(place.oss.script({ on: somePart(place), trouble: endSession(place) }));
    },
    act: run,
  },
  {
    leg: 'credentials',
    name: "the uploader's session ends before the manifest is written",
    ends: 'survived',
    arrange: (place) =>
      place.expectTrouble(place.oss.script({ on: isOss('complete'), trouble: endSession(place) })),
    act: run,
  },
  {
    leg: 'credentials',
    name: 'the role of the other account cannot be taken on at first',
    ends: 'survived',
    files: ({ small }) => [small],
    setting: { isOtherAccount: true },
    arrange: ({ random, expectTrouble, emulator: { world } }) => {
      const { faults } = world;
      const fault = faults.add({
        service: 'sts',
        times: random.between(1, 3),
        effect: random.pick([{ kind: 'reset' }, { kind: 'error', status: 503, code: 'ServiceUnavailable' }]),
      });
      expectTrouble({
        get met() {
          return faults.list().find(({ id }) => id === fault)?.applied ?? 0;
        },
      });
    },
  },
  {
    leg: 'credentials',
    name: 'the keys do not exist',
    ends: { loud: ['PERMISSION_DENIED'] },
    arrange: refusedParts('InvalidAccessKeyId'),
  },
  {
    leg: 'credentials',
    name: 'the signature is not accepted',
    ends: { loud: ['PERMISSION_DENIED'] },
    arrange: refusedParts('SignatureDoesNotMatch'),
  },
  {
    leg: 'credentials',
    name: 'the token is refused each time',
    ends: { loud: ['PERMISSION_DENIED'] },
    arrange: refusedParts('SecurityTokenExpired'),
  },
];
