/** Where the source's download URLs lead: whole files and exact ranges, as OSS answers them. */
import type { Answer, Asked, Exchange } from './lean-http.ts';
import { isUnchecked, type ServedFile } from './served-file.ts';

export function createDownloadHost(files: ReadonlyMap<string, ServedFile>): (asked: Asked) => Exchange {
  return ({ path, headers }) => ({
    answer: () => {
      const file = files.get(path.slice(path.lastIndexOf('/') + 1));
      return file === undefined
        ? { status: 404, body: '<Error><Code>NoSuchKey</Code></Error>' }
        : sendFile(file, path, headers);
    },
  });
}

/** The whole file or the range that is asked for; also how the bucket gives back what it stores. */
export function sendFile(file: ServedFile, path: string, asked: Asked['headers']): Answer {
  const range = /^bytes=(\d+)-(\d+)$/.exec(asked.get('range') ?? '');
  const start = Number(range?.[1] ?? 0);
  const end = Math.min(file.bytes, Number(range?.[2] ?? file.bytes) + 1);
  return {
    status: range === null ? 200 : 206,
    headers: {
      ...headersOf(file, path),
      ...(range === null ? {} : { 'content-range': `bytes ${start}-${end - 1}/${file.bytes}` }),
    },
    body: { bytes: end - start, pieces: file.pieces(start, end) },
  };
}

export function headersOf(file: ServedFile, path: string): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'accept-ranges': 'bytes',
    etag: `"${file.bytes.toString(16).padStart(32, '0').toUpperCase()}"`,
    'last-modified': 'Fri, 20 Nov 2026 18:03:00 GMT',
    'x-oss-hash-crc64ecma': isUnchecked(path) ? '0' : file.crc64(0, file.bytes),
    'x-oss-request-id': 'bench',
  };
}
