/** Waits for what a run that somebody else orchestrates leaves in the bucket, through as many hand-overs as it takes. */
import type { Clock } from '../functions/core/clock.ts';
import { BackupError } from '../functions/core/errors.ts';
import type { InvocationState } from '../functions/core/invoker.ts';
import { runFolder, summaryKey } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { DEAD_AFTER_MS } from '../functions/orchestrator/life-signs.ts';
import type { Summary } from '../functions/orchestrator/summary.ts';

export interface AwaitedRun {
  readonly runId: string;
  readonly prefix: string;
  readonly store: ObjectStore;
  /** Summaries that were there before: of earlier rounds. */
  readonly known: number;
  /** Of the invocation that was asked for; those that follow it are known by their signs of life only. */
  readonly state: () => Promise<InvocationState>;
  readonly clock: Clock;
}

const POLL_MS = 2_000;
/** An invocation that has ended may have written its summary a moment ago. */
const GRACE_MS = 10_000;
/** Between two looks for signs of life, of which there is one every five minutes. */
const SIGNS_EVERY_MS = 30_000;

/**
 * The next summary of the run.
 * @throws BackupError `INVOKE_FAILED` when the function ended without one and handed nothing over, or when nobody has
 * given a sign of life for as long as makes a run dead: not every platform tells that a function has ended
 */
export async function awaitSummary(run: AwaitedRun, signal: AbortSignal): Promise<Summary> {
  const { runId, prefix, store, known, state, clock } = run;
  let heardAtMs = clock.now();
  let endedAtMs: number | undefined;
  let signs = 0;
  let lookAtMs = 0;
  for (;;) {
    const found = await summaryKeys(store, prefix, runId, signal);
    if (found.length > known) return readSummary(store, found, signal);
    const is = endedAtMs === undefined ? await state() : 'ended';
    if (is === 'alive') heardAtMs = clock.now();
    if (is === 'ended') endedAtMs ??= clock.now();
    if (clock.now() >= lookAtMs) {
      lookAtMs = clock.now() + SIGNS_EVERY_MS;
      const count = await countOf(store, `${runFolder(prefix, runId)}alive-`, signal);
      if (count > signs) [signs, heardAtMs] = [count, clock.now()];
    }
    if (clock.now() - heardAtMs >= DEAD_AFTER_MS)
      throw nobodyThere(runId, `there was no sign of life of it for ${DEAD_AFTER_MS / 60_000} min`);
    if (endedAtMs !== undefined && clock.now() - endedAtMs > GRACE_MS) {
      const handOvers = await countOf(store, `${runFolder(prefix, runId)}handover-`, signal);
      if (handOvers === 0) throw nobodyThere(runId, 'the function ended without a summary');
    }
    await clock.sleep(POLL_MS, signal);
  }
}

function nobodyThere(runId: string, why: string): BackupError {
  return new BackupError('INVOKE_FAILED', `run ${runId}: ${why}`, {
    hint: "look into the function's log; invoke it again with this run id to resume",
  });
}

async function countOf(store: ObjectStore, start: string, signal: AbortSignal): Promise<number> {
  let count = 0;
  for await (const _one of store.list(start, signal)) count++;
  return count;
}

/** Of all rounds, oldest first. */
export async function summaryKeys(
  store: ObjectStore,
  prefix: string,
  runId: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const first = summaryKey(prefix, runId);
  const keys: string[] = [];
  for await (const { key } of store.list(first.replace(/\.json$/, ''), signal)) keys.push(key);
  const round = (key: string): number => Number(/-(\d+)\.json$/.exec(key)?.[1] ?? 1);
  return keys.sort((a, b) => round(a) - round(b));
}

/** The newest of them. */
export async function readSummary(
  store: ObjectStore,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<Summary> {
  const key = keys.at(-1) ?? '';
  const bytes = await store.get(key, signal);
  if (bytes === undefined) throw new BackupError('NOT_FOUND', `read ${store.name}/${key}: it is gone`);
  return JSON.parse(bytes.toString('utf8')) as Summary; // written by the orchestrator, from this very type
}
