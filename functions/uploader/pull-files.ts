/**
 * The files of a backup that is made by pulling it: one snapshot of each shard, one after the other, straight into the
 * bucket. A snapshot can be read once and is never the same twice, so nothing of a broken one is kept: the next pull
 * starts from the first byte, under a name of its own. Files that an earlier invocation has stored are kept, as long as
 * the same nodes hold the same keys.
 *
 * Each pull is recorded before a byte of it is stored (`pull-<file>-<n>`, created once), and `n` is part of the name: two
 * uploaders never write to the same object, and what is left of a pull that was killed is in nobody's way.
 */
import { randomUUID } from 'node:crypto';
import { BackupError, asBackupError, type ErrorCode } from '../core/errors.ts';
import { fileKey, manifestKey, stepKey, type BackupPlace } from '../core/repository/keys.ts';
import type { ManifestFile } from '../core/repository/manifest.ts';
import { SlotSet, parseSlots } from '../core/rdb/slots.ts';
import type { Pull, PulledStream, PullShard, Source } from '../core/source/source.ts';
import { limitBandwidth, type Bandwidth } from '../core/transfer/bandwidth.ts';
import { partSizeFor } from '../core/transfer/part-plan.ts';
import { PATIENT, createPatience, retry, type RetryPolicy } from '../core/transfer/retry.ts';
import type { SlotPool } from '../core/transfer/slot-pool.ts';
import { transferStream } from '../core/transfer/transfer-stream.ts';
import { UPLOAD_GONE } from '../core/transfer/upload-target.ts';
import type { UploadRequest } from '../core/upload-request.ts';
import type { Workspace } from '../core/wasm/workspace.ts';
import { leaseRoom } from './lease-room.ts';
import { observeBy, scanRdb, toManifestFile, type Observing } from './observe-rdb.ts';
import type { ResumePoints, StoredFile } from './resume-points.ts';
import type { UploadParts } from './upload-backup.ts';

export interface PulledBackup {
  readonly files: readonly ManifestFile[];
  /** As it came to be: with the points in the servers' histories among its ids, and the times of its snapshots. */
  readonly backup: UploadRequest['backup'];
  /** Keys of pulls that came to nothing. Once there is a manifest, what is unfinished under them is of no use. */
  readonly superseded: ReadonlySet<string>;
}

/** Pulls of one file within one invocation; each makes the server take another snapshot. */
const PULLS_MAX = 3;
/** … and within one backup, whoever makes them. */
const NAMES_MAX = 100;

/** @throws BackupError; of what was stored before, the next invocation keeps what still belongs together */
export async function pullFiles(
  request: UploadRequest,
  place: BackupPlace,
  open: NonNullable<Source['pull']>,
  points: ResumePoints,
  parts: UploadParts,
  signal: AbortSignal,
): Promise<PulledBackup> {
  const { instance } = request;
  const policy = parts.policy ?? PATIENT;
  const tally = { waits: 0, pulls: 0, stored: 0 };
  const look = async (number: number): Promise<Pull> => {
    tally.waits = number - 1;
    return open({ ...instance, status: '', tags: {} }, signal);
  };
  const pull = await retry(look, policy, signal);
  requireShards(request, pull);
  const largest = partSizeFor(Math.max(1, ...pull.shards.map(({ expectedBytes }) => expectedBytes)));
  const room = leaseRoom(largest, parts.memoryMb);
  const { workspace, pool, passed } = room;
  const means: Means = {
    request,
    place,
    parts,
    points,
    workspace,
    pool,
    bandwidth: limitBandwidth(request.bytesPerSecond, signal),
    superseded: new Set(),
    tally,
    passed,
  };
  parts.onOpened?.(
    pull.shards.map((shard) => ({ file: titleOf(request, shard), bytes: shard.expectedBytes })),
  );
  parts.log.info('the backup is about to be pulled', {
    files: pull.shards.length,
    expectedBytes: pull.shards.reduce((sum, { expectedBytes }) => sum + expectedBytes, 0),
    lanes: pool.lanes,
    partBytes: pool.slotBytes,
  });
  try {
    const stored: StoredFile[] = [];
    // One after the other: large parts of two files could wait for each other's slots.
    for (const shard of pull.shards) stored.push(await storeShard(shard, pull, means, signal));
    await pull.confirm(signal);
    return {
      files: stored.map(({ file }) => file),
      backup: asItWas(request, stored),
      superseded: means.superseded,
    };
  } finally {
    room.end();
  }
}

/** What all files of a backup share. */
interface Means {
  readonly request: UploadRequest;
  readonly place: BackupPlace;
  readonly parts: UploadParts;
  readonly points: ResumePoints;
  readonly workspace: Workspace;
  /** For one file at a time. */
  readonly pool: SlotPool;
  readonly bandwidth: Bandwidth;
  readonly superseded: Set<string>;
  /** Of this invocation; `waits`: how often the server was not ready yet. */
  readonly tally: { waits: number; pulls: number; stored: number };
  readonly passed: (bytes: number) => void;
}

function requireShards({ instance }: UploadRequest, { shards }: Pull): void {
  if (shards.length === instance.shards) return;
  throw new BackupError(
    'BACKUP_FAILED',
    `pull ${instance.id}: it has ${shards.length} shards now, and had ${instance.shards}`,
    {
      details: { instance: instance.id, shards: shards.length },
      hint: 'the number of shards has changed since the run began; run the backup again',
    },
  );
}

/** `orders_0_20261121T180000Z`: the same for all pulls of a file. The time is that of the backup's beginning. */
function titleOf({ instance, backup }: UploadRequest, { shard }: PullShard): string {
  return `${instance.id}_${shard}_${backup.startedAt.replaceAll(/[-:]|\.\d+/g, '')}`;
}

async function storeShard(
  shard: PullShard,
  { layout, shards }: Pull,
  means: Means,
  signal: AbortSignal,
): Promise<StoredFile> {
  const { request, parts, points } = means;
  const title = titleOf(request, shard);
  const record = `${title}-${layout}`;
  const isOneOfMany = shards.length > 1;
  const earlier = isOneOfMany ? await points.findStored(record, signal) : undefined;
  if (earlier !== undefined) {
    parts.onProgress?.({ file: title, doneBytes: earlier.file.bytes, bytes: earlier.file.bytes });
    return earlier;
  }
  const stored = await pullShard(shard, title, means, signal);
  means.tally.stored++;
  if (isOneOfMany) await points.recordStored(record, stored, signal);
  return stored;
}

/** Pulls until one snapshot is stored and proven, as often as is bearable for the server. */
async function pullShard(
  shard: PullShard,
  title: string,
  means: Means,
  signal: AbortSignal,
): Promise<StoredFile> {
  const { log, policy = PATIENT } = means.parts;
  const patience = createPatience({ ...policy, attempts: Math.min(policy.attempts, PULLS_MAX) }, signal);
  let wasUnreadable = false;
  for (;;) {
    const name = `${title}.rdb of ${means.request.instance.id}`;
    const stream = await openPatiently(shard, name, policy, means, signal);
    try {
      return await pullOnce(shard, stream, title, means, signal);
    } catch (thrown) {
      const error = asBackupError(thrown);
      if (error.code === 'DEADLINE_NEAR') throw tooSlow(title, means, error);
      // Another look at the whole is needed, which the next attempt makes.
      if (error.code === 'SOURCE_CHANGED') throw error;
      // Who has ended our upload has finished the backup, most likely.
      if (isOfThisPull(error) && (await isFinished(means, signal))) throw error;
      // What is unreadable may have been altered on its way, once.
      const isWorthIt = isOfThisPull(error) || (UNREADABLE.has(error.code) && !wasUnreadable);
      wasUnreadable ||= UNREADABLE.has(error.code);
      await patience.outlast(isWorthIt ? passing(error) : error);
      log.warn('the snapshot is pulled again, from its first byte', { file: title, error });
    }
  }
}

/**
 * A snapshot cannot be handed over to the next invocation. One that had a whole invocation for itself would end in the
 * same way again, and cost the server another snapshot each time.
 */
function tooSlow(title: string, { request, tally }: Means, cause: BackupError): BackupError {
  if (tally.waits > 0 || tally.pulls > 1 || tally.stored > 0) return cause;
  return new BackupError(
    'BACKUP_TIMEOUT',
    `pull ${title} of ${request.instance.id}: one invocation is not long enough, and a snapshot cannot be gone on with`,
    {
      details: { instance: request.instance.id },
      hint: 'give the uploader a longer time-out, at most 24 hours, or more memory, which brings more lanes',
      cause,
    },
  );
}

const UNREADABLE: ReadonlySet<ErrorCode> = new Set(['RDB_CORRUPT', 'RDB_TRUNCATED']);

/** Somebody has taken the name or ended the upload: under another name it goes well. */
function isOfThisPull({ code, details }: BackupError): boolean {
  return code === 'DESTINATION_CONFLICT' || details['reason'] === UPLOAD_GONE;
}

async function isFinished({ place, parts }: Means, signal: AbortSignal): Promise<boolean> {
  return (await parts.store.head(manifestKey(place), signal)) !== undefined;
}

function passing(error: BackupError): BackupError {
  if (error.retryable) return error;
  const { code, message, details, hint, cause } = error;
  return new BackupError(code, message, {
    retryable: true,
    details,
    ...(hint === undefined ? {} : { hint }),
    cause: cause ?? error,
  });
}

async function pullOnce(
  shard: PullShard,
  stream: PulledStream,
  title: string,
  means: Means,
  signal: AbortSignal,
): Promise<StoredFile> {
  const { place, parts, workspace, pool, bandwidth, superseded, passed } = means;
  const { target, policy = PATIENT, scanner = scanRdb, log, onProgress } = parts;
  means.tally.pulls++;
  const takenAt = new Date().toISOString();
  const { server, role, passedOver, id } = stream;
  log.info('a snapshot is being pulled', { file: title, server, role, snapshot: id });
  for (const reason of passedOver) log.warn('a replica was passed over', { file: title, reason });
  const name = await nameFor(title, stream, means, signal);
  const key = fileKey(place, name);
  const observing = provingSlots(observeBy(scanner(workspace), stream), shard, stream);
  let readBytes = 0;
  try {
    const stored = await transferStream(
      stream,
      target,
      key,
      {
        pool,
        policy,
        observer: observing,
        checksums: workspace.checksums(),
        bandwidth,
        onProgress: (bytes) => {
          passed(bytes - readBytes);
          readBytes = bytes;
          onProgress?.({ file: title, doneBytes: bytes, bytes: Math.max(shard.expectedBytes, bytes + 1) });
        },
        onLeftover: (error) => log.warn('something of the upload could not be settled', { key, error }),
      },
      signal,
    );
    log.info('the file is stored', { key, bytes: stored.bytes, crc64: stored.crc64 });
    onProgress?.({ file: title, doneBytes: stored.bytes, bytes: stored.bytes });
    const { slots } = shard;
    const file = toManifestFile(
      { shard: shard.shard, name, slots },
      key,
      stored.bytes,
      stored,
      observing.report(),
    );
    return { file, snapshot: { id, takenAt } };
  } catch (error) {
    superseded.add(key);
    throw error;
  } finally {
    // A reader that was given up in the middle still has them.
    workspace.returnTables();
  }
}

/** A fail-over, or a server that is being restarted, is waited for: as long as nothing is sent, it costs nobody anything. */
async function openPatiently(
  shard: PullShard,
  name: string,
  policy: RetryPolicy,
  { tally }: Means,
  signal: AbortSignal,
): Promise<PulledStream> {
  const patience = createPatience(policy, signal);
  for (;;) {
    try {
      return await shard.open(name, signal);
    } catch (error) {
      if (asBackupError(error).code === 'SOURCE_CHANGED') throw error;
      tally.waits++;
      await patience.outlast(error);
    }
  }
}

/** A name that no other pull has, now or later. */
async function nameFor(
  title: string,
  stream: PulledStream,
  { request, place, parts, superseded }: Means,
  signal: AbortSignal,
): Promise<string> {
  const { destination, runId, instance } = request;
  const mine = Buffer.from(
    `${JSON.stringify({ at: new Date().toISOString(), by: randomUUID(), snapshot: stream.id })}\n`,
  );
  try {
    for (let number = 1; number <= NAMES_MAX; number++) {
      const step = `pull-${title}-${number}`;
      const record = stepKey(destination.prefix, runId, instance.region, instance.id, step);
      const name = number === 1 ? `${title}.rdb` : `${title}_${number}.rdb`;
      if ((await parts.store.create(record, mine, 'application/json', signal)) === 'created') return name;
      superseded.add(fileKey(place, name));
    }
    throw new BackupError(
      'BACKUP_FAILED',
      `pull ${title} of ${instance.id}: ${NAMES_MAX} pulls came to nothing`,
      {
        details: { instance: instance.id },
      },
    );
  } catch (error) {
    stream.close();
    throw error;
  }
}

/** Thousands of single slots would be a page. */
const RANGES_SHOWN = 80;

/** A node's file holds keys of its own slots and no others, or keys are on their way from node to node. */
function provingSlots(observing: Observing, { slots, node }: PullShard, { name }: PulledStream): Observing {
  if (slots === undefined) return observing;
  const own = parseSlots(slots) ?? new SlotSet();
  return {
    ...observing,
    accept: (jones) => {
      observing.accept(jones);
      const seen = parseSlots(observing.report().fingerprint.slots.ranges) ?? new SlotSet();
      const strays = seen.where((slot) => !own.holds(slot)).report();
      if (strays.seen === 0) return;
      throw new BackupError(
        'SOURCE_CHANGED',
        `read ${name}: it holds keys of slots that are not its own (${strays.ranges.slice(0, RANGES_SHOWN)})`,
        {
          retryable: true,
          details: { slots: strays.seen, node },
          hint: 'slots were moved while the backup was made',
        },
      );
    },
  };
}

function asItWas({ backup }: UploadRequest, stored: readonly StoredFile[]): UploadRequest['backup'] {
  const snapshots = stored.flatMap(({ snapshot }) => snapshot ?? []);
  const taken = snapshots.map(({ takenAt }) => takenAt).sort();
  return {
    ...backup,
    ids: [...backup.ids, ...snapshots.map(({ id }) => id)],
    startedAt: taken[0] ?? backup.startedAt,
    endedAt: new Date().toISOString(),
  };
}
