/** Observers of a transfer for tests that are not about content. */
import type { Observer, ObserverCheckpoint } from '../../functions/core/transfer/transfer-file.ts';

/** Accepts anything, and can go on nowhere. */
export function blindObserver(change: Partial<Observer> = {}): Observer {
  return { write: () => undefined, accept: () => undefined, checkpoint: () => undefined, ...change };
}

export interface Recorder {
  /** Hand it to the transfer. */
  readonly observe: (from?: ObserverCheckpoint) => Observer;
  /** What the newest observer has been shown, the bytes before its checkpoint included. */
  seen(): Buffer;
  /** The checksums that were given with the end of the file. */
  readonly accepted: bigint[];
  /** Where the observers began. */
  readonly beganAt: number[];
}

/** @param every its checkpoints lie at multiples of this many bytes, as those of a reader lie between two keys */
export function createRecorder(every = 1): Recorder {
  let pieces: Buffer[] = [];
  const states: Buffer[] = [];
  const accepted: bigint[] = [];
  const beganAt: number[] = [];
  const seen = (): Buffer => Buffer.concat(pieces);
  return {
    seen,
    accepted,
    beganAt,
    observe: (from) => {
      pieces = from === undefined ? [] : [states[from.state.readUInt32LE()] ?? Buffer.alloc(0)];
      beganAt.push(from?.offset ?? 0);
      return {
        write: (bytes) => void pieces.push(Buffer.from(bytes)),
        accept: (jones) => void accepted.push(jones),
        checkpoint: () => {
          const all = seen();
          const offset = all.length - (all.length % every);
          if (offset === 0) return undefined;
          // Small, as that of a reader is.
          const state = Buffer.alloc(4);
          state.writeUInt32LE(states.push(all.subarray(0, offset)) - 1);
          return { offset, state };
        },
      };
    },
  };
}
