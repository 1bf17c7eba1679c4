/**
 * Ways to bring one file from its URL into a bucket with one put of the vendor's SDK. They verify nothing. The argument
 * is a `PutRun` as JSON.
 */
import { once } from 'node:events';
import { get as httpGet, request as httpRequest, type IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import OSS from 'ali-oss';
import { peakRssKb, tell } from './tell.ts';

export interface PutRun {
  readonly way: 'template' | 'mended template' | 'putStream';
  /** The download URL. */
  readonly from: string;
  /** OSS's address. */
  readonly oss: string;
  readonly bucket: string;
  readonly key: string;
}

/** As many bytes as `Response.__iter__` of Python's requests gives at a time. */
const TEMPLATE_CHUNK_BYTES = 128;
const MENDED_CHUNK_BYTES = 1024 * 1024;

const WAYS: Readonly<Record<PutRun['way'], (run: PutRun) => Promise<void>>> = {
  template: putLikeTemplate,
  'mended template': putLikeMendedTemplate,
  putStream,
};

/**
 * What `bucket.put_object(key, requests.get(url))` does: the whole answer is read into a list of pieces and joined,
 * and then, because a response has no length, iterated in pieces of 128 bytes, each a chunk with a write of its own.
 * Plain `node:http`, because with the SDK's layers in between it would be slower yet.
 */
async function putLikeTemplate({ from, oss, bucket, key }: PutRun): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of await download(from)) pieces.push(piece as Buffer); // bytes: no encoding is set
  const whole = Buffer.concat(pieces);
  const outgoing = httpRequest(`${oss}/${bucket}/${key}`, {
    method: 'PUT',
    headers: { 'transfer-encoding': 'chunked', authorization: 'OSS bench:bench' },
  });
  const answered = once(outgoing, 'response');
  for (let at = 0; at < whole.length; at += TEMPLATE_CHUNK_BYTES)
    if (!outgoing.write(whole.subarray(at, at + TEMPLATE_CHUNK_BYTES))) await once(outgoing, 'drain');
  outgoing.end();
  const [answer] = (await answered) as [IncomingMessage];
  answer.resume();
  if (answer.statusCode !== 200) throw new Error(`put ${key}: status ${answer.statusCode}`);
}

/** The same with its one line mended: the answer is passed on in chunks of 1 MiB while it arrives. */
async function putLikeMendedTemplate(run: PutRun): Promise<void> {
  const body = Readable.from(inPieces(await download(run.from), MENDED_CHUNK_BYTES), { objectMode: false });
  await clientOf(run).putStream(run.key, body, SIZE_UNKNOWN);
}

async function putStream(run: PutRun): Promise<void> {
  const answer = await download(run.from);
  const options = { contentLength: Number(answer.headers['content-length']) } as OSS.PutStreamOptions;
  await clientOf(run).putStream(run.key, answer, options);
}

// The published types demand options that the SDK does not.
const SIZE_UNKNOWN = {} as OSS.PutStreamOptions;

async function download(url: string): Promise<IncomingMessage> {
  const [answer] = (await once(httpGet(url), 'response')) as [IncomingMessage];
  if (answer.statusCode !== 200) throw new Error(`download: status ${answer.statusCode}`);
  return answer;
}

async function* inPieces(body: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of body) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes < size) continue;
    yield Buffer.concat(pieces);
    pieces = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(pieces);
}

function clientOf({ oss, bucket }: PutRun): OSS {
  const options = {
    accessKeyId: 'bench',
    accessKeySecret: 'bench',
    bucket,
    region: 'oss-cn-hangzhou',
    endpoint: oss,
    authorizationV4: true,
    sldEnable: true,
    timeout: 3_600_000,
  };
  return new OSS(options);
}

const run = JSON.parse(process.argv[2] ?? '') as PutRun;
WAYS[run.way](run).then(
  () => {
    tell({ peakRssKb: peakRssKb() });
    process.exit(0);
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
