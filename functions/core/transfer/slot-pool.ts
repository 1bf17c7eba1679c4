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
  /** Waits, first come first served, until a slot is free. Rejects with the signal's reason. */
  take(signal: AbortSignal): Promise<Slot>;

  /** How many lanes there are at most: so many slots are filled at the same time, and so many are sent. */
  readonly lanes: number;
  /** How many lanes may be used, from 1 to `lanes`. Lowering it stops nothing that has begun. */
  limit: number;
  /** Waits, first come first served, until one more slot may be filled, or sent. Rejects with the signal's reason. */
  enterLane(leg: Leg, signal: AbortSignal): Promise<LeaveLane>;
}

export type Leg = 'read' | 'send';

/** The slot is filled, or sent; safe to call twice. */
export type LeaveLane = () => void;

/**
 * @param lanes at most as many as slots; as many if left out. With a slot or more to spare, the next part begins to
 *   arrive while the last bytes of the one before are still being sent.
 * @param make gives the buffer of the slot of that number, once each; ordinary memory if left out
 */
export function createSlotPool(
  slots: number,
  slotBytes: number,
  lanes = slots,
  make: (number: number) => Buffer = () => Buffer.allocUnsafeSlow(slotBytes),
): SlotPool {
  const free: Buffer[] = [];
  let made = 0;
  const slotGate = createGate(slots);
  const legs: Readonly<Record<Leg, Gate>> = {
    read: createGate(Math.min(lanes, slots)),
    send: createGate(Math.min(lanes, slots)),
  };

  return {
    slots,
    slotBytes,
    take: async (signal) => {
      const leave = await slotGate.enter(signal);
      const bytes = free.pop() ?? make(made++);
      let isReleased = false;
      return {
        bytes,
        release: () => {
          if (isReleased) return;
          isReleased = true;
          free.push(bytes);
          leave();
        },
      };
    },
    lanes: legs.read.most,
    get limit() {
      return legs.read.limit();
    },
    set limit(wanted) {
      legs.read.setLimit(wanted);
      legs.send.setLimit(wanted);
    },
    enterLane: async (leg, signal) => legs[leg].enter(signal),
  };
}

/** Lets in so many at the same time, in the order in which they came. */
interface Gate {
  readonly most: number;
  limit(): number;
  setLimit(wanted: number): void;
  enter(signal: AbortSignal): Promise<() => void>;
}

function createGate(most: number): Gate {
  const waiting: (() => void)[] = [];
  let inside = 0;
  let limit = most;

  function open(): void {
    while (waiting.length > 0 && inside < limit) {
      inside++;
      waiting.shift()?.();
    }
  }

  function leaveOnce(): () => void {
    let hasLeft = false;
    return () => {
      if (hasLeft) return;
      hasLeft = true;
      inside--;
      open();
    };
  }

  async function enter(signal: AbortSignal): Promise<() => void> {
    throwIfStopped(signal);
    setMaxListeners(0, signal);
    await new Promise<void>((resolve, reject) => {
      const admit = (): void => {
        signal.removeEventListener('abort', giveUp);
        resolve();
      };
      const giveUp = (): void => {
        waiting.splice(waiting.indexOf(admit), 1);
        reject(stopReason(signal));
      };
      signal.addEventListener('abort', giveUp, { once: true });
      waiting.push(admit);
      open();
    });
    return leaveOnce();
  }

  return {
    most,
    limit: () => limit,
    setLimit: (wanted) => {
      limit = Math.max(1, Math.min(most, wanted));
      open();
    },
    enter,
  };
}
