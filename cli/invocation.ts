import type { ExitCode } from './exit-codes.ts';

/** What a command gets: a signal that aborts on Ctrl-C, and a place to leave its exit code. */
export interface Invocation {
  readonly signal: AbortSignal;
  readonly finish: (code: ExitCode) => void;
}
