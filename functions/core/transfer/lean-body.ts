/** Where the body of an answer ends, and which of the bytes on the connection are its own. */
import { notHttp, type AnswerHead } from './lean-head.ts';

export interface BodyEnding {
  /** So many of the coming bytes are the body's for certain, and may be put where they belong without a look. */
  sure(): number;
  /** So many of the sure bytes have come. */
  skip(bytes: number): void;
  /** Hands over what of the bytes is the body's, piece by piece. Returns how many of them are the answer's. */
  take(bytes: Buffer, deliver: (piece: Buffer) => void): number;
  isReached(): boolean;
  /** Is it the end of the connection that ends it? */
  readonly isConnectionEnd: boolean;
}

export function bodyEnding(ending: AnswerHead['ending']): BodyEnding {
  if (ending === 'chunked') return chunkedEnding();
  if (ending === 'close') return { ...lengthEnding(Number.POSITIVE_INFINITY), isConnectionEnd: true };
  return lengthEnding(ending);
}

function lengthEnding(bytes: number): BodyEnding {
  let left = bytes;
  return {
    sure: () => left,
    skip: (came) => void (left -= came),
    take: (came, deliver) => {
      const own = Math.min(left, came.length);
      if (own > 0) deliver(came.subarray(0, own));
      left -= own;
      return own;
    },
    isReached: () => left === 0,
    isConnectionEnd: false,
  };
}

/** A chunk's size with its extensions; one line of the trailers. */
const MAX_LINE_BYTES = 4096;
const MAX_TRAILERS = 100;
const CR = 13;
const LF = 10;

/** https://www.rfc-editor.org/rfc/rfc9112#section-7.1; extensions and trailers are read over. */
function chunkedEnding(): BodyEnding {
  let left = 0;
  let line = '';
  let expected: 'size' | 'end of chunk' | 'trailer' | 'nothing' = 'size';
  let trailers = 0;

  function readLine(): void {
    if (expected === 'end of chunk') {
      if (line !== '') throw notHttp('a chunk is longer than its size');
      expected = 'size';
    } else if (expected === 'size') {
      const size = /^([\da-f]{1,12})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i.exec(line)?.[1];
      if (size === undefined) throw notHttp('the size of a chunk is no number');
      left = Number.parseInt(size, 16);
      expected = left === 0 ? 'trailer' : 'end of chunk';
    } else if (line === '') {
      expected = 'nothing';
    } else if (++trailers > MAX_TRAILERS) {
      throw notHttp('it has too many trailers');
    }
    line = '';
  }

  /** Reads up to the end of the line; returns where that is. */
  function readOver(bytes: Buffer, start: number): number {
    const lf = bytes.indexOf(LF, start);
    const end = lf === -1 ? bytes.length : lf;
    line += bytes.toString('latin1', start, end);
    if (line.length > MAX_LINE_BYTES) throw notHttp('a line between chunks is too long');
    if (lf === -1) return end;
    if (line.charCodeAt(line.length - 1) !== CR) throw notHttp('a line ends without CR');
    line = line.slice(0, -1);
    readLine();
    return end + 1;
  }

  const isReached = (): boolean => expected === 'nothing';

  return {
    sure: () => left,
    skip: (came) => void (left -= came),
    take: (bytes, deliver) => {
      let at = 0;
      while (at < bytes.length && !isReached()) {
        if (left === 0) {
          at = readOver(bytes, at);
          continue;
        }
        const own = Math.min(left, bytes.length - at);
        // Before it is handed over: what takes it may ask.
        left -= own;
        deliver(bytes.subarray(at, at + own));
        at += own;
      }
      return at;
    },
    isReached,
    isConnectionEnd: false,
  };
}
