/**
 * One child process that runs one function, one invocation at a time: what the platform calls an instance. It
 * watches the limits of memory and time, and ends the process when one is passed.
 */
import { fork, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import type { Clock } from '../clock.ts';
import type { FunctionSpec } from '../world.ts';
import { endOfOutput, type ContextFields, type HostMessage, type InvokeMessage } from './host-protocol.ts';
import { forgetPeak, MEMORY_INTERVAL_MS, readPeakMb } from './memory.ts';

export type Outcome =
  | { readonly kind: 'returned'; readonly body: Buffer }
  /** The code threw; the body is the platform's JSON. */
  | { readonly kind: 'raised'; readonly body: Buffer }
  /** There is no answer: the process ended, was ended by a limit, or by whoever waited for it. */
  | { readonly kind: 'exited' | 'timed-out' | 'out-of-memory' | 'cancelled' };

export interface Measures {
  readonly durationMs: number;
  /** The peak of the resident set during this invocation. */
  readonly peakRssMb: number;
}

export interface FunctionProcess {
  readonly instanceId: string;
  readonly spec: FunctionSpec;
  /** How many invocations it has been given. */
  readonly uses: number;
  readonly alive: boolean;
  /** Resolves when the process is gone; never rejects. */
  readonly ended: Promise<void>;
  /** Runs the handler once. Never rejects: everything that can go wrong is an outcome. Not to be called while it runs. */
  run(event: Buffer, context: ContextFields, watch: Watch): Promise<Outcome & Measures>;
  /** Ends the process now, as the loss of the machine would. Safe to call twice. */
  kill(): void;
}

interface Watch {
  readonly clock: Clock;
  readonly onOutput: (text: string) => void;
  /** Ends the invocation, and the process with it. */
  readonly signal: AbortSignal;
}

export interface ProcessSetup {
  /** The bundled `function-host.ts`. */
  readonly hostFile: string;
  /** Gets a folder per process below it, the function's home and `/tmp`. */
  readonly folder: string;
  /** The platform's variables and the function's own. */
  readonly environment: Readonly<Record<string, string>>;
  readonly instanceId: string;
}

/** Loading the code may take this long before the process is given up. */
const LOAD_LIMIT_MS = 60_000;
/** Output that does not arrive this long after the answer is given up. */
const OUTPUT_LIMIT_MS = 1_000;
/** What a function inherits from the emulator's own environment: what Node needs to start and to trust. */
const INHERITED = ['PATH', 'LD_LIBRARY_PATH', 'NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'SSL_CERT_DIR'];

export function newInstanceId(): string {
  return `c-${randomUUID()}`;
}

export function startProcess(spec: FunctionSpec, setup: ProcessSetup): FunctionProcess {
  const { instanceId } = setup;
  const home = join(setup.folder, instanceId);
  mkdirSync(home, { recursive: true });
  const child = fork(setup.hostFile, [], {
    cwd: spec.codeFolder,
    env: environmentOf(home, setup.environment),
    execArgv: [`--max-old-space-size=${oldSpaceMb(spec.memoryMb)}`],
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  let alive = true;
  let uses = 0;
  const ended = new Promise<void>((resolve) => {
    const end = (): void => {
      alive = false;
      rmSync(home, { recursive: true, force: true });
      resolve();
    };
    // `error` alone comes when the process could not be started at all.
    child.once('error', end);
    // `close` is `exit` plus the end of the output, which a grandchild may keep open for ever.
    child.once('exit', () => {
      alive = false;
      setTimeout(end, OUTPUT_LIMIT_MS).unref();
    });
    child.once('close', end);
  });
  const sides = [createOutput(child.stdout), createOutput(child.stderr)];
  const loaded = new Promise<boolean>((resolve) => {
    const limit = setTimeout(() => resolve(false), LOAD_LIMIT_MS);
    const settle = (value: boolean): void => {
      clearTimeout(limit);
      resolve(value);
    };
    child.once('message', () => settle(true));
    void ended.then(() => settle(false));
  });
  const kill = (): void => {
    alive = false;
    child.kill('SIGKILL');
  };

  async function run(
    event: Buffer,
    context: ContextFields,
    { clock, onOutput, signal }: Watch,
  ): Promise<Outcome & Measures> {
    uses++;
    for (const side of sides) side.listen(context.requestId, onOutput);
    const ending: { kind: Verdict } = { kind: 'exited' };
    const condemn = (kind: Verdict) => (): void => {
      ending.kind = kind;
      kill();
    };
    const cancel = condemn('cancelled');
    if (signal.aborted) cancel();
    signal.addEventListener('abort', cancel);
    if (!(await loaded)) kill();

    const startedAt = performance.now();
    const over = new AbortController();
    const memory = watchMemory(child, spec.memoryMb, over.signal, condemn('out-of-memory'));
    clock.sleep(spec.timeoutSeconds * 1000, over.signal).then(condemn('timed-out'), () => undefined);
    try {
      const answer = alive ? await ask(child, { kind: 'invoke', event, context }, ended) : undefined;
      if (answer === undefined) await ended;
      const durationMs = performance.now() - startedAt;
      const peakRssMb = await memory.finish(answer?.maxRssKb);
      await Promise.all(sides.map(async (side) => side.readToEnd(ended)));
      if (answer === undefined || ending.kind !== 'exited') return { ...ending, durationMs, peakRssMb };
      return { ...outcomeOf(answer), durationMs, peakRssMb };
    } finally {
      over.abort();
      signal.removeEventListener('abort', cancel);
    }
  }

  return {
    instanceId,
    spec,
    ended,
    run,
    kill,
    get uses() {
      return uses;
    },
    get alive() {
      return alive;
    },
  };
}

type Verdict = Exclude<Outcome, { body: Buffer }>['kind'];
type Answer = Exclude<HostMessage, { kind: 'ready' }>;

/** The host's answer, or undefined when the process ends without one. */
async function ask(
  child: ChildProcess,
  message: InvokeMessage,
  ended: Promise<void>,
): Promise<Answer | undefined> {
  return await new Promise((resolve) => {
    const onMessage = (answer: Answer): void => resolve(answer);
    child.once('message', onMessage);
    // A channel that is already closed shows as the end of the process, a moment later.
    child.send(message, () => undefined);
    void ended.then(() => {
      child.off('message', onMessage);
      resolve(undefined);
    });
  });
}

function outcomeOf(answer: Answer): Outcome {
  if (answer.kind === 'returned') return { kind: 'returned', body: Buffer.from(answer.body) };
  return { kind: 'raised', body: Buffer.from(JSON.stringify(answer.error)) };
}

function environmentOf(home: string, own: Readonly<Record<string, string>>): Record<string, string> {
  const inherited = INHERITED.flatMap((name) => {
    const value = process.env[name];
    return value === undefined ? [] : [[name, value] as const];
  });
  // HOME of its own: credentials in the developer's home must not help a function.
  return { ...Object.fromEntries(inherited), HOME: home, TMPDIR: home, TZ: 'UTC', ...own };
}

/** Node gives V8 half of the memory of the container that it runs in, and at most 4 GiB. */
function oldSpaceMb(memoryMb: number): number {
  return Math.min(4096, Math.floor(memoryMb / 2));
}

/** Looks at the process's memory until the signal aborts; `exceeded` is called when it is more than allowed. */
function watchMemory(
  child: ChildProcess,
  limitMb: number,
  signal: AbortSignal,
  exceeded: () => void,
): { finish(maxRssKb: number | undefined): Promise<number> } {
  let peakMb = 0;
  const pid = child.pid;
  const look = async (): Promise<void> => {
    if (pid === undefined) return;
    peakMb = Math.max(peakMb, await readPeakMb(pid));
    if (peakMb > limitMb && !signal.aborted) exceeded();
  };
  const reset = pid === undefined ? Promise.resolve() : forgetPeak(pid);
  const timer = setInterval(() => void reset.then(look), MEMORY_INTERVAL_MS);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  return {
    async finish(maxRssKb) {
      clearInterval(timer);
      await reset;
      if (maxRssKb !== undefined) await look();
      return peakMb === 0 ? (maxRssKb ?? 0) / 1024 : peakMb;
    },
  };
}

interface Output {
  /** Passes the lines of this invocation on, from now to `readTo`. */
  listen(requestId: string, listener: (text: string) => void): void;
  /** Resolves when everything that was written during the invocation has been passed on, or will never come. */
  readToEnd(ended: Promise<void>): Promise<void>;
}

function createOutput(stream: Readable | null): Output {
  const decoder = new StringDecoder('utf8');
  let mark = '';
  let pass: (text: string) => void = () => undefined;
  let rest = '';
  let reached: () => void = () => undefined;
  let end = Promise.resolve();
  stream?.on('error', () => undefined);
  stream?.on('data', (chunk: Buffer) => {
    rest += decoder.write(chunk);
    const at = mark === '' ? -1 : rest.indexOf(mark);
    if (at >= 0) {
      if (at > 0) pass(rest.slice(0, at));
      rest = rest.slice(at + mark.length);
      return reached();
    }
    // The beginning of the mark may have come without its end.
    const last = rest.lastIndexOf('\0');
    const held = last >= 0 && mark.startsWith(rest.slice(last)) ? rest.slice(last) : '';
    const complete = rest.slice(0, rest.length - held.length);
    rest = held;
    if (complete !== '') pass(complete);
  });
  return {
    listen(requestId, listener) {
      mark = endOfOutput(requestId);
      pass = listener;
      end = new Promise((resolve) => {
        reached = resolve;
      });
    },
    async readToEnd(ended) {
      let limit: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        limit = setTimeout(resolve, OUTPUT_LIMIT_MS);
      });
      await Promise.race([end, ended, late]);
      clearTimeout(limit);
    },
  };
}
