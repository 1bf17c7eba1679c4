/** What the process returns; documented in every command's help and kept stable. */
export const EXIT = { done: 0, error: 1, usage: 2, partial: 3, damaged: 4, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
export const EXIT_CODES_HELP = `
Exit codes:
  0    done
  1    error
  2    wrong usage
  3    partly done: some instances are stored, some failed
  4    damage found
  130  interrupted`;
