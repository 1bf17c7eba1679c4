/** The short form of the matrix: every third fault with one seed; `npm run faults` runs all of them with several. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openKit, rootFolder, type Kit } from './kit.ts';
import { LEGS, isTransient } from './fault.ts';
import { FAULTS, runMatrix } from './matrix.ts';
import type { CaseResult } from './run-case.ts';

/** Not the first: then the page and the tests prove different cases. */
const SEED = 11;
/** Of each leg: their order is by what goes wrong, so that neighbours are alike. */
const SHORT = LEGS.flatMap((leg) =>
  FAULTS.filter((fault) => fault.leg === leg).filter((_, i) => i % 3 === 1),
);

describe('whatever goes wrong, a verified backup or a loud failure', () => {
  let kit: Kit;
  const results = new Map<string, CaseResult>();
  beforeAll(async () => {
    kit = openKit();
    await runMatrix(
      {
        faults: SHORT,
        seeds: [SEED],
        concurrency: 12,
        onResult: (result) => void results.set(result.fault.name, result),
      },
      kit,
    );
  }, 400_000);
  afterAll(() => kit?.close());

  it.each(SHORT.map(({ leg, name }) => [leg, name]))('%s: %s', (_leg, name) => {
    const result = results.get(name);
    expect(result?.objection).toBeUndefined();
    expect(result?.verdict.kind).toMatch(/^(survived|loud)$/);
  });
});

describe('the matrix', () => {
  it('has many faults on every leg, each with a name of its own', () => {
    expect(new Set(FAULTS.map(({ name }) => name)).size).toBe(FAULTS.length);
    expect(FAULTS.length).toBeGreaterThanOrEqual(150);
    expect(SHORT.length).toBeGreaterThanOrEqual(80);
    for (const leg of LEGS) expect(FAULTS.filter((fault) => fault.leg === leg).length).toBeGreaterThan(5);
    expect(FAULTS.filter(isTransient).length).toBeGreaterThan(100);
  });

  it('is the one on the page', () => {
    const page = readFileSync(join(rootFolder(), 'docs', 'faults.md'), 'utf8');
    const listed = [...page.matchAll(/^\| ([^|]+) \| (yes|) \| \d+ \| \d+ \| [^|]+ \| (\d+) \|/gm)];
    expect(listed.map(([, name, transient]) => [name, transient === 'yes'])).toEqual(
      FAULTS.map((fault) => [fault.name, isTransient(fault)]),
    );
    expect(listed.map(([, , , falseSuccesses]) => falseSuccesses)).toEqual(FAULTS.map(() => '0'));
  });
});
