/** More than one of us at once: events that are delivered twice, uploaders that come late, uploaders back from the dead. */
import type { AsyncTask } from '../../../emulator/fc/async-tasks.ts';
import { answerWith, type Trouble, type WireRequest } from '../../doubles/wire.ts';
import type { Fault } from '../fault.ts';
import type { Place } from '../place.ts';
import { ORCHESTRATOR, UPLOADER } from '../site.ts';
import { MANIFEST, RDB, isOss, somePart } from '../requests.ts';
import { loseAnswer } from '../troubles.ts';

const run = async (place: Place): Promise<AsyncTask> => place.invokeOrchestrator();

async function together(place: Place, uploaders: number): Promise<AsyncTask> {
  const request = await place.request();
  return worstOf(
    await Promise.all(Array.from({ length: uploaders }, async () => place.invokeUploader(request))),
  );
}

/** The first uploader is held at this request until another one has ended. */
function zombieAt(
  name: string,
  on: (place: Place) => (request: WireRequest) => boolean,
  when: 'before it is done' | 'when it is done',
): Fault {
  return {
    leg: 'duplicates',
    name: `an uploader is held at ${name}, and goes on when another one has ended`,
    ends: 'survived',
    arrange: () => undefined,
    act: async (place) => {
      const request = await place.request();
      let goOn = (): void => undefined;
      const otherHasEnded = new Promise<void>((resolve) => (goOn = resolve));
      const trouble: Trouble = async (exchange) => {
        const early = when === 'when it is done' ? await exchange.ask() : undefined;
        await otherHasEnded;
        await answerWith(exchange, early ?? (await exchange.ask()));
      };
      place.expectTrouble(place.oss.script({ on: on(place), trouble }));
      const tasks = [place.invokeUploader(request), place.invokeUploader({ ...request, attempt: 2 })];
      while (place.emulator.fc.invocations(UPLOADER).length === 0) await nextTurn();
      goOn();
      return worstOf(await Promise.all(tasks));
    },
  };
}

/** All of them have to report the backup; one that does not is what counts. */
function worstOf(tasks: readonly AsyncTask[]): AsyncTask {
  const worst = tasks.find(({ status }) => status !== 'Succeeded') ?? tasks[0];
  if (worst === undefined) throw new Error('no uploader was invoked');
  return worst;
}

async function nextTurn(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 10));
}

function losing(action: 'begin' | 'complete' | 'part', times: number): Fault['arrange'] {
  return ({ oss, expectTrouble }) =>
    expectTrouble(oss.script({ on: isOss(action), times, trouble: loseAnswer }));
}

export const duplicateFaults: readonly Fault[] = [
  {
    leg: 'duplicates',
    name: 'two uploaders work on one backup',
    ends: 'survived',
    arrange: () => undefined,
    act: async (place) => together(place, 2),
  },
  {
    leg: 'duplicates',
    name: 'three uploaders work on one backup',
    ends: 'survived',
    arrange: () => undefined,
    act: async (place) => together(place, 3),
  },
  {
    leg: 'duplicates',
    name: 'two uploaders work on one backup, and answers to its beginnings are lost',
    ends: 'survived',
    arrange: losing('begin', 2),
    act: async (place) => together(place, 2),
  },
  {
    leg: 'duplicates',
    name: 'two uploaders work on one backup, and answers to its completions are lost',
    ends: 'survived',
    arrange: losing('complete', 2),
    act: async (place) => together(place, 2),
  },
  {
    leg: 'duplicates',
    name: 'two uploaders store one small file',
    ends: 'survived',
    files: ({ small }) => [small],
    arrange: () => undefined,
    act: async (place) => together(place, 2),
  },
  {
    leg: 'duplicates',
    name: 'an uploader comes when the manifest is written',
    ends: 'survived',
    arrange: () => undefined,
    act: async (place) => {
      await place.invokeUploader(await place.request());
      return place.invokeUploader(await place.request(2));
    },
  },
  {
    leg: 'duplicates',
    name: "the uploader's event is delivered twice at once",
    ends: 'survived',
    arrange: ({ emulator }) => emulator.fc.duplicateNext(UPLOADER, 'during'),
    act: run,
  },
  {
    leg: 'duplicates',
    name: "the uploader's event is delivered again when it is done",
    ends: 'survived',
    arrange: ({ emulator }) => emulator.fc.duplicateNext(UPLOADER, 'after'),
    act: run,
  },
  {
    leg: 'duplicates',
    name: "the timer's event is delivered twice at once",
    ends: 'survived',
    arrange: ({ emulator }) => emulator.fc.duplicateNext(ORCHESTRATOR, 'during'),
    act: run,
  },
  {
    leg: 'duplicates',
    name: "the timer's event is delivered again when the run is done",
    ends: 'survived',
    arrange: ({ emulator }) => emulator.fc.duplicateNext(ORCHESTRATOR, 'after'),
    act: run,
  },
  zombieAt('a part', somePart, 'before it is done'),
  zombieAt('the completion', () => isOss('complete'), 'before it is done'),
  zombieAt('the answer to the completion', () => isOss('complete'), 'when it is done'),
  zombieAt('the look for the object', () => isOss('head', RDB), 'when it is done'),
  zombieAt('the writing of the manifest', () => isOss('put', MANIFEST), 'before it is done'),
];
