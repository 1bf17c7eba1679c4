/**
 * Ways to bring one file from its URL into a bucket with one put of the vendor's SDK. They verify nothing. The argument
 * is a `PutRun` as JSON.
 */
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
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
 * and then, because a response has no length, iterated in pieces of 128 bytes, each a chunk that is sent by a call of
 * its own. On a plain socket, because `node:http` would gather chunks and send many by one call.
 */
async function putLikeTemplate({ from, oss, bucket, key }: PutRun): Promise<void> {
  const pieces: Buffer[] = [];
  for await (const piece of await download(from)) pieces.push(piece as Buffer); // bytes: no encoding is set
  const whole = Buffer.concat(pieces);

  const { hostname, port, host } = new URL(oss);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true });
  await once(socket, 'connect');
  const answered = once(socket, 'data');
  socket.write(`PUT /${bucket}/${key} HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n`);
  for (let at = 0; at < whole.length; at += TEMPLATE_CHUNK_BYTES) {
    const chunk = whole.subarray(at, at + TEMPLATE_CHUNK_BYTES);
    const framed = `${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`;
    if (!socket.write(framed, 'latin1')) await once(socket, 'drain');
  }
  socket.write('0\r\n\r\n');
  const [answer] = (await answered) as [Buffer]; // bytes: no encoding is set
  socket.destroy();
  if (!answer.toString().startsWith('HTTP/1.1 200 ')) throw new Error(`put ${key}: ${answer.toString()}`);
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
