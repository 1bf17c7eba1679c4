/**
 * Tells the outside that a run has ended: one line of the log for every run, and an event for one that did not end
 * well. Neither is part of the run: what cannot be told is said in the log, and the summary stays what it is.
 */
import type { Clock } from '../core/clock.ts';
import { toInstant } from '../core/clock.ts';
import { asBackupError } from '../core/errors.ts';
import type { Events, OwnEvent } from '../core/events.ts';
import type { Log } from '../core/log.ts';
import { inRound, type RunFolder } from './run-folder.ts';
import type { Summary } from './summary.ts';

/** By this field the lines of ended runs are found; alarms look for it. */
const RUN_HAS_ENDED = 'tairlift:run';

export interface Teller {
  /** Left out where a person waits for the outcome. */
  readonly events?: Events;
  /** Who raises the event: the function's name, which also tells one deployment from another. */
  readonly raisedBy?: string;
  /** When this invocation will be killed. */
  readonly deadlineMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** For the alarm on runs that did not end well for too long: only who finishes a run logs this line. */
export function logEnd({ runId, plan, status, counts, finishedAt }: Summary, log: Log): void {
  const fields = { event: RUN_HAS_ENDED, runId, plan, status, counts, finishedAt };
  if (status === 'succeeded') log.info('the run has ended', fields);
  else log.warn('the run has ended', fields);
}

/** The function's own error alarms as well, so the event must not cost what is left of its time. */
const EVENT_LIMIT_MS = 15_000;
const KEPT_FOR_THE_END_MS = 2_000;

/**
 * Raises the event of a run that did not succeed, once for each of its rounds: a record says that it was raised, so
 * that a run whose event was lost raises it when it is delivered again, and one whose event was raised does not. Who is
 * killed between the two makes it two. Never throws, unless the signal aborts.
 * @param present keys of the run's folder
 */
export async function raiseEnd(
  summary: Summary,
  round: number,
  folder: RunFolder,
  present: ReadonlySet<string>,
  teller: Teller,
  signal: AbortSignal,
): Promise<void> {
  const { events, clock, log, deadlineMs = Infinity } = teller;
  const record = inRound(round, 'event');
  if (events === undefined || summary.status === 'succeeded' || present.has(`${record}.json`)) return;
  const event = eventOf(summary, teller);
  const limitMs = Math.min(EVENT_LIMIT_MS, deadlineMs - clock.now() - KEPT_FOR_THE_END_MS);
  const late = new AbortController();
  const raised = new AbortController();
  const timer = clock.sleep(Math.max(0, limitMs), AbortSignal.any([signal, raised.signal])).then(
    () => late.abort(new Error(`not done within ${Math.max(0, Math.round(limitMs / 1000))} s`)),
    () => undefined,
  );
  const stop = AbortSignal.any([signal, late.signal]);
  try {
    if (limitMs <= 0) throw new Error('no time is left before the deadline');
    await events.raise(event, stop);
    await folder.own.write(record, { at: toInstant(event.atMs), name: event.name }, stop);
    log.info('raised an event', { runId: summary.runId, event: event.name });
  } catch (thrown) {
    signal.throwIfAborted();
    const error = asBackupError(thrown);
    log.error('the event could not be raised; the function still ends in an error', {
      runId: summary.runId,
      event: event.name,
      error,
    });
  } finally {
    raised.abort();
    await timer;
  }
}

/** The content of an event is shown in messages and looked through by rules: the summary has the rest. */
const MAX_NAMED = 8;

function eventOf(summary: Summary, { clock, raisedBy }: Teller): OwnEvent {
  const { runId, plan, status, counts, problems = [], instances } = summary;
  const failed = instances.flatMap((result) =>
    result.status === 'failed' ? [`${result.instanceId} ${result.error.code}`] : [],
  );
  const content = {
    function: raisedBy,
    runId,
    plan,
    status,
    counts,
    ...(failed.length === 0 ? {} : { failed: failed.slice(0, MAX_NAMED) }),
    ...(problems.length === 0 ? {} : { problems: problems.slice(0, MAX_NAMED).map(({ code }) => code) }),
  };
  return {
    name: status === 'partial' ? 'tairlift:run-partial' : 'tairlift:run-failed',
    content: JSON.stringify(content),
    atMs: clock.now(),
  };
}
