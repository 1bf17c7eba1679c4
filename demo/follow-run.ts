/** Shows a run while it goes on, from the JSON lines that the functions log. */
import type { SampleCloud } from '../emulator/sample/sample-cloud.ts';

/** Logged by the uploader while bytes move; many, so they only refresh the last line of a terminal. */
export function followRun(cloud: SampleCloud, say: (text: string) => void): { end(): void } {
  const stop = cloud.fc.onLog(({ functionName, text }) => {
    const line = parse(text);
    if (line === undefined) return;
    const { message, instanceId, instance, file, ...rest } = line;
    const about = [instanceId ?? instance, file].filter((part) => typeof part === 'string').join(' ');
    say(
      `  ${functionName.replace('tairlift-', '').padEnd(12)} ${about === '' ? '' : `${about}: `}${String(message)}${details(rest)}`,
    );
  });
  return { end: stop };
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value = JSON.parse(text) as unknown;
    return typeof value === 'object' && value !== null && 'message' in value ? value : undefined;
  } catch {
    // Not a line of ours; the platform and the libraries may write too.
    return undefined;
  }
}

const SHOWN = ['files', 'bytes', 'level', 'lanes', 'status', 'attempt', 'error'];

function details(fields: Record<string, unknown>): string {
  const shown = SHOWN.filter((name) => fields[name] !== undefined).map(
    (name) => `${name} ${JSON.stringify(fields[name])}`,
  );
  return shown.length === 0 ? '' : ` (${shown.join(', ')})`;
}
