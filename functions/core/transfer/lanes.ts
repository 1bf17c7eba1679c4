/**
 * Several lanes work on the parts of one file at once. Each takes the next part and a slot to hold it, fills the
 * slot from the source, and hands it to two consumers at the same time: the sink, which may take parts in any
 * order, and the observer, which sees every byte exactly once and in the file's order.
 *
 * Parts are taken in order, so the part whose turn it is to be observed is always in some lane's hands: lanes that
 * wait for their turn cannot block each other for ever.
 */
import { combineCrc64Xz, crc64Xz } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import type { ByteSource } from './byte-source.ts';
import type { Part } from './part-plan.ts';
import { stopReason, throwIfStopped } from './retry.ts';
import type { SlotPool } from './slot-pool.ts';

export interface LanesOptions {
  readonly source: ByteSource;
  readonly parts: readonly Part[];
  readonly pool: SlotPool;
  /** Takes one part and its CRC-64/XZ; in any order, several at once. The bytes are valid until its promise settles. */
  readonly sink: (part: Part, bytes: Buffer, crc64: bigint) => Promise<void>;
  /** Sees the bytes in order. Throwing stops everything. */
  readonly observe: (bytes: Buffer) => void;
  /** Called after each part that is done, with its length. */
  readonly done: (bytes: number) => void;
}

/**
 * Passes all parts through. Returns the CRC-64/XZ of the whole. The first failure of any lane stops the others and
 * is what is thrown, after all lanes have come to rest: nothing is in flight when this settles.
 */
export async function runLanes(options: LanesOptions, signal: AbortSignal): Promise<bigint> {
  const { source, parts, pool, sink, observe, done } = options;
  const halt = new AbortController();
  const running = AbortSignal.any([signal, halt.signal]);
  const turns = createTurnstile(running);
  const checksums: (bigint | undefined)[] = parts.map(() => undefined);
  let next = 0;
  let failure: { readonly error: unknown } | undefined;

  // The first failure is the cause; what the others then throw is only its echo.
  const fail = (error: unknown): void => {
    failure ??= { error };
    halt.abort(new BackupError('INTERRUPTED', 'stop this lane: another one failed'));
  };

  async function lane(): Promise<void> {
    try {
      while (next < parts.length && !running.aborted) await passOne();
    } catch (error) {
      fail(error);
    }
  }

  async function passOne(): Promise<void> {
    const slot = await pool.take(running);
    try {
      const index = next++;
      const part = parts[index];
      if (part === undefined) return;
      const bytes = slot.bytes.subarray(0, part.bytes);
      await source.read(part.start, bytes, running);
      const crc = crc64Xz();
      crc.update(bytes);
      // Both come to rest before the slot is used again, also when one of them fails.
      await Promise.all([
        sink(part, bytes, crc.value()).catch(fail),
        turns
          .wait(index)
          .then(() => {
            observe(bytes);
            turns.advance();
          })
          .catch(fail),
      ]);
      if (failure !== undefined) return;
      checksums[index] = crc.value();
      done(part.bytes);
    } finally {
      slot.release();
    }
  }

  await Promise.all(Array.from({ length: Math.min(pool.slots, parts.length) }, async () => lane()));
  // A signal that is made of others is kept in memory for as long as anybody listens to it.
  halt.abort();
  if (failure !== undefined) throw failure.error;
  throwIfStopped(signal);
  return parts.reduce((whole, part, index) => {
    const crc = checksums[index];
    // A hole: no lane failed, and yet a part was not passed. It must never be taken for a whole file.
    if (crc === undefined)
      throw new BackupError('INTERNAL', `pass part ${part.number} of ${source.name}: skipped`);
    return index === 0 ? crc : combineCrc64Xz(whole, crc, part.bytes);
  }, 0n);
}

/** Lets numbered visitors through one at a time: 0, 1, 2, … */
interface Turnstile {
  /** Resolves when it is this visitor's turn. Rejects with the signal's reason. */
  wait(number: number): Promise<void>;
  /** The visitor whose turn it is has left. */
  advance(): void;
}

function createTurnstile(signal: AbortSignal): Turnstile {
  const waiting = new Map<number, { readonly enter: () => void; readonly leave: (error: Error) => void }>();
  let turn = 0;
  const closeUp = (): void => {
    for (const visitor of waiting.values()) visitor.leave(stopReason(signal));
    waiting.clear();
  };
  signal.addEventListener('abort', closeUp, { once: true });
  return {
    wait: async (number) => {
      throwIfStopped(signal);
      if (number === turn) return;
      await new Promise<void>((enter, leave) => waiting.set(number, { enter, leave }));
    },
    advance: () => {
      turn++;
      waiting.get(turn)?.enter();
      waiting.delete(turn);
    },
  };
}
