/** The demo, as a newcomer runs it after the build: real servers, the built functions, and the proof at its end. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const DEMO = join(__dirname, '..', 'dist', 'demo', 'index.js');

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Does anything that it started still run? */
  readonly leftSomethingRunning: boolean;
}

async function demo(args: readonly string[], interruptAt?: string): Promise<Ended> {
  // A process group of its own, so that whatever is left of it can be seen.
  const child = spawn(process.execPath, [DEMO, ...args], {
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  let isInterrupted = false;
  child.stdout.on('data', (chunk: Buffer) => void (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    if (interruptAt === undefined || isInterrupted || !stderr.includes(interruptAt)) return;
    isInterrupted = true;
    child.kill('SIGINT');
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  return { code, stdout, stderr, leftSomethingRunning: isAlive(child.pid ?? 0) };
}

/** Of a process group. Those that have ended and wait for their parent to ask do not count. */
function isAlive(group: number): boolean {
  if (process.platform !== 'linux') {
    try {
      return process.kill(-group, 0);
    } catch {
      return false;
    }
  }
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/stat`, 'latin1');
      } catch {
        return '';
      }
    })
    .some((stat) => {
      // proc(5): after the name in parentheses come state, parent and process group.
      const [state, , ofGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return Number(ofGroup) === group && state !== 'Z' && state !== 'X';
    });
}

describe('npm run demo', () => {
  it('stores every instance, and every loaded copy equals its manifest and its source', async () => {
    const { code, stdout, leftSomethingRunning } = await demo(['--json']);
    const { proven, summary, comparisons } = JSON.parse(stdout) as {
      proven: boolean;
      summary: {
        status: string;
        counts: Record<string, number>;
        instances: { status: string; level: string; files: number }[];
      };
      comparisons: { equalsManifest: boolean; equalsSource: boolean; keys: number; differences: string[] }[];
    };
    expect(summary).toMatchObject({
      status: 'succeeded',
      counts: { selected: 3, stored: 3, skipped: 0, failed: 0 },
    });
    expect(summary.instances.map(({ level }) => level)).toEqual(['parsed', 'parsed', 'parsed']);
    expect(comparisons).toHaveLength(summary.instances.reduce((sum, { files }) => sum + files, 0));
    for (const one of comparisons)
      expect(one).toMatchObject({ equalsManifest: true, equalsSource: true, differences: [] });
    expect(comparisons.every(({ keys }) => keys > 10_000)).toBe(true);
    expect(proven).toBe(true);
    expect(code).toBe(0);
    expect(leftSomethingRunning).toBe(false);
  }, 180_000);

  it('ends all that it started on Ctrl-C', async () => {
    const { code, leftSomethingRunning } = await demo(['--json'], 'firing the timer');
    expect(code).toBe(130);
    expect(leftSomethingRunning).toBe(false);
  }, 120_000);

  it('refuses an option that it does not know', async () => {
    const { code, stderr } = await demo(['--jason']);
    expect(stderr).toContain('--jason');
    expect(code).toBe(2);
  });
});
