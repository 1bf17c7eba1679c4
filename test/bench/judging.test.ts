/** What is made of the figures. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { instanceFor, usdPerTb } from './cost.ts';
import { replaceMarked, toPlots } from './docs.ts';
import { plotGrowth } from './plots.ts';
import { median, summarize, type Results, type Run } from './results.ts';
import { toMarkdown, toText } from './tables.ts';
import { judge } from './targets.ts';

const run = (round: number, seconds: number, change: Partial<Run> = {}): Run => ({
  round,
  seconds,
  cpuSeconds: seconds / 2,
  peakRssMb: 100,
  lanes: 4,
  ...change,
});

const EMPTY: Results = {
  machine: { node: 'v20', cpu: 'a CPU', cores: 2, pinning: 'Nobody keeps to a core' },
  isQuick: false,
  sections: [],
  bySize: [],
  byFiles: [],
};

function resultsOf(tairliftSeconds: number): Results {
  const curl = { method: 'curl-curl', bytes: 1e9, runs: [run(1, 1)] } as const;
  const ours = { method: 'tairlift', bytes: 1e9, runs: [run(1, tairliftSeconds)] } as const;
  const rows = [ours, curl].map((row) => {
    const summary = summarize(row.bytes, row.runs, curl);
    return { ...row, ...(summary === undefined ? {} : { summary }) };
  });
  return {
    ...EMPTY,
    sections: [{ setting: 'bare', file: 'large', bytes: 1e9, keys: 4000, rounds: 1, rows }],
  };
}

describe('the summary of a method', () => {
  it('is the median of its rounds, and its ratio that of the ratios within each round', () => {
    const curl = { bytes: 2e9, runs: [run(1, 1), run(2, 4), run(3, 2)] };
    const summary = summarize(1e9, [run(1, 1), run(2, 2), run(3, 4, { peakRssMb: 120.4 })], curl);
    expect(summary).toMatchObject({ mbPerSecond: 500, vsCurl: 0.5, cpuSecondsPerGb: 1, peakRssMb: 121 });
  });

  it('leaves out the rounds in which there was nothing to compare with', () => {
    const curl = { bytes: 1e9, runs: [run(2, 1)] };
    expect(summarize(1e9, [run(1, 100), run(2, 2)], curl)?.vsCurl).toBe(0.5);
    expect(summarize(1e9, [run(1, 100)], curl)).not.toHaveProperty('vsCurl');
    expect(summarize(1e9, [], curl)).toBeUndefined();
  });

  it('takes the middle of two as their mean', () => {
    expect(median([4, 1])).toBe(2.5);
    expect(median([3, 1, 2])).toBe(2);
  });
});

describe('the cost of a terabyte', () => {
  it('is that of the smallest instance the platform offers', () => {
    expect(instanceFor({ busyCores: 1, peakRssMb: 100 })).toEqual({ vcpu: 1, memoryGb: 1 });
    expect(instanceFor({ busyCores: 0.11, peakRssMb: 100 })).toMatchObject({ memoryGb: 0.1875 });
    // Much memory needs vCPU as well, a quarter of one for each GB.
    expect(instanceFor({ busyCores: 0.1, peakRssMb: 3277 })).toEqual({ vcpu: 1.05, memoryGb: 4.0625 });
    expect(usdPerTb({ vcpu: 1, memoryGb: 1 }, 1e9)).toBeCloseTo(1000 * 1.15 * 0.00002);
  });
});

describe('the targets', () => {
  const outcomeOf = (results: Results, says: string): string | undefined =>
    judge(results).find((target) => target.says === says)?.outcome;

  it('are met or missed by what was measured', () => {
    expect(outcomeOf(resultsOf(1.5), 'speed by curl | curl, large')).toBe('met');
    expect(outcomeOf(resultsOf(2), 'speed by curl | curl, large')).toBe('missed');
  });

  it('are all shown, also those that nothing was measured for', () => {
    const targets = judge(EMPTY);
    expect(targets.length).toBeGreaterThan(15);
    expect(new Set(targets.map(({ outcome }) => outcome))).toEqual(new Set(['not measured']));
    expect(toText(EMPTY).match(/not measured/g)).toHaveLength(targets.length);
  });

  it('say how memory grows only when all sizes were measured', () => {
    const sizes = [256, 1024, 4096].map((mib, n) => ({
      method: 'tairlift' as const,
      bytes: mib * 1024 ** 2 + 1000,
      files: 1,
      mbPerSecond: 100,
      peakRssMb: 100 + n * 4,
    }));
    const spread = 'its spread over 256 MiB, 1 GiB and 4 GiB';
    expect(outcomeOf({ ...EMPTY, bySize: sizes }, spread)).toBe('met');
    expect(outcomeOf({ ...EMPTY, bySize: sizes.slice(0, 2) }, spread)).toBe('not measured');
  });

  it('count what is sent again after a kill, at most one part a lane', () => {
    const kill = { parts: 32, lanes: 4, arrived: 11, sentAgain: 5 };
    expect(outcomeOf({ ...EMPTY, kill }, 'parts sent again after a kill')).toBe('missed');
    expect(outcomeOf({ ...EMPTY, kill: { ...kill, sentAgain: 4 } }, 'parts sent again after a kill')).toBe(
      'met',
    );
  });
});

describe('the tables', () => {
  it('never leave out a method that has no figures: they say why', () => {
    const [section] = resultsOf(1).sections;
    if (section === undefined) throw new Error('no section');
    const rows = [
      { method: 'rclone' as const, bytes: 1e9, runs: [], missing: 'rclone is not installed' },
      { method: 'put-stream' as const, bytes: 1e9, runs: [], failed: 'round 1: status 500' },
    ];
    for (const text of [toText, toMarkdown].map((write) =>
      write({ ...EMPTY, sections: [{ ...section, rows }] }),
    )) {
      expect(text).toContain('Not run: rclone copyurl: rclone is not installed.');
      expect(text).toContain('FAILED: ali-oss putStream: round 1: status 500');
    }
  });
});

describe('a plot', () => {
  const points = [64, 128, 256].flatMap((mib) =>
    (['tairlift', 'curl-curl'] as const).map((method) => ({
      method,
      bytes: mib * 1024 ** 2,
      files: 1,
      mbPerSecond: mib,
      ...(method === 'tairlift' ? { peakRssMb: 100 } : {}),
    })),
  );
  const svg = plotGrowth(points, 'size <of> the file', ({ bytes }) => ({
    x: bytes,
    xText: `${bytes / 1024 ** 2} MiB`,
  }));

  it('draws a line for each method, through all of its points and no others', () => {
    expect(svg.match(/<polyline/g)).toHaveLength(4);
    expect(svg.match(/<circle class="s\d" cx="[\d.]+" cy="[\d.]+" r="3"/g)).toHaveLength(6 + 3);
  });

  it('keeps within its frame, escapes texts and adapts to dark pages', () => {
    for (const [, y] of svg.matchAll(/cy="([\d.-]+)"/g)) expect(Number(y)).toBeGreaterThanOrEqual(0);
    expect(svg).toContain('size &lt;of> the file');
    expect(svg).toContain('prefers-color-scheme: dark');
  });
});

describe('the docs', () => {
  const DOCS = join(__dirname, '../../docs');
  const read = (name: string): string => readFileSync(join(DOCS, name), 'utf8');
  const results = JSON.parse(read('bench/results.json')) as Results; // written by the bench

  it('show the run that is kept beside them, in tables and plots', () => {
    expect(replaceMarked(read('bench.md'), results)).toBe(read('bench.md'));
    for (const [name, plot] of Object.entries(toPlots(results))) expect(read(`bench/${name}`)).toBe(plot);
  });

  it('show a run of everything, no quick one', () => {
    expect(results.isQuick).toBe(false);
    expect(results.sections.map(({ setting, file }) => `${setting} ${file}`)).toEqual([
      'bare large',
      'bare mixed',
      'bare tiny',
      'shaped large',
    ]);
    expect(results.sections.every(({ rounds }) => rounds >= 5)).toBe(true);
    expect(results.kill).toBeDefined();
  });
});
