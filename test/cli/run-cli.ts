import { spawn } from 'node:child_process';
import { join } from 'node:path';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: Buffer;
  /** Sends SIGINT once this text stands on standard error or output. */
  readonly interruptAt?: string;
}

const ROOT = join(__dirname, '..', '..');
const LIMIT_MS = 50_000;

/** Runs the built command line as a user would, with nothing of this process's environment but the PATH. */
export async function runCli(args: readonly string[], options: RunOptions = {}): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, 'bin', 'tairlift.js'), ...args], {
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS);
  let stdout = '';
  let stderr = '';
  let isInterrupted = false;
  const look = (): void => {
    if (
      options.interruptAt === undefined ||
      isInterrupted ||
      !(stdout + stderr).includes(options.interruptAt)
    )
      return;
    isInterrupted = true;
    child.kill('SIGINT');
  };
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
    look();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
    look();
  });
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.stdin);
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      clearTimeout(limit);
      resolve({ code, stdout, stderr });
    });
  });
}
