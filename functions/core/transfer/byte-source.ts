/** Where the bytes of a file come from: any range of them, as often as needed, always of the same file. */

export interface ByteSource {
  /** For errors and logs: the file and its instance. */
  readonly name: string;
  /** Length of the file, from the answer itself; at least 1. */
  readonly bytes: number;
  /** CRC-64/XZ of the whole file, decimal, when the source tells one. */
  readonly crc64?: string;
  /** Equal texts mean the same file, also when it is opened again; undefined when the source tells nothing of it. */
  readonly identity?: string;

  /**
   * Fills all of `into` with the bytes from `start` on. `start + into.length` must not exceed `bytes`. Heals what can
   * be healed by asking again, at the byte where it stopped; throws SOURCE_CHANGED when the file is not the one that
   * was opened, and otherwise an error that names the byte. After a throw the content of `into` is undefined. Calls
   * may overlap.
   *
   * `onFilled` is told how many bytes lie at the start of `into` for good, each time that more have come. While a
   * promise that it returned is pending, nothing more is read.
   */
  read(start: number, into: Uint8Array, signal: AbortSignal, onFilled?: OnFilled): Promise<void>;
}

export type OnFilled = (filledBytes: number) => void | Promise<void>;

/** A signed URL that can be had again when it stops working. Shared by everything that reads the same file. */
export interface UrlSupply {
  current(): string;
  /**
   * A URL that is newer than `refused`. All who ask about the same refused URL share one renewal. Throws when the
   * renewal fails.
   */
  renew(refused: string): Promise<string>;
}
