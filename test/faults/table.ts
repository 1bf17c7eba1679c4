/** What a run of the matrix proved, as a page. It has no dates and no times: the same run writes the same page. */
import { LEGS, isTransient, type Fault, type Leg } from './fault.ts';
import type { CaseResult } from './run-case.ts';

const TITLES: Readonly<Record<Leg, string>> = {
  download: 'The download',
  upload: 'The upload',
  control: 'The calls of OSS that carry no file',
  source: 'The service that makes the backups',
  credentials: 'Credentials',
  process: 'Processes',
  resume: 'Going on where another one stopped',
  clock: 'Clocks and deadlines',
  duplicates: 'Duplicates',
};

export interface Totals {
  readonly faults: number;
  readonly cases: number;
  readonly survived: number;
  readonly loud: number;
  readonly falseSuccesses: number;
  /** Of the cases: those that did not end as they have to, false successes among them. */
  readonly objections: number;
}

export function totalsOf(results: readonly CaseResult[]): Totals {
  const count = (kind: CaseResult['verdict']['kind']): number =>
    results.filter(({ verdict }) => verdict.kind === kind).length;
  return {
    faults: new Set(results.map(({ fault }) => fault.name)).size,
    cases: results.length,
    survived: count('survived'),
    loud: count('loud'),
    falseSuccesses: count('false'),
    objections: results.filter(({ objection }) => objection !== undefined).length,
  };
}

export function renderPage(results: readonly CaseResult[]): string {
  const { faults, cases, survived, loud, falseSuccesses } = totalsOf(results);
  const legs = LEGS.map((leg) => ({ leg, rows: rowsOf(results.filter(({ fault }) => fault.leg === leg)) }));
  return `# The fault matrix

Made by \`npm run faults\`, which runs every fault below with several seeds through the built functions, in the
[emulated cloud](emulator.md), and writes this page; \`npm test\` runs every third with another seed. The seed decides where
a fault strikes, how often and in which form: \`npm run faults -- --only '<name>' --seed 7\` brings one back. The list of faults is
in [\`test/faults/legs/\`](../test/faults/legs), the judge in [\`judge.ts\`](../test/faults/judge.ts).

Every case is judged from the bucket's bytes. *Survived* is a manifest whose files are the source's, byte for byte, with
their sizes and checksums, read to their end (level \`parsed\`). *Loud* is a failure with a name, and no manifest. Everything
else counts as a *false success*: other bytes, a manifest without a report or a report without a manifest, silence.

A *transient* fault is one that a patient human would survive by trying again; it has to be survived. The others are
there to stay, and have to be loud, unless they harm nothing. A fault that did not come about fails its case.

| faults | cases | survived | loud | false successes |
| ---: | ---: | ---: | ---: | ---: |
| ${faults} | ${cases} | ${survived} | ${loud} | **${falseSuccesses}** |

*Parts again* is the most parts that OSS received more often than once in a case that was survived: what was lost with an
answer, read a second time, or sent by a second uploader.
${legs.map(({ leg, rows }) => `\n## ${TITLES[leg]}\n\n${HEAD}\n${rows.join('\n')}\n`).join('')}`;
}

const HEAD = `| fault | transient | seeds | survived | loud | false successes | parts again |
| --- | --- | ---: | ---: | --- | ---: | ---: |`;

function rowsOf(results: readonly CaseResult[]): readonly string[] {
  const byFault = new Map<Fault, CaseResult[]>();
  for (const result of results) byFault.set(result.fault, [...(byFault.get(result.fault) ?? []), result]);
  return [...byFault].map(([fault, cases]) => {
    const survived = cases.filter(({ verdict }) => verdict.kind === 'survived');
    const codes = cases.flatMap(({ verdict }) => (verdict.kind === 'loud' ? [verdict.code] : []));
    const falseSuccesses = cases.filter(({ verdict }) => verdict.kind === 'false').length;
    const again =
      survived.length === 0 ? '' : Math.max(...survived.map(({ partsSentAgain }) => partsSentAgain));
    const loud = codes.length === 0 ? '0' : `${codes.length} (${[...new Set(codes)].join(', ')})`;
    const transient = isTransient(fault) ? 'yes' : '';
    return `| ${fault.name} | ${transient} | ${cases.length} | ${survived.length} | ${loud} | ${falseSuccesses} | ${again} |`;
  });
}
