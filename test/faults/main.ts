/** `npm run faults`: the whole matrix, its table, and an exit code that is 0 when every case ended as it has to. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openKit, rootFolder } from './kit.ts';
import { FAULTS, runMatrix } from './matrix.ts';
import type { CaseResult } from './run-case.ts';
import { renderPage, totalsOf } from './table.ts';

const HELP = `npm run faults -- [options]

  --only PATTERN   only faults whose leg and name match the regular expression; docs/faults.md stays as it is
  --seeds N        seeds 1 to N of each fault (default 3)
  --seed N         only this one: brings a case back
  --at-once N      cases at a time (default 6)
  --json FILE      writes all results
  --log            prints what the functions logged in the cases that did not end as they have to
  --help           this text

Runs every fault through the built functions in the emulated cloud, judges the bucket's bytes, and writes docs/faults.md.
Exits with 1 when there was a false success, a transient fault that was not survived, or a permanent one that was not loud.
`;

const OPTIONS = {
  only: { type: 'string' },
  seeds: { type: 'string', default: '3' },
  seed: { type: 'string' },
  'at-once': { type: 'string', default: '6' },
  json: { type: 'string' },
  log: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);

async function main(): Promise<number> {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  const pattern = new RegExp(values.only ?? '', 'i');
  const faults = FAULTS.filter(({ leg, name }) => pattern.test(`${leg} ${name}`));
  if (faults.length === 0) throw new Error(`no fault matches ${pattern.source}`);
  const first = whole(values.seed ?? '1', '--seed');
  const count = values.seed === undefined ? whole(values.seeds, '--seeds') : 1;
  const seeds = Array.from({ length: count }, (_, at) => first + at);
  const concurrency = whole(values['at-once'], '--at-once');

  const kit = openKit();
  try {
    const results = await runMatrix(
      { faults, seeds, concurrency, onResult: (result) => say(result, values.log) },
      kit,
    );
    const page = renderPage(results);
    if (values.json !== undefined)
      writeFileSync(values.json, `${JSON.stringify(results.map(toJson), undefined, 2)}\n`);
    if (values.only === undefined && values.seed === undefined)
      writeFileSync(join(rootFolder(), 'docs', 'faults.md'), page);
    const { cases, survived, loud, falseSuccesses, objections } = totalsOf(results);
    console.log(
      `\n${faults.length} faults, ${cases} cases: ${survived} survived, ${loud} loud, ${falseSuccesses} false successes; ` +
        `${objections} did not end as they have to`,
    );
    return objections === 0 ? 0 : 1;
  } finally {
    kit.close();
  }
}

function whole(text: string, option: string): number {
  if (!/^[1-9]\d{0,5}$/.test(text)) throw new Error(`${option}: a whole number, not "${text}"`);
  return Number(text);
}

function say({ fault, seed, verdict, objection, log }: CaseResult, wantsLog: boolean): void {
  const ended = verdict.kind === 'loud' ? `loud: ${verdict.code}` : verdict.kind;
  console.log(`${objection === undefined ? 'ok ' : 'NOT'} ${fault.leg}: ${fault.name} #${seed} ${ended}`);
  if (objection === undefined) return;
  console.log(`    ${objection}`);
  if (wantsLog) console.log(log);
}

function toJson({ fault, seed, verdict, objection, partsSentAgain }: CaseResult): object {
  return { leg: fault.leg, fault: fault.name, ends: fault.ends, seed, verdict, objection, partsSentAgain };
}
