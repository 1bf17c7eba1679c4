/** What the verdict on a file means for its backup. */
import { BackupError, type ErrorCode } from '../core/errors.ts';
import type { RdbReport, Verdict } from '../core/rdb/report.ts';

const CODES: Readonly<Partial<Record<Verdict, ErrorCode>>> = {
  truncated: 'RDB_TRUNCATED',
  corrupt: 'RDB_CORRUPT',
  unsupported: 'RDB_UNSUPPORTED',
};

/**
 * Throws unless the file reads to its end: by name, with the offset and with what was wrong there.
 * @param name the file and its instance
 */
export function requireReadable({ verdict, problem, bytes }: RdbReport, name: string): void {
  const code = CODES[verdict];
  if (code === undefined) return;
  const offset = problem?.offset ?? bytes;
  const what = problem === undefined ? '' : `: ${problem.doing}: ${problem.reason}`;
  throw new BackupError(code, `read ${name}: ${verdict} at byte ${offset}${what}`, {
    details: { byte: offset, verdict, ...(problem?.key === undefined ? {} : { key: problem.key }) },
    hint:
      code === 'RDB_UNSUPPORTED'
        ? 'this version or type cannot be verified yet; the file was not stored'
        : 'the file is damaged at the source; nothing of it was stored, make a new backup',
  });
}
