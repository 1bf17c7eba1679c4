/**
 * A download host whose answers are scripted: a real HTTP server on loopback. Without a script it serves its file
 * like OSS does: exact ranges with 206, anything past the end as the whole file with 200.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface FileServer {
  /** `http://127.0.0.1:<port>/file.rdb?Expires=1&Signature=secret-0` */
  readonly url: string;
  readonly requests: readonly SeenRequest[];
  /** The next request that is not yet scripted is answered by this instead; later ones queue up behind it. */
  script(...answers: Answer[]): void;
  /** What the file is from now on. */
  serve(file: Buffer, headers?: Readonly<Record<string, string>>): void;
  close(): Promise<void>;
}

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<IncomingMessage['headers']>;
}

/** Answers one request; `ordinary` does what the server does without a script. */
export type Answer = (request: IncomingMessage, response: ServerResponse, ordinary: () => void) => void;

export async function startFileServer(
  initial: Buffer,
  initialHeaders: Readonly<Record<string, string>> = {
    etag: '"v1"',
    'last-modified': 'Sat, 21 Nov 2026 00:00:00 GMT',
  },
): Promise<FileServer> {
  let file = initial;
  let extra = initialHeaders;
  const requests: SeenRequest[] = [];
  const answers: Answer[] = [];

  const server = createServer((request, response) => {
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers });
    const ordinary = (): void => serveRange(request, response, file, extra);
    const scripted = answers.shift();
    if (scripted === undefined) ordinary();
    else scripted(request, response, ordinary);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/file.rdb?Expires=1&Signature=secret-0`,
    requests,
    script: (...more) => void answers.push(...more),
    serve: (next, headers) => {
      file = next;
      extra = headers ?? extra;
    },
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

function serveRange(
  request: IncomingMessage,
  response: ServerResponse,
  file: Buffer,
  headers: Readonly<Record<string, string>>,
): void {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  const [first, last] = [Number(range?.[1]), Number(range?.[2])];
  if (range === null || last >= file.length) {
    response.writeHead(200, { 'content-length': file.length, ...headers });
    response.end(file);
    return;
  }
  response.writeHead(206, {
    'content-length': last - first + 1,
    'content-range': `bytes ${first}-${last}/${file.length}`,
    'content-type': 'application/octet-stream',
    ...headers,
  });
  response.end(file.subarray(first, last + 1));
}

/** The range of a request, for scripts that answer something else in its place. */
export function rangeOf(request: IncomingMessage): { readonly first: number; readonly last: number } {
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
  if (range === null) throw new Error(`not a range: ${request.headers.range}`);
  return { first: Number(range[1]), last: Number(range[2]) };
}
