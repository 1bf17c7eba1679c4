/**
 * Several lanes work on the parts of one file at once. Each part gets a slot to hold it, and then three things happen to
 * it at the same time: it is read into the slot, it is sent from there while it arrives, and it is observed. A lane is one
 * connection to either side: once a part has been read, the next one may begin to arrive, if there is a slot to spare,
 * while the last bytes of the one before are still being sent. Parts are sent in any order; observed is every byte
 * exactly once and in the file's order.
 *
 * Parts are taken in order, so the part whose turn it is to be observed is always in some lane's hands: lanes that
 * wait for their turn cannot block each other for ever.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Crc64Pair } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import { UNLIMITED, type Bandwidth } from './bandwidth.ts';
import type { ByteSource } from './byte-source.ts';
import { createArrivingPart, type ArrivingPart, type PartBody } from './part-body.ts';
import type { Part } from './part-plan.ts';
import { stopReason, throwIfStopped } from './retry.ts';
import type { SlotPool } from './slot-pool.ts';

export interface LanesOptions {
  readonly source: ByteSource;
  /** In the file's order; from the first one's start on there are no gaps. */
  readonly parts: readonly Part[];
  readonly pool: SlotPool;
  /** One for each slot. */
  readonly checksums: () => Crc64Pair;
  readonly bandwidth?: Bandwidth;
  /**
   * Takes one part while it arrives; in any order, several at once. `whole` tells the checksums of its bytes when all
   * have come. The bytes are valid until its promise settles.
   */
  readonly sink: (part: Part, body: PartBody, whole: Promise<PartChecksums>) => Promise<void>;
  /** Sees the bytes in order. Throwing stops everything. */
  readonly observe: (bytes: Buffer) => void;
  /** Called after each part that is observed, before anything of the next one is. */
  readonly observed?: (part: Part) => void;
  /** Called after each part that is sent and observed. */
  readonly done: (part: Part, checksums: PartChecksums) => void;
}

export interface PartChecksums {
  readonly xz: bigint;
  readonly jones: bigint;
}

/** What has arrived is summed in pieces of about this size: large enough for the loops, small enough for the cache. */
const SUM_BYTES = 512 * 1024;
/** Observing is the longest work in one piece; between two of these, the connections get their turn. */
const OBSERVE_BYTES = 1024 * 1024;

/**
 * Passes all parts through. The first failure of any lane stops the others and is what is thrown, after all lanes
 * have come to rest: nothing is in flight when this settles.
 */
export async function runLanes(options: LanesOptions, signal: AbortSignal): Promise<void> {
  const { source, parts, pool, checksums, bandwidth = UNLIMITED, sink, observe, observed, done } = options;
  const halt = new AbortController();
  const running = AbortSignal.any([signal, halt.signal]);
  const turns = createTurnstile(running);
  let next = 0;
  let passed = 0;
  let failure: { readonly error: unknown } | undefined;

  // The first failure is the cause; what the others then throw is only its echo.
  const fail = (error: unknown): void => {
    failure ??= { error };
    halt.abort(new BackupError('INTERRUPTED', 'stop this lane: another one failed'));
  };

  /** One for each slot. */
  async function worker(): Promise<void> {
    const sums = checksums();
    try {
      while (next < parts.length && !running.aborted) await passOne(sums);
    } catch (error) {
      fail(error);
    }
  }

  async function passOne(sums: Crc64Pair): Promise<void> {
    const slot = await pool.take(running);
    try {
      const index = next++;
      const part = parts[index];
      if (part === undefined) return;
      const leaveLane = await pool.enterLane('read', running);
      const bytes = slot.bytes.subarray(0, part.bytes);
      const arriving = createArrivingPart(bytes);
      const whole = receive(part, bytes, arriving, sums).finally(leaveLane);
      // All come to rest before the slot is used again, also when one of them fails.
      await Promise.all([
        whole.catch(fail),
        send(part, arriving, whole).catch(fail),
        observeInTurn(index, part, bytes, arriving).catch(fail),
      ]);
      if (failure !== undefined) return;
      passed++;
      done(part, await whole);
    } finally {
      slot.release();
    }
  }

  async function receive(
    part: Part,
    bytes: Buffer,
    arriving: ArrivingPart,
    sums: Crc64Pair,
  ): Promise<PartChecksums> {
    sums.reset();
    let summed = 0;
    let spent = 0;
    const take = (filled: number): void | Promise<void> => {
      if (filled - summed >= SUM_BYTES || filled === part.bytes) {
        sums.update(bytes.subarray(summed, filled));
        summed = filled;
      }
      arriving.arrived(filled);
      const more = filled - spent;
      spent = filled;
      return bandwidth.spend(more);
    };
    try {
      await source.read(part.start, bytes, running, take);
      if (spent < part.bytes) await take(part.bytes);
      return { xz: sums.xz(), jones: sums.jones() };
    } catch (error) {
      arriving.fail(error);
      throw error;
    }
  }

  async function send(part: Part, body: PartBody, whole: Promise<PartChecksums>): Promise<void> {
    const leaveLane = await pool.enterLane('send', running);
    try {
      await sink(part, body, whole);
    } finally {
      leaveLane();
    }
  }

  async function observeInTurn(
    index: number,
    part: Part,
    bytes: Buffer,
    arriving: ArrivingPart,
  ): Promise<void> {
    await turns.wait(index);
    for (let at = 0; at < part.bytes;) {
      const filled = await arriving.reach(at + 1);
      throwIfStopped(running);
      const end = Math.min(filled, at + OBSERVE_BYTES);
      observe(bytes.subarray(at, end));
      at = end;
      if (at < filled) await nextTurn();
    }
    observed?.(part);
    turns.advance();
  }

  await Promise.all(Array.from({ length: Math.min(pool.slots, parts.length) }, async () => worker()));
  // A signal that is made of others is kept in memory for as long as anybody listens to it.
  halt.abort();
  if (failure !== undefined) throw failure.error;
  throwIfStopped(signal);
  // A hole: no lane failed, and yet a part was not passed. It must never be taken for a whole file.
  if (passed !== parts.length)
    throw new BackupError('INTERNAL', `pass ${source.name}: ${passed} of ${parts.length} parts`);
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
