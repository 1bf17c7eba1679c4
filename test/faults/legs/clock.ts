/** Time: a clock that is wrong, one that is set while the uploader works, and a deadline in the middle of a file. */
import { writeFileSync } from 'node:fs';
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import { answerWith, type Trouble } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { isReading, somePart } from '../requests.ts';
import { silence, slowLink } from '../troubles.ts';

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

/** Half of the file's time on the link below, in the uploader's own time, and the room that it leaves at the end. */
const TIMEOUT_SECONDS = 90;

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
    setting: { timeoutSeconds: TIMEOUT_SECONDS },
    arrange: ({ download, expectTrouble }) =>
      expectTrouble(download.script({ on: isReading, times: Infinity, trouble: slowLink(250_000) })),
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
