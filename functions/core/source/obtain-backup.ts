/**
 * The life of one backup at the source: adopt a fresh one or start one, wait until all of its files can be
 * downloaded, or fail by name. The API offers no idempotency token, no failed state of a job and no promise that a
 * job stays listed; so every decision is recorded before and after it is acted upon, and whoever comes later, after a
 * kill or as a duplicate, goes on with the same backup and never starts a second one.
 *
 * Records of one instance, each written once:
 * - `begun`: when work on it began; its time limit counts from there.
 * - `admitted`: when it was its turn to start a backup, where it had to wait for that; then the limit counts from there.
 * - `backup-intended-<n>`: somebody is about to start a backup. Who creates this record may, nobody else.
 * - `backup-answer-<n>`: what came of it: a backup to wait for, or certainly none.
 * - `backup`: the finished backup.
 */
import { randomUUID } from 'node:crypto';
import { toInstant, type Clock } from '../clock.ts';
import { BackupError, asBackupError, describe } from '../errors.ts';
import type { Log, LogFields } from '../log.ts';
import { throwIfStopped } from '../transfer/retry.ts';
import { joinBackups } from './join-backups.ts';
import type { BackupJob, BackupMode, Instance, Source, SourceBackup } from './source.ts';

/** A finished backup, without its files: their URLs are short-lived and are listed again by who downloads them. */
export interface ObtainedBackup {
  readonly ids: readonly string[];
  readonly jobIds: readonly string[];
  readonly mode: BackupMode;
  readonly startedAt: string;
  readonly endedAt: string;
  /** True when it was not started by this run. */
  readonly adopted: boolean;
  /** Data shards of the instance when the backup was made, and so its number of files. */
  readonly shards: number;
}

/** What is recorded of one instance. Each record is written once and then never changes. */
export interface Records {
  /** Undefined when there is no such record. */
  read(name: string, signal: AbortSignal): Promise<unknown>;
  /** Creates a record, or returns the one that is there already; whoever reads the result knows what holds. */
  write(name: string, value: unknown, signal: AbortSignal): Promise<unknown>;
}

export interface ObtainOptions {
  /** A finished backup that is at most this old is taken instead of a new one; 0 for always a new one. */
  readonly adoptWithinMs: number;
  /** From the first work on the instance until its backup must be finished. */
  readonly timeoutMs: number;
  /** Ids of backups that proved to be unusable and must not be adopted again. */
  readonly refusedIds?: readonly string[];
}

/** When backups may be started: they are spread out, and confined to a window. Adopting one needs no turn. */
export interface Turn {
  /** Can there be anything to wait for? */
  readonly mayWait: boolean;
  /**
   * Resolves when the window opens; at once when there is none, when it is open, and when it has closed. Says when it
   * opens, in milliseconds since 1970; 0 when there is none.
   */
  open(signal: AbortSignal): Promise<number>;
  /**
   * Resolves when this instance may start a backup, for the `attempt`-th time; says whether it had to wait for that.
   * @throws BackupError `NOT_STARTED` when that will never be; the signal's reason when it aborts
   */
  come(attempt: number, signal: AbortSignal): Promise<'at once' | 'waited'>;
  /** Has it passed again? Asked right before a start. @throws BackupError `NOT_STARTED` when it has */
  confirm(attempt: number, signal: AbortSignal): Promise<void>;
}

export interface ObtainParts {
  readonly source: Source;
  readonly records: Records;
  /** Any time will do if left out. */
  readonly turn?: Turn;
  readonly clock: Clock;
  readonly log: Log;
}

/** The service's clock and ours may differ by this much. */
const CLOCK_SKEW_MS = 2 * 60_000;

/**
 * From the intention to start a backup until it is certain that nothing started from it: the request is sent right
 * after the intention is recorded, within `START_WITHIN_MS`, is given up by the client after less than a minute, and
 * shows in one of the lists well before the rest has passed.
 */
const SETTLE_MS = 5 * 60_000;
const START_WITHIN_MS = 60_000;
/** Between two looks meanwhile, longer each time: after a kill, many look at once. */
const MIN_LOOK_MS = 10_000;
const MAX_LOOK_MS = 60_000;

/** Backups that are started, at most, when the ones before were lost or were somebody else's and failed. */
const MAX_STARTS = 3;

/** Somebody else's running backup is taken when it started at most this long ago, or within `adoptWithinHours`. */
const ADOPT_RUNNING_MS = 3600_000;

/** A finished job without its files, or a job that is in no list any more, may still show up for so long. */
const GRACE_MS = 10 * 60_000;

/** A backup whose job is known is recognised by it, even if the clocks differ by more than expected. */
const LOOK_BACK_MS = 3600_000;

/**
 * Between two looks at a backup: twice the time waited so far, so that it costs few calls however long it takes. The
 * services count the calls of all instances of an account together, and refuse what is too much.
 */
const MIN_POLL_MS = 3_000;
const MAX_POLL_MS = 2 * 60_000;
const POLL_GROWTH = 2;

/** A job that was seen at work is not asked for again before: that the backup is not listed yet says as much. */
const JOBS_EVERY_MS = 5 * 60_000;

/** After an answer that could not be had, beyond the patience of the request itself. */
const ASK_AGAIN_MS = 30_000;

/** Between two lines in the log that say that nothing has changed. */
const SAY_EVERY_MS = 15 * 60_000;

/** After a refusal that may pass (another backup is running, the instance is busy), longer each time. */
const REFUSED_WAIT_MS = 60_000;
const MAX_REFUSED_WAIT_MS = 10 * 60_000;

/**
 * Safe to call again at any point, also at the same time by another process: all of them end with the same backup.
 * @throws BackupError `INSTANCE_NOT_FOUND`, `INSTANCE_NOT_READY`, `BACKUP_FAILED`, `BACKUP_TIMEOUT`, `BACKUP_QUOTA`,
 * `NO_DOWNLOAD_URL` or `PERMISSION_DENIED`, naming the instance; the signal's reason when it aborts
 */
export async function obtainBackup(
  listed: Instance,
  options: ObtainOptions,
  parts: ObtainParts,
  signal: AbortSignal,
): Promise<ObtainedBackup> {
  const { records, clock } = parts;
  const recorded = await records.read('backup', signal);
  if (recorded !== undefined) return recorded as ObtainedBackup; // written by ourselves, below

  // A duplicate may be ahead of us: the record says when the first of us began.
  const mine: Intention = { at: toInstant(clock.now()), by: randomUUID() };
  const begun = (await records.write('begun', mine, signal)) as Intention;
  // It has been looked at before: whoever goes on asks nothing of the service while there is nothing to be done.
  const openedAtMs = begun.by === mine.by ? 0 : ((await parts.turn?.open(signal)) ?? 0);
  const admitted =
    parts.turn?.mayWait === true
      ? ((await records.read('admitted', signal)) as { at: string } | undefined)
      : undefined;
  // Before its turn has come, what it waited for the window is not its own time.
  const sinceMs =
    admitted === undefined ? Math.max(Date.parse(begun.at), openedAtMs) : Date.parse(admitted.at);
  const deadlineMs = sinceMs + options.timeoutMs;
  const life: Life = { ...parts, options, deadlineMs, instance: listed };
  life.instance = await asItIsNow(life, signal);

  const finished =
    life.source.pull === undefined
      ? ((await adoptFinished(life, signal)) ?? (await startAndAwait(life, signal)))
      : await announcePull(life, signal);
  return (await records.write('backup', finished, signal)) as ObtainedBackup;
}

/** What all steps of one backup's life share. */
interface Life extends ObtainParts {
  readonly options: ObtainOptions;
  /** Moves once, when its turn to start a backup comes. */
  deadlineMs: number;
  /** As it was last seen: it may have been scaled since it was listed, and while it was waited for. */
  instance: Instance;
}

/** What is waited for: by its jobs, and where the service does not tell those, by mode and time. */
interface Awaited {
  readonly jobIds: readonly string[];
  readonly mode: BackupMode;
  /** It started at or after this. */
  readonly since: string;
  readonly adopted: boolean;
  /** Data shards of the instance when it was asked for, or found; absent in records of older versions. */
  readonly shards?: number;
}

type Answer =
  | { readonly kind: 'awaited'; readonly awaited: Awaited }
  /** No other one can be made today, and this one is fresh enough. */
  | { readonly kind: 'finished'; readonly backup: ObtainedBackup }
  /** Certainly nothing was started, or what was adopted came to nothing. */
  | { readonly kind: 'none'; readonly reason: string };

/** It may be gone by now, or scaled. */
async function asItIsNow(life: Life, signal: AbortSignal): Promise<Instance> {
  const { region, id } = life.instance;
  const now = await patiently(life, async () => life.source.getInstance(region, id, signal), signal);
  if (now === undefined || now.status === 'Released') throw gone(life.instance);
  return now;
}

/**
 * Where backups are pulled, nothing is started here and nothing can be adopted: all that is decided is the id. Whoever
 * records it first has decided it, for all who come later.
 */
async function announcePull(life: Life, signal: AbortSignal): Promise<ObtainedBackup> {
  await untilAdmitted(life, 1, signal);
  await untilReady(life, signal);
  await life.turn?.confirm(1, signal);
  const { instance, clock } = life;
  const begun = await life.source.startBackup(instance, signal);
  if (begun.kind !== 'pulled')
    throw new BackupError('INTERNAL', `back up ${instance.id}: its source pulls, and says "${begun.kind}"`);
  const at = toInstant(clock.now());
  say(life, 'the backup is to be pulled', { backupIds: begun.id });
  return {
    ids: [begun.id],
    jobIds: [],
    mode: 'manual',
    startedAt: at,
    endedAt: at,
    adopted: false,
    shards: instance.shards,
  };
}

async function adoptFinished(life: Life, signal: AbortSignal): Promise<ObtainedBackup | undefined> {
  // Once a start is intended, its backup is the one: adopting another would leave it unused.
  if (life.options.adoptWithinMs <= 0) return undefined;
  if ((await life.records.read('backup-intended-1', signal)) !== undefined) return undefined;
  return findFresh(life, signal);
}

/** The newest finished backup that the plan allows to take; undefined when there is none, or it allows none. */
async function findFresh(life: Life, signal: AbortSignal): Promise<ObtainedBackup | undefined> {
  const { adoptWithinMs, refusedIds = [] } = life.options;
  if (adoptWithinMs <= 0) return undefined;
  const now = life.clock.now();
  const list = async (): Promise<readonly SourceBackup[]> =>
    life.source.listBackups(life.instance, spanFrom(life, now - adoptWithinMs), signal);
  const backups = await patiently(life, list, signal);
  const fresh = backups.find(
    (backup) => isComplete(backup, life.instance) && !backup.ids.some((id) => refusedIds.includes(id)),
  );
  if (fresh === undefined) return undefined;
  const adopted = toObtained(fresh, life.instance, true);
  say(life, 'adopted a finished backup', { ...named(adopted), startedAt: adopted.startedAt });
  return adopted;
}

/** Goes through the numbered attempts: those that are recorded already are followed, then new ones are made. */
async function startAndAwait(life: Life, signal: AbortSignal): Promise<ObtainedBackup> {
  let starts = 0;
  let lastReason = '';
  for (let number = 1; ; number++) {
    const answer = await settleAttempt(life, number, signal);
    if (answer.kind === 'finished') return answer.backup;
    if (answer.kind === 'awaited') {
      starts++;
      try {
        return await awaitFinished(life, answer.awaited, signal);
      } catch (error) {
        // Somebody else's backup that fails or turns out too old is no reason to give up: ours is next.
        const isTheirs = answer.awaited.adopted && asBackupError(error).code === 'BACKUP_FAILED';
        if (!isTheirs || starts >= MAX_STARTS) throw error;
        lastReason = describe(error);
      }
      continue;
    }
    lastReason = answer.reason;
    if (answer.reason === NOTHING_STARTED && ++starts >= MAX_STARTS)
      throw failed(life.instance, `no backup came of ${starts} requests`, {
        hint: 'see the events of the instance',
      });
    throwIfLate(life, lastReason);
  }
}

const NOTHING_STARTED = 'the request was lost';

/** Makes the attempt, or finds out what became of it when somebody (an earlier invocation, a duplicate) began it. */
async function settleAttempt(life: Life, number: number, signal: AbortSignal): Promise<Answer> {
  const { records, clock } = life;
  const answered = await records.read(`backup-answer-${number}`, signal);
  if (answered !== undefined) return answered as Answer; // written by ourselves, below
  const intended = await records.read(`backup-intended-${number}`, signal);
  if (intended !== undefined) return followAttempt(life, number, intended as Intention, signal);

  await untilAdmitted(life, number, signal);
  await untilReady(life, signal);
  await life.turn?.confirm(number, signal);
  const mine: Intention = {
    at: toInstant(clock.now()),
    by: randomUUID(),
    shards: life.instance.shards,
  };
  const holder = (await records.write(`backup-intended-${number}`, mine, signal)) as Intention;
  if (holder.by !== mine.by) return followAttempt(life, number, holder, signal);

  const answer = await makeAttempt(life, mine, signal);
  // Undefined: nobody can tell yet. What is found by looking is the answer.
  if (answer === undefined) return followAttempt(life, number, mine, signal);
  const stored = (await records.write(`backup-answer-${number}`, answer, signal)) as Answer;
  if (stored.kind === 'none')
    life.log.warn('no backup was started', { ...place(life.instance), reason: stored.reason });
  if (stored.kind === 'none' && stored.reason !== NOTHING_STARTED)
    await clock.sleep(Math.min(REFUSED_WAIT_MS * number, MAX_REFUSED_WAIT_MS, untilDeadline(life)), signal);
  return stored;
}

interface Intention {
  readonly at: string;
  readonly by: string;
  /** Data shards of the instance at that time; absent in records of older versions. */
  readonly shards?: number;
}

/** Waiting for its turn is not the instance's own time. Meanwhile it may have been scaled, or released. */
async function untilAdmitted(life: Life, number: number, signal: AbortSignal): Promise<void> {
  const { turn, records, clock, options } = life;
  const came = await turn?.come(number, signal);
  if (turn?.mayWait !== true) return;
  const mine = { at: toInstant(clock.now()) };
  const admitted = (await records.write('admitted', mine, signal)) as { at: string };
  life.deadlineMs = Date.parse(admitted.at) + options.timeoutMs;
  if (came === 'waited') life.instance = await asItIsNow(life, signal);
}

/** The instance must exist and be at rest. Changing states (scaling, migrating, a switch-over) pass by themselves. */
async function untilReady(life: Life, signal: AbortSignal): Promise<void> {
  const since = life.clock.now();
  const isTimeToSay = rarely(life.clock, 0);
  while (life.instance.status !== 'Normal') {
    throwIfNotReady(life);
    if (isTimeToSay()) say(life, 'waiting until the instance is at rest', { status: life.instance.status });
    await life.clock.sleep(Math.min(pollDelay(life.clock.now() - since), untilDeadline(life)), signal);
    life.instance = await asItIsNow(life, signal);
  }
  if (life.instance.shards < 1)
    throw failed(
      life.instance,
      'its number of shards is unknown, so no backup of it could be proven to be whole',
      {
        hint: 'allow kvstore:DescribeInstanceAttribute and kvstore:DescribeLogicInstanceTopology, or report its class',
      },
    );
}

/** Asks for a backup, once. Undefined when it is not known whether one has started. */
async function makeAttempt(
  life: Life,
  intention: Intention,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const { source, instance, clock, log } = life;
  throwIfStopped(signal);
  // A pause of this process here (a frozen instance, a slow bucket) could outlast those who wait for our answer.
  if (clock.now() - Date.parse(intention.at) > START_WITHIN_MS) return undefined;
  const since = toInstant(Date.parse(intention.at) - CLOCK_SKEW_MS);
  try {
    const result = await source.startBackup(instance, signal);
    if (result.kind === 'started') say(life, 'asked for a backup', { jobIds: result.jobIds.join() });
    if (result.kind === 'started') {
      const { jobIds } = result;
      return {
        kind: 'awaited',
        awaited: { jobIds, mode: 'manual', since, adopted: false, shards: instance.shards },
      };
    }
    if (result.kind === 'already-running') return await findRunning(life, Date.parse(since), signal);
    if (result.kind === 'pulled')
      throw new BackupError(
        'INTERNAL',
        `back up ${instance.id}: its source cannot pull, and says that it does`,
      );
    log.warn('the answer to CreateBackup was lost; looking for the backup', {
      ...place(instance),
      reason: result.reason,
    });
    return undefined;
  } catch (error) {
    const known = asBackupError(error);
    throwIfStopped(signal);
    if (known.code === 'BACKUP_QUOTA') return withoutQuota(life, known, signal);
    // Thrown means certainly not accepted. What may pass is tried again as the next attempt.
    if (!known.retryable || clock.now() >= life.deadlineMs) throw known;
    return { kind: 'none', reason: describe(known) };
  }
}

const DAY_MS = 24 * 3600_000;

/**
 * No more manual backups today. One that has been finished meanwhile is as good, if the plan allows to take one that is
 * that old; an older one never is. Otherwise the error says when the next one can be made: the service counts those of
 * the last 24 hours, so that is a day after the oldest of them.
 * https://help.aliyun.com/zh/redis/user-guide/automatic-or-manual-backup
 */
async function withoutQuota(life: Life, refusal: BackupError, signal: AbortSignal): Promise<Answer> {
  const backup = await findFresh(life, signal);
  if (backup !== undefined) return { kind: 'finished', backup };
  const { source, instance, clock } = life;
  const now = clock.now();
  const ofWeek = await patiently(
    life,
    async () => source.listBackups(instance, spanFrom(life, now - 7 * DAY_MS), signal),
    signal,
  );
  const ofDay = ofWeek.filter(
    ({ mode, startedAt }) => mode === 'manual' && Date.parse(startedAt) > now - DAY_MS,
  );
  const oldest = ofDay.map(({ startedAt }) => Date.parse(startedAt)).sort((a, b) => a - b)[0];
  const newest = ofWeek.find((candidate) => isComplete(candidate, instance));
  const freesAt = oldest === undefined ? undefined : toInstant(oldest + DAY_MS);
  throw new BackupError(
    'BACKUP_QUOTA',
    `back up ${instance.id} in ${instance.region}: its manual backups of the day are used up (${ofDay.length} are listed), ${freesAt === undefined ? 'and it is not known when the next can be made' : `the next can be made at ${freesAt}`}`,
    {
      details: {
        ...place(instance),
        manualBackups: ofDay.length,
        ...(freesAt === undefined ? {} : { freesAt }),
      },
      hint:
        newest === undefined
          ? 'find out who makes so many backups of it: tairlift makes one a run'
          : `its newest finished backup is of ${newest.startedAt}; backup.adoptWithinHours: ${Math.ceil((now - Date.parse(newest.startedAt)) / 3600_000)} would take it`,
      cause: refusal,
    },
  );
}

/** The service says that one is running: it is ours from now on, if it is fresh enough, also if it has just ended. */
async function findRunning(life: Life, sinceMs: number, signal: AbortSignal): Promise<Answer> {
  const { source, instance, clock, options } = life;
  const now = clock.now();
  const oldest = now - Math.max(ADOPT_RUNNING_MS, options.adoptWithinMs);
  const running = (await source.listJobs(instance, signal)).filter((job) => job.state === 'running');
  const first = running[0];
  if (first === undefined) {
    const ended = (await source.listBackups(instance, spanFrom(life, oldest), signal)).find(
      (backup) => isComplete(backup, instance) && Date.parse(backup.endedAt ?? backup.startedAt) >= sinceMs,
    );
    if (ended === undefined)
      return { kind: 'none', reason: 'a backup is said to be running, but none is listed' };
    say(life, 'adopted the backup that was running', { backupIds: ended.ids.join(), mode: ended.mode });
    const { jobIds, mode, startedAt } = ended;
    return {
      kind: 'awaited',
      awaited: { jobIds, mode, since: startedAt, adopted: true, shards: instance.shards },
    };
  }
  const since = earliestStart(running);
  if (since !== undefined && since < oldest - CLOCK_SKEW_MS)
    return {
      kind: 'none',
      reason: `a backup is running that started at ${toInstant(since)}, which is too long ago`,
    };
  const jobIds = running.filter((job) => job.mode === first.mode).map((job) => job.id);
  say(life, 'adopted the running backup', { jobIds: jobIds.join(), mode: first.mode });
  return {
    kind: 'awaited',
    awaited: {
      jobIds,
      mode: first.mode,
      since: toInstant((since ?? oldest) - CLOCK_SKEW_MS),
      adopted: true,
      shards: instance.shards,
    },
  };
}

/**
 * Looks for what came of an intention until the records or the source's lists show it, or until it is certain that
 * nothing did.
 */
async function followAttempt(
  life: Life,
  number: number,
  intention: Intention,
  signal: AbortSignal,
): Promise<Answer> {
  const { records, clock } = life;
  const since = Date.parse(intention.at) - CLOCK_SKEW_MS;
  const settledAt = Date.parse(intention.at) + SETTLE_MS;
  const name = `backup-answer-${number}`;
  for (let waitMs = MIN_LOOK_MS; ; waitMs = Math.min(MAX_LOOK_MS, waitMs * 2)) {
    const answered = await records.read(name, signal);
    if (answered !== undefined) return answered as Answer; // written by ourselves, here or in settleAttempt
    const found = await tolerant(life, async () => findStarted(life, since, intention, signal), signal);
    if (found.value !== undefined) say(life, 'found the backup that was asked for', {});
    if (found.value !== undefined)
      return (await records.write(name, { kind: 'awaited', awaited: found.value }, signal)) as Answer;
    // Only a look that worked, and that was made late enough, proves that there is nothing.
    if (!found.failed && clock.now() >= settledAt)
      return (await records.write(name, { kind: 'none', reason: NOTHING_STARTED }, signal)) as Answer;
    throwIfLate(life, 'it is unknown whether the backup has started');
    await clock.sleep(waitMs, signal);
  }
}

/** A manual backup, running or finished, that started after the intention. Not by job: not all may be listed yet. */
async function findStarted(
  life: Life,
  sinceMs: number,
  { shards = life.instance.shards }: Intention,
  signal: AbortSignal,
): Promise<Awaited | undefined> {
  const { source, instance } = life;
  const awaited: Awaited = { jobIds: [], mode: 'manual', since: toInstant(sinceMs), adopted: false, shards };
  const isOurs = ({ mode, startedAt }: { readonly mode: BackupMode; readonly startedAt?: string }): boolean =>
    mode === 'manual' && startedAt !== undefined && Date.parse(startedAt) >= sinceMs;
  const jobs = await source.listJobs(instance, signal);
  // A running job without a start can only be ours: one backup runs at a time.
  if (
    jobs.some(
      (job) =>
        isOurs(job) || (job.mode === 'manual' && job.state === 'running' && job.startedAt === undefined),
    )
  )
    return awaited;
  const backups = await source.listBackups(instance, spanFrom(life, sinceMs), signal);
  return backups.some(isOurs) ? awaited : undefined;
}

/**
 * Waits until the backup is listed as succeeded, with a file for each shard and a URL for each file. That alone is
 * finished: the progress list never says that a job failed, and forgets jobs.
 */
async function awaitFinished(life: Life, awaited: Awaited, signal: AbortSignal): Promise<ObtainedBackup> {
  const { instance, clock } = life;
  // Not since this invocation: who takes over does not look as often as at the beginning.
  const waitingSince = Math.min(clock.now(), Date.parse(awaited.since) + CLOCK_SKEW_MS);
  const isTimeToSay = rarely(clock, SAY_EVERY_MS);
  let idleSince: number | undefined;
  let lastTrouble: unknown;
  let seenAtWorkMs = waitingSince;
  // Nothing is listed of a backup that was asked for a moment ago.
  if (!awaited.adopted && clock.now() - waitingSince < MIN_POLL_MS)
    await clock.sleep(Math.min(MIN_POLL_MS, untilDeadline(life)), signal);
  for (;;) {
    const isJobDue = clock.now() - seenAtWorkMs >= JOBS_EVERY_MS;
    const look = await tolerant(life, async () => lookFor(life, awaited, isJobDue, signal), signal);
    if (look.failed) lastTrouble = look.error;
    else if (look.value !== undefined) {
      const { backup, isWorking, shortcoming } = look.value;
      if (isJobDue && isWorking) seenAtWorkMs = clock.now();
      if (backup !== undefined && shortcoming === undefined) {
        if (instance.architecture === 'cluster') await requireSameShards(life, awaited, signal);
        const finished = toObtained(backup, instance, awaited.adopted);
        say(life, 'the backup is finished', { ...named(finished), files: backup.files.length });
        return finished;
      }
      // Rows and URLs may follow the end of the job by minutes. Nothing that stays like this ever finishes.
      idleSince = isWorking ? undefined : (idleSince ?? clock.now());
      if (idleSince !== undefined && clock.now() - idleSince >= GRACE_MS)
        throw shortcoming?.code === 'NO_DOWNLOAD_URL'
          ? new BackupError('NO_DOWNLOAD_URL', `back up ${instance.id}: ${shortcoming.reason}`, {
              details: place(instance),
            })
          : failed(instance, shortcoming?.reason ?? vanished(awaited));
    }
    throwIfTimedOut(life, lastTrouble);
    if (isTimeToSay())
      say(life, 'still waiting for the backup', {
        jobIds: awaited.jobIds.join(),
        waitedMs: clock.now() - waitingSince,
      });
    await clock.sleep(Math.min(pollDelay(clock.now() - waitingSince), untilDeadline(life)), signal);
  }
  function vanished({ jobIds }: Awaited): string {
    return `its backup${jobIds.length === 0 ? '' : ` (job ${jobIds.join(', ')})`} is not listed any more`;
  }
}

/**
 * Shards are saved each at its own moment. When slots move from one to another in between, their keys may be in both
 * files, which shows, or in neither, which nothing in the files tells. So a cluster that is being changed when its
 * backup is finished is waited for, and one that has another number of shards then has no backup. For as long as it
 * takes: to call it whole without knowing would be worse.
 */
async function requireSameShards(life: Life, awaited: Awaited, signal: AbortSignal): Promise<void> {
  const shards = awaited.shards ?? life.instance.shards;
  const since = life.clock.now();
  const isTimeToSay = rarely(life.clock, 0);
  for (;;) {
    life.instance = await asItIsNow(life, signal);
    const { status, shards: now } = life.instance;
    if (now !== shards && (now > 0 || status === 'Normal'))
      throw failed(
        life.instance,
        `it had ${shards} shards when its backup was begun and has ${now} now: keys that moved in between may be in none of the files`,
        { hint: 'when the change is over, try again with retryFailed, which makes a new backup' },
      );
    if (status === 'Normal') return;
    throwIfNotReady(life);
    if (isTimeToSay()) say(life, 'the backup is finished; waiting whether its slots have moved', { status });
    await life.clock.sleep(Math.min(pollDelay(life.clock.now() - since), untilDeadline(life)), signal);
  }
}

interface Look {
  readonly backup?: SourceBackup;
  /** A job of it is at work, or the backup itself is listed as running. */
  readonly isWorking: boolean;
  readonly shortcoming?: Shortcoming;
}

/**
 * Throws BACKUP_FAILED at once when the service lists it as failed.
 * @param isJobDue its jobs are to be asked for even though nothing of the backup is listed
 */
async function lookFor(life: Life, awaited: Awaited, isJobDue: boolean, signal: AbortSignal): Promise<Look> {
  const { source, instance } = life;
  const from = Date.parse(awaited.since) - LOOK_BACK_MS;
  const backups = await source.listBackups(instance, spanFrom(life, from), signal);
  const backup = theBackup(backups, awaited);
  if (backup?.state === 'failed')
    throw failed(instance, 'the service reports the backup as failed', { backup });
  const shortcoming = backup === undefined ? undefined : shortcomingOf(backup, instance, awaited.jobIds);
  if (backup !== undefined && shortcoming === undefined) return { backup, isWorking: false };
  if (backup?.state === 'running') return { backup, isWorking: true, ...(shortcoming && { shortcoming }) };
  if (backup === undefined && !isJobDue) return { isWorking: true };
  const jobs = await source.listJobs(instance, signal);
  return {
    ...(backup === undefined ? {} : { backup }),
    isWorking: jobs.some((job) => job.state === 'running' && isOneOf(job, awaited)),
    ...(shortcoming === undefined ? {} : { shortcoming }),
  };
}

/**
 * The backup of the awaited jobs; of one job for each shard the parts are put together. Where the service does not
 * tell the jobs of a backup, the first one of that mode that started since.
 */
function theBackup(
  backups: readonly SourceBackup[],
  { jobIds, mode, since }: Awaited,
): SourceBackup | undefined {
  const byJob = backups.filter((backup) => backup.jobIds.some((id) => jobIds.includes(id)));
  if (byJob.length > 0) return joinBackups(byJob);
  return backups
    .filter((backup) => jobIds.length === 0 || backup.jobIds.length === 0)
    .filter((backup) => backup.mode === mode && Date.parse(backup.startedAt) >= Date.parse(since))
    .sort((a, b) => Date.parse(a.startedAt) - Date.parse(b.startedAt))[0];
}

interface Shortcoming {
  readonly code: 'BACKUP_FAILED' | 'NO_DOWNLOAD_URL';
  readonly reason: string;
}

/** Why a backup is not (yet) one that can be taken; undefined when nothing is missing. */
function shortcomingOf(
  backup: SourceBackup,
  instance: Instance,
  jobIds: readonly string[] = [],
): Shortcoming | undefined {
  const nodes = new Set(backup.files.map((file) => file.node));
  if (backup.state !== 'succeeded') return { code: 'BACKUP_FAILED', reason: `the backup is ${backup.state}` };
  const unfinished = backup.jobIds.length === 0 ? [] : jobIds.filter((id) => !backup.jobIds.includes(id));
  if (unfinished.length > 0)
    return { code: 'BACKUP_FAILED', reason: `of its jobs, ${unfinished.join(', ')} left no backup` };
  if (nodes.size !== instance.shards || backup.files.length !== instance.shards)
    return {
      code: 'BACKUP_FAILED',
      reason: `the backup has files of ${nodes.size} shards, the instance has ${instance.shards}`,
    };
  const unreachable = backup.files.filter((file) => file.url === undefined);
  if (unreachable.length === 0) return undefined;
  return {
    code: 'NO_DOWNLOAD_URL',
    reason: `no download URL for ${unreachable.map((file) => file.name).join(', ')}`,
  };
}

function isComplete(backup: SourceBackup, instance: Instance): boolean {
  return instance.shards > 0 && shortcomingOf(backup, instance) === undefined;
}

function isOneOf(job: BackupJob, { jobIds, mode, since }: Awaited): boolean {
  if (jobIds.length > 0) return jobIds.includes(job.id);
  return job.mode === mode && (job.startedAt === undefined || Date.parse(job.startedAt) >= Date.parse(since));
}

function toObtained(backup: SourceBackup, { shards }: Instance, adopted: boolean): ObtainedBackup {
  return {
    ids: backup.ids,
    jobIds: backup.jobIds,
    mode: backup.mode,
    startedAt: backup.startedAt,
    endedAt: backup.endedAt ?? backup.startedAt,
    adopted,
    shards,
  };
}

/** Passing trouble of the service while waiting is outlasted until the deadline; what will not pass is thrown. */
async function tolerant<T>(
  life: Life,
  look: () => Promise<T>,
  signal: AbortSignal,
): Promise<
  | { readonly failed: false; readonly value: T }
  | { readonly failed: true; readonly error: unknown; readonly value?: undefined }
> {
  try {
    return { failed: false, value: await look() };
  } catch (error) {
    throwIfStopped(signal);
    if (!asBackupError(error).retryable) throw error;
    life.log.warn('cannot look after the backup now', { ...place(life.instance), error });
    return { failed: true, error };
  }
}

/** Asks until there is an answer: a storm of throttling may last longer than the patience of a single request. */
async function patiently<T>(life: Life, ask: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    const asked = await tolerant(life, ask, signal);
    if (!asked.failed) return asked.value;
    if (life.clock.now() >= life.deadlineMs)
      throw timedOut(life, 'the service could not be asked', asked.error);
    await life.clock.sleep(Math.min(ASK_AGAIN_MS, untilDeadline(life)), signal);
  }
}

function earliestStart(jobs: readonly BackupJob[]): number | undefined {
  const starts = jobs.map((job) => job.startedAt).filter((start) => start !== undefined);
  return starts.length === 0 ? undefined : Math.min(...starts.map((start) => Date.parse(start)));
}

/** Open towards the future: whatever the service's clock says, a backup that it lists has started. */
function spanFrom(life: Life, fromMs: number): { readonly from: string; readonly to: string } {
  return { from: toInstant(fromMs), to: toInstant(life.clock.now() + 24 * 3600_000) };
}

/** What an operator wants to read at night: one line for each step, with the ids to look for in the console. */
function say({ log, instance }: Life, step: string, fields: LogFields): void {
  log.info(step, { ...place(instance), ...fields });
}

function named({ ids, jobIds }: ObtainedBackup): { readonly backupIds: string; readonly jobIds: string } {
  return { backupIds: ids.join(), jobIds: jobIds.join() };
}

/** True for the first time after `firstMs`, and then once in a while. */
function rarely(clock: Clock, firstMs: number): () => boolean {
  let nextMs = clock.now() + firstMs;
  return () => {
    if (clock.now() < nextMs) return false;
    nextMs = clock.now() + SAY_EVERY_MS;
    return true;
  };
}

function pollDelay(waitedMs: number): number {
  return Math.min(MAX_POLL_MS, Math.max(MIN_POLL_MS, waitedMs * POLL_GROWTH));
}

/** Never past the deadline, so that it is noticed when it comes. */
function untilDeadline({ deadlineMs, clock }: Life): number {
  return Math.max(1, deadlineMs - clock.now());
}

function place({ region, id }: Instance): { readonly region: string; readonly instanceId: string } {
  return { region, instanceId: id };
}

function failed(
  instance: Instance,
  reason: string,
  more: { readonly hint?: string; readonly backup?: SourceBackup } = {},
): BackupError {
  return new BackupError('BACKUP_FAILED', `back up ${instance.id} in ${instance.region}: ${reason}`, {
    details: {
      ...place(instance),
      ...(more.backup === undefined ? {} : { backupIds: more.backup.ids.join(',') }),
    },
    ...(more.hint === undefined ? {} : { hint: more.hint }),
  });
}

function gone({ region, id }: Instance): BackupError {
  return new BackupError(
    'INSTANCE_NOT_FOUND',
    `back up ${id} in ${region}: the instance does not exist (any more)`,
    { details: { region, instanceId: id } },
  );
}

function throwIfNotReady(life: Life): void {
  if (life.clock.now() < life.deadlineMs) return;
  const { instance } = life;
  const { status } = instance;
  throw new BackupError(
    'INSTANCE_NOT_READY',
    `back up ${instance.id} in ${instance.region}: still ${status} at the deadline`,
    {
      details: { ...place(instance), status },
      hint: 'an instance can be backed up while its status is Normal; see its events in the console',
    },
  );
}

function throwIfLate(life: Life, reason: string): void {
  if (life.clock.now() >= life.deadlineMs) throw timedOut(life, reason);
}

function throwIfTimedOut(life: Life, trouble: unknown): void {
  if (life.clock.now() >= life.deadlineMs) throw timedOut(life, 'the backup did not finish', trouble);
}

function timedOut({ instance, options }: Life, reason: string, cause?: unknown): BackupError {
  const minutes = Math.round(options.timeoutMs / 60_000);
  return new BackupError(
    'BACKUP_TIMEOUT',
    `back up ${instance.id} in ${instance.region} within ${minutes} min: ${reason}`,
    {
      details: place(instance),
      hint: 'raise backup.timeoutMinutes if its backups take longer',
      cause,
    },
  );
}
