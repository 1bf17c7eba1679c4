/** The built bench in its quick form: that all of it runs and nothing is left behind. How fast it was is not looked at. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Results, Row } from './results.ts';

const PROGRAM = join(__dirname, '../../dist/bench/index.js');

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly said: string;
}

function start(args: readonly string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> } {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let said = '';
  child.stdout.on('data', (piece: Buffer) => (out += piece.toString()));
  child.stderr.on('data', (piece: Buffer) => (said += piece.toString()));
  return {
    child,
    ended: once(child, 'close').then(([code]) => ({ code: code as number | null, out, said })),
  };
}

describe('the bench', () => {
  let folder: string;
  beforeAll(async () => (folder = await mkdtemp(join(tmpdir(), 'tairlift-bench-test-'))));
  afterAll(async () => rm(folder, { recursive: true, force: true }));

  it('moves verified backups beside all other ways, kills one, and writes figures, plots and tables', async () => {
    const json = join(folder, 'results.json');
    const marks = ['<!-- begin: written by the bench -->', '<!-- end: written by the bench -->'];
    await writeFile(join(folder, 'bench.md'), `before\n${marks[0]}\nold\n${marks[1]}\nafter\n`);

    const { code, out, said } = await start(['--quick', '--json', json, '--docs', folder]).ended;

    expect({ code, failures: `${out}${said}`.match(/FAILED.*/g) }).toEqual({ code: 0, failures: null });
    const results = JSON.parse(await readFile(json, 'utf8')) as Results; // written by the run above
    const rows = results.sections.flatMap((section) => section.rows);
    const ours = rows.filter(({ method }) => ['tairlift', 'unverified', 'one-lane'].includes(method));
    expect(ours.map(isMeasured)).toEqual([true, true, true, true]);
    expect(rows.filter((row) => !isMeasured(row)).every(({ missing }) => missing !== undefined)).toBe(true);
    expect(results.bySize.filter(({ method }) => method === 'tairlift')).toHaveLength(2);
    expect(results.byFiles.filter(({ method }) => method === 'tairlift').map(({ files }) => files)).toEqual([
      1, 3,
    ]);
    expect(results.kill).toMatchObject({ parts: 8 });
    expect(results.kill?.arrived).toBeGreaterThanOrEqual(3);

    expect((await readdir(join(folder, 'bench'))).sort()).toEqual([
      'by-files.svg',
      'by-size.svg',
      'results.json',
    ]);
    const page = await readFile(join(folder, 'bench.md'), 'utf8');
    expect(page).toMatch(
      /^before\n<!-- begin[^]*tairlift, everything verified[^]*end: written by the bench -->\nafter\n$/,
    );
    expect(page).not.toContain('old');
  }, 240_000);

  it('measures only what it is asked for', async () => {
    const json = join(folder, 'some.json');

    const { code } = await start([
      '--quick',
      '--setting',
      'bare',
      '--only',
      'tairlift',
      '--runs',
      '2',
      '--json',
      json,
    ]).ended;

    expect(code).toBe(0);
    const { sections, bySize, kill } = JSON.parse(await readFile(json, 'utf8')) as Results; // written by the run above
    expect(sections.map(({ setting, rows }) => [setting, rows.map(({ method }) => method)])).toEqual([
      ['bare', ['tairlift']],
    ]);
    expect(sections[0]?.rows[0]?.runs).toHaveLength(2);
    expect([bySize, kill]).toEqual([[], undefined]);
  }, 60_000);

  it('leaves no process behind when it is interrupted', async () => {
    const { child, ended } = start(['--quick', '--setting', 'shaped', '--only', 'tairlift', '--runs', '50']);
    let said = '';
    await new Promise<void>((resolve) => {
      child.stderr?.on('data', (piece: Buffer) => {
        said += piece.toString();
        if (said.includes('round 2 of 50')) resolve();
      });
    });
    const started = descendantsOf(child.pid ?? 0);
    child.kill('SIGINT');

    expect((await ended).code).toBe(130);
    expect(started.length).toBeGreaterThanOrEqual(1);
    await Promise.all(started.map(hasEnded));
  }, 60_000);

  it('explains itself, and says by name what it does not know', async () => {
    expect(await start(['--help']).ended).toMatchObject({ code: 0, out: expect.stringContaining('--kill') });
    const unknown = await start(['--only', 'tairlift,scp']).ended;
    expect(unknown).toMatchObject({
      code: 2,
      said: expect.stringMatching(/--only: one of tairlift, .*, not "scp"/),
    });
    expect(await start(['--docs', 'docs', '--kill']).ended).toMatchObject({
      code: 2,
      said: expect.stringContaining('one run of everything'),
    });
    expect(await start(['--faster']).ended).toMatchObject({
      code: 2,
      said: expect.stringContaining('--faster'),
    });
  }, 30_000);
});

const isMeasured = ({ runs, summary }: Row): boolean => runs.length > 0 && summary !== undefined;

function descendantsOf(pid: number): readonly number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  const direct = text.split(' ').filter(Boolean).map(Number);
  return [...direct, ...direct.flatMap(descendantsOf)];
}

/** A process that was killed is there until its parent, or the one that inherited it, has looked at it. */
async function hasEnded(pid: number): Promise<void> {
  while (isRunning(pid)) await new Promise((resolve) => setImmediate(resolve));
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
  } catch {
    return false;
  }
}
