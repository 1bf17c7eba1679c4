/** What `inspect` can read: a file, standard input, an http(s) address, an object in OSS. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import { readEnvironment } from '../functions/core/config.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { BackupError, redact } from '../functions/core/errors.ts';
import { bucketRegion, parseOssAddress } from './bucket.ts';

/** A place to read bytes from, opened. */
export interface Input {
  /** For people: path, address without its query, key. */
  readonly name: string;
  /** Undefined when only the end will tell. */
  readonly bytes: number | undefined;
  /** In order; ends only after the last byte and throws otherwise. */
  readonly chunks: AsyncIterable<Uint8Array>;
}

/** Throws `NOT_FOUND` when there is nothing of that name, `SOURCE_INVALID` when a server refuses. */
export async function openInput(name: string, signal: AbortSignal): Promise<Input> {
  if (name === '-')
    return { name: 'standard input', bytes: undefined, chunks: addAbortSignal(signal, process.stdin) };
  if (/^https?:\/\//i.test(name)) return openHttp(name, signal);
  if (name.startsWith('oss:')) return openObject(name, signal);
  return openFile(name, signal);
}

async function openFile(path: string, signal: AbortSignal): Promise<Input> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new BackupError('NOT_FOUND', `open ${path}: no such file, or not readable`, { cause });
  });
  if (!found.isFile() && !found.isFIFO()) throw new BackupError('CONFIG_INVALID', `open ${path}: not a file`);
  const chunks = createReadStream(path, { highWaterMark: 1024 * 1024, signal }) as AsyncIterable<Buffer>;
  return { name: path, bytes: found.isFile() ? found.size : undefined, chunks };
}

async function openHttp(address: string, signal: AbortSignal): Promise<Input> {
  const name = redact(address);
  const response = await fetch(address, { signal, headers: { 'accept-encoding': 'identity' } }).catch(
    (cause: unknown) => {
      throw new BackupError('SOURCE_UNAVAILABLE', `open ${name}`, { cause });
    },
  );
  if (response.status !== 200 || response.body === null) {
    await response.body?.cancel();
    throw new BackupError('SOURCE_INVALID', `open ${name}: HTTP ${response.status}`, {
      details: { status: response.status },
      ...(response.status === 403
        ? { hint: 'a signed address that has expired answers so; get a fresh one' }
        : {}),
    });
  }
  const length = response.headers.get('content-length');
  const bytes = length === null ? undefined : Number(length);
  return { name, bytes, chunks: counted(response.body, bytes, name) };
}

async function* counted(
  body: AsyncIterable<Uint8Array>,
  expected: number | undefined,
  name: string,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (cause) {
    throw new BackupError('SOURCE_TRUNCATED', `read ${name} at byte ${bytes}`, { cause });
  }
  if (expected !== undefined && bytes !== expected) {
    throw new BackupError('SOURCE_TRUNCATED', `read ${name}: ended at byte ${bytes} of ${expected}`);
  }
}

async function openObject(address: string, signal: AbortSignal): Promise<Input> {
  const parsed = parseOssAddress(address);
  if (parsed === undefined || parsed.path === '') {
    throw new BackupError('CONFIG_INVALID', `open ${address}: not an address of an object`, {
      hint: 'write oss://bucket/key',
    });
  }
  const environment = readEnvironment(process.env);
  const store = composeCloud(environment).storeFor({
    region: bucketRegion(environment),
    bucket: parsed.bucket,
    prefix: '',
  });
  const head = await store.head(parsed.path, signal);
  if (head === undefined) throw new BackupError('NOT_FOUND', `open ${address}: there is no such object`);
  return { name: address, bytes: head.bytes, chunks: store.read(parsed.path, signal) };
}
