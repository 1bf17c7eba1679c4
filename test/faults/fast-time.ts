/**
 * Loaded into a function's process before its code (`NODE_OPTIONS=--require`): the bundle runs unchanged in a time,
 * and on a machine, of the test's choosing. Everything that the process can know of time runs faster by one rate:
 * clocks, timers, time-outs of sockets. So the product's own limits hold, thirty seconds of silence and five minutes
 * of patience among them, and take a fraction of that.
 *
 * - `FAST_TIME_RATE`: how many times faster.
 * - `FAST_TIME_SINCE`: when the hurry began, in milliseconds since 1970: for a world whose services hurry as well.
 *   Otherwise it begins with each invocation.
 * - `FAST_TIME_SKEW_MS`: how far the clock is ahead.
 * - `FAST_TIME_JUMP_MS`: by how much the clock is set forward when the file `FAST_TIME_CUE` appears.
 * - `FAST_TIME_HOG_MB`: how much memory is taken when that file appears.
 * - `FAST_TIME_STDOUT`: `full` (a device without space) or `closed` (a pipe that nobody reads any more).
 * - `FAST_TIME_DISK`: `full`; nothing can be written to any file.
 * - `FAST_TIME_NAMELESS`: how many look-ups of names fail before they work.
 * - `FAST_TIME_WITNESS`: a file that gets a line each time one of these was felt.
 */
import dns, { type LookupAddress } from 'node:dns';
import { errorMonitor } from 'node:events';
import fs, { appendFileSync, createWriteStream, existsSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';
import timers from 'node:timers';
import timersPromises from 'node:timers/promises';
import { promisify } from 'node:util';

const setting = (name: string): number => Number(process.env[`FAST_TIME_${name}`] ?? 0);
const rate = setting('RATE') || 1;
const realSetTimeout = globalThis.setTimeout;
const realSetInterval = globalThis.setInterval;
const realDateNow = Date.now.bind(Date);
const realPerformanceNow = performance.now.bind(performance);
/** Where the hurry begins: at each invocation anew, so that a process that is used for long does not run away. */
let begunAt = setting('SINCE') || realDateNow();
if (setting('SINCE') === 0) process.on('message', () => (begunAt = realDateNow()));
let aheadMs = setting('SKEW_MS');
if (aheadMs !== 0) witness();

hurryClocks();
hurryTimers();
followCue();
spoilStdout(process.env['FAST_TIME_STDOUT']);
spoilNames(setting('NAMELESS'));
spoilDisk(process.env['FAST_TIME_DISK']);

function witness(): void {
  const path = process.env['FAST_TIME_WITNESS'];
  if (path !== undefined) appendFileSync(path, 'felt\n');
}

function hurryClocks(): void {
  const now = (): number => Math.floor(begunAt + (realDateNow() - begunAt) * rate + aheadMs);
  const RealDate = Date;
  globalThis.Date = new Proxy(RealDate, {
    construct: (target, args: [number | string | Date] | [], newTarget) =>
      Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget) as Date,
    apply: () => new RealDate(now()).toString(),
  });
  RealDate.now = now;
  performance.now = () => realPerformanceNow() * rate;
}

function hurryTimers(): void {
  type Callback = (...args: unknown[]) => void;
  const sleep = timersPromises.setTimeout;
  const timeout = (callback: Callback, ms = 0, ...args: unknown[]): NodeJS.Timeout =>
    realSetTimeout(callback, ms / rate, ...args);
  const interval = (callback: Callback, ms = 0, ...args: unknown[]): NodeJS.Timeout =>
    realSetInterval(callback, ms / rate, ...args);
  const hurriedSleep = async <T>(ms?: number, value?: T, options?: timers.TimerOptions): Promise<T> =>
    sleep((ms ?? 0) / rate, value as T, options);
  Object.assign(timersPromises, { setTimeout: hurriedSleep });
  for (const place of [globalThis, timers]) {
    Object.assign(place, {
      setTimeout: Object.assign(timeout, { [promisify.custom]: hurriedSleep }),
      setInterval: interval,
    });
  }
  AbortSignal.timeout = (ms) => {
    const controller = new AbortController();
    const timer = realSetTimeout(() => {
      controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'));
    }, ms / rate);
    timer.unref();
    return controller.signal;
  };
  // eslint-disable-next-line typescript/unbound-method -- it is called with the socket that it is a method of
  const socketTimeout = Socket.prototype.setTimeout;
  Socket.prototype.setTimeout = function hurried(ms, callback) {
    return socketTimeout.call(this, ms / rate, callback);
  };
}

const CUE_INTERVAL_MS = 5;

/** What happens in the middle of the work happens when the test says so: by a file that appears. */
function followCue(): void {
  const cue = process.env['FAST_TIME_CUE'];
  if (cue === undefined) return;
  const hogs: Buffer[] = [];
  const waiting = realSetInterval(() => {
    if (!existsSync(cue)) return;
    clearInterval(waiting);
    // One file, one cue: the next process waits for one of its own.
    rmSync(cue);
    witness();
    aheadMs += setting('JUMP_MS');
    for (let mb = 0; mb < setting('HOG_MB'); mb += 16) hogs.push(Buffer.alloc(16 * 1024 ** 2, 1));
  }, CUE_INTERVAL_MS);
  waiting.unref();
}

function spoilStdout(how: string | undefined): void {
  if (how === undefined) return;
  const broken = Object.assign(new Error('write EPIPE'), { code: 'EPIPE' });
  const closed = new Writable({ write: (_chunk, _encoding, done) => done(broken) });
  const spoiled = how === 'full' ? createWriteStream('/dev/full') : closed;
  spoiled.on(errorMonitor, witness);
  Object.defineProperty(process, 'stdout', { value: spoiled });
}

function spoilNames(failures: number): void {
  if (failures === 0) return;
  let left = failures;
  type Answer = (error: Error | null, address: string | LookupAddress[], family?: number) => void;
  const lookup = (_name: string, options: { readonly all?: boolean }, answer: Answer): void => {
    const failed = left-- > 0;
    process.nextTick(() => {
      if (failed) witness();
      if (failed) answer(Object.assign(new Error('getaddrinfo EAI_AGAIN'), { code: 'EAI_AGAIN' }), '');
      else if (options.all === true) answer(null, [{ address: '127.0.0.1', family: 4 }]);
      else answer(null, '127.0.0.1', 4);
    });
  };
  Object.assign(dns, { lookup });
}

/** No file can be written any more. The product keeps nothing on a disk; what it is built on might. */
function spoilDisk(how: string | undefined): void {
  if (how === undefined) return;
  witness();
  const full = (): never => {
    throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
  };
  const isWriting = (flags: unknown): boolean => typeof flags === 'string' && /[wa+]/.test(flags);
  const { open, openSync } = fs;
  const openAsync = fs.promises.open;
  const sync = ['writeFileSync', 'appendFileSync', 'mkdirSync', 'writeSync'];
  Object.assign(fs, Object.fromEntries(sync.map((name) => [name, full])), {
    open: (...args: Parameters<typeof open>) => (isWriting(args[1]) ? full() : open(...args)),
    openSync: (...args: Parameters<typeof openSync>) => (isWriting(args[1]) ? full() : openSync(...args)),
  });
  const asynchronous = ['writeFile', 'appendFile', 'mkdir'];
  Object.assign(fs.promises, Object.fromEntries(asynchronous.map((name) => [name, async () => full()])), {
    open: async (...args: Parameters<typeof openAsync>) => (isWriting(args[1]) ? full() : openAsync(...args)),
  });
}
