/**
 * One file from its source to its object. Everything that has to hold is checked before the object is made, and
 * what the destination holds is compared once more afterwards:
 *
 * - every byte arrived, and the source's own checksum (when it tells one) is ours;
 * - each part's checksum as the destination computed it is ours;
 * - the observer accepts the content;
 * - the finished object's length and checksum are ours.
 *
 * **Nothing starts over.** An unfinished upload under the same key is an earlier attempt at the same file, or another
 * uploader that is at work on it; either way its parts are taken over: those that a checkpoint vouches for without
 * another look, the others once the source has been read and their checksums are equal. Only what is missing is sent.
 *
 * An object that is there already (an earlier attempt ended after making it) is not replaced: the source is read
 * again, as far as no checkpoint vouches for it, observed again, and compared with it.
 */
import { createHash } from 'node:crypto';
import { crc64Pair, type Crc64Pair } from '../crc64.ts';
import { BackupError, asBackupError } from '../errors.ts';
import type { Bandwidth } from './bandwidth.ts';
import type { ByteSource } from './byte-source.ts';
import { runLanes, type PartChecksums } from './lanes.ts';
import type { PartBody } from './part-body.ts';
import { planParts, type Part } from './part-plan.ts';
import { NOTHING, growPrefix, isPrefixOf, plainEtag, type Prefix } from './prefix.ts';
import type { RetryPolicy } from './retry.ts';
import type { SlotPool } from './slot-pool.ts';
import {
  dropUpload,
  isGone,
  requireStored,
  sendPart,
  settle,
  sweep,
  type OnLeftover,
  type Whole,
} from './store-object.ts';
import type { HeldPart, PartReceipt, UploadTarget } from './upload-target.ts';

/** Reads the content while it passes. */
export interface Observer {
  /** The bytes in order, once. Throwing stops the transfer. */
  write(bytes: Buffer): void;
  /**
   * Called after the last byte and before the object is made; throwing refuses it.
   * @param jones CRC-64/Jones from zero of the whole file
   */
  accept(jones: bigint): void;
  /** The newest point at which another observer could go on; undefined when there is none. */
  checkpoint(): ObserverCheckpoint | undefined;
}

export interface ObserverCheckpoint {
  /** The first byte that is still to be observed. */
  readonly offset: number;
  readonly state: Buffer;
}

/** Where a transfer can go on in another process. */
export interface TransferCheckpoint {
  readonly upload: string;
  readonly prefix: Prefix;
  /** Within the prefix: what lies behind that is read again, and has to be observed again. */
  readonly observer: ObserverCheckpoint;
}

export interface TransferOptions {
  /** Its slots must hold `partSizeFor(source.bytes)` bytes. */
  readonly pool: SlotPool;
  readonly policy: RetryPolicy;
  /** A new observer, which goes on at the checkpoint if there is one. Throws when it cannot; it is then asked for one from the start. */
  readonly observe: (from?: ObserverCheckpoint) => Observer;
  /** One for each lane; those of the process's own memory if left out. */
  readonly checksums?: () => Crc64Pair;
  readonly bandwidth?: Bandwidth;
  /** Of an earlier attempt at the same file. One that does not fit what is found is left aside. */
  readonly from?: TransferCheckpoint;
  /** Called whenever the transfer could go on from further ahead than before; `make` tells where, if it is worth keeping. */
  readonly onAdvance?: (make: () => TransferCheckpoint | undefined) => void;
  /** Called after each part that is done. */
  readonly onProgress?: (doneBytes: number) => void;
  /** What could not be cleaned up or not be found out; the transfer goes on, or its failure is thrown. */
  readonly onLeftover?: OnLeftover;
}

export interface TransferredFile {
  readonly bytes: number;
  /** CRC-64/XZ, decimal. */
  readonly crc64: string;
  readonly parts: number;
  /** How many of the parts an earlier attempt had sent. */
  readonly keptParts: number;
  /** True when the object was there before, and was compared instead of written. */
  readonly existed: boolean;
}

/** @throws BackupError; then the object does not exist, unless its last check is what failed (CHECKSUM_MISMATCH) */
export async function transferFile(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  options: TransferOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const parts = planParts(source.bytes);
  if ((parts[0]?.bytes ?? 0) > options.pool.slotBytes)
    throw new BackupError('INTERNAL', `transfer ${source.name}: a part does not fit into a slot`);
  const [object, earlier] = await Promise.all([
    target.head(key, signal),
    parts.length === 1 ? undefined : findEarlier(target, key, options, signal),
  ]);
  if (parts.length === 1 && object === undefined) return putWhole(source, target, key, options, signal);
  const sink =
    object === undefined
      ? await openUpload(source, target, key, parts, earlier, options, signal)
      : compareOnly(target, key, signal);
  try {
    return await pass(source, parts, sink, options, signal);
  } catch (error) {
    await sink.abandon(error);
    throw error;
  }
}

async function pass(
  source: ByteSource,
  parts: readonly Part[],
  sink: Sink,
  options: TransferOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const { pool, bandwidth, checksums = crc64Pair, onAdvance, onProgress } = options;
  const { from, observer } = begin(sink, parts, options);
  const prefix = growPrefix(from?.prefix ?? NOTHING);
  const points = pointsOf(observer, from?.observer);
  const make = (): TransferCheckpoint | undefined => {
    const point = points.within(prefix.current().bytes);
    return point === undefined
      ? undefined
      : { upload: sink.upload, prefix: prefix.current(), observer: point };
  };
  const observeFrom = from?.observer.offset ?? 0;
  let doneBytes = observeFrom;
  if (doneBytes > 0) onProgress?.(doneBytes);
  await runLanes(
    {
      source,
      parts: whatIsLeft(parts, prefix.current(), observeFrom),
      pool,
      checksums,
      ...(bandwidth === undefined ? {} : { bandwidth }),
      sink: async (part, body, whole) => {
        if (part.number > (from?.prefix.parts ?? 0)) await sink.take(part, body, whole);
      },
      observe: (bytes) => observer.write(bytes),
      ...(onAdvance === undefined ? {} : { observed: (part: Part) => points.passed(part.bytes) }),
      done: (part, sums) => {
        if (part.number > (from?.prefix.parts ?? 0) && prefix.add(part, sums, sink.etagOf(part))) {
          points.within(prefix.current().bytes);
          onAdvance?.(make);
        }
        onProgress?.((doneBytes += part.bytes));
      },
    },
    signal,
  );
  const { bytes, crc64, jones } = prefix.current();
  if (bytes !== source.bytes)
    throw new BackupError('INTERNAL', `transfer ${source.name}: ${bytes} of ${source.bytes} bytes`);
  requireSourceChecksum(source, crc64);
  observer.accept(BigInt(jones));
  const existed = await sink.finish({ bytes, crc64 });
  return { bytes, crc64, parts: parts.length, keptParts: sink.kept(), existed };
}

/** The observer, and the checkpoint that it goes on from if it can be relied upon. */
function begin(
  sink: Sink,
  parts: readonly Part[],
  { from, observe, onLeftover }: TransferOptions,
): { readonly from?: TransferCheckpoint; readonly observer: Observer } {
  if (from !== undefined && from.observer.offset <= from.prefix.bytes && sink.holds(from, parts)) {
    try {
      return { from, observer: observe(from.observer) };
    } catch (error) {
      onLeftover?.(asBackupError(error));
    }
  }
  return { observer: observe() };
}

/** To write down what an observer knows takes time and memory: so many times as much has to be observed first. */
const OBSERVED_PER_STATE_BYTE = 256;
/** Large ones are left to the garbage collector, which knows little of their size: one of them every few seconds. */
const LARGE_STATE_BYTES = 64 * 1024;
const LARGE_STATE_EVERY_MS = 5_000;

interface Points {
  /** The observer has seen another part to its end. */
  passed(partBytes: number): void;
  /** The newest point within the first so many bytes; never fewer than before. */
  within(bytes: number): ObserverCheckpoint | undefined;
}

/**
 * Where the observer could go on, as far as the prefix reaches. Beyond it nobody vouches for what the observer has
 * seen: a byte that was altered on its way would be read again, as it is, and the observer would not see that.
 */
function pointsOf(observer: Observer, from: ObserverCheckpoint | undefined): Points {
  let newest = from;
  /** Taken at the end of a part that is not sent yet. */
  let coming: ObserverCheckpoint | undefined;
  let sinceBytes = 0;
  let stateBytes = 0;
  let takenAtMs = 0;
  return {
    passed: (partBytes) => {
      sinceBytes += partBytes;
      if (coming !== undefined || sinceBytes < stateBytes * OBSERVED_PER_STATE_BYTE) return;
      if (stateBytes > LARGE_STATE_BYTES && performance.now() < takenAtMs + LARGE_STATE_EVERY_MS) return;
      takenAtMs = performance.now();
      coming = observer.checkpoint();
      stateBytes = coming?.state.length ?? 0;
      sinceBytes = 0;
    },
    within: (bytes) => {
      if (coming !== undefined && coming.offset <= bytes) {
        newest = coming;
        coming = undefined;
      }
      return newest;
    },
  };
}

/**
 * The parts that still have to pass. What the prefix covers has been sent, and is read again only where the observer
 * has not seen it: it can go on between two keys only, so it may have to go back a little.
 */
function whatIsLeft(parts: readonly Part[], prefix: Prefix, observeFrom: number): readonly Part[] {
  const again = parts.slice(0, prefix.parts).flatMap(({ number, start, bytes }) => {
    const from = Math.max(start, observeFrom);
    return from < start + bytes ? [{ number, start: from, bytes: start + bytes - from }] : [];
  });
  return [...again, ...parts.slice(prefix.parts)];
}

/** A file of one part stays in its slot until it has been accepted; then one put stores it. */
async function putWhole(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  { pool, policy, observe, checksums = crc64Pair, bandwidth, onProgress }: TransferOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const slot = await pool.take(signal);
  try {
    const body = slot.bytes.subarray(0, source.bytes);
    let read = 0;
    await source.read(0, body, signal, (filled) => {
      const more = filled - read;
      read = filled;
      return bandwidth?.spend(more);
    });
    const sums = checksums();
    sums.update(body);
    const whole = { bytes: source.bytes, crc64: sums.xz().toString() };
    const observer = observe();
    observer.write(body);
    requireSourceChecksum(source, whole.crc64);
    observer.accept(sums.jones());
    const existed = await settle(target, key, whole, policy, signal, async () =>
      target.put(key, body, signal),
    );
    onProgress?.(source.bytes);
    return { ...whole, parts: 1, keptParts: 0, existed };
  } finally {
    slot.release();
  }
}

/** Where the parts go: into an upload, or nowhere when the object is there already. */
interface Sink {
  /** Empty when nothing is sent. */
  readonly upload: string;
  /** Whether a checkpoint's parts can be relied upon without being read again. */
  holds(checkpoint: TransferCheckpoint, plan: readonly Part[]): boolean;
  take(part: Part, body: PartBody, whole: Promise<PartChecksums>): Promise<void>;
  /** Of a part that was taken. */
  etagOf(part: Part): string;
  /** How many parts were there before. */
  kept(): number;
  /** Makes the object and proves that it is the whole. True when another attempt made it. */
  finish(whole: Whole): Promise<boolean>;
  /** After a failure: leaves nothing behind that is of no use to another attempt. Never throws. */
  abandon(failure: unknown): Promise<void>;
}

async function openUpload(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  plan: readonly Part[],
  earlier: Earlier | undefined,
  options: TransferOptions,
  signal: AbortSignal,
): Promise<Sink> {
  try {
    if (earlier !== undefined) return partByPart(source, target, key, plan, earlier, options, signal);
    const upload = await target.begin(key, signal);
    return partByPart(source, target, key, plan, { upload, held: new Map(), isMine: true }, options, signal);
  } catch (error) {
    if (!isConflict(error)) throw error;
    return compareOnly(target, key, signal);
  }
}

/** An unfinished upload and what it holds. */
interface Earlier {
  readonly upload: string;
  /** Begun by this very call. */
  readonly isMine: boolean;
  readonly held: ReadonlyMap<number, HeldPart>;
}

/**
 * The unfinished upload under the key that has come furthest, the checkpoint's own first. Undefined when there is none,
 * and when it cannot be found out: then a new one is begun, which costs time and nothing else.
 */
async function findEarlier(
  target: UploadTarget,
  key: string,
  { from, onLeftover }: TransferOptions,
  signal: AbortSignal,
): Promise<Earlier | undefined> {
  let best: Earlier | undefined;
  try {
    for (const upload of await target.unfinished(key, signal)) {
      const held = await partsOf(target, key, upload, signal);
      if (held === undefined) continue;
      const earlier = { upload, held, isMine: false };
      if (upload === from?.upload) return earlier;
      if (best === undefined || held.size >= best.held.size) best = earlier;
    }
  } catch (thrown) {
    const error = asBackupError(thrown);
    if (error.code !== 'PERMISSION_DENIED') throw error;
    onLeftover?.(error);
  }
  return best;
}

async function partsOf(
  target: UploadTarget,
  key: string,
  upload: string,
  signal: AbortSignal,
): Promise<ReadonlyMap<number, HeldPart> | undefined> {
  try {
    const held = await target.parts(key, upload, signal);
    return new Map(held.map((part) => [part.number, part]));
  } catch (error) {
    if (error instanceof BackupError && isGone(error)) return undefined;
    throw error;
  }
}

/** The object is there: nothing is sent, only compared, in the end and as a whole; so any checkpoint will do. */
function compareOnly(target: UploadTarget, key: string, signal: AbortSignal): Sink {
  return {
    upload: NO_UPLOAD,
    holds: () => true,
    take: async (_part, _body, whole) => void (await whole),
    etagOf: () => '',
    kept: () => 0,
    finish: async (whole) => {
      await requireStored(target, key, whole, 'DESTINATION_CONFLICT', undefined, signal);
      return true;
    },
    abandon: async () => undefined,
  };
}

const NO_UPLOAD = '';

function partByPart(
  source: ByteSource,
  target: UploadTarget,
  key: string,
  plan: readonly Part[],
  { upload, held, isMine }: Earlier,
  { policy, onLeftover }: TransferOptions,
  signal: AbortSignal,
): Sink {
  const receipts = new Map<number, PartReceipt>();
  const kept = new Set<number>();

  function holds({ upload: theirs, prefix }: TransferCheckpoint): boolean {
    if (theirs !== upload || !isPrefixOf(prefix, plan, held)) return false;
    for (const part of plan.slice(0, prefix.parts)) keep(held.get(part.number));
    return true;
  }

  function keep(part: HeldPart | undefined): void {
    if (part === undefined) return;
    kept.add(part.number);
    receipts.set(part.number, part);
  }

  async function take(part: Part, body: PartBody, whole: Promise<PartChecksums>): Promise<void> {
    const there = held.get(part.number);
    if (there?.bytes === part.bytes && (await isSame(there, body, whole))) return keep(there);
    receipts.set(part.number, await sendPart(target, key, upload, source.name, part, body, whole, signal));
  }

  async function finish(whole: Whole): Promise<boolean> {
    const complete = plan.flatMap(({ number }) => receipts.get(number) ?? []);
    if (complete.length !== plan.length)
      throw new BackupError(
        'INTERNAL',
        `complete ${key}: ${complete.length} of ${plan.length} parts arrived`,
      );
    const existed = await settle(target, key, whole, policy, signal, async () =>
      target.complete(key, upload, complete, signal),
    );
    await sweep(target, key, onLeftover, signal);
    return existed;
  }

  async function abandon(failure: unknown): Promise<void> {
    if (!isHopeless(failure) && !(isMine && isFinal(failure))) return;
    await dropUpload(target, key, upload, onLeftover);
  }

  return {
    upload,
    holds,
    take,
    etagOf: ({ number }) => receipts.get(number)?.etag ?? '',
    kept: () => kept.size,
    finish,
    abandon,
  };
}

/** Whether a part that the destination holds is the one that has just been read. */
async function isSame(there: HeldPart, body: PartBody, whole: Promise<PartChecksums>): Promise<boolean> {
  const { xz } = await whole;
  if (there.crc64 !== undefined) return there.crc64 === xz.toString();
  // A part's ETag is its MD5: https://help.aliyun.com/en/oss/developer-reference/uploadpart
  const md5 = createHash('md5');
  for await (const piece of body.pieces()) md5.update(piece);
  return plainEtag(there.etag) === md5.digest('hex').toUpperCase();
}

/** What every attempt would find again, whoever makes it: then the parts are of no use to anybody. */
function isHopeless(failure: unknown): boolean {
  return HOPELESS.has(asBackupError(originOf(failure)).code);
}

/** Who was stopped because something else failed, failed because of that. */
function originOf(failure: unknown): unknown {
  return failure instanceof BackupError &&
    failure.code === 'INTERRUPTED' &&
    failure.cause instanceof BackupError
    ? failure.cause
    : failure;
}

/** What the next attempt of this uploader would find again, but perhaps not another's. */
function isFinal(failure: unknown): boolean {
  const { code, retryable } = asBackupError(originOf(failure));
  return !retryable && code !== 'DEADLINE_NEAR' && code !== 'INTERRUPTED';
}

const HOPELESS: ReadonlySet<string> = new Set([
  'RDB_CORRUPT',
  'RDB_TRUNCATED',
  'RDB_UNSUPPORTED',
  'SOURCE_CHANGED',
]);

function requireSourceChecksum(source: ByteSource, crc64: string): void {
  if (source.crc64 === undefined || source.crc64 === crc64) return;
  throw new BackupError(
    'CHECKSUM_MISMATCH',
    `download ${source.name}: other bytes arrived than the source holds`,
    {
      retryable: true,
      details: { source: source.crc64, arrived: crc64, byte: source.bytes },
    },
  );
}

function isConflict(error: unknown): boolean {
  return error instanceof BackupError && error.code === 'DESTINATION_CONFLICT';
}
