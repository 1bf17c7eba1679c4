/** Time: a clock that is wrong, one that is set while the uploader works, and a deadline in the middle of a file. */
import { writeFileSync } from 'node:fs';
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import { answerWith, type Trouble } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { PART_BYTES, isReading, rangeOf, somePart } from '../requests.ts';
import { UPLOADER } from '../site.ts';
import { drip, silence } from '../troubles.ts';

const MINUTE_MS = 60_000;

/** A clock that is wrong from the beginning. OSS and r-kvstore take requests within a quarter of an hour. */
function skewed(minutes: number, ends: Fault['ends']): Fault {
  const way = minutes > 0 ? 'fast' : 'slow';
  return {
    leg: 'clock',
    name: `the clock of the uploader is ${Math.abs(minutes)} minutes ${way}`,
    ends,
    files: ({ medium }) => [medium],
    setting: { time: { SKEW_MS: String(minutes * MINUTE_MS) } },
    arrange: () => undefined,
  };
}

/** A clock that is set in the middle of the file. */
function jumping(minutes: number, ends: Fault['ends']): Fault {
  const way = minutes > 0 ? 'forward' : 'back';
  return {
    leg: 'clock',
    name: `the clock of the uploader is set ${way} by ${Math.abs(minutes)} minutes while it works`,
    ends,
    setting: { time: { JUMP_MS: String(minutes * MINUTE_MS) } },
    arrange: (place) => {
      const trouble: Trouble = async (exchange) => {
        writeFileSync(place.cue, '');
        await answerWith(exchange, await exchange.ask());
      };
      place.expectTrouble(place.oss.script({ on: somePart(place), trouble }));
    },
  };
}

/** Each uploader gets one part more than the one before it; the rest comes too slowly for the time that it has. */
function onePartEach({ download, emulator, expectTrouble }: Place): void {
  const before = emulator.fc.invocations(UPLOADER).length;
  const trouble: Trouble = async (exchange) => {
    const uploaders = emulator.fc.invocations(UPLOADER).length - before + 1;
    const { start = 0 } = rangeOf(exchange.request) ?? {};
    const isSoon = start < uploaders * PART_BYTES;
    await (isSoon ? drip(0, 0, 0) : drip(1_000, 100, 10_000))(exchange);
  };
  expectTrouble(download.script({ on: isReading, times: Infinity, trouble }));
}

const run = async (place: Place): Promise<AsyncTask> => place.invokeOrchestrator();

export const clockFaults: readonly Fault[] = [
  skewed(10, 'harmless'),
  skewed(-10, 'harmless'),
  skewed(20, { loud: ['SERVICE_ERROR'] }),
  skewed(-20, { loud: ['SERVICE_ERROR'] }),
  jumping(8, 'survived'),
  jumping(60, { loud: ['UPLOAD_FAILED', 'SERVICE_ERROR'] }),
  jumping(-60, { loud: ['UPLOAD_FAILED', 'SERVICE_ERROR'] }),
  {
    leg: 'clock',
    name: 'the deadline comes in the middle of the file',
    ends: 'survived',
    // Half of it is the room that an uploader leaves before the end.
    setting: { timeoutSeconds: 100 },
    arrange: onePartEach,
    act: run,
  },
  {
    leg: 'clock',
    name: 'nothing moves until the deadline',
    ends: { loud: ['DEADLINE_NEAR'] },
    setting: { timeoutSeconds: 50 },
    arrange: ({ download, expectTrouble }) =>
      expectTrouble(download.script({ on: isReading, times: Infinity, trouble: silence })),
    act: run,
  },
];
