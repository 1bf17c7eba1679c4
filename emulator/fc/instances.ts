/**
 * The instances of all functions: started when needed, kept for a while after an invocation and used again, which
 * is how the platform works and how state left in a module variable shows itself.
 */
import { ServiceError } from '../http.ts';
import type { FunctionSpec } from '../world.ts';
import type { FunctionProcess } from './function-process.ts';

export interface Instances {
  /**
   * A process for one invocation, to be given back. When the limit is reached it waits its turn, or, if it must not
   * wait, throws `ResourceExhausted`. Throws the signal's reason when it aborts meanwhile.
   */
  acquire(
    spec: FunctionSpec,
    options: { readonly wait: boolean; readonly signal: AbortSignal },
  ): Promise<FunctionProcess>;
  /** Gives a process back after its invocation, whatever the outcome was. */
  release(process: FunctionProcess): void;
  /** At most this many invocations of the function at once; the account's limit applies as well. */
  reserve(functionName: string, limit: number): void;
  /** Ends the idle processes of a function whose code or configuration was replaced. */
  retire(functionName: string): void;
  running(functionName: string): readonly FunctionProcess[];
  idle(functionName: string): readonly FunctionProcess[];
  /** Ends everything and waits for it. */
  stop(): Promise<void>;
}

export interface InstanceLimits {
  /** Invocations that may run at once in the whole account. */
  readonly accountLimit: number;
  /** Idle processes kept per function, and for how long. */
  readonly idlePerFunction: number;
  readonly idleMs: number;
}

interface Waiting {
  readonly spec: FunctionSpec;
  readonly start: () => void;
}

export function createInstances(
  limits: InstanceLimits,
  start: (spec: FunctionSpec) => FunctionProcess,
): Instances {
  const running = new Set<FunctionProcess>();
  const idle = new Map<FunctionProcess, NodeJS.Timeout>();
  const all = new Set<FunctionProcess>();
  const reserved = new Map<string, number>();
  const waiting: Waiting[] = [];
  /** Places given out; a process that is being started already holds one. */
  const taken = new Map<string, number>();

  async function acquire(
    spec: FunctionSpec,
    { wait, signal }: { wait: boolean; signal: AbortSignal },
  ): Promise<FunctionProcess> {
    signal.throwIfAborted();
    if (!hasRoom(spec)) {
      if (!wait)
        throw new ServiceError(429, 'ResourceExhausted', `The concurrency limit of ${spec.name} is reached.`);
      await turn(spec, signal);
    }
    taken.set(spec.name, (taken.get(spec.name) ?? 0) + 1);
    try {
      const process = warm(spec) ?? fresh(spec);
      running.add(process);
      return process;
    } catch (error) {
      leave(spec);
      throw error;
    }
  }

  function hasRoom({ name }: FunctionSpec): boolean {
    let total = 0;
    for (const count of taken.values()) total += count;
    return total < limits.accountLimit && (taken.get(name) ?? 0) < (reserved.get(name) ?? Infinity);
  }

  async function turn(spec: FunctionSpec, signal: AbortSignal): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        const index = waiting.indexOf(entry);
        if (index >= 0) waiting.splice(index, 1);
        signal.removeEventListener('abort', stop);
      };
      const stop = (): void => {
        leave();
        reject(signal.reason as Error);
      };
      const entry = {
        spec,
        start: () => {
          leave();
          resolve();
        },
      };
      waiting.push(entry);
      signal.addEventListener('abort', stop, { once: true });
    });
    // Between being woken and running, somebody who need not wait may have come first.
    if (!hasRoom(spec)) await turn(spec, signal);
  }

  function warm(spec: FunctionSpec): FunctionProcess | undefined {
    const process = [...idle.keys()].findLast((candidate) => candidate.spec === spec && candidate.alive);
    if (process !== undefined) unpark(process);
    return process;
  }

  function fresh(spec: FunctionSpec): FunctionProcess {
    const process = start(spec);
    all.add(process);
    void process.ended.then(() => {
      all.delete(process);
      unpark(process);
    });
    return process;
  }

  function release(process: FunctionProcess): void {
    running.delete(process);
    const { spec } = process;
    const siblings = [...idle.keys()].filter((other) => other.spec === spec);
    if (process.alive && !retired.has(spec) && siblings.length < limits.idlePerFunction) {
      // Idle processes keep nothing alive; the emulator's servers do.
      idle.set(process, setTimeout(() => process.kill(), limits.idleMs).unref());
    } else {
      process.kill();
    }
    leave(spec);
  }

  function leave({ name }: FunctionSpec): void {
    taken.set(name, (taken.get(name) ?? 1) - 1);
    waiting.find((entry) => hasRoom(entry.spec))?.start();
  }

  function unpark(process: FunctionProcess): void {
    clearTimeout(idle.get(process));
    idle.delete(process);
  }

  const retired = new WeakSet<FunctionSpec>();

  return {
    acquire,
    release,
    reserve(functionName, limit) {
      reserved.set(functionName, limit);
      waiting.find((entry) => hasRoom(entry.spec))?.start();
    },
    retire(functionName) {
      for (const process of all) {
        if (process.spec.name !== functionName) continue;
        retired.add(process.spec);
        if (idle.has(process)) process.kill();
      }
    },
    running: (name) => [...running].filter((process) => process.spec.name === name),
    idle: (name) => [...idle.keys()].filter((process) => process.spec.name === name),
    async stop() {
      const processes = [...all];
      for (const process of processes) process.kill();
      await Promise.all(processes.map(async (process) => process.ended));
    },
  };
}
