/**
 * A bucket of OSS, as a place for small objects and as a target of uploads, through `ali-oss`. How calls are made is
 * in oss-call.ts, what their failures mean in oss-errors.ts.
 */
import { createHash } from 'node:crypto';
import { crc64Xz } from '../crc64.ts';
import { BackupError } from '../errors.ts';
import type { ObjectHead, ObjectStore } from '../repository/object-store.ts';
import { PATIENT, retry } from '../transfer/retry.ts';
import type { PartBody } from '../transfer/part-body.ts';
import {
  UPLOAD_GONE,
  type HeldPart,
  type PartReceipt,
  type Receipt,
  type UploadTarget,
} from '../transfer/upload-target.ts';
import { createOssCaller, type OssCall, type OssCallerOptions, type SdkAnswer } from './oss-call.ts';

export type OssStoreOptions = OssCallerOptions;
export type OssStore = ObjectStore & UploadTarget;

const READ_BYTES = 4 * 1024 ** 2;
/** https://help.aliyun.com/en/oss/developer-reference/putobject: refused with FileAlreadyExists, unless versioning is on. */
const NEVER_REPLACE = { 'x-oss-forbid-overwrite': 'true' };

/** A bucket as a place for small objects and as a target of uploads. Makes no call and holds no connection yet. */
export function createOssStore(options: OssStoreOptions): OssStore {
  const { bucket, policy = PATIENT } = options;
  const ask = createOssCaller(options);

  /** https://help.aliyun.com/en/oss/developer-reference/headobject */
  async function head(key: string, signal: AbortSignal): Promise<ObjectHead | undefined> {
    const answer = await ifThere(
      ask({ does: 'look at', action: 'oss:GetObject', key }, signal, async (sdk) => sdk.head(key, {})),
    );
    if (answer === undefined) return undefined;
    const { headers } = answer.res;
    const crc64 = headers[CRC_HEADER];
    return {
      key,
      bytes: Number(headers['content-length']),
      etag: headers['etag'] ?? '',
      lastModifiedAt: new Date(headers['last-modified'] ?? 0).toISOString(),
      ...(crc64 === undefined ? {} : { crc64 }),
    };
  }

  /** https://help.aliyun.com/en/oss/developer-reference/getobject */
  async function get(key: string, signal: AbortSignal): Promise<Buffer | undefined> {
    const call: OssCall = { does: 'read', action: 'oss:GetObject', key };
    return ifThere(
      ask(call, signal, async (sdk) => {
        const { content, res } = await sdk.get(key, {});
        const crc64 = res.headers[CRC_HEADER];
        if (crc64 !== undefined && crc64 !== crc64Of(content)) throw altered(call, bucket);
        return content;
      }),
    );
  }

  /** https://help.aliyun.com/en/oss/developer-reference/putobject */
  async function put(key: string, body: Buffer, signal: AbortSignal, mime?: string): Promise<Receipt> {
    // With it OSS refuses altered bytes instead of storing them for good. The SDK would hash a copy of the body.
    const digest = createHash('md5').update(body).digest('base64');
    return ask({ does: 'store', action: 'oss:PutObject', key, writes: true }, signal, async (sdk) =>
      toReceipt(
        await sdk.put(key, body, {
          headers: { ...NEVER_REPLACE, 'Content-MD5': digest },
          ...(mime === undefined ? {} : { mime }),
        }),
      ),
    );
  }

  async function create(
    key: string,
    body: Buffer,
    contentType: string,
    signal: AbortSignal,
  ): Promise<'created' | 'exists'> {
    // A bucket with versioning ignores that nothing may be replaced; so look first.
    let there = await head(key, signal);
    if (there === undefined) {
      try {
        const { crc64 } = await put(key, body, signal, contentType);
        if (crc64 === undefined || crc64 === crc64Of(body)) return 'created';
        throw new BackupError(
          'CHECKSUM_MISMATCH',
          `store ${bucket}/${key}: other bytes arrived than were sent`,
        );
      } catch (error) {
        if (!(error instanceof BackupError) || error.code !== 'DESTINATION_CONFLICT') throw error;
        there = await head(key, signal);
      }
    }
    if (there?.bytes !== body.length) return 'exists';
    const stored = await get(key, signal);
    return stored?.equals(body) === true ? 'created' : 'exists';
  }

  async function* read(key: string, signal: AbortSignal, start = 0): AsyncGenerator<Buffer> {
    const opened = await head(key, signal);
    if (opened === undefined) throw new BackupError('NOT_FOUND', `read ${bucket}/${key}: no such object`);
    const stop = new AbortController();
    const reading = AbortSignal.any([signal, stop.signal]);
    const fetchFrom = (at: number): Promise<Buffer> => {
      const piece = readRange(opened, at, Math.min(at + READ_BYTES, opened.bytes), reading);
      // It is awaited one step later; until then a failure must not count as unhandled.
      piece.catch(() => undefined);
      return piece;
    };
    try {
      let next = start < opened.bytes ? fetchFrom(start) : undefined;
      for (let at = start; next !== undefined;) {
        const piece = await next;
        at += piece.length;
        next = at < opened.bytes ? fetchFrom(at) : undefined;
        yield piece;
      }
    } finally {
      stop.abort();
    }
  }

  async function readRange(
    opened: ObjectHead,
    start: number,
    end: number,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const call: OssCall = { does: 'read', action: 'oss:GetObject', key: opened.key };
    return ask(call, signal, async (sdk) => {
      const { content, res } = await sdk.get(opened.key, { headers: { Range: `bytes=${start}-${end - 1}` } });
      if (res.headers['etag'] !== opened.etag)
        throw new BackupError(
          'SOURCE_CHANGED',
          `read ${bucket}/${opened.key} at byte ${start}: it was replaced`,
        );
      if (res.status !== 206 || content.length !== end - start)
        throw new BackupError(
          'SERVICE_ERROR',
          `read ${bucket}/${opened.key} at byte ${start}: not the range asked for`,
          {
            retryable: true,
          },
        );
      return content;
    });
  }

  /** https://help.aliyun.com/en/oss/developer-reference/listobjectsv2 */
  async function* list(
    prefix: string,
    signal: AbortSignal,
  ): AsyncGenerator<{ key: string; bytes: number; lastModifiedAt: string }> {
    let token: string | undefined;
    do {
      const query = {
        prefix,
        'max-keys': 1000,
        ...(token === undefined ? {} : { 'continuation-token': token }),
      };
      const page = await ask({ does: 'list', action: 'oss:ListObjects', key: prefix }, signal, async (sdk) =>
        // The SDK changes what it is given, and makes an empty list of anything that is no list.
        requireList(await sdk.listV2({ ...query }, {}), ({ keyCount }) => !Number.isNaN(keyCount)),
      );
      for (const { name, size, lastModified } of page.objects)
        yield { key: name, bytes: size, lastModifiedAt: new Date(lastModified).toISOString() };
      token = page.isTruncated ? (page.nextContinuationToken ?? undefined) : undefined;
      if (page.isTruncated && token === undefined)
        throw new BackupError('SERVICE_ERROR', `list ${bucket}/${prefix}: the next page is not named`);
    } while (token !== undefined);
  }

  /** https://help.aliyun.com/en/oss/developer-reference/initiatemultipartupload */
  async function begin(key: string, signal: AbortSignal): Promise<string> {
    const call: OssCall = { does: 'begin', action: 'oss:PutObject', key, writes: true };
    let lost = false;
    return retry(
      async () => {
        const begun = lost ? await findUpload(key, signal) : undefined;
        if (begun !== undefined) return begun;
        try {
          return await ask.once(call, signal, async (sdk) => {
            const { uploadId } = await sdk.initMultipartUpload(key, { headers: { ...NEVER_REPLACE } });
            if (uploadId === undefined) throw noSense('the answer names no upload');
            return uploadId;
          });
        } catch (error) {
          lost ||= mayHaveHappened(error);
          throw error;
        }
      },
      policy,
      signal,
    );
  }

  /**
   * The upload that a lost answer would have named, so that it is not left unfinished. Should it be another
   * uploader's, no harm is done: both send the same parts of the same file.
   */
  async function findUpload(key: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      return (await unfinished(key, signal)).at(-1);
    } catch (error) {
      if (error instanceof BackupError && error.code === 'PERMISSION_DENIED') return undefined;
      throw error;
    }
  }

  /** https://help.aliyun.com/en/oss/developer-reference/listmultipartuploads */
  async function unfinished(key: string, signal: AbortSignal): Promise<readonly string[]> {
    const call: OssCall = { does: 'list the uploads of', action: 'oss:ListMultipartUploads', key };
    // One page: a thousand unfinished uploads of one key do not come about.
    const { uploads } = await ask(call, signal, async (sdk) =>
      requireList(
        await sdk.listUploads({ prefix: key, 'max-uploads': 1000 }, {}),
        (page) => page.bucket !== undefined,
      ),
    );
    return uploads
      .filter(({ name }) => name === key)
      .sort((a, b) => a.initiated.localeCompare(b.initiated))
      .map(({ uploadId }) => uploadId);
  }

  /** https://help.aliyun.com/en/oss/developer-reference/uploadpart */
  async function uploadPart(
    key: string,
    upload: string,
    number: number,
    body: PartBody,
    signal: AbortSignal,
  ): Promise<Receipt> {
    const does = `upload part ${number} of`;
    const queries = { partNumber: number, uploadId: upload };
    return ask({ does, action: 'oss:PutObject', key, writes: true }, signal, async (sdk, send) =>
      toReceipt(await send(await sdk.signatureUrlV4('PUT', PART_EXPIRES_SECONDS, { queries }, key), body)),
    );
  }

  /** https://help.aliyun.com/en/oss/developer-reference/listparts */
  async function parts(key: string, upload: string, signal: AbortSignal): Promise<readonly HeldPart[]> {
    const call: OssCall = { does: 'list the parts of', action: 'oss:ListParts', key };
    const held: HeldPart[] = [];
    let marker: string | undefined = '0';
    while (marker !== undefined) {
      const query: Record<string, string | number> = { 'max-parts': 1000, 'part-number-marker': marker };
      const page = await ask(call, signal, async (sdk) =>
        requireList(await sdk.listParts(key, upload, query, {}), ({ uploadId }) => uploadId === upload),
      );
      const last = held.at(-1)?.number ?? 0;
      for (const part of [page.parts].flat()) {
        held.push({
          number: Number(part.PartNumber),
          bytes: Number(part.Size),
          etag: part.ETag,
          ...(part.HashCrc64ecma === undefined ? {} : { crc64: part.HashCrc64ecma }),
        });
      }
      marker = page.isTruncated === 'true' ? page.nextPartNumberMarker : undefined;
      if (marker !== undefined && (held.at(-1)?.number ?? 0) <= last)
        throw new BackupError('SERVICE_ERROR', `list the parts of ${bucket}/${key}: a page brought none`);
    }
    return held;
  }

  /**
   * It may take OSS longer to answer than we wait; it goes on when the client has left, and the caller looks.
   * https://help.aliyun.com/en/oss/developer-reference/completemultipartupload
   */
  async function complete(
    key: string,
    upload: string,
    parts: readonly PartReceipt[],
    signal: AbortSignal,
  ): Promise<Receipt> {
    const call: OssCall = { does: 'complete', action: 'oss:PutObject', key, writes: true };
    return ask.once(call, signal, async (sdk) =>
      toReceipt(
        await sdk.completeMultipartUpload(
          key,
          upload,
          parts.map(({ number, etag }) => ({ number, etag })),
          { headers: { ...NEVER_REPLACE } },
        ),
      ),
    );
  }

  /** https://help.aliyun.com/en/oss/developer-reference/abortmultipartupload */
  async function abort(key: string, upload: string, signal: AbortSignal): Promise<void> {
    try {
      await ask(
        { does: 'abort', action: 'oss:AbortMultipartUpload', key, writes: true },
        signal,
        async (sdk) => sdk.abortMultipartUpload(key, upload, {}),
      );
    } catch (error) {
      if (!(error instanceof BackupError) || error.details['reason'] !== UPLOAD_GONE) throw error;
    }
  }

  return {
    name: `oss://${bucket}`,
    head,
    get,
    create,
    read,
    list,
    put: async (key, body, signal) => put(key, body, signal),
    begin,
    uploadPart,
    parts,
    complete,
    unfinished,
    abort,
  };
}

/** Longer than any part takes to be begun; a signature is checked when a request arrives, not when it ends. */
const PART_EXPIRES_SECONDS = 3600;

const CRC_HEADER = 'x-oss-hash-crc64ecma';

function toReceipt({ res }: SdkAnswer): Receipt {
  const crc64 = res.headers[CRC_HEADER];
  return { etag: res.headers['etag'] ?? '', ...(crc64 === undefined ? {} : { crc64 }) };
}

function crc64Of(bytes: Uint8Array): string {
  const crc = crc64Xz();
  crc.update(bytes);
  return crc.value().toString();
}

/** Turns "there is no such object" from a failure into a value. */
async function ifThere<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof BackupError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

/** Without an answer, or with one that says that the service is in trouble, the request may still have been carried out. */
function mayHaveHappened(error: unknown): boolean {
  if (!(error instanceof BackupError) || !error.retryable) return false;
  const { failure, status } = error.details;
  return failure === 'broken' || failure === 'stalled' || (typeof status === 'number' && status >= 500);
}

function requireList<T>(page: T, isList: (page: T) => boolean): T {
  if (!isList(page)) throw noSense('the answer is no list');
  return page;
}

function noSense(what: string): BackupError {
  return new BackupError('SERVICE_ERROR', `read an answer of OSS: ${what}`, { retryable: true });
}

function altered({ does, key }: OssCall, bucket: string): BackupError {
  return new BackupError(
    'CHECKSUM_MISMATCH',
    `${does} ${bucket}/${key}: other bytes arrived than are stored`,
    {
      retryable: true,
    },
  );
}
