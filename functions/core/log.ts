/** One JSON line per event, to standard output; Function Compute and the CLI both collect it there. */
import { isSecretName, redact, toErrorRecord } from './errors.ts';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Log {
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** The same log with these fields on every line. */
  with(fields: LogFields): Log;
}

/** Fixes the order of the members that every line has. */
const HEAD = { at: '', level: '', message: '' };

/** @param write gets each finished line, without the line end */
export function createLog(write: (line: string) => void, fields: LogFields = {}): Log {
  const emit = (level: string, message: string, more: LogFields = {}): void => {
    // Fields come last in the line and can never stand in for its time, severity or text.
    const entry = { ...HEAD, ...fields, ...more, at: new Date().toISOString(), level, message };
    write(JSON.stringify(entry, shown));
  };
  return {
    info: (message, more) => emit('info', message, more),
    warn: (message, more) => emit('warn', message, more),
    error: (message, more) => emit('error', message, more),
    with: (more) => createLog(write, { ...fields, ...more }),
  };
}

/** Text by text: in the finished line quotes are escaped, and what is taken out there could take one along. */
function shown(name: string, value: unknown): unknown {
  if (value instanceof Error) return toErrorRecord(value);
  if (typeof value !== 'string') return value;
  return isSecretName(name) ? '<redacted>' : redact(value);
}

export const silentLog: Log = createLog(() => undefined);
