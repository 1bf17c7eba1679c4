/**
 * What a run is doing, told by its folder in the bucket alone: where each instance is, from the names of its records,
 * and how far uploads are, from their newest signs of life. Records never change, so each is read once, however often
 * one looks; and only those are read whose names do not tell enough.
 */
import pLimit from 'p-limit';
import { BackupError, asBackupError, type ErrorRecord } from '../core/errors.ts';
import { parseRunId, runFolder, runMarkPrefix } from '../core/repository/keys.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import type { UploadProgress } from '../core/upload-request.ts';
import { DEAD_AFTER_MS, type LifeSign } from './life-signs.ts';
import { newestLock } from './plan-lock.ts';
import { inRound, isOver, roundOf, summaryName } from './run-folder.ts';
import type { InstanceResult, Summary } from './summary.ts';

export type Step =
  /** Not begun, or waiting for its turn. */
  | 'waiting'
  | 'asked for'
  | 'backing up'
  /** Its backup is finished, and an uploader has not begun yet. */
  | 'queued'
  | 'uploading'
  /** An uploader has ended, and what it left is looked at. */
  | 'checking'
  | InstanceResult['status']
  /** Its records cannot be understood. */
  | 'unclear';

export interface InstanceStatus {
  readonly region: string;
  readonly instanceId: string;
  readonly step: Step;
  /** When it came to this step; ISO 8601. */
  readonly since?: string;
  /** Uploaders that were invoked for it, in all rounds. */
  readonly attempts: number;
  readonly doneBytes?: number;
  readonly bytes?: number;
  readonly bytesPerSecond?: number;
  readonly etaSeconds?: number;
  readonly error?: ErrorRecord;
  /** Why it was skipped, or what it waits for. */
  readonly reason?: string;
}

export type RunState =
  | Summary['status']
  | 'running'
  /** No sign of life for so long that another run may take its place. It can still be gone on with. */
  | 'dead';

export interface RunBrief {
  readonly runId: string;
  readonly state: RunState;
  readonly startedAt: string;
  readonly finishedAt?: string;
  readonly counts?: Summary['counts'];
  /** When the newest record was written, by the bucket's clock. */
  readonly lastSignAt?: string;
}

export interface RunStatus extends RunBrief {
  readonly plan: string;
  /** 1, and one more each time its failed instances were tried again. */
  readonly round: number;
  readonly handOvers: number;
  /** What its orchestrator said last. */
  readonly doing?: string;
  /** The run that holds the lock of the plan, or held it last. */
  readonly lockedBy?: string;
  readonly steps: Readonly<Partial<Record<Step, number>>>;
  readonly doneBytes: number;
  readonly bytes: number;
  readonly bytesPerSecond: number;
  readonly problems: readonly ErrorRecord[];
  readonly instances: readonly InstanceStatus[];
}

export interface StatusReader {
  /** @throws BackupError `NOT_FOUND` when there is no such run */
  read(runId: string, signal: AbortSignal): Promise<RunStatus>;
  /** The plan's runs, newest first, at most so many. */
  newest(plan: string, count: number, signal: AbortSignal): Promise<readonly RunBrief[]>;
}

/** Requests at a time. */
const READS_AT_ONCE = 16;

export function createStatusReader(store: ObjectStore, prefix: string, now: () => number): StatusReader {
  const records = new Map<string, unknown>();
  const limit = pLimit(READS_AT_ONCE);

  /** Undefined for what is not there and for what is no JSON object. */
  async function readRecord(key: string, signal: AbortSignal): Promise<object | undefined> {
    if (!records.has(key)) {
      const bytes = await limit(async () => store.get(key, signal));
      if (bytes === undefined) return undefined;
      records.set(key, parse(bytes));
    }
    const value = records.get(key);
    return typeof value === 'object' && value !== null ? value : undefined;
  }

  async function listFolder(start: string, signal: AbortSignal): Promise<Folder> {
    const folder = new Map<string, number>();
    for await (const { key, lastModifiedAt } of store.list(start, signal))
      folder.set(key, Date.parse(lastModifiedAt));
    return folder;
  }

  async function read(runId: string, signal: AbortSignal): Promise<RunStatus> {
    const run = named(runId);
    const start = runFolder(prefix, runId);
    const folder: Folder = new Map(
      [...(await listFolder(start, signal))].map(([key, atMs]) => [key.slice(start.length), atMs]),
    );
    if (folder.size === 0)
      throw new BackupError(
        'NOT_FOUND',
        `look at run ${runId}: there is nothing of it in ${store.name}/${start}`,
      );
    const look = async (name: string): Promise<object | undefined> => readRecord(`${start}${name}`, signal);
    const sign = newestOf(folder, /^alive-/);

    const keys = new Set(folder.keys());
    const round = roundOf(keys);
    const [summary, lock, said] = await Promise.all([
      isOver(keys) ? look(`${summaryName(round)}.json`) : undefined,
      newestLock(store, prefix, run.plan, signal),
      sign === undefined ? undefined : look(sign),
    ]);
    const ended = asSummary(summary);
    const attempts = attemptsIn(folder);
    const instances =
      ended === undefined
        ? await readInstances(folder, round, look)
        : ended.instances.map((one) => toStatus(one, attempts));
    const lastMs = Math.max(...folder.values());
    const { doing }: Partial<LifeSign> = said ?? {};
    const sum = (measure: (one: InstanceStatus) => number | undefined): number =>
      instances.reduce((all, one) => all + (measure(one) ?? 0), 0);
    const steps: Partial<Record<Step, number>> = {};
    for (const { step } of instances) steps[step] = (steps[step] ?? 0) + 1;
    return {
      runId,
      plan: run.plan,
      state: stateOf(ended, lastMs),
      startedAt: new Date(run.startedAtMs).toISOString(),
      ...(ended === undefined ? {} : { finishedAt: ended.finishedAt, counts: ended.counts }),
      round,
      handOvers: [...keys].filter((key) => /^handover-\d+\.json$/.test(key)).length,
      lastSignAt: new Date(lastMs).toISOString(),
      ...(typeof doing === 'string' && ended === undefined ? { doing } : {}),
      ...(lock === undefined || lock.runId === '' ? {} : { lockedBy: lock.runId }),
      steps,
      doneBytes: sum(({ doneBytes }) => doneBytes),
      bytes: sum(({ bytes }) => bytes),
      bytesPerSecond: sum(({ bytesPerSecond }) => bytesPerSecond),
      problems: ended?.problems ?? [],
      instances,
    };
  }

  function stateOf(ended: Summary | undefined, lastMs: number): RunState {
    if (ended !== undefined) return ended.status;
    return now() - lastMs < DEAD_AFTER_MS ? 'running' : 'dead';
  }

  async function newest(plan: string, count: number, signal: AbortSignal): Promise<readonly RunBrief[]> {
    const start = runMarkPrefix(prefix, plan);
    const ids: string[] = [];
    for await (const { key } of store.list(start, signal)) {
      const id = key.slice(start.length).replace(/\.json$/, '');
      if (parseRunId(id) !== undefined) ids.push(id);
    }
    // Ids begin with the time.
    return Promise.all(
      ids
        .sort()
        .slice(-count)
        .reverse()
        .map(async (id) => brief(id, signal)),
    );
  }

  /** Without a listing of the whole folder, as long as there is a summary or a fresh sign of life. */
  async function brief(runId: string, signal: AbortSignal): Promise<RunBrief> {
    const { startedAtMs } = named(runId);
    const start = runFolder(prefix, runId);
    const few: [string, number][] = [];
    for (const names of ['alive-', 'retry-', 'summary'])
      few.push(...(await limit(async () => listFolder(start + names, signal))));
    const keys = new Set(few.map(([key]) => key.slice(start.length)));
    const summary = isOver(keys)
      ? asSummary(await readRecord(`${start}${summaryName(roundOf(keys))}.json`, signal))
      : undefined;
    const startedAt = new Date(startedAtMs).toISOString();
    const found = (lastMs: number): RunBrief => ({
      runId,
      state: stateOf(summary, lastMs),
      startedAt,
      ...(summary === undefined ? {} : { finishedAt: summary.finishedAt, counts: summary.counts }),
      ...(lastMs > 0 ? { lastSignAt: new Date(lastMs).toISOString() } : {}),
    });
    const fresh = found(Math.max(0, ...few.map(([, atMs]) => atMs)));
    if (fresh.state !== 'dead') return fresh;
    return found(Math.max(0, ...(await limit(async () => listFolder(start, signal))).values()));
  }

  return { read, newest };
}

/** Keys and when they were written, in milliseconds since 1970. */
type Folder = ReadonlyMap<string, number>;
type Look = (name: string) => Promise<object | undefined>;

async function readInstances(folder: Folder, round: number, look: Look): Promise<readonly InstanceStatus[]> {
  const places = new Map<string, Place>();
  const selection = inRound(round, 'selection');
  const name = folder.has(`${selection}.json`)
    ? `${selection}.json`
    : newestOf(folder, new RegExp(`^${selection}-incomplete-`));
  const recorded: SelectionRecord | undefined = name === undefined ? undefined : await look(name);
  for (const entry of asArray(recorded?.selected)) {
    const { region, id, noBackup } =
      (entry as { instance?: Partial<Place & { noBackup: string }> }).instance ?? {};
    if (region !== undefined && id !== undefined)
      places.set(`${region}/${id}`, {
        region,
        id,
        names: new Map(),
        ...(noBackup === undefined ? {} : { noBackup }),
      });
  }
  // Work has begun on what an earlier invocation could list, whatever the newest selection says.
  for (const [key, atMs] of folder) {
    const [, region, id, name] = /^instances\/([^/]+)\/([^/]+)\/(.+)\.json$/.exec(key) ?? [];
    if (region === undefined || id === undefined || name === undefined) continue;
    const place = places.get(`${region}/${id}`) ?? { region, id, names: new Map<string, number>() };
    places.set(`${region}/${id}`, place);
    place.names.set(name, atMs);
  }
  const before = round === 1 ? undefined : asSummary(await look(`${summaryName(round - 1)}.json`));
  const settled = (before?.instances ?? []).filter(({ status }) => status !== 'failed');
  for (const { region, instanceId } of settled) places.delete(`${region}/${instanceId}`);
  const rest = await Promise.all([...places.values()].map(async (place) => readInstance(place, round, look)));
  const attempts = attemptsIn(folder);
  return [...settled.map((one) => toStatus(one, attempts)), ...rest].sort(byPlace);
}

interface Place {
  readonly region: string;
  readonly id: string;
  readonly noBackup?: string;
  /** Its records, without their ending, and when they were written. */
  readonly names: Map<string, number>;
}

interface SelectionRecord {
  readonly selected?: unknown;
}

interface AnswerRecord {
  readonly kind?: unknown;
  readonly reason?: unknown;
}

async function readInstance(
  { region, id, noBackup, names }: Place,
  round: number,
  look: Look,
): Promise<InstanceStatus> {
  const attempts = countOf(names, /^invoked-\d+$/);
  const at = (step: Step, name: string, more: Partial<InstanceStatus> = {}): InstanceStatus => {
    const atMs = names.get(name);
    return {
      region,
      instanceId: id,
      step,
      ...(atMs === undefined ? {} : { since: new Date(atMs).toISOString() }),
      attempts,
      ...more,
    };
  };
  if (noBackup !== undefined) return at('skipped', '', { reason: noBackup });
  const own = (name: string): string => inRound(round, name);
  const record = async (name: string): Promise<object | undefined> =>
    look(`instances/${region}/${id}/${name}.json`);

  if (names.has(own('result'))) {
    const result = asResult(await record(own('result')));
    return result === undefined ? at('unclear', own('result')) : { ...toStatus(result), attempts };
  }
  const attempt = highest(names, /^invoke-intended-(\d+)$/);
  if (names.has(own('backup'))) {
    if (attempt <= (round - 1) * 1000) return at('queued', own('backup'));
    if (namesOf(names, `outcome-${attempt}`).length > 0) return at('checking', `invoked-${attempt}`);
    const signs = namesOf(names, `progress-${attempt}`);
    if (signs.length === 0) return at('queued', `invoke-intended-${attempt}`);
    const [last, earlier] = await Promise.all(signs.slice(0, 2).map(record));
    return at('uploading', signs.at(-1) ?? '', { ...progressOf(last, earlier) });
  }
  const start = highest(names, new RegExp(`^${own('backup-intended')}-(\\d+)$`));
  const intended = own(`backup-intended-${start}`);
  if (start === 0) return at('waiting', own('begun'));
  if (!names.has(own(`backup-answer-${start}`))) return at('asked for', intended);
  const answer: AnswerRecord | undefined = await record(own(`backup-answer-${start}`));
  if (answer?.kind === 'awaited') return at('backing up', intended);
  if (answer?.kind === 'finished') return at('queued', own(`backup-answer-${start}`));
  if (answer?.kind !== 'none') return at('unclear', intended);
  return at('waiting', intended, typeof answer.reason === 'string' ? { reason: answer.reason } : {});
}

/** Of the same step, with whatever is behind it; newest first. */
function namesOf(names: ReadonlyMap<string, number>, step: string): string[] {
  return [...names]
    .filter(([name]) => name === step || name.startsWith(`${step}-`))
    .sort(([a, atA], [b, atB]) => atB - atA || (a < b ? 1 : -1))
    .map(([name]) => name);
}

function countOf(names: ReadonlyMap<string, number>, pattern: RegExp): number {
  return [...names.keys()].filter((name) => pattern.test(name)).length;
}

function highest(names: ReadonlyMap<string, number>, pattern: RegExp): number {
  return Math.max(0, ...[...names.keys()].map((name) => Number(pattern.exec(name)?.[1] ?? 0)));
}

function newestOf(folder: Folder, pattern: RegExp): string | undefined {
  return [...folder].filter(([key]) => pattern.test(key)).sort(([, a], [, b]) => b - a)[0]?.[0];
}

/** From the newest sign of life, and how fast it went since the one before. */
function progressOf(last: object | undefined, earlier: object | undefined): Partial<InstanceStatus> {
  const now = asProgress(last);
  if (now === undefined) return {};
  const { doneBytes, bytes } = now;
  const then = asProgress(earlier);
  const seconds = then === undefined ? 0 : (Date.parse(now.at) - Date.parse(then.at)) / 1000;
  if (then === undefined || !(seconds > 0) || doneBytes < then.doneBytes) return { doneBytes, bytes };
  const bytesPerSecond = Math.round((doneBytes - then.doneBytes) / seconds);
  const etaSeconds = bytesPerSecond > 0 ? Math.ceil((bytes - doneBytes) / bytesPerSecond) : undefined;
  return { doneBytes, bytes, bytesPerSecond, ...(etaSeconds === undefined ? {} : { etaSeconds }) };
}

/** Uploaders that were invoked, by the folder of the instance. */
function attemptsIn(folder: Folder): ReadonlyMap<string, number> {
  const attempts = new Map<string, number>();
  for (const key of folder.keys()) {
    const place = /^instances\/([^/]+\/[^/]+)\/invoked-\d+\.json$/.exec(key)?.[1];
    if (place !== undefined) attempts.set(place, (attempts.get(place) ?? 0) + 1);
  }
  return attempts;
}

function toStatus(result: InstanceResult, attempts: ReadonlyMap<string, number> = new Map()): InstanceStatus {
  const { region, instanceId, status } = result;
  return {
    region,
    instanceId,
    step: status,
    attempts: attempts.get(`${region}/${instanceId}`) ?? 0,
    ...(result.status === 'stored' ? { doneBytes: result.bytes, bytes: result.bytes } : {}),
    ...(result.status === 'failed' ? { error: result.error } : {}),
    ...(result.status === 'skipped' ? { reason: result.reason } : {}),
  };
}

function named(runId: string): { readonly startedAtMs: number; readonly plan: string } {
  const parsed = parseRunId(runId);
  if (parsed !== undefined) return parsed;
  throw new BackupError('CONFIG_INVALID', `look at run "${runId}": not a run id`, {
    hint: 'a run id looks like 20261120T180000Z-nightly',
  });
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    // Whatever else lies in the folder is no record of ours.
    return asBackupError(error).message;
  }
}

function asArray(value: unknown): readonly object[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === 'object' && one !== null) : [];
}

function asResult(value: object | undefined): InstanceResult | undefined {
  const result: Partial<InstanceResult> | undefined = value;
  const isKnown = result?.status === 'stored' || result?.status === 'skipped' || result?.status === 'failed';
  return isKnown && typeof result.instanceId === 'string' ? (result as InstanceResult) : undefined; // written by the orchestrator
}

function asSummary(value: object | undefined): Summary | undefined {
  const summary: Partial<Summary> | undefined = value;
  return Array.isArray(summary?.instances) && typeof summary.status === 'string'
    ? (summary as Summary)
    : undefined; // likewise
}

function asProgress(value: object | undefined): UploadProgress | undefined {
  const progress: Partial<UploadProgress> | undefined = value;
  const isWhole = typeof progress?.doneBytes === 'number' && typeof progress.bytes === 'number';
  return isWhole && typeof progress.at === 'string' ? (progress as UploadProgress) : undefined; // the uploader's
}

function byPlace(a: InstanceStatus, b: InstanceStatus): number {
  return `${a.region}/${a.instanceId}` < `${b.region}/${b.instanceId}` ? -1 : 1;
}
