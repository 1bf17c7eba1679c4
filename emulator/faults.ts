/**
 * Scripted faults. A fault waits for requests that match it, lets `skip` of them pass, then spoils the next
 * `times`. Faults are tried in the order in which they were added; the first that wants a request gets it.
 */
import { randomUUID } from 'node:crypto';

export const SERVICES = ['tair', 'oss', 'fc', 'sts', 'ram', 'ros', 'cms', 'download'] as const;
export type ServiceName = (typeof SERVICES)[number];

export type Effect =
  /** Answers with the service's own error shape; the action is not carried out. */
  | {
      readonly kind: 'error';
      readonly status: number;
      readonly code: string;
      readonly message?: string;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** Answers with exactly this, whatever the service; the action is not carried out. */
  | {
      readonly kind: 'reply';
      readonly status: number;
      readonly headers?: Readonly<Record<string, string>>;
      readonly body: string;
    }
  /** Breaks the connection before anything is done. */
  | { readonly kind: 'reset' }
  /** Carries the action out, then breaks the connection instead of answering. */
  | { readonly kind: 'lose-answer' }
  /** Waits on the emulator's clock, then goes on as usual. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Carries the action out and sends this many bytes of the body (none, and no headers, if left out); then silence. */
  | { readonly kind: 'stall'; readonly afterBytes?: number }
  /** Breaks the connection after this many bytes of the answer's body. */
  | { readonly kind: 'cut'; readonly afterBytes: number }
  /** Ends the body cleanly, with matching Content-Length, after this many bytes. */
  | { readonly kind: 'short'; readonly bytes: number }
  /** Sends the body at this rate. */
  | { readonly kind: 'drip'; readonly bytesPerSecond: number }
  /** Flips the lowest bit of one byte of the answer's body (modulo its length). */
  | { readonly kind: 'flip'; readonly atByte: number }
  /** Flips the lowest bit of one byte of what arrives, before the service sees it. */
  | { readonly kind: 'flip-request'; readonly atByte: number }
  /** Takes headers away from the request before the service sees it, `range` for instance. */
  | { readonly kind: 'drop-request-headers'; readonly names: readonly string[] }
  /** Overrides headers of the answer; an empty value removes one. */
  | { readonly kind: 'headers'; readonly set: Readonly<Record<string, string>> };

export interface FaultScript {
  readonly service: ServiceName;
  /** The action's name as the journal writes it (`UploadPart`, `CreateBackup`, `Download`); any if left out. */
  readonly action?: string;
  /** Regular expression over the target: object key, instance id, function name. Any if left out. */
  readonly target?: string;
  /** Matching requests to let pass first. Default 0. */
  readonly skip?: number;
  /** Requests to spoil; -1 means all from then on. Default 1. */
  readonly times?: number;
  readonly effect: Effect;
}

export interface FaultState {
  readonly id: string;
  readonly script: FaultScript;
  readonly seen: number;
  readonly applied: number;
}

export interface Faults {
  /** Adds a script and returns its id. */
  add(script: FaultScript): string;
  remove(id: string): boolean;
  clear(): void;
  list(): readonly FaultState[];
  /** The effect for this request, if a script wants it; counts as one application. */
  take(service: ServiceName, action: string, target: string): Effect | undefined;
}

export function createFaults(): Faults {
  const states: {
    id: string;
    script: FaultScript;
    pattern: RegExp | undefined;
    seen: number;
    applied: number;
  }[] = [];

  function add(script: FaultScript): string {
    if (!SERVICES.includes(script.service))
      throw new RangeError(`add a fault: unknown service ${script.service}`);
    const id = randomUUID();
    const pattern = script.target === undefined ? undefined : new RegExp(script.target);
    states.push({ id, script, pattern, seen: 0, applied: 0 });
    return id;
  }

  function take(service: ServiceName, action: string, target: string): Effect | undefined {
    for (const state of states) {
      const { script } = state;
      if (script.service !== service) continue;
      if (script.action !== undefined && script.action !== action) continue;
      if (state.pattern !== undefined && !state.pattern.test(target)) continue;
      const times = script.times ?? 1;
      if (times >= 0 && state.applied >= times) continue;
      state.seen++;
      if (state.seen <= (script.skip ?? 0)) continue;
      state.applied++;
      return script.effect;
    }
    return undefined;
  }

  function remove(id: string): boolean {
    const index = states.findIndex((state) => state.id === id);
    if (index < 0) return false;
    states.splice(index, 1);
    return true;
  }

  return {
    add,
    remove,
    clear: () => void states.splice(0),
    list: () => states.map(({ id, script, seen, applied }) => ({ id, script, seen, applied })),
    take,
  };
}
