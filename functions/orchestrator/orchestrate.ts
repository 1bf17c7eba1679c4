/**
 * One run of a plan: select, back up each instance, report. All state is in the bucket, so any invocation can go on
 * where another one stopped: handed over before a deadline, killed, or delivered twice.
 */
import { setMaxListeners } from 'node:events';
import { toInstant, type Clock } from '../core/clock.ts';
import { toleratedErrors, type Plan } from '../core/config.ts';
import { BackupError, toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import type { Events } from '../core/events.ts';
import { toTaskId, type Invoker } from '../core/invoker.ts';
import type { Log } from '../core/log.ts';
import { dateIn, parseRunId, runMarkKey } from '../core/repository/keys.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import type { Selected, Selection, SourceFor } from '../core/source/select.ts';
import { shareLookups } from '../core/source/share-lookups.ts';
import type { Source } from '../core/source/source.ts';
import { throwIfStopped } from '../core/transfer/retry.ts';
import { windowAt } from '../core/window.ts';
import { backUpInstance } from './back-up-instance.ts';
import { createLifeSigns } from './life-signs.ts';
import type { RunRequest } from './parse-event.ts';
import { openPlanLock, type Lock, type PlanLock } from './plan-lock.ts';
import { rehearse } from './rehearse.ts';
import { inRound, openRunFolder, roundOf, summaryName, type RunFolder } from './run-folder.ts';
import { byPlace, isSame, nameOf, notFound, problemsOf, skipped, type Place } from './run-selection.ts';
import { selectOnce, type Selecting } from './select-once.ts';
import { createSlots } from './slots.ts';
import { summarize, type Continued, type InstanceResult, type Summary } from './summary.ts';
import { logEnd, raiseEnd, type Teller } from './tell-end.ts';
import { createTurns, lockedOut, notStarted, tooMany } from './turns.ts';

/** One execution, as far as this invocation is concerned. */
export interface Run extends Omit<RunRequest, 'plan'> {
  readonly plan: Plan;
  /** All plans of the file: a dry run tells what none of them covers. */
  readonly plans?: readonly Plan[];
  /** When this invocation will be killed; it hands over before. Left out, it has all the time there is. */
  readonly deadlineMs?: number;
  /** Of this delivery of the event. The platform delivers an event again when its run did not succeed. */
  readonly requestId?: string;
}

export interface OrchestratorParts {
  readonly sourceFor: SourceFor;
  /** The plan's destination. */
  readonly store: ObjectStore;
  readonly invoker: Invoker;
  /** Queues an invocation of this function. The task id makes a second one of the same hop recognisable. */
  readonly invokeSelf: (event: HandOver, taskId: string, signal: AbortSignal) => Promise<void>;
  /** How long an uploader may take from its invocation to its outcome: its time limit and the platform's tries. */
  readonly uploaderLimitMs: number;
  /** Where a run that did not succeed is told; left out where a person waits for it. */
  readonly events?: Events;
  /** The name of this function, for those events. */
  readonly self?: string;
  readonly clock: Clock;
  readonly log: Log;
}

export interface HandOver {
  readonly plan: string;
  readonly runId: string;
}

/** Time kept for handing over: to let requests under way end, write records and invoke the next. */
const HAND_OVER_MS = 60_000;
const HAND_OVER_SHARE = 0.25;

/** A run that needs more invocations than this is not getting anywhere. */
const MAX_HAND_OVERS = 200;

/**
 * Runs, resumes or reports. A run that has finished returns its stored summary and does nothing, unless its failed
 * instances are to be tried again. The summary of a run that did not succeed is returned like any other; who calls
 * makes an error of it.
 * @throws BackupError when the bucket cannot be used, when nothing could be listed for a reason that may pass, or when
 * the signal aborts; all state is kept, and the next call resumes
 */
export async function orchestrate(
  run: Run,
  parts: OrchestratorParts,
  signal: AbortSignal,
): Promise<Summary | Continued> {
  const ending = new AbortController();
  const finished = new AbortController();
  const stop = AbortSignal.any([signal, ending.signal]);
  // Hundreds of instances wait at once, each for the same end: no leak.
  setMaxListeners(0, stop);
  const alarm = setAlarm(run, parts.clock, ending, finished.signal);
  try {
    const { plan, plans = [plan] } = run;
    if (run.dryRun) return await rehearse({ ...run, plans }, parts.sourceFor, parts.clock, stop);
    return await runRound(run, parts, stop, signal);
  } finally {
    finished.abort();
    await alarm;
  }
}

async function runRound(
  run: Run,
  parts: OrchestratorParts,
  stop: AbortSignal,
  signal: AbortSignal,
): Promise<Summary | Continued> {
  const { store, clock, log } = parts;
  const folder = openRunFolder(store, run.plan.destination.prefix, run.runId, clock, stop);
  const opened = await openRound(run, folder, clock, stop);
  if (opened.kind === 'finished') {
    if (!run.retryFailed) await askedFor(run, 1, folder, stop);
    log.info('the run has finished before', { runId: run.runId });
    await raiseEnd(opened.summary, opened.round, folder, opened.present, tellerOf(run, parts), stop);
    return opened.summary;
  }
  const asked = await askedFor(run, opened.round, folder, stop);
  await leaveMark(run, store, stop);

  const signs = createLifeSigns(store, run.plan.destination.prefix, run.runId, clock, log);
  const ended = new AbortController();
  const signing = signs.keepLeaving(AbortSignal.any([stop, ended.signal]));
  try {
    const { prefix } = run.plan.destination;
    const lock = openPlanLock({ store, prefix, plan: run.plan.name, runId: run.runId, signs, clock, log });
    const work: Work = { ...asked, parts, folder, ...opened, startedAtMs: startOf(run), lock };
    return await runLocked(work, stop, signal);
  } finally {
    ended.abort();
    await signing;
  }
}

/** Waits for its turn among the runs of the plan, works, and reports. */
async function runLocked(work: Work, stop: AbortSignal, signal: AbortSignal): Promise<Summary | Continued> {
  const { log } = work.parts;
  let selection: Selection | undefined;
  let results: readonly InstanceResult[] = [];
  let other: Lock | undefined;
  try {
    other = await awaitLock(work, stop);
    if (other === undefined || hasBegun(work)) {
      selection = await selectOnce(selectingOf(work), stop);
      results = await backUpAll(work, selection, stop);
      other = await work.lock.lost(stop);
    } else selection = NOTHING_WANTED;
  } catch (error) {
    if (!stop.aborted) throw error;
  }
  if (stop.aborted) {
    throwIfStopped(signal); // asked to stop from outside: the next call resumes
    const next = work.handOvers + 1;
    if (next <= MAX_HAND_OVERS) return handOver(work, next, signal);
    log.error('the run was handed over too often', { handOvers: work.handOvers });
  }
  // Only a run that could not even list its instances in all of its invocations has no selection here.
  const known = selection ?? NOTHING_LISTED;
  const overlap = other === undefined ? [] : [overlaps(work.run, other)];
  return finish(work, { ...known, problems: [...known.problems, ...overlap] }, results, signal);
}

function selectingOf({ run, parts, folder, present, round }: Work): Selecting {
  const { plan, instances } = run;
  const { sourceFor, log } = parts;
  const record = inRound(round, 'selection');
  return {
    plan,
    record,
    folder,
    present,
    sourceFor,
    log,
    ...(instances === undefined ? {} : { instances }),
  };
}

/**
 * The lock of the plan, or the one of the run that has it. Waiting is bounded by the plan's patience with a backup, from
 * the first time on that a round of the run had to wait, whoever goes on with it.
 */
async function awaitLock(
  { run, parts, folder, round, lock }: Work,
  stop: AbortSignal,
): Promise<Lock | undefined> {
  const held = await lock.take(stop);
  if (held === undefined) return undefined;
  const { rate, backup } = run.plan;
  if (rate.overlap === 'skip') {
    parts.log.warn('another run of the plan is at work: this one is skipped', { other: held.runId });
    return held;
  }
  const mine = { at: toInstant(parts.clock.now()), for: held.runId };
  const since = (await folder.own.write(inRound(round, 'waits'), mine, stop)) as typeof mine;
  return lock.await(Date.parse(since.at) + backup.timeoutMinutes * 60_000, stop);
}

/** What has been begun is looked after, whoever has the lock now. */
function hasBegun({ present, round }: Work): boolean {
  const begun = `/${inRound(round, 'begun')}.json`;
  return [...present].some((key) => key.startsWith('instances/') && key.endsWith(begun));
}

function overlaps({ runId, plan }: Run, { runId: other }: Lock): BackupError {
  return new BackupError(
    'RUN_OVERLAPS',
    `run ${runId}: run ${other || '(unknown)'} of plan ${plan.name} was at work`,
    {
      details: { runId, other },
      hint: `see \`tairlift status ${other}\`; a run that is dead makes way a quarter of an hour after its last sign of life`,
    },
  );
}

const NOTHING_WANTED: Selection = {
  selected: [],
  leftOut: [],
  missing: [],
  unmatched: [],
  idle: [],
  problems: [],
};

const NOTHING_LISTED: Selection = {
  ...NOTHING_WANTED,
  problems: [
    new BackupError('DEADLINE_NEAR', `list the instances: not done after ${MAX_HAND_OVERS} invocations`, {
      hint: "raise the orchestrator's timeout",
    }),
  ],
};

interface Round {
  readonly kind: 'open';
  readonly round: number;
  /** When the round began: at the run's start, or when its failed instances were asked to be tried again. */
  readonly openedAtMs: number;
  /** Keys of the run's folder when this invocation began. */
  readonly present: ReadonlySet<string>;
  readonly handOvers: number;
  /** What the round before ended in. */
  readonly before?: Summary;
}

interface Finished extends Pick<Round, 'round' | 'present'> {
  readonly kind: 'finished';
  readonly summary: Summary;
}

interface Work extends Omit<Round, 'kind'>, AskedRun {
  readonly parts: OrchestratorParts;
  readonly folder: RunFolder;
  readonly startedAtMs: number;
  readonly lock: PlanLock;
}

async function openRound(
  run: Run,
  folder: RunFolder,
  clock: Clock,
  signal: AbortSignal,
): Promise<Round | Finished> {
  const present = await folder.list(signal);
  const handOvers = [...present].filter((key) => /^handover-\d+\.json$/.test(key)).length;
  const round = roundOf(present);
  const readSummary = async (of: number): Promise<Summary | undefined> =>
    (await folder.own.read(summaryName(of), signal)) as Summary | undefined; // written by `finish`
  const summary = present.has(`${summaryName(round)}.json`) ? await readSummary(round) : undefined;
  if (summary === undefined) {
    if (run.retryFailed && present.size === 0)
      throw new BackupError(
        'NOT_FOUND',
        `retry the failed instances of run ${run.runId}: there is no such run`,
      );
    const before = round === 1 ? undefined : await readSummary(round - 1);
    const opened = round === 1 ? undefined : ((await folder.own.read(`retry-${round}`, signal)) as Opened);
    const openedAtMs = opened === undefined ? startOf(run) : Date.parse(opened.at);
    return {
      kind: 'open',
      round,
      openedAtMs,
      present,
      handOvers,
      ...(before === undefined ? {} : { before }),
    };
  }
  const finished: Finished = { kind: 'finished', round, present, summary };
  if (!run.retryFailed) return finished;
  // What is refused must not have opened anything.
  const asked = (await folder.own.read('asked', signal)) as Asked | undefined;
  if (!isWithin(run, asked)) throw askedForOthers(run, asked);
  if (summary.status === 'succeeded') return finished;
  // Trying again ends in an error too when it does not succeed: that event, delivered again, must not try once more.
  const opened = round === 1 ? undefined : ((await folder.own.read(`retry-${round}`, signal)) as Opened);
  if (run.requestId !== undefined && opened?.by === run.requestId) return finished;
  const opening: Opened = {
    at: toInstant(clock.now()),
    ...(run.requestId === undefined ? {} : { by: run.requestId }),
  };
  const first = (await folder.own.write(`retry-${round + 1}`, opening, signal)) as Opened;
  const openedAtMs = Date.parse(first.at);
  return { kind: 'open', round: round + 1, openedAtMs, present, handOvers, before: summary };
}

interface Opened {
  readonly at: string;
  /** The request whose event opened this round. */
  readonly by?: string;
}

/**
 * The run as it was asked for first: who goes on with it may name no instances, and must not widen it to the whole
 * plan. Two runs of one plan that begin in the same second are one run; wanting different instances, the second fails.
 * Trying again may be for fewer.
 */
async function askedFor(run: Run, round: number, folder: RunFolder, signal: AbortSignal): Promise<AskedRun> {
  const mine = askOf(run);
  const first = (await folder.own.write('asked', mine, signal)) as Asked;
  const { instances: _mine, ...rest } = run;
  const asFor = ({ instances }: Asked): AskedRun => ({
    run: instances === undefined ? rest : { ...rest, instances },
    isForFewer: String(instances) !== String(first.instances),
  });
  if (run.instances === undefined && run.isNamed === true && round === 1) return asFor(first);
  if (String(first.instances) === String(mine.instances) && round === 1) return asFor(first);
  if (round > 1 && isWithin(run, first))
    return asFor((await folder.own.write(`retry-${round}-asked`, { ...first, ...mine }, signal)) as Asked);
  throw askedForOthers(run, first);
}

interface Asked {
  readonly instances?: readonly string[];
}

interface AskedRun {
  readonly run: Run;
  /** This round is for fewer instances than the run is: it says nothing about the others. */
  readonly isForFewer: boolean;
}

function askOf({ instances }: Run): Asked {
  return instances === undefined ? {} : { instances: [...instances].sort() };
}

/** @param first undefined when the run was begun by a version that did not record it, for the whole plan */
function isWithin({ instances = [] }: Run, first: Asked | undefined): boolean {
  return instances.every((id) => first?.instances?.includes(id) ?? true);
}

function askedForOthers(run: Run, first: Asked = {}): BackupError {
  return new BackupError(
    'CONFIG_INVALID',
    `run ${run.runId} for ${namedIn(askOf(run))}: it was begun for ${namedIn(first)}`,
    { hint: 'go on with it by its runId alone, or begin another run' },
  );
}

function namedIn({ instances }: Asked): string {
  return instances === undefined ? 'the whole plan' : instances.join(', ');
}

/** Makes the run findable without a listing of all that is in the bucket. Always the same bytes, so once is enough. */
async function leaveMark({ plan, runId }: Run, store: ObjectStore, signal: AbortSignal): Promise<void> {
  const key = runMarkKey(plan.destination.prefix, plan.name, runId);
  await store.create(key, Buffer.from(`${JSON.stringify({ runId })}\n`), 'application/json', signal);
}

/** Results in no particular order; an instance that was interrupted has none. */
async function backUpAll(
  work: Work,
  selection: Selection,
  signal: AbortSignal,
): Promise<readonly InstanceResult[]> {
  const { run, parts, folder, round, present, before } = work;
  const todo = selection.selected.filter((selected) => isToBeDone(selected, before));
  const tolerated = toleratedErrors(run.plan.rate.maxErrors, todo.length);
  const { concurrency, bandwidth, startsPerMinute } = run.plan.rate;
  const slots = createSlots(concurrency);
  // Each upload has its share for itself: they run in processes that know nothing of each other.
  const share =
    bandwidth === undefined ? undefined : bandwidth / Math.max(1, Math.min(concurrency, todo.length));
  let failures = 0;
  const sourceOf = sharedSources(parts);
  const { window } = run.plan.backup;
  const turnOf = createTurns({
    records: folder.own,
    present,
    ...(window === undefined ? {} : { window: windowAt(window, run.plan.timeZone, work.openedAtMs) }),
    ...(startsPerMinute === undefined ? {} : { startsPerMinute }),
    lock: work.lock,
    slots,
    tooManyFailures: () => (failures > tolerated ? failures : undefined),
    clock: parts.clock,
    random: Math.random,
  });

  const has = ({ region, id }: Selected['instance'], name: string): boolean =>
    present.has(folder.keyOf(region, id, inRound(round, name)));
  const backUp = async (selected: Selected): Promise<InstanceResult | undefined> => {
    const { instance } = selected;
    const reason = skipped(instance);
    if (reason !== undefined) return reason;
    if (signal.aborted) return undefined;
    if (!has(instance, 'begun')) {
      if (failures > tolerated) return asFailed(instance, notStarted(instance.id, tooMany(failures)));
      const other = await work.lock.lost(signal);
      if (other !== undefined) return asFailed(instance, notStarted(instance.id, lockedOut(other)));
    }
    const lastError = errorOf(instance, before);
    const result = await backUpInstance(
      {
        runId: run.runId,
        plan: run.plan,
        date: dateIn(run.plan.timeZone, work.startedAtMs),
        round,
        selected,
        runStartedAtMs: work.startedAtMs,
        ...(share === undefined ? {} : { bytesPerSecond: share }),
        ...(lastError === undefined ? {} : { lastError }),
      },
      {
        source: sourceOf(selected),
        store: parts.store,
        folder,
        turn: turnOf(instance.id),
        invoker: parts.invoker,
        uploaderLimitMs: parts.uploaderLimitMs,
        clock: parts.clock,
        log: parts.log.with({ runId: run.runId, instance: instance.id }),
      },
      signal,
    );
    // What was not started is no error of its own.
    if (result.status === 'failed' && result.error.code !== 'NOT_STARTED') failures++;
    return result;
  };
  const inSlot = async (selected: Selected): Promise<InstanceResult | undefined> => {
    await slots.take();
    try {
      return await backUp(selected);
    } finally {
      slots.leave();
    }
  };

  // What has ended comes first, for it counts against maxErrors; then what is under way, so that it is looked after.
  const rank = ({ instance }: Selected): number =>
    has(instance, 'result') ? 0 : has(instance, 'begun') ? 1 : 2;
  const settled: PromiseSettledResult<InstanceResult | undefined>[] = [];
  const settle = async (group: readonly Selected[]): Promise<void> => {
    settled.push(...(await Promise.allSettled(group.map(inSlot))));
  };
  const ordered = [...todo].sort((a, b) => rank(a) - rank(b));
  await settle(ordered.filter((selected) => rank(selected) === 0));
  await settle(ordered.filter((selected) => rank(selected) > 0));
  const broken = settled.find((outcome) => outcome.status === 'rejected');
  if (broken !== undefined && !signal.aborted) throw broken.reason;
  return settled
    .map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : undefined))
    .filter((result) => result !== undefined);
}

/** The source of an account, in which instances that are looked at together share requests. */
function sharedSources({ sourceFor, clock }: OrchestratorParts): SourceFor {
  const shared = new Map<Source, Source>();
  return (reach) => {
    const source = sourceFor(reach);
    const known = shared.get(source) ?? shareLookups(source, clock);
    shared.set(source, known);
    return known;
  };
}

/** In a later round: what failed before, and what could not even be listed then. */
function isToBeDone({ instance }: Pick<Selected, 'instance'>, before: Summary | undefined): boolean {
  if (before === undefined) return true;
  const then = before.instances.find((result) => isSame(result, nameOf(instance)));
  return then === undefined ? before.problems !== undefined : then.status === 'failed';
}

async function handOver(work: Work, number: number, signal: AbortSignal): Promise<Continued> {
  const { run, parts, folder } = work;
  await folder.own.write(`handover-${number}`, { at: toInstant(parts.clock.now()) }, signal);
  const event: HandOver = { plan: run.plan.name, runId: run.runId };
  await parts.invokeSelf(event, toTaskId(`${run.runId}-hop-${number}`), signal);
  parts.log.info('handed the run over', { runId: run.runId, hop: number });
  return { status: 'continued', runId: run.runId };
}

/** Puts together what this round and the ones before it came to, and stores it once. */
async function finish(
  work: Work,
  selection: Selection,
  results: readonly InstanceResult[],
  signal: AbortSignal,
): Promise<Summary> {
  const { run, parts, folder, round, before, isForFewer } = work;
  const done = [...results];
  const add = (result: InstanceResult): void => {
    if (!done.some((other) => isSame(other, result))) done.push(result);
  };
  for (const { instance } of selection.selected)
    if (isToBeDone({ instance }, before)) add(unfinished(instance));
  for (const missing of selection.missing) add(notFound(missing));
  // Stored and skipped ones of the rounds before stay as they are; a failed one that is not selected any more is gone.
  for (const result of before?.instances ?? []) add(result);

  const problems = problemsOf(selection, run.plan);
  const summary = summarize({
    runId: run.runId,
    plan: run.plan.name,
    dryRun: false,
    startedAt: toInstant(work.startedAtMs),
    finishedAt: toInstant(parts.clock.now()),
    problems: isForFewer ? joined(before?.problems ?? [], problems) : problems,
    results: done.sort(byPlace),
  });
  // A duplicate may have been faster: what is stored is what holds.
  const stored = (await folder.own.write(summaryName(round), summary, signal)) as Summary;
  logEnd(stored, parts.log);
  await raiseEnd(stored, round, folder, work.present, tellerOf(run, parts), signal);
  return stored;
}

function tellerOf({ deadlineMs }: Run, { events, self, clock, log }: OrchestratorParts): Teller {
  return {
    clock,
    log,
    ...(events === undefined ? {} : { events }),
    ...(self === undefined ? {} : { raisedBy: self }),
    ...(deadlineMs === undefined ? {} : { deadlineMs }),
  };
}

/** A round for fewer instances settles nothing of what the whole run could not list. */
function joined(before: readonly ErrorRecord[], now: readonly ErrorRecord[]): readonly ErrorRecord[] {
  return [...before, ...now.filter(({ message }) => !before.some((one) => one.message === message))];
}

/** Aborts `ending` in time to hand over. Ends when the run does. */
async function setAlarm(
  run: Run,
  clock: Clock,
  ending: AbortController,
  finished: AbortSignal,
): Promise<void> {
  if (run.deadlineMs === undefined) return;
  const leftMs = run.deadlineMs - clock.now();
  const marginMs = Math.min(HAND_OVER_MS, leftMs * HAND_OVER_SHARE);
  try {
    await clock.sleep(Math.max(0, leftMs - marginMs), finished);
  } catch (error) {
    if (finished.aborted) return;
    throw error;
  }
  const what = run.dryRun ? `list the instances of ${run.plan.name}` : 'hand the run over';
  ending.abort(
    new BackupError('DEADLINE_NEAR', `${what} before the deadline`, {
      retryable: true,
      ...(run.dryRun ? { hint: "raise the orchestrator's timeout, or use `tairlift plan`" } : {}),
    }),
  );
}

function startOf({ runId }: Run): number {
  const parsed = parseRunId(runId);
  if (parsed === undefined) throw new BackupError('CONFIG_INVALID', `start run "${runId}": not a run id`);
  return parsed.startedAtMs;
}

function asFailed(place: Place, error: BackupError): InstanceResult {
  return { ...nameOf(place), status: 'failed', error: toErrorRecord(error) };
}

function unfinished(place: Place): InstanceResult {
  const error = new BackupError(
    'DEADLINE_NEAR',
    `back up ${place.id}: not finished after ${MAX_HAND_OVERS} invocations`,
    { hint: "raise the orchestrator's timeout" },
  );
  return { ...nameOf(place), status: 'failed', error: toErrorRecord(error) };
}

function errorOf(instance: Place, before: Summary | undefined): ErrorRecord | undefined {
  const then = before?.instances.find((result) => isSame(result, nameOf(instance)));
  return then?.status === 'failed' ? then.error : undefined;
}
