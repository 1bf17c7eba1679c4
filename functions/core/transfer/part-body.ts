/**
 * One part on its way through a slot: who fills the slot, who sends it and who looks at it work at the same time, and
 * meet here. What has arrived stays in the slot until all are done, so that it can be sent again.
 */
import { BackupError } from '../errors.ts';

/** What is sent: bytes that may still be arriving. */
export interface PartBody {
  /** Of the whole part. */
  readonly bytes: number;
  /**
   * The bytes from the first one on, in pieces, as they arrive; each call begins anew. Throws the arrival's own failure
   * when no more will come.
   */
  pieces(): AsyncIterable<Uint8Array>;
}

export interface ArrivingPart extends PartBody {
  /** So many bytes from the start lie in the slot; never fewer than before. */
  arrived(bytes: number): void;
  /** No more will come. Called after everything has arrived, it changes nothing. */
  fail(error: unknown): void;
  /** Resolves with how many bytes lie in the slot once they are at least `bytes`; rejects when the arrival has failed. */
  reach(bytes: number): Promise<number>;
}

/** Pieces that are sent are at least this long, but for the last one: less would be a system call for every packet. */
const PIECE_BYTES_MIN = 128 * 1024;
const PIECE_BYTES_MAX = 512 * 1024;

/** @param slot exactly as long as the part */
export function createArrivingPart(slot: Uint8Array): ArrivingPart {
  let present = 0;
  let failure: { readonly error: unknown } | undefined;
  let waiting: { readonly bytes: number; readonly wake: () => void }[] = [];

  function wake(): void {
    const awake = waiting.filter(({ bytes }) => failure !== undefined || bytes <= present);
    if (awake.length === 0) return;
    waiting = waiting.filter((one) => !awake.includes(one));
    for (const one of awake) one.wake();
  }

  async function reach(bytes: number): Promise<number> {
    if (present < bytes && failure === undefined)
      await new Promise<void>((resolve) => waiting.push({ bytes, wake: resolve }));
    if (present >= bytes) return present;
    throw failure?.error ?? new BackupError('INTERNAL', 'wait for bytes of a part: woken without any');
  }

  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (let sent = 0; sent < slot.length;) {
      const filled = await reach(Math.min(slot.length, sent + PIECE_BYTES_MIN));
      const end = Math.min(filled, sent + PIECE_BYTES_MAX);
      yield slot.subarray(sent, end);
      sent = end;
    }
  }

  return {
    bytes: slot.length,
    pieces,
    reach,
    arrived: (bytes) => {
      if (bytes < present || bytes > slot.length)
        throw new BackupError('INTERNAL', `fill a part of ${slot.length} bytes: ${bytes} after ${present}`);
      present = bytes;
      wake();
    },
    fail: (error) => {
      if (present === slot.length) return;
      failure ??= { error };
      wake();
    },
  };
}

/** A part that is all there, in one buffer or in several. */
export function wholePart(...buffers: readonly Uint8Array[]): PartBody {
  async function* pieces(): AsyncGenerator<Uint8Array> {
    for (const buffer of buffers)
      for (let at = 0; at < buffer.length; at += PIECE_BYTES_MAX)
        yield buffer.subarray(at, at + PIECE_BYTES_MAX);
  }
  return { bytes: buffers.reduce((sum, { length }) => sum + length, 0), pieces };
}
