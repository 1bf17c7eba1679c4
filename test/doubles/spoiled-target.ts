/** A target around another one, whose calls are spoiled by a script. */
import { BackupError } from '../../functions/core/errors.ts';
import type { UploadTarget } from '../../functions/core/transfer/upload-target.ts';

type Verb = 'head' | 'put' | 'begin' | 'uploadPart' | 'parts' | 'complete' | 'unfinished' | 'abort';

export interface Spoil {
  readonly verb: Verb;
  /** Which call of that verb, from 1 on; all of them if left out. */
  readonly nth?: number;
  /** `before`: fails and does nothing. `after`: does it, then fails. `altered`: the checksum that it tells is wrong. */
  readonly how: 'before' | 'after' | 'altered' | 'no checksum';
  readonly error?: BackupError;
}

export interface SpoiledTarget extends UploadTarget {
  readonly calls: Verb[];
}

export function spoil(target: UploadTarget, spoils: readonly Spoil[]): SpoiledTarget {
  const calls: Verb[] = [];

  async function around<T>(verb: Verb, call: () => Promise<T>): Promise<T> {
    calls.push(verb);
    const nth = calls.filter((made) => made === verb).length;
    const spoiled = spoils.find((entry) => entry.verb === verb && (entry.nth ?? nth) === nth);
    const error = spoiled?.error ?? new BackupError('UPLOAD_FAILED', `${verb}: lost`, { retryable: true });
    if (spoiled?.how === 'before') throw error;
    const result = await call();
    if (spoiled?.how === 'after') throw error;
    // Receipts and heads carry a checksum; these two effects are only scripted for those.
    if (spoiled?.how === 'altered') return { ...result, crc64: '1' };
    if (spoiled?.how === 'no checksum') return { ...result, crc64: undefined };
    return result;
  }

  return {
    calls,
    head: async (key, signal) => around('head', async () => target.head(key, signal)),
    put: async (key, body, signal) => around('put', async () => target.put(key, body, signal)),
    begin: async (key, signal) => around('begin', async () => target.begin(key, signal)),
    uploadPart: async (key, upload, number, body, signal) =>
      around('uploadPart', async () => target.uploadPart(key, upload, number, body, signal)),
    parts: async (key, upload, signal) => around('parts', async () => target.parts(key, upload, signal)),
    complete: async (key, upload, parts, signal) =>
      around('complete', async () => target.complete(key, upload, parts, signal)),
    unfinished: async (key, signal) => around('unfinished', async () => target.unfinished(key, signal)),
    abort: async (key, upload, signal) => around('abort', async () => target.abort(key, upload, signal)),
  };
}
