/**
 * One instance from backup to proof: obtain a backup, set an uploader to work, wait for what it leaves in the bucket,
 * and check that. Every step is recorded, so that going through it again repeats nothing.
 */
import { randomUUID } from 'node:crypto';
import { toInstant, type Clock } from '../core/clock.ts';
import type { Plan } from '../core/config.ts';
import {
  BackupError,
  asBackupError,
  fromErrorRecord,
  toErrorRecord,
  type ErrorRecord,
} from '../core/errors.ts';
import type { Invoker } from '../core/invoker.ts';
import type { Log } from '../core/log.ts';
import { backupFolder, manifestKey, type BackupPlace } from '../core/repository/keys.ts';
import type { Manifest } from '../core/repository/manifest.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import {
  obtainBackup,
  type ObtainedBackup,
  type ObtainOptions,
  type Records,
  type Turn,
} from '../core/source/obtain-backup.ts';
import type { Selected } from '../core/source/select.ts';
import type { Source } from '../core/source/source.ts';
import type { UploadOutcome, UploadRequest } from '../core/upload-request.ts';
import { checkStored } from './check-stored.ts';
import type { RunFolder } from './run-folder.ts';
import { consoleUrl, type InstanceResult, type StoredResult } from './summary.ts';

export interface InstanceJob {
  readonly runId: string;
  readonly plan: Plan;
  /** The run's date in the plan's time zone. */
  readonly date: string;
  /** 1, and one more each time the run's failed instances are tried again. */
  readonly round: number;
  readonly selected: Selected;
  /** What its upload may use of the run's bandwidth; as much as there is if left out. */
  readonly bytesPerSecond?: number;
  /** How the instance failed in the round before. */
  readonly lastError?: ErrorRecord;
  /** When the run began: what has been backed up since is fresh enough for another round. */
  readonly runStartedAtMs: number;
}

export interface InstanceParts {
  readonly source: Source;
  readonly store: ObjectStore;
  readonly folder: RunFolder;
  /** When it may start a backup. */
  readonly turn: Turn;
  readonly invoker: Invoker;
  /** How long an uploader may take at most, from its invocation to its outcome, tries by the platform included. */
  readonly uploaderLimitMs: number;
  readonly clock: Clock;
  readonly log: Log;
}

/** Invocations of the uploader for one instance in one round that may fail. */
export const MAX_ATTEMPTS = 3;
const ATTEMPT_WAIT_MS = 10_000;
/** Those that hand over because their time is over are not counted; but attempts are numbered through all rounds. */
const ATTEMPTS_PER_ROUND = 1000;

/** Between the record that somebody is about to invoke and the record that it has been done. */
const INVOKE_SETTLE_MS = 2 * 60_000;

/** How often the platform is asked whether an uploader that has left nothing yet can still leave something. */
const STATE_EVERY_MS = 30_000;
/** … and after it has left a failure, how soon it is known whether the platform tries again. */
const STATE_AFTER_FAILURE_MS = 5_000;

/**
 * Where the platform does not tell, the uploader's own signs of life do. They come at least every minute; four that
 * did not come are no accident of the bucket or of a busy machine.
 */
const SILENCE_MS = 4 * 60_000;
/** From its invocation to its first sign of life: others may be ahead of it in the platform's queue. */
const QUEUE_LIMIT_MS = 30 * 60_000;

/**
 * Failures become results; throws only when the signal aborts, or when the bucket that holds the run's state fails.
 * Called again for the same round, it returns the recorded result.
 */
export async function backUpInstance(
  job: InstanceJob,
  parts: InstanceParts,
  signal: AbortSignal,
): Promise<InstanceResult> {
  const { region, id } = job.selected.instance;
  const records = parts.folder.recordsOf(region, id, job.round);
  const recorded = await records.read('result', signal);
  if (recorded !== undefined) return recorded as InstanceResult; // written by ourselves, below

  let result: InstanceResult;
  try {
    const backup = await obtain(job, parts, records, signal);
    const stored = toStored(job, await upload(job, backup, parts, signal));
    const { files, bytes, level, manifest } = stored;
    parts.log.info('the backup is stored', { files, bytes, level, manifest });
    result = stored;
  } catch (error) {
    if (signal.aborted) throw error;
    parts.log.error('the instance failed', { error });
    result = { region, instanceId: id, status: 'failed', error: toErrorRecord(error) };
  }
  return (await records.write('result', result, signal)) as InstanceResult;
}

/** Failures that say something against the backup itself: another round needs another backup. */
const BACKUP_UNUSABLE = new Set<string>([
  'BACKUP_FAILED',
  'NO_DOWNLOAD_URL',
  'SOURCE_INVALID',
  'SOURCE_TRUNCATED',
  'SOURCE_CHANGED',
  'RDB_TRUNCATED',
  'RDB_CORRUPT',
  'SHARDS_DISAGREE',
]);

async function obtain(
  job: InstanceJob,
  { source, folder, turn, clock, log }: InstanceParts,
  records: Records,
  signal: AbortSignal,
): Promise<ObtainedBackup> {
  const { plan, round, selected, lastError } = job;
  const options: ObtainOptions = {
    adoptWithinMs: plan.backup.adoptWithinHours * 3600_000,
    timeoutMs: plan.backup.timeoutMinutes * 60_000,
  };
  if (round === 1)
    return obtainBackup(selected.instance, options, { source, records, turn, clock, log }, signal);

  // What this run has backed up before is as good as a new backup, unless that is what was wrong with it.
  const earlier = await earlierBackups(job, folder, signal);
  const refused = lastError !== undefined && BACKUP_UNUSABLE.has(lastError.code);
  const sinceStartMs = clock.now() - job.runStartedAtMs;
  const again: ObtainOptions = {
    ...options,
    adoptWithinMs: Math.max(options.adoptWithinMs, sinceStartMs),
    refusedIds: refused ? earlier.flatMap((backup) => backup.ids) : [],
  };
  const backup = await obtainBackup(selected.instance, again, { source, records, turn, clock, log }, signal);
  const own = earlier.find((one) => one.ids.some((id) => backup.ids.includes(id)));
  return own === undefined ? backup : { ...backup, adopted: own.adopted };
}

async function earlierBackups(
  { round, selected }: InstanceJob,
  folder: RunFolder,
  signal: AbortSignal,
): Promise<readonly ObtainedBackup[]> {
  const { region, id } = selected.instance;
  const backups: ObtainedBackup[] = [];
  for (let earlier = 1; earlier < round; earlier++) {
    const backup = await folder.recordsOf(region, id, earlier).read('backup', signal);
    if (backup !== undefined) backups.push(backup as ObtainedBackup); // written by obtainBackup
  }
  return backups;
}

/** Invokes uploaders until one has stored the backup. Only a manifest that agrees with its objects counts as stored. */
async function upload(
  job: InstanceJob,
  backup: ObtainedBackup,
  parts: InstanceParts,
  signal: AbortSignal,
): Promise<Manifest> {
  const { store, clock, log } = parts;
  const place = placeOf(job);
  const expected = { region: job.selected.instance.region, shards: backup.shards };
  const first = (job.round - 1) * ATTEMPTS_PER_ROUND + 1;
  let failures = 0;
  let keptBytes = 0;
  let lastError: BackupError | undefined;
  for (let attempt = first; failures < MAX_ATTEMPTS && attempt < first + ATTEMPTS_PER_ROUND; attempt++) {
    const manifest = await checkStored(store, place, expected, signal);
    if (manifest !== undefined) return manifest;
    const outcome = await runAttempt(toRequest(job, backup, attempt), parts, signal);
    if (outcome.status === 'continued' && outcome.keptBytes > keptBytes) {
      ({ keptBytes } = outcome);
      log.info('the uploader hands over to the next one', { attempt, keptBytes });
      continue;
    }
    if (outcome.status !== 'stored') {
      lastError =
        outcome.status === 'failed'
          ? fromErrorRecord(outcome.error)
          : noProgress(place.instanceId, keptBytes);
      if (!lastError.retryable) throw lastError;
    }
    const stored = await checkStored(store, place, expected, signal);
    if (stored !== undefined) return stored;
    lastError ??= new BackupError(
      'BACKUP_DAMAGED',
      `upload ${place.instanceId}: reported as stored, without a manifest`,
    );
    failures++;
    log.warn('an upload did not succeed', { attempt, error: lastError });
    if (failures < MAX_ATTEMPTS) await clock.sleep(ATTEMPT_WAIT_MS * failures, signal);
  }
  throw lastError ?? new BackupError('INTERNAL', `upload ${place.instanceId}: no attempt was made`);
}

/** It would be handed over for ever. */
function noProgress(instanceId: string, keptBytes: number): BackupError {
  return new BackupError(
    'DEADLINE_NEAR',
    `upload ${instanceId}: a whole invocation got no further than byte ${keptBytes}`,
    {
      retryable: true,
      details: { keptBytes },
      hint: 'give the uploader a longer time-out, at most 24 hours, or more memory, which brings more lanes',
    },
  );
}

/**
 * The outcome of one attempt; a failure that says so when there will be none. The platform may run a failed attempt
 * again by itself, and each of its tries leaves an outcome of its own: while it does, a failure that may pass is not
 * the end.
 */
async function runAttempt(
  request: UploadRequest,
  parts: InstanceParts,
  signal: AbortSignal,
): Promise<UploadOutcome> {
  const { folder, invoker, clock } = parts;
  const { region, id } = request.instance;
  // Outcomes are of all rounds: attempts are counted through.
  const records = folder.recordsOf(region, id);
  const invoked = await invokeOnce(request, records, parts, signal);
  if (typeof invoked !== 'number') return invoked;
  const invokedAtMs = invoked;
  const limitMs = invokedAtMs + parts.uploaderLimitMs;
  const isOutcome = stepMatcher(folder, request, 'outcome');
  const isProgress = stepMatcher(folder, request, 'progress');
  const seen = new Set<string>();
  let failure: UploadOutcome | undefined;
  let calledAliveAtMs = invokedAtMs;

  const lookUntil = async (untilMs: number): Promise<UploadOutcome | undefined> => {
    const keys = await folder.waitFor((key) => isOutcome(key) && !seen.has(key), untilMs);
    for (const key of keys) {
      seen.add(key);
      const outcome = toOutcome(await folder.read(key, signal), request);
      if (outcome.status !== 'failed' || !outcome.error.retryable) return outcome;
      failure = outcome;
    }
    return undefined;
  };

  /** Why it must be dead, as far as signs of life tell; undefined while it may be alive. */
  const silence = (): string | undefined => {
    const lastSignMs = folder.lastSeen(isProgress);
    if (lastSignMs === undefined)
      return clock.now() - calledAliveAtMs < QUEUE_LIMIT_MS
        ? undefined
        : `it gave no sign of life within ${QUEUE_LIMIT_MS / 60_000} min`;
    return clock.now() - Math.max(lastSignMs, calledAliveAtMs) < SILENCE_MS
      ? undefined
      : `it gave no sign of life for ${SILENCE_MS / 60_000} min`;
  };

  for (;;) {
    const everyMs = failure === undefined ? STATE_EVERY_MS : STATE_AFTER_FAILURE_MS;
    const final = await lookUntil(Math.min(limitMs, clock.now() + everyMs));
    if (final !== undefined) return final;
    if (clock.now() >= limitMs)
      return failure ?? lost(request, `nothing of it within ${parts.uploaderLimitMs / 3600_000} h`, clock);
    const state = await invoker.state(request, signal);
    if (state === 'alive') calledAliveAtMs = clock.now();
    const reason = state === 'ended' ? 'it ended without a result' : silence();
    if (state === 'alive' || (failure === undefined && reason === undefined)) continue;
    // It may have written its outcome between our last look and its end.
    const late = (await lookUntil(clock.now())) ?? failure;
    if (late !== undefined) return late;
    const said = state === 'ended' ? await invoker.errorOf?.(request, signal) : undefined;
    return lost(request, reason ?? '', clock, said);
  }
}

/**
 * An uploader that ended in one of these would do so again: its outcome is what it could not write. Of what was denied,
 * only a right that is missing: a session that has ended is another one's in the next attempt.
 */
const FOR_GOOD = /^(CONFIG_INVALID|NO_SUCH_BUCKET|PERMISSION_DENIED(?=[^]* lacks [a-z]+:\w+ on )): /;

/** @param said the error in which it ended */
function lost(
  { instance, attempt }: UploadRequest,
  reason: string,
  clock: Clock,
  said?: string,
): UploadOutcome {
  const [, code] = FOR_GOOD.exec(said ?? '') ?? [];
  const error = new BackupError(
    code === 'PERMISSION_DENIED' ? code : 'INVOKE_FAILED',
    `upload ${instance.id} with uploader ${attempt}: ${reason}${said === undefined ? '' : `: ${said}`}`,
    {
      retryable: code === undefined,
      details: { instanceId: instance.id, attempt },
      hint: "see the uploader's log: out of memory and time-outs leave no result",
    },
  );
  return failedOutcome({ attempt }, error, clock);
}

function failedOutcome(
  { attempt }: Pick<UploadRequest, 'attempt'>,
  error: BackupError,
  clock: Clock,
): UploadOutcome {
  return { status: 'failed', attempt, finishedAt: toInstant(clock.now()), error: toErrorRecord(error) };
}

/** `outcome-<attempt>`, or with the platform's request id behind it. */
function stepMatcher(
  folder: RunFolder,
  { instance, attempt }: UploadRequest,
  step: 'outcome' | 'progress',
): (key: string) => boolean {
  const name = folder.keyOf(instance.region, instance.id, `${step}-${attempt}`).replace(/\.json$/, '');
  return (key) => key === `${name}.json` || (key.startsWith(`${name}-`) && key.endsWith('.json'));
}

/**
 * Invokes, unless that has been done, and returns when it was done; a failure when nobody could be had for now. Who
 * creates the intention is the one to invoke.
 */
async function invokeOnce(
  request: UploadRequest,
  records: Records,
  { folder, invoker, clock, log }: InstanceParts,
  signal: AbortSignal,
): Promise<number | UploadOutcome> {
  const { attempt, instance } = request;
  const invoked = await records.read(`invoked-${attempt}`, signal);
  if (invoked !== undefined) return Date.parse((invoked as Moment).at); // written by ourselves, below
  const mine: Moment = { at: toInstant(clock.now()), by: randomUUID() };
  const holder = (await records.write(`invoke-intended-${attempt}`, mine, signal)) as Moment;
  if (holder.by !== mine.by) {
    const isOutcome = stepMatcher(folder, request, 'outcome');
    const isProgress = stepMatcher(folder, request, 'progress');
    const invokedKey = folder.keyOf(instance.region, instance.id, `invoked-${attempt}`);
    const found = await folder.waitFor(
      (key) => key === invokedKey || isOutcome(key) || isProgress(key),
      Date.parse(holder.at) + INVOKE_SETTLE_MS,
    );
    if (found.length > 0) return Date.parse(holder.at);
    // Who intended it is gone. The platform recognises the attempt if the request was sent after all.
  }
  let result: 'accepted' | 'accepted-before';
  try {
    result = await invoker.invoke(request, signal);
  } catch (error) {
    if (signal.aborted || !asBackupError(error).retryable) throw error;
    return failedOutcome(request, asBackupError(error), clock);
  }
  log.info('the uploader was invoked', { attempt, result });
  const done = (await records.write(
    `invoked-${attempt}`,
    { ...mine, at: toInstant(clock.now()) },
    signal,
  )) as Moment;
  return Date.parse(done.at);
}

interface Moment {
  readonly at: string;
  readonly by: string;
}

function toRequest(job: InstanceJob, backup: ObtainedBackup, attempt: number): UploadRequest {
  const { region, id, name, engine, engineVersion, architecture } = job.selected.instance;
  const { account, server } = job.selected;
  return {
    runId: job.runId,
    plan: job.plan.name,
    date: job.date,
    attempt,
    destination: job.plan.destination,
    ...(account === undefined ? {} : { account }),
    ...(server === undefined ? {} : { server }),
    ...(job.bytesPerSecond === undefined ? {} : { bytesPerSecond: job.bytesPerSecond }),
    instance: { region, id, name, engine, engineVersion, architecture, shards: backup.shards },
    backup: {
      ids: [...backup.ids],
      jobIds: [...backup.jobIds],
      mode: backup.mode,
      startedAt: backup.startedAt,
      endedAt: backup.endedAt,
      adopted: backup.adopted,
    },
  };
}

function toOutcome(value: unknown, { instance, attempt }: UploadRequest): UploadOutcome {
  const outcome = value as Partial<UploadOutcome> | undefined;
  if (
    outcome?.status === 'stored' ||
    (outcome?.status === 'continued' && typeof outcome.keptBytes === 'number') ||
    (outcome?.status === 'failed' && 'error' in outcome)
  )
    return outcome as UploadOutcome; // the uploader's own type; what it claims is checked against the bucket
  throw new BackupError('INTERNAL', `read outcome ${attempt} of ${instance.id}: none of the known ones`);
}

function placeOf({ plan, selected, date, runId }: InstanceJob): BackupPlace {
  return { prefix: plan.destination.prefix, instanceId: selected.instance.id, date, runId };
}

/** As the manifest says it: an uploader of an earlier round may have come to life, and have stored its own backup. */
function toStored(job: InstanceJob, manifest: Manifest): StoredResult {
  const place = placeOf(job);
  return {
    region: job.selected.instance.region,
    instanceId: place.instanceId,
    status: 'stored',
    backupId: manifest.backup.ids.join(','),
    files: manifest.files.length,
    bytes: manifest.files.reduce((sum, file) => sum + file.bytes, 0),
    level: manifest.level,
    manifest: manifestKey(place),
    url: consoleUrl(job.plan.destination, backupFolder(place)),
  };
}
