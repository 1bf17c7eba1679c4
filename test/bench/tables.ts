/** The results as people read them: on a terminal, and in the docs. */
import Table from 'cli-table3';
import { PRICE } from './cost.ts';
import { METHOD } from './methods.ts';
import type { KillResult, Results, Row, Section } from './results.ts';
import { judge } from './targets.ts';

const HEAD = ['', 'MB/s', 'vs curl | curl', 'CPU-s/GB', 'peak RSS MB', 'lanes', 'USD for 1 TB'] as const;
const COST_NOTE =
  `USD for 1 TB: duration × (vCPU + GB of memory × ${PRICE.unitsPerGb}) × ${PRICE.usdPerUnit} USD, Function Compute’s list ` +
  'price, of the smallest instance in which what was measured fits. Requests to OSS are not in it.';

export function toText(results: Results): string {
  return [
    ...results.sections.flatMap((section) => [
      `\n${titleOf(section)}`,
      tableOf([HEAD, ...section.rows.map(cellsOf)]),
    ]),
    ...(results.kill === undefined ? [] : [`\n${killSentence(results.kill)}`]),
    '',
    tableOf([['target', 'wanted', 'measured', ''], ...targetRows(results)]),
    `${COST_NOTE}\n${machineSentence(results)}`,
  ].join('\n');
}

export function toMarkdown(results: Results): string {
  return [
    machineSentence(results),
    ...results.sections.flatMap((section) => [
      `### ${titleOf(section)}`,
      markdownTable([HEAD, ...section.rows.map(cellsOf)]),
    ]),
    COST_NOTE,
    ...(results.kill === undefined ? [] : ['### A kill in the middle', killSentence(results.kill)]),
    '### Targets',
    markdownTable([['target', 'wanted', 'measured', ''], ...targetRows(results)]),
  ].join('\n\n');
}

function titleOf({ setting, file, bytes, keys, rounds }: Section): string {
  const of = keys === undefined ? '' : ` in ${keys} keys`;
  return `${setting}, ${file}: ${(bytes / 1e6).toFixed(0)} MB${of}, ${rounds === 1 ? 'one round' : `medians of ${rounds} rounds`}`;
}

function cellsOf({ method, summary, missing, failed, runs }: Row): readonly string[] {
  const { says, isSlow } = METHOD[method];
  const name = isSlow === true ? `${says} (a small file)` : says;
  if (missing !== undefined) return [name, `not run: ${missing}`];
  if (failed !== undefined && runs.length === 0) return [name, `FAILED: ${failed}`];
  return [
    failed === undefined ? name : `${name}, FAILED later: ${failed}`,
    ...[
      summary?.mbPerSecond.toFixed(0),
      summary?.vsCurl?.toFixed(2),
      summary?.cpuSecondsPerGb.toFixed(2),
      summary?.peakRssMb?.toFixed(0),
      method === 'curl-null' ? undefined : summary?.lanes.toFixed(0),
      method === 'curl-null' ? undefined : summary?.usdPerTb?.toFixed(2),
    ].map((cell) => cell ?? '-'),
  ];
}

function targetRows(results: Results): readonly (readonly string[])[] {
  return judge(results).map(({ says, wanted, measured, outcome }) => [says, wanted, measured, outcome]);
}

function killSentence({ parts, lanes, arrived, sentAgain }: KillResult): string {
  return (
    `Killed when ${arrived} of ${parts} parts had arrived, and started again: ${sentAgain} parts arrived twice, ` +
    `with ${lanes} lanes; the second start ended in a manifest of level parsed.`
  );
}

function machineSentence({ machine, isQuick }: Results): string {
  const quick = isQuick ? ' A quick run: its figures say only that everything runs.' : '';
  return `${machine.cores} cores, ${machine.cpu}, Node ${machine.node}. ${machine.pinning}.${quick}`;
}

function tableOf([head = [], ...rows]: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, column) => (column === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) {
    const [first = '', second = ''] = row;
    table.push(
      row.length === head.length ? [...row] : [first, { colSpan: head.length - 1, content: second }],
    );
  }
  return table.toString();
}

function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const escaped = (cell: string): string => cell.replaceAll('|', '\\|');
  const lineOf = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = `|---|${'---:|'.repeat(head.length - 1)}`;
  const filled = rows.map((row) => [...row, ...Array<string>(head.length - row.length).fill('')]);
  return [lineOf(head), rule, ...filled.map(lineOf)].join('\n');
}
