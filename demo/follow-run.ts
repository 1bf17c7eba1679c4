/** Shows a run while it goes on, from the JSON lines that the functions log. */
import { readableLine } from '../cli/log-lines.ts';
import type { SampleCloud } from '../emulator/sample/sample-cloud.ts';

export function followRun(cloud: SampleCloud, say: (text: string) => void): { end(): void } {
  const stop = cloud.fc.onLog(({ functionName, text }) => {
    const readable = readableLine(text);
    if (readable !== undefined) say(`  ${functionName.replace('tairlift-', '').padEnd(12)} ${readable}`);
  });
  return { end: stop };
}
