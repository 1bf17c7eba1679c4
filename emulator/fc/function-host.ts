/**
 * The process in which a function runs: loads its code once, then calls the handler once per message, as the
 * nodejs20 runtime does. Self-contained: it is bundled, and shares no module with the code it runs.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/request-handlers
 * https://www.alibabacloud.com/help/en/functioncompute/context-1-1
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { format } from 'node:util';
import {
  endOfOutput,
  type ContextFields,
  type HostMessage,
  type InvokeMessage,
  type RaisedError,
} from './host-protocol.ts';

type Handler = (event: Buffer, context: unknown) => unknown;
type Loaded = { readonly handler: Handler } | { readonly failure: unknown };

// The function may replace these; the end of its output must still get through.
const writeOut = process.stdout.write.bind(process.stdout);
const writeErr = process.stderr.write.bind(process.stderr);
const sendToEmulator = process.send?.bind(process);

// The channel closes when the emulator ends, however it ends: nothing may be left behind.
process.once('disconnect', () => process.exit(0));
void serve();

async function serve(): Promise<void> {
  const loaded = await load();
  process.on('message', (message: InvokeMessage) => {
    void invoke(loaded, message).then((answer) => {
      writeOut(endOfOutput(message.context.requestId));
      writeErr(endOfOutput(message.context.requestId));
      // A function whose code cannot be loaded gets a new process next time.
      send(answer, () => void ('failure' in loaded && process.exit(1)));
    });
  });
  send({ kind: 'ready' });
}

async function load(): Promise<Loaded> {
  const folder = process.env['FC_FUNC_CODE_PATH'] ?? process.cwd();
  const [name, method] = splitHandler(process.env['FC_FUNCTION_HANDLER'] ?? 'index.handler');
  try {
    const file = ['.js', '.mjs', '.cjs'].map((ending) => join(folder, name + ending)).find(existsSync);
    if (file === undefined) throw new Error(`Module '${join(folder, name)}' is missing.`);
    const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
    // Names that Node cannot see in a CommonJS module statically are only on its default export.
    const handler = module[method] ?? (module['default'] as Record<string, unknown> | undefined)?.[method];
    if (typeof handler !== 'function') throw new Error(`Handler '${method}' is missing on module '${name}'.`);
    return { handler: handler as Handler };
  } catch (failure) {
    return { failure };
  }
}

/** `folder/index.handler` -> `folder/index` and `handler`. */
function splitHandler(text: string): readonly [string, string] {
  const dot = text.lastIndexOf('.');
  return [text.slice(0, dot), text.slice(dot + 1)];
}

async function invoke(loaded: Loaded, { event, context }: InvokeMessage): Promise<HostMessage> {
  try {
    if ('failure' in loaded) throw loaded.failure;
    const result = await loaded.handler(Buffer.from(event), contextOf(context));
    return { kind: 'returned', body: render(result), maxRssKb: process.resourceUsage().maxRSS };
  } catch (error) {
    return { kind: 'raised', error: describe(error), maxRssKb: process.resourceUsage().maxRSS };
  }
}

/** A Buffer or a string goes out as it is, nothing as nothing, everything else as JSON. */
function render(result: unknown): Buffer {
  if (result === undefined || result === null) return Buffer.alloc(0);
  if (Buffer.isBuffer(result)) return result;
  if (typeof result === 'string') return Buffer.from(result);
  return Buffer.from(JSON.stringify(result) ?? '');
}

function describe(error: unknown): RaisedError {
  if (!(error instanceof Error)) {
    const text = typeof error === 'string' ? error : format('%o', error);
    return { errorMessage: text, errorType: typeof error, stackTrace: [] };
  }
  const stack = (error.stack ?? '').split('\n').map((line) => line.trim());
  return {
    errorMessage: error.message,
    errorType: error.name,
    stackTrace: stack.filter((line) => line.startsWith('at ')),
  };
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const;

function contextOf(fields: ContextFields): unknown {
  let lowest = 0;
  const log =
    (level: (typeof LEVELS)[number]) =>
    (...parts: readonly unknown[]): void => {
      if (LEVELS.indexOf(level) < lowest) return;
      const line = `${new Date().toISOString()} ${fields.requestId} [${level.toUpperCase()}] ${format(...parts)}\n`;
      process.stdout.write(line);
    };
  return {
    ...fields,
    tracing: { openTracingSpanContext: '', openTracingSpanBaggages: {}, jaegerEndpoint: '' },
    logger: {
      debug: log('debug'),
      info: log('info'),
      log: log('info'),
      warn: log('warn'),
      error: log('error'),
      setLogLevel: (level: string) => {
        lowest = Math.max(0, LEVELS.indexOf(level.toLowerCase() as (typeof LEVELS)[number]));
      },
    },
  };
}

function send(message: HostMessage, done: () => void = () => undefined): void {
  // Without a channel nobody is there to answer to.
  if (sendToEmulator === undefined || !process.connected) process.exit(0);
  sendToEmulator(message, undefined, undefined, () => done());
}
