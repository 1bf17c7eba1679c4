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
  /** How many there are at most. */
  readonly slots: number;
  readonly slotBytes: number;
  /** How many may be in use at once, from 1 to `slots`. Lowering it takes nothing away: slots that come back rest. */
  limit: number;
  /** Waits, first come first served, until a slot is free. Rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<Slot>;
}

/** @param make gives the buffer of the slot of that number, once each; ordinary memory if left out */
export function createSlotPool(
  slots: number,
  slotBytes: number,
  make: (number: number) => Buffer = () => Buffer.allocUnsafeSlow(slotBytes),
): SlotPool {
  const free: Buffer[] = [];
  const waiting: ((bytes: Buffer) => void)[] = [];
  let made = 0;
  let inUse = 0;
  let limit = slots;

  /** Serves who waits, as far as the limit allows. */
  function serve(): void {
    while (waiting.length > 0 && inUse < limit) {
      inUse++;
      waiting.shift()?.(free.pop() ?? make(made++));
    }
  }

  async function take(signal: AbortSignal): Promise<Slot> {
    throwIfStopped(signal);
    const bytes = await next(signal);
    let released = false;
    return {
      bytes,
      release: () => {
        if (released) return;
        released = true;
        inUse--;
        free.push(bytes);
        serve();
      },
    };
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
      serve();
    });
  }

  return {
    slots,
    slotBytes,
    take,
    get limit() {
      return limit;
    },
    set limit(wanted) {
      limit = Math.max(1, Math.min(slots, wanted));
      serve();
    },
  };
}
