import type { Verdict } from './report.ts';

/** Thrown inside the reader where reading on makes no sense; the scanner turns it into the verdict and never lets it out. */
export class Fault extends Error {
  override readonly name = 'Fault';
  readonly verdict: Verdict;

  constructor(verdict: Verdict, reason: string) {
    super(reason);
    this.verdict = verdict;
  }
}

export function corrupt(reason: string): never {
  throw new Fault('corrupt', reason);
}

export function unsupported(reason: string): never {
  throw new Fault('unsupported', reason);
}
