/** The product logs JSON; a person at a terminal reads sentences. */
import { duration, size, type FileProgress } from './terminal.ts';

/** Bytes of a file that have arrived so far, when the line says so. */
export function progressOf(line: string): FileProgress | undefined {
  const { message, instance, file, doneBytes, bytes } = parse(line) ?? {};
  if (message !== 'progress' || typeof instance !== 'string' || typeof file !== 'string') return undefined;
  return { label: `${instance} ${file}`, doneBytes: Number(doneBytes), bytes: Number(bytes) };
}

/** The sentence of a line that the product logged; undefined for anything else that was written. */
export function readableLine(line: string): string | undefined {
  const fields = parse(line);
  if (fields === undefined || typeof fields['message'] !== 'string') return undefined;
  const instance = fields['instance'] ?? fields['instanceId'];
  const about = typeof instance === 'string' ? `${instance}: ` : '';
  const details = SHOWN.flatMap((name) =>
    fields[name] === undefined ? [] : [`${name} ${readableValue(name, fields[name])}`],
  );
  return `${about}${fields['message']}${details.length === 0 ? '' : ` (${details.join(', ')})`}`;
}

const SHOWN = [
  'file',
  'files',
  'bytes',
  'lanes',
  'status',
  'attempt',
  'durationMs',
  'target',
  'other',
  'error',
];

function readableValue(name: string, value: unknown): string {
  if (typeof value === 'number' && /bytes$/i.test(name)) return size(value);
  if (typeof value === 'number' && name.endsWith('Ms')) return duration(value);
  if (typeof value === 'object' && value !== null && 'message' in value) return String(value.message);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function parse(line: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(line) as unknown;
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    // Not a line of ours: the platform and the libraries write too.
    return undefined;
  }
}
