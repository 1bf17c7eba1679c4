/**
 * One file from a stream to its object: of unknown length, and read once. One reader fills slots in order, and in the
 * same pass both checksums are computed and the content is observed; several parts are sent at once, each from the slots
 * that it came in, until the destination has them. What has to hold before there is an object is what `transferFile`
 * asks for:
 *
 * - the stream ended where its sender said that it ends;
 * - each part's checksum as the destination computed it is ours;
 * - the observer accepts the content;
 * - the finished object's length and checksum are ours.
 *
 * **A stream cannot be gone on with.** When it breaks, or anything else fails, the upload is dropped: its parts are of no
 * use to anybody, for the next stream has other bytes.
 */
import { crc64Pair, type Crc64Pair } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import { UNLIMITED, type Bandwidth } from './bandwidth.ts';
import type { ByteStream } from './byte-stream.ts';
import type { PartChecksums } from './lanes.ts';
import { wholePart } from './part-body.ts';
import { MAX_PARTS, longestStream, slotsOfPart, type Part } from './part-plan.ts';
import { NOTHING, growPrefix } from './prefix.ts';
import { throwIfStopped, type RetryPolicy } from './retry.ts';
import type { Slot, SlotPool } from './slot-pool.ts';
import { dropUpload, sendPart, settle, sweep, type OnLeftover } from './store-object.ts';
import type { Observer, TransferredFile } from './transfer-file.ts';
import type { PartReceipt, Receipt, UploadTarget } from './upload-target.ts';

export interface StreamOptions {
  readonly pool: SlotPool;
  readonly policy: RetryPolicy;
  readonly observer: Pick<Observer, 'write' | 'accept'>;
  readonly checksums?: Crc64Pair;
  readonly bandwidth?: Bandwidth;
  /** Called as bytes come; a part may still have to be sent. */
  readonly onProgress?: (readBytes: number) => void;
  readonly onLeftover?: OnLeftover;
}

/** What has come is summed and observed in pieces of about this size, as in lanes. */
const PIECE_BYTES = 512 * 1024;

/**
 * The key must be nobody else's: an object that is there already is a conflict, and is never compared.
 * @throws BackupError; then the object does not exist, unless its last check is what failed (CHECKSUM_MISMATCH)
 */
export async function transferStream(
  stream: ByteStream,
  target: UploadTarget,
  key: string,
  options: StreamOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  const halt = new AbortController();
  const running = AbortSignal.any([signal, halt.signal]);
  const reader = createReader(stream, options, running);
  const close = (): void => stream.close();
  running.addEventListener('abort', close, { once: true });
  try {
    const first = await reader.next();
    if (first.isLast) return await putWhole(first, target, key, options, signal);
    return await sendParts(stream.name, first, reader, target, key, options, halt, running);
  } finally {
    close();
    // A signal that is made of others is kept in memory for as long as anybody listens to it.
    halt.abort();
  }
}

/** A part that is all there. */
interface ReadPart extends Part {
  readonly buffers: readonly Buffer[];
  readonly sums: PartChecksums;
  /** Nothing comes after it. It may be empty, if it is not the only one. */
  readonly isLast: boolean;
  release(): void;
}

interface Reader {
  /** Call it until it gives the last part. What it has given stays valid until it is released. */
  next(): Promise<ReadPart>;
}

function createReader(
  stream: ByteStream,
  { pool, observer, bandwidth = UNLIMITED, checksums = crc64Pair(), onProgress }: StreamOptions,
  running: AbortSignal,
): Reader {
  let number = 0;
  let readBytes = 0;

  async function fill(slot: Slot): Promise<number> {
    let seen = 0;
    let spent = 0;
    const look = (filled: number): void => {
      const piece = slot.bytes.subarray(seen, filled);
      seen = filled;
      checksums.update(piece);
      observer.write(piece);
      readBytes += piece.length;
      onProgress?.(readBytes);
    };
    const filled = await stream.read(slot.bytes, running, (so) => {
      if (so - seen >= PIECE_BYTES) look(so);
      const more = so - spent;
      spent = so;
      return bandwidth.spend(more);
    });
    throwIfStopped(running);
    if (filled > seen) look(filled);
    return filled;
  }

  async function next(): Promise<ReadPart> {
    if (++number > MAX_PARTS) throw tooLong(stream.name, pool);
    const slots: Slot[] = [];
    const release = (): void => slots.splice(0).forEach((slot) => slot.release());
    const start = readBytes;
    checksums.reset();
    try {
      const buffers: Buffer[] = [];
      let isLast = false;
      while (!isLast && buffers.length < slotsOfPart(number, pool.slots)) {
        const slot = await pool.take(running);
        slots.push(slot);
        const filled = await fill(slot);
        buffers.push(slot.bytes.subarray(0, filled));
        isLast = filled < slot.bytes.length;
      }
      const sums = { xz: checksums.xz(), jones: checksums.jones() };
      return { number, start, bytes: readBytes - start, buffers, sums, isLast, release };
    } catch (error) {
      release();
      // A stream that is closed because of that breaks off, which is only the echo.
      throwIfStopped(running);
      throw error;
    }
  }

  return { next };
}

/** A file that fits into one slot stays there until it has been accepted; then one put stores it. */
async function putWhole(
  part: ReadPart,
  target: UploadTarget,
  key: string,
  { policy, observer }: StreamOptions,
  signal: AbortSignal,
): Promise<TransferredFile> {
  try {
    const [body = Buffer.alloc(0)] = part.buffers;
    observer.accept(part.sums.jones);
    const whole = { bytes: part.bytes, crc64: part.sums.xz.toString() };
    const put = async (): Promise<Receipt> => target.put(key, body, signal);
    const existed = await settle(target, key, whole, policy, signal, put);
    return { ...whole, parts: 1, keptParts: 0, existed };
  } finally {
    part.release();
  }
}

async function sendParts(
  name: string,
  first: ReadPart,
  reader: Reader,
  target: UploadTarget,
  key: string,
  { pool, policy, observer, onLeftover }: StreamOptions,
  halt: AbortController,
  running: AbortSignal,
): Promise<TransferredFile> {
  const upload = await target.begin(key, running).catch((error: unknown) => {
    first.release();
    throw error;
  });
  const prefix = growPrefix(NOTHING);
  const receipts = new Map<number, PartReceipt>();
  const sending: Promise<void>[] = [];
  let failure: { readonly error: unknown } | undefined;

  // The first failure is the cause; what the others then throw is only its echo.
  const fail = (error: unknown): void => {
    failure ??= { error };
    halt.abort(new BackupError('INTERRUPTED', 'stop this part: another one failed'));
  };

  async function send(part: ReadPart): Promise<void> {
    const leaveLane = await pool.enterLane('send', running);
    try {
      const body = wholePart(...part.buffers);
      const receipt = await sendPart(target, key, upload, name, part, body, part.sums, running);
      receipts.set(part.number, receipt);
      prefix.add(part, part.sums, receipt.etag);
    } finally {
      leaveLane();
    }
  }

  /** Reads to the end, while what was read before is sent. Nothing is in flight when it settles. */
  async function readAndSend(): Promise<void> {
    try {
      for (let part = first; ; part = await reader.next()) {
        if (part.bytes > 0)
          sending.push(
            send(part)
              .catch(fail)
              .finally(() => part.release()),
          );
        else part.release();
        if (part.isLast) break;
      }
    } catch (error) {
      fail(error);
    }
    await Promise.all(sending);
    if (failure !== undefined) throw failure.error;
  }

  try {
    await readAndSend();
    const { parts, bytes, crc64, jones } = prefix.current();
    if (parts !== sending.length || receipts.size !== parts)
      throw new BackupError('INTERNAL', `transfer ${name}: ${parts} of ${sending.length} parts were sent`);
    observer.accept(BigInt(jones));
    const complete = [...receipts.values()].sort((a, b) => a.number - b.number);
    const make = async (): Promise<Receipt> => target.complete(key, upload, complete, running);
    const existed = await settle(target, key, { bytes, crc64 }, policy, running, make);
    await sweep(target, key, onLeftover, running);
    return { bytes, crc64, parts, keptParts: 0, existed };
  } catch (error) {
    await dropUpload(target, key, upload, onLeftover);
    throw error;
  }
}

function tooLong(name: string, { slots, slotBytes }: SlotPool): BackupError {
  const maxBytes = longestStream(slots, slotBytes);
  return new BackupError(
    'UPLOAD_FAILED',
    `pass ${name} on: it is longer than ${maxBytes} bytes, for which ${slots} slots of ${slotBytes} bytes are enough`,
    { details: { maxBytes }, hint: 'give the uploader more memory' },
  );
}
