import type { RdbReport } from './report.ts';

/**
 * Reads an RDB file as it streams by. Bytes come in through `write` in order and in chunks of any size; nothing
 * is thrown for bad content, and memory does not grow with the file or with its largest value.
 */
export interface RdbScanner {
  /** Takes the next bytes. The chunk may be reused as soon as the call returns. After a problem, bytes are only counted. */
  write(chunk: Uint8Array): void;
  /** True as soon as the verdict cannot become `sound` or `unverifiable` any more. */
  hasFailed(): boolean;
  /** Ends the input. Safe to call twice; the second call returns the same report. */
  end(): RdbReport;
}
