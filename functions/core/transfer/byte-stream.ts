/** Where the bytes of a file come from when they come once: nobody can ask for a range, or for anything again. */
import type { OnFilled } from './byte-source.ts';

export interface ByteStream {
  /** For errors and logs: the file and its instance. */
  readonly name: string;

  /**
   * Fills `into` from its start with the next bytes, and resolves with how many there were: fewer than asked for only at
   * the end, and 0 after it. The end is where whoever sends has said that it is; a stream that breaks off before, or of
   * which that cannot be told, throws. Nothing is healed: after a throw nothing more can be read. One call at a time.
   *
   * `onFilled` is told how many bytes lie at the start of `into`, each time that more have come. While a promise that it
   * returned is pending, nothing more is read.
   */
  read(into: Uint8Array, signal: AbortSignal, onFilled?: OnFilled): Promise<number>;

  /** Nothing more is wanted. Safe to call twice, and after the end. */
  close(): void;
}
