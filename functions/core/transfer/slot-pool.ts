/**
 * The buffers that parts travel in. They are made when first needed and used again for the whole run, and nothing
 * else holds file content, so the memory of a transfer is slots x slot size, whatever the files' sizes and number.
 */
import { setMaxListeners } from 'node:events';
import { stopReason, throwIfStopped } from './retry.ts';

export interface Slot {
  readonly bytes: Buffer;
  /** Gives the slot back; its bytes must not be touched afterwards. */
  release(): void;
}

export interface SlotPool {
  readonly slots: number;
  readonly slotBytes: number;
  /** Waits, first come first served, until a slot is free. Rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<Slot>;
}

export function createSlotPool(slots: number, slotBytes: number): SlotPool {
  const free: Buffer[] = [];
  const waiting: ((bytes: Buffer) => void)[] = [];
  let made = 0;

  async function take(signal: AbortSignal): Promise<Slot> {
    throwIfStopped(signal);
    const bytes = free.pop() ?? (made < slots ? make() : await next(signal));
    let released = false;
    return {
      bytes,
      release: () => {
        if (released) return;
        released = true;
        const heir = waiting.shift();
        if (heir === undefined) free.push(bytes);
        else heir(bytes);
      },
    };
  }

  function make(): Buffer {
    made++;
    return Buffer.allocUnsafeSlow(slotBytes);
  }

  async function next(signal: AbortSignal): Promise<Buffer> {
    setMaxListeners(0, signal);
    return new Promise((resolve, reject) => {
      const heir = (bytes: Buffer): void => {
        signal.removeEventListener('abort', giveUp);
        resolve(bytes);
      };
      const giveUp = (): void => {
        waiting.splice(waiting.indexOf(heir), 1);
        reject(stopReason(signal));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      waiting.push(heir);
    });
  }

  return { slots, slotBytes, take };
}
