/** Shows a run while it goes on, from the JSON lines that the functions log. */
import { progressOf, readableLine } from '../cli/log-lines.ts';
import { createBars, showFiles } from '../cli/terminal.ts';
import type { SampleCloud } from '../emulator/sample/sample-cloud.ts';

/** @param say where the text goes when there is no terminal to draw bars on */
export function followRun(cloud: SampleCloud, say: (text: string) => void): { end(): void } {
  const bars = createBars();
  const files = showFiles(bars);
  const tell = process.stderr.isTTY ? (text: string) => bars.note(text) : say;
  const stop = cloud.fc.onLog(({ functionName, text }) => {
    const progress = progressOf(text);
    if (progress !== undefined) return files.update(progress);
    const readable = readableLine(text);
    if (readable !== undefined) tell(`  ${functionName.replace('tairlift-', '').padEnd(12)} ${readable}`);
  });
  return {
    end: () => {
      stop();
      files.end();
      bars.end();
    },
  };
}
