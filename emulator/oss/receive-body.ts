import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import type { Readable } from 'node:stream';
import type { Request } from '../http.ts';
import { startCrc64 } from './crc64.ts';
import { OssError } from './oss-error.ts';
import type { Bucket, Segment } from './store.ts';

/** Bytes that have arrived, with what OSS computes over them. */
export interface Received extends Segment {
  readonly md5: Buffer;
  readonly crc64: string;
}

/** Of PutObject and of UploadPart. */
const MAX_BODY_BYTES = 5 * 1024 ** 3;
const WRITE_BYTES = 1024 * 1024;
/** OSS closes connections on which nothing moves; how soon is not documented. Measured on the machine's clock. */
const IDLE_MS = 60_000;

/**
 * Writes the request's body into a new data file of the bucket, in flat memory: the client is held back as fast as
 * the disk. What fails leaves no file.
 *
 * @throws OssError MissingContentLength, EntityTooLarge, InvalidDigest, RequestTimeout
 */
export async function receiveBody(request: Request, bucket: Bucket): Promise<Received> {
  const length = request.headers['content-length'];
  if (length === undefined && request.headers['transfer-encoding'] === undefined)
    throw new OssError(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.');
  if (Number(length ?? 0) > MAX_BODY_BYTES) throw entityTooLarge();

  const received = await storeBytes(request.body, bucket);
  const digest = request.headers['content-md5'];
  if (digest !== undefined && digest !== received.md5.toString('base64')) {
    await bucket.discard([received]);
    throw wrongDigest(digest);
  }
  return received;
}

/** The same for bytes from anywhere. */
export async function storeBytes(source: Readable, bucket: Bucket): Promise<Received> {
  const { name, path } = bucket.newDataFile();
  const md5 = createHash('md5');
  const crc64 = await startCrc64();
  const target = createWriteStream(path, { highWaterMark: WRITE_BYTES });
  const failed = new AbortController();
  target.on('error', (error) => failed.abort(error));
  let size = 0;
  const idle = setTimeout(() => source.destroy(requestTimeout()), IDLE_MS);
  try {
    for await (const chunk of source) {
      // Bodies and stored files are byte streams: they yield buffers.
      const bytes = chunk as Buffer;
      idle.refresh();
      size += bytes.length;
      if (size > MAX_BODY_BYTES) throw entityTooLarge();
      md5.update(bytes);
      crc64.update(bytes);
      if (!target.write(bytes)) await once(target, 'drain', { signal: failed.signal });
    }
    target.end();
    await finished(target);
  } catch (error) {
    target.destroy();
    await bucket.discard([{ file: name, size }]);
    throw error;
  } finally {
    clearTimeout(idle);
  }
  return { file: name, size, md5: md5.digest(), crc64: crc64.digest().toString() };
}

/** Checks Content-MD5 of a body that was read into memory. */
export function checkDigest(request: Request, body: Buffer): void {
  const digest = request.headers['content-md5'];
  if (digest !== undefined && digest !== createHash('md5').update(body).digest('base64'))
    throw wrongDigest(digest);
}

const entityTooLarge = (): OssError =>
  new OssError(400, 'EntityTooLarge', 'Your proposed upload exceeds the maximum allowed object size.', {
    MaxSizeAllowed: String(MAX_BODY_BYTES),
  });

const wrongDigest = (digest: string): OssError =>
  new OssError(400, 'InvalidDigest', 'The Content-MD5 you specified was invalid.', { 'Content-MD5': digest });

const requestTimeout = (): OssError =>
  new OssError(
    400,
    'RequestTimeout',
    'Your socket connection to the server was not read from or written to within the timeout period.',
  );
