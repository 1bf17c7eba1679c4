/**
 * The processes themselves: killed at every step, out of memory, without a place to log to. Whole runs, because it is
 * the orchestrator that has to notice, and the next uploader that has to go on.
 */
import { writeFileSync } from 'node:fs';
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import type { Trouble, WireRequest } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { ORCHESTRATOR, UPLOADER } from '../site.ts';
import { MANIFEST, RDB, isCall, isOss, isReadingByte, somePart } from '../requests.ts';

const ALWAYS = Infinity;

const run = async (place: Place): Promise<AsyncTask> => place.invokeOrchestrator();

type When = 'before it is done' | 'when it is done';
type Side = 'oss' | 'download' | 'tair';

/** The process is gone at this request, and the request with it; or it is carried out, and nobody hears the answer. */
function killAt(
  { emulator, expectTrouble, ...place }: Place,
  side: Side,
  on: (request: WireRequest) => boolean,
  when: When,
  { name = UPLOADER, times = 1, skip = 0 }: { name?: string; times?: number; skip?: number } = {},
): void {
  const kills = { met: 0 };
  const trouble: Trouble = async (exchange) => {
    if (when === 'when it is done') await exchange.ask();
    kills.met += emulator.fc.killRunning(name);
    await exchange.gone;
  };
  expectTrouble(kills);
  place[side].script({ on, times, skip, trouble });
}

interface Step {
  readonly name: string;
  readonly side: Side;
  readonly on: (place: Place) => (request: WireRequest) => boolean;
  readonly whens: readonly [When, ...When[]];
}

const BOTH: readonly [When, When] = ['before it is done', 'when it is done'];
const BEFORE: readonly [When] = ['before it is done'];

/** In the order in which an uploader does them. */
const STEPS: readonly Step[] = [
  { name: 'its first sign of life', side: 'oss', on: () => isOss('put', /\/progress-/), whens: BOTH },
  { name: 'the list of URLs', side: 'tair', on: () => isUploadersList(), whens: BEFORE },
  { name: 'the beginning of the upload', side: 'oss', on: () => isOss('begin'), whens: BOTH },
  {
    name: 'a read',
    side: 'download',
    on: ({ random, files }) => isReadingByte(random.between(2, (files[0]?.bytes ?? 9) - 2)),
    whens: BEFORE,
  },
  { name: 'a part', side: 'oss', on: somePart, whens: BOTH },
  { name: 'the completion', side: 'oss', on: () => isOss('complete'), whens: BOTH },
  {
    name: 'the look at the stored file',
    side: 'oss',
    on: ({ random }) => lookAtFile(random.between(0, 1)),
    whens: BEFORE,
  },
  { name: 'the writing of the manifest', side: 'oss', on: () => isOss('put', MANIFEST), whens: BOTH },
  { name: 'the writing of its outcome', side: 'oss', on: () => isOss('put', /\/outcome-/), whens: BOTH },
];

/** The first list of a run is the orchestrator's. */
function isUploadersList(): (request: WireRequest) => boolean {
  let lists = 0;
  const isList = isCall('DescribeBackups');
  return (request) => isList(request) && ++lists > 1;
}

function lookAtFile(skip: number): (request: WireRequest) => boolean {
  let looks = 0;
  const isLook = isOss('head', RDB);
  return (request) => isLook(request) && ++looks > skip;
}

const kills: readonly Fault[] = STEPS.flatMap(({ name, side, on, whens }) =>
  whens.map((when): Fault => ({
    leg: 'process',
    name: `the uploader is killed at ${name}${whens.length === 1 ? '' : `, ${when}`}`,
    ends: 'survived',
    arrange: (place) => killAt(place, side, on(place), when),
    act: run,
  })),
);

/** Takes all memory that there is, and more, when the uploader sends this request. */
function starveAt(place: Place, on: (request: WireRequest) => boolean, times: number): void {
  place.expectTrouble(
    place.oss.script({
      on,
      times,
      trouble: async (exchange) => {
        writeFileSync(place.cue, '');
        await exchange.gone;
      },
    }),
  );
}

const repeated: readonly Fault[] = [
  {
    leg: 'process',
    name: 'two uploaders are killed one after the other',
    ends: 'survived',
    arrange: (place) => {
      const { random } = place;
      killAt(place, 'oss', somePart(place), random.pick(BOTH));
      killAt(place, 'oss', isOss('complete'), random.pick(BOTH));
    },
    act: run,
  },
  {
    leg: 'process',
    name: 'every uploader is killed',
    ends: { loud: ['INVOKE_FAILED'] },
    arrange: (place) => killAt(place, 'oss', somePart(place), 'before it is done', { times: ALWAYS }),
    act: run,
  },
  {
    leg: 'process',
    name: 'the uploader is killed, and the platform tries again by itself',
    ends: 'survived',
    setting: { platformTries: 1 },
    arrange: (place) => killAt(place, 'oss', somePart(place), place.random.pick(BOTH)),
    act: async (place) => place.invokeUploader(await place.request()),
  },
  {
    leg: 'process',
    name: 'the uploader runs out of memory, once',
    ends: 'survived',
    setting: { time: { HOG_MB: '512' } },
    arrange: (place) => starveAt(place, somePart(place), 1),
    act: run,
  },
  {
    leg: 'process',
    name: 'every uploader runs out of memory',
    ends: { loud: ['INVOKE_FAILED'] },
    setting: { time: { HOG_MB: '512' } },
    arrange: (place) => starveAt(place, somePart(place), ALWAYS),
    act: run,
  },
  {
    leg: 'process',
    name: 'the platform ends the uploader at its time-out',
    ends: 'survived',
    setting: { timeoutSeconds: 600 },
    arrange: (place) => {
      const trouble: Trouble = async (exchange) => {
        place.emulator.world.clock.advance(600_000);
        await exchange.gone;
      };
      place.expectTrouble(place.oss.script({ on: somePart(place), trouble }));
    },
    act: run,
  },
  {
    leg: 'process',
    name: 'no file can be written on the disk of the uploader',
    ends: 'harmless',
    setting: { time: { DISK: 'full' } },
    arrange: () => undefined,
  },
];

function orchestratorKilled(name: string, arrange: (place: Place) => void): Fault {
  return {
    leg: 'process',
    name: `the orchestrator is killed ${name}`,
    ends: 'survived',
    files: ({ medium }) => [medium],
    arrange,
    act: run,
  };
}

const itself = { name: ORCHESTRATOR };

const orchestrator: readonly Fault[] = [
  orchestratorKilled('before it orders a backup', (place) =>
    killAt(place, 'tair', isCall('CreateBackup'), 'before it is done', itself),
  ),
  orchestratorKilled('when it has ordered a backup', (place) =>
    killAt(place, 'tair', isCall('CreateBackup'), 'when it is done', itself),
  ),
  orchestratorKilled('while it looks for the finished backup', (place) =>
    killAt(place, 'tair', isCall('DescribeBackups'), place.random.pick(BOTH), itself),
  ),
  orchestratorKilled('while it notes that it invokes', (place) =>
    killAt(place, 'oss', isOss('put', /\/invoke-intended-/), place.random.pick(BOTH), itself),
  ),
  orchestratorKilled('while the uploader works', (place) =>
    killAt(place, 'oss', somePart(place), place.random.pick(BOTH), itself),
  ),
  orchestratorKilled('while it writes the summary', (place) =>
    killAt(place, 'oss', isOss('put', /\/summary/), place.random.pick(BOTH), itself),
  ),
];

export const processFaults: readonly Fault[] = [...kills, ...repeated, ...orchestrator];
