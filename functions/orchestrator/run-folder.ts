/** The state of a run: small write-once objects in its folder of the bucket, which is all that a later invocation has. */
import type { Clock } from '../core/clock.ts';
import { BackupError, asBackupError } from '../core/errors.ts';
import { runFolder, stepKey } from '../core/repository/keys.ts';
import type { ObjectStore } from '../core/repository/object-store.ts';
import type { Records } from '../core/source/obtain-backup.ts';
import { stopReason } from '../core/transfer/retry.ts';

export interface RunFolder {
  /** Records of the run itself: `selection`, `retry-2`, `handover-1`, `summary`, … */
  readonly own: Records;
  /** Records of one instance; `round` keeps those of a later try apart from the first ones. */
  recordsOf(region: string, instanceId: string, round?: number): Records;
  /** Keys below the folder, relative to it, at this moment. */
  list(signal: AbortSignal): Promise<ReadonlySet<string>>;
  /** A record by its key, as `list` and `waitFor` give it. */
  read(key: string, signal: AbortSignal): Promise<unknown>;
  /** The key of an instance's record, relative to the folder, as `list` and `waitFor` know it. */
  keyOf(region: string, instanceId: string, name: string): string;
  /**
   * The wanted keys, as soon as there are any; none when there are none by `untilMs`, or later when the bucket could not
   * be listed then. Looks at least once. One listing serves all who wait, however many. Rejects with the folder's
   * signal's reason, or when the bucket fails for good.
   */
  waitFor(isWanted: (key: string) => boolean, untilMs: number): Promise<readonly string[]>;
  /**
   * When the latest of these keys was first seen, by our clock; undefined when none has been. What was there at the
   * first look is older: by how much, the bucket's own clock says, from that key to the newest one. So a silence that
   * began before this process did is noticed, and clocks that differ do not matter.
   */
  lastSeen(isWanted: (key: string) => boolean): number | undefined;
}

/** Round 1 ends in `summary.json`; a later one begins with `retry-<n>.json` and ends in `summary-<n>.json`. */
export function roundOf(present: Iterable<string>): number {
  return 1 + [...present].filter((key) => /^retry-\d+\.json$/.test(key)).length;
}

export function summaryName(round: number): string {
  return round === 1 ? 'summary' : `summary-${round}`;
}

/** A record of the run itself, in a round of it. */
export function inRound(round: number, name: string): string {
  return round === 1 ? name : `retry-${round}-${name}`;
}

/** Is there nothing left to be done, as far as these keys of a run's folder tell? */
export function isOver(present: ReadonlySet<string>): boolean {
  return present.has(`${summaryName(roundOf(present))}.json`);
}

/** Between two listings. Faster after something was found or somebody began to wait: small backups take seconds. */
const MIN_LISTING_MS = 1_000;
const MAX_LISTING_MS = 10_000;

/** A bucket that cannot be listed for so long, each time beyond the store's own patience, ends all that is waited for. */
const MAX_TROUBLE_MS = 15 * 60_000;

interface Waiter {
  readonly isWanted: (key: string) => boolean;
  readonly untilMs: number;
  readonly resolve: (keys: readonly string[]) => void;
  readonly reject: (error: BackupError) => void;
}

/** @param signal ends everything that is waited for here */
export function openRunFolder(
  store: ObjectStore,
  prefix: string,
  runId: string,
  clock: Clock,
  signal: AbortSignal,
): RunFolder {
  const folder = runFolder(prefix, runId);
  const waiters = new Set<Waiter>();
  let isWatching = false;
  let delayMs = MIN_LISTING_MS;
  let troubleSinceMs: number | undefined;
  const seenAtMs = new Map<string, number>();

  async function list(signal: AbortSignal): Promise<ReadonlySet<string>> {
    const writtenAtMs = new Map<string, number>();
    for await (const { key, lastModifiedAt } of store.list(folder, signal))
      writtenAtMs.set(key.slice(folder.length), Date.parse(lastModifiedAt));
    const isFirst = seenAtMs.size === 0;
    const now = clock.now();
    let newestMs = 0;
    for (const atMs of writtenAtMs.values()) newestMs = Math.max(newestMs, atMs);
    for (const [key, atMs] of writtenAtMs)
      if (!seenAtMs.has(key)) seenAtMs.set(key, isFirst ? now - (newestMs - atMs) : now);
    return new Set(writtenAtMs.keys());
  }

  function lastSeen(isWanted: (key: string) => boolean): number | undefined {
    let latest: number | undefined;
    for (const [key, atMs] of seenAtMs)
      if ((latest === undefined || atMs > latest) && isWanted(key)) latest = atMs;
    return latest;
  }

  async function waitFor(isWanted: (key: string) => boolean, untilMs: number): Promise<readonly string[]> {
    const found = new Promise<readonly string[]>((resolve, reject) => {
      waiters.add({ isWanted, untilMs, resolve, reject });
    });
    if (!isWatching) void watch(); // never rejects: it hands its failures to those who wait
    return found;
  }

  async function watch(): Promise<void> {
    isWatching = true;
    delayMs = MIN_LISTING_MS;
    try {
      while (waiters.size > 0) {
        await lookOnce([...waiters]);
        if (waiters.size === 0) break;
        const nextMs = Math.min(...[...waiters].map((waiter) => waiter.untilMs)) - clock.now();
        // Who should have had an answer by now waits for a listing that works.
        await clock.sleep(nextMs > 0 ? Math.min(delayMs, nextMs) : delayMs, signal);
        delayMs = Math.min(MAX_LISTING_MS, delayMs * 1.25);
      }
    } catch (error) {
      const reason = signal.aborted ? stopReason(signal) : asBackupError(error);
      for (const waiter of waiters) waiter.reject(reason);
      waiters.clear();
    } finally {
      isWatching = false;
    }
  }

  /** @param asked those who waited before the listing began: only their answer is as fresh as promised */
  async function lookOnce(asked: readonly Waiter[]): Promise<void> {
    let present: ReadonlySet<string>;
    try {
      present = await list(signal);
    } catch (error) {
      if (signal.aborted || !asBackupError(error).retryable) throw error;
      troubleSinceMs ??= clock.now();
      if (clock.now() - troubleSinceMs >= MAX_TROUBLE_MS) throw error;
      return;
    }
    troubleSinceMs = undefined;
    for (const waiter of asked) {
      const found = [...present].filter(waiter.isWanted);
      if (found.length === 0 && clock.now() < waiter.untilMs) continue;
      if (found.length > 0) delayMs = MIN_LISTING_MS;
      waiters.delete(waiter);
      waiter.resolve(found);
    }
  }

  return {
    own: createRecords(store, (name) => `${folder}${name}.json`),
    recordsOf: (region, instanceId, round = 1) =>
      createRecords(store, (name) => stepKey(prefix, runId, region, instanceId, inRound(round, name))),
    list,
    read: async (key, signal) => createRecords(store, (name) => folder + name).read(key, signal),
    keyOf: (region, instanceId, name) =>
      stepKey(prefix, runId, region, instanceId, name).slice(folder.length),
    waitFor,
    lastSeen,
  };
}

function createRecords(store: ObjectStore, keyOf: (name: string) => string): Records {
  async function read(name: string, signal: AbortSignal): Promise<unknown> {
    const key = keyOf(name);
    const bytes = await store.get(key, signal);
    if (bytes === undefined) return undefined;
    try {
      return JSON.parse(bytes.toString('utf8')) as unknown;
    } catch (cause) {
      throw new BackupError('INTERNAL', `read ${store.name}/${key}: not JSON`, { cause });
    }
  }

  async function write(name: string, value: unknown, signal: AbortSignal): Promise<unknown> {
    const key = keyOf(name);
    const body = Buffer.from(`${JSON.stringify(value, null, 2)}\n`);
    const result = await store.create(key, body, 'application/json', signal);
    if (result === 'created') return value;
    const there = await read(name, signal);
    if (there !== undefined) return there;
    throw new BackupError('SERVICE_ERROR', `create ${store.name}/${key}: it exists, and cannot be read`, {
      retryable: true,
    });
  }

  return { read, write };
}
