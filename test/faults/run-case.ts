/** One fault with one seed, from an untouched cloud to the verdict. */
import type { AsyncTask } from '../../emulator/fc/async-tasks.ts';
import type { Fault } from './fault.ts';
import { judge, type Verdict } from './judge.ts';
import type { SourceFiles } from './kit.ts';
import { openPlace, type Place } from './place.ts';
import { createRandom } from './random.ts';
import { PART_BYTES } from './requests.ts';
import type { Site } from './site.ts';

export interface CaseResult {
  readonly fault: Fault;
  readonly seed: number;
  readonly verdict: Verdict;
  /** Why the case does not count as passed; undefined when it does. */
  readonly objection?: string;
  /** Parts that OSS received more often than once. */
  readonly partsSentAgain: number;
  /** What the functions wrote to their logs. */
  readonly log: string;
}

/** What has ended neither well nor badly by then is silent. The product's own limits, hurried, are well below. */
const CASE_LIMIT_MS = 100_000;

/** Never rejects for what the product does; rejects when the case itself could not be staged. */
export async function runCase(
  fault: Fault,
  seed: number,
  site: Site,
  files: SourceFiles,
): Promise<CaseResult> {
  const random = createRandom(`${fault.name} ${seed}`);
  const place = await openPlace(site, files, fault.files?.(files) ?? [files.large], random);
  try {
    await fault.arrange(place);
    const task = await withinLimit((fault.act ?? uploadOnce)(place));
    const verdict = await judge(place, task);
    const objection = objectionTo(fault, verdict, place);
    return {
      fault,
      seed,
      verdict,
      ...(objection === undefined ? {} : { objection }),
      partsSentAgain: countPartsSentAgain(place),
      log: place.logs(),
    };
  } finally {
    await place.leave();
  }
}

async function uploadOnce(place: Place): Promise<AsyncTask> {
  return place.invokeUploader(await place.request());
}

async function withinLimit(task: Promise<AsyncTask>): Promise<AsyncTask | undefined> {
  let limit: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    limit = setTimeout(() => resolve(undefined), CASE_LIMIT_MS);
  });
  try {
    return await Promise.race([task, late]);
  } finally {
    clearTimeout(limit);
    // When the limit came first, nobody waits for what the place's end makes of it.
    task.catch(() => undefined);
  }
}

function objectionTo(
  { ends, mostPartsAgain = Infinity }: Fault,
  verdict: Verdict,
  place: Place,
): string | undefined {
  if (verdict.kind === 'false') return verdict.why;
  const untroubled = place.untroubled();
  if (untroubled > 0) return `${untroubled} of its troubles did not come about`;
  const again = countPartsSentAgain(place);
  if (again > mostPartsAgain) return `${again} parts were sent again`;
  if (typeof ends === 'string')
    return verdict.kind === 'survived' ? undefined : `not survived: ${verdict.code} (${verdict.message})`;
  if (verdict.kind === 'survived')
    return `a backup came of it, and it should end in ${ends.loud.join(' or ')}`;
  return ends.loud.some((code) => code === verdict.code)
    ? undefined
    : `${verdict.code} (${verdict.message}) in the place of ${ends.loud.join(' or ')}`;
}

function countPartsSentAgain({ emulator, files, instance }: Place): number {
  const received = emulator.world.journal
    .entries({ service: 'oss', action: 'UploadPart' })
    .filter(({ status, target }) => status === 200 && target.includes(`/Backup_${instance}/`));
  const needed = files.reduce(
    (sum, { bytes }) => sum + (bytes > PART_BYTES ? Math.ceil(bytes / PART_BYTES) : 0),
    0,
  );
  return Math.max(0, received.length - needed);
}
