/** The results as people read them: on a terminal, and in the docs. */
import Table from 'cli-table3';
import { COMPUTE_PRICE as PRICE } from '../../infra/costs.ts';
import { METHOD } from './methods.ts';
import { median, type KillResult, type Results, type Row, type Section } from './results.ts';
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
      ...notesOf(section),
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
      notesOf(section).join(' '),
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

function cellsOf({ method, bytes, summary, missing }: Row): readonly string[] {
  const { says, isSlow } = METHOD[method];
  const isLimit = method === 'curl-null';
  return [
    isSlow === true ? `${says} (${(bytes / 1e6).toFixed(0)} MB)` : says,
    ...[
      summary?.mbPerSecond.toFixed(0) ?? (missing === undefined ? 'failed' : 'not run'),
      summary?.vsCurl?.toFixed(2),
      summary?.cpuSecondsPerGb.toFixed(2),
      summary?.peakRssMb?.toFixed(0),
      isLimit ? undefined : summary?.lanes.toFixed(0),
      isLimit ? undefined : summary?.usdPerTb?.toFixed(3),
    ].map((cell) => cell ?? '-'),
  ];
}

/** Why some have no figures, and how quiet the machine was. */
function notesOf({ rows }: Section): readonly string[] {
  const others = rows.flatMap(({ runs }) => runs.flatMap(({ othersCores }) => othersCores ?? []));
  return [
    ...rows.flatMap(({ method, missing, failed }) => [
      ...(missing === undefined ? [] : [`Not run: ${METHOD[method].says}: ${missing}.`]),
      ...(failed === undefined ? [] : [`FAILED: ${METHOD[method].says}: ${failed}`]),
    ]),
    ...(others.length === 0 ? [] : [`Others kept ${median(others).toFixed(1)} cores busy meanwhile.`]),
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
  for (const row of rows) table.push([...row]);
  return table.toString();
}

function markdownTable([head = [], ...rows]: readonly (readonly string[])[]): string {
  const escaped = (cell: string): string => cell.replaceAll('|', '\\|');
  const lineOf = (cells: readonly string[]): string => `| ${cells.map(escaped).join(' | ')} |`;
  const rule = `|---|${'---:|'.repeat(head.length - 1)}`;
  return [lineOf(head), rule, ...rows.map(lineOf)].join('\n');
}
