/**
 * One run of a plan at a time. No role can delete or replace anything, so the lock is a sequence of write-once objects
 * `<prefix>.tairlift/plans/<plan>/lock-<n>.json`, each naming a run; the run that the newest one names holds the lock.
 *
 * - `lock-<n+1>` may be created only when the run of `lock-<n>` is over (the newest round of it has its summary) or dead
 *   (nothing was written into its folder for `DEAD_AFTER_MS`, by the bucket's own clock). Of several who try, the bucket
 *   lets one create it. So nobody has to give a lock back, and a dead owner's frees itself.
 * - It belongs to the run, not to a process: whoever goes on with the run (delivered again, resumed, handed over, its
 *   failed instances tried again) holds it as long as the newest one names that run.
 * - Who was dead, or slow, and comes back to life looks before it starts anything: `lost`. What has been started is
 *   looked after to its end, for it is the run's own and harms nobody.
 *
 * What remains is the moment between a look and a start, at most `CHECK_EVERY_MS` and one request. An owner that is
 * paused for a quarter of an hour in just that moment may start one backup beside the other run's; the service
 * refuses a second backup while one is running, and the other run adopts it.
 */
import { toInstant, type Clock } from '../core/clock.ts';
import { BackupError } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { lockKey, lockPrefix, runFolder } from '../core/repository/keys.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import { DEAD_AFTER_MS, type LifeSigns } from './life-signs.ts';
import { isOver } from './run-folder.ts';

/** A lock object, as far as it can be read. */
export interface Lock {
  readonly number: number;
  /** Empty when the object says nothing that can be understood. */
  readonly runId: string;
  /** When it was created, by the bucket's clock; milliseconds since 1970. */
  readonly createdAtMs: number;
}

export interface PlanLock {
  /** Takes the lock when it is free or the run's own already. Returns the other one's when another run is at work. */
  take(signal: AbortSignal): Promise<Lock | undefined>;
  /**
   * Takes it as soon as it is free; the other one's when it was not by `untilMs`. Rejects when the signal aborts.
   */
  await(untilMs: number, signal: AbortSignal): Promise<Lock | undefined>;
  /** The lock that has come after ours, or stood in its way; undefined while it is ours. Looks into the bucket now and then. */
  lost(signal: AbortSignal): Promise<Lock | undefined>;
}

export interface PlanLockParts {
  readonly store: ObjectStore;
  readonly prefix: string;
  readonly plan: string;
  readonly runId: string;
  readonly signs: LifeSigns;
  readonly clock: Clock;
  readonly log: Log;
}

/** A look is good for so long. */
const CHECK_EVERY_MS = 20_000;

/** Between two looks at another run: small ones are over in seconds, large ones take hours. */
const MIN_WAIT_MS = 2_000;
const MAX_WAIT_MS = 60_000;

/** Whoever loses so many races for the next lock is not alone in a way that nobody has thought of. */
const MAX_RACES = 100;

export function openPlanLock(parts: PlanLockParts): PlanLock {
  const { store, prefix, plan, runId, signs, clock, log } = parts;
  let own: Lock | undefined;
  let other: Lock | undefined;
  let checkedAtMs = Number.NEGATIVE_INFINITY;
  let checking: Promise<void> | undefined;

  async function take(signal: AbortSignal): Promise<Lock | undefined> {
    for (let race = 0; race < MAX_RACES; race++) {
      const newest = await newestLock(store, prefix, plan, signal);
      if (newest?.runId === runId) {
        [own, other, checkedAtMs] = [newest, undefined, clock.now()];
        return undefined;
      }
      if (newest !== undefined && (await isHeld(newest, signal))) return (other = newest);
      const number = (newest?.number ?? 0) + 1;
      const body = Buffer.from(`${JSON.stringify({ runId, at: toInstant(clock.now()) })}\n`);
      // Whatever comes of it, the next look tells whose it is.
      await store.create(lockKey(prefix, plan, number), body, 'application/json', signal);
      if (newest !== undefined) log.info('took the lock of the plan', { number, after: newest.runId });
    }
    throw new BackupError('SERVICE_ERROR', `take the lock of plan ${plan}: lost ${MAX_RACES} races for it`, {
      retryable: true,
    });
  }

  async function isHeld(lock: Lock, signal: AbortSignal): Promise<boolean> {
    let newestMs = lock.createdAtMs;
    if (lock.runId !== '') {
      const folder = runFolder(prefix, lock.runId);
      const present = new Set<string>();
      for await (const { key, lastModifiedAt } of store.list(folder, signal)) {
        present.add(key.slice(folder.length));
        newestMs = Math.max(newestMs, Date.parse(lastModifiedAt));
      }
      if (isOver(present)) return false;
    }
    return (await signs.leave(signal)) - newestMs < DEAD_AFTER_MS;
  }

  async function awaitLock(untilMs: number, signal: AbortSignal): Promise<Lock | undefined> {
    let waitMs = MIN_WAIT_MS;
    let told = '';
    for (;;) {
      const held = await take(signal);
      if (held === undefined) signs.say('works');
      if (held === undefined || clock.now() >= untilMs) return held;
      if (told !== held.runId)
        log.info('another run of the plan is at work: waiting for it', { other: held.runId });
      told = held.runId;
      signs.say(`waits for run ${held.runId}`);
      await clock.sleep(Math.max(1, Math.min(waitMs, untilMs - clock.now())), signal);
      waitMs = Math.min(MAX_WAIT_MS, waitMs * 1.5);
    }
  }

  async function lost(signal: AbortSignal): Promise<Lock | undefined> {
    if (own !== undefined && other === undefined && clock.now() - checkedAtMs >= CHECK_EVERY_MS) {
      // One look serves all who ask at the same time.
      checking ??= check(own, signal).finally(() => (checking = undefined));
      await checking;
    }
    return other;
  }

  /** The object itself is looked at as well: a bucket with versioning lets two create it. */
  async function check({ number }: Lock, signal: AbortSignal): Promise<void> {
    const startedAtMs = clock.now();
    const [mine, next] = await Promise.all([
      readLock(store, prefix, plan, number, signal),
      store.head(lockKey(prefix, plan, number + 1), signal),
    ]);
    if (mine?.runId !== runId || next !== undefined) other = await newestLock(store, prefix, plan, signal);
    checkedAtMs = startedAtMs;
  }

  return { take, await: awaitLock, lost };
}

/** Undefined when no run of the plan has ever taken it. */
export async function newestLock(
  store: ObjectStore,
  prefix: string,
  plan: string,
  signal: AbortSignal,
): Promise<Lock | undefined> {
  const start = lockPrefix(prefix, plan);
  let number = 0;
  let createdAtMs = 0;
  for await (const { key, lastModifiedAt } of store.list(start, signal)) {
    const found = Number(/^(\d{1,9})\.json$/.exec(key.slice(start.length))?.[1] ?? 0);
    if (found > number) [number, createdAtMs] = [found, Date.parse(lastModifiedAt)];
  }
  if (number === 0) return undefined;
  const lock = await readLock(store, prefix, plan, number, signal);
  return { number, runId: lock?.runId ?? '', createdAtMs };
}

async function readLock(
  store: ObjectStore,
  prefix: string,
  plan: string,
  number: number,
  signal: AbortSignal,
): Promise<{ readonly runId: string } | undefined> {
  const bytes = await store.get(lockKey(prefix, plan, number), signal);
  try {
    const { runId } = JSON.parse(bytes?.toString('utf8') ?? '{}') as { readonly runId?: unknown };
    return typeof runId === 'string' ? { runId } : undefined;
  } catch {
    // Not ours: like a lock whose run has never been heard of.
    return undefined;
  }
}
