/** A dry run for people, on 80 columns: what is taken by which rule, what is not and why, what nothing covers. */
import type { Coverage } from '../functions/orchestrator/rehearse.ts';
import type { InstanceResult, Summary, UncoveredInstance } from '../functions/orchestrator/summary.ts';
import type { ErrorRecord } from '../functions/core/errors.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import { table } from './terminal.ts';

const COLUMNS = 80;
const INDENT = '  ';

/** Nothing to back up is an error; a plan that goes wrong in part, or an answer that is not all of it, is partial. */
export function rehearsalExitCode({ status, counts, unlisted = [] }: Summary): ExitCode {
  if (counts.selected === counts.skipped + counts.failed) return EXIT.error;
  return status === 'succeeded' && unlisted.length === 0 ? EXIT.done : EXIT.partial;
}

/** What one plan would do, with what no plan covers where that was looked for. */
export function showRehearsal(summary: Summary): string {
  const { instances, leftOut = [], idle = [], problems = [] } = summary;
  return [
    wrapped(`dry run of ${summary.plan}: ${countsOf(summary)}; nothing was done`).join('\n'),
    ...sections(instances.map((result) => ({ ...result, heading: headingOf(result) }))),
    ...sections(leftOut.map((one) => ({ ...one, heading: `left out by ${one.reason}` }))),
    ...idle.map((target) => wrapped(`takes nothing, or not all, and is optional: ${target}`).join('\n')),
    ...problems.map(showProblem),
    ...showCoverage(summary),
  ].join('\n\n');
}

function countsOf({ counts, leftOut = [] }: Summary): string {
  const others = [
    [counts.skipped, 'skipped'],
    [leftOut.length, 'left out'],
    [counts.failed, 'not found'],
  ] as const;
  return [
    `${counts.selected - counts.skipped - counts.failed} would be backed up`,
    ...others.flatMap(([count, what]) => (count === 0 ? [] : [`${count} ${what}`])),
  ].join(', ');
}

/** Paragraphs; none when nothing was looked at. */
export function showCoverage({ uncovered, unlisted = [] }: Partial<Coverage>): readonly string[] {
  if (uncovered === undefined) return [];
  const count = `${uncovered.length} ${uncovered.length === 1 ? 'instance is' : 'instances are'}`;
  const which = unlisted.length === 0 ? 'of these accounts' : 'that could be listed';
  const headingOf = ({ account, reason }: UncoveredInstance): string =>
    [
      'covered by no plan',
      ...(account === undefined ? [] : [`seen through ${account}`]),
      ...(reason === undefined ? [] : [reason]),
    ].join(', ');
  return [
    uncovered.length > 0 ? `${count} covered by no plan` : `every instance ${which} is covered by a plan`,
    ...sections(uncovered.map((one) => ({ ...one, heading: headingOf(one) }))),
    ...(unlisted.length === 0
      ? []
      : ['there may be more, for not everything could be listed', ...unlisted.map(showProblem)]),
  ];
}

function headingOf(result: InstanceResult): string {
  if (result.status === 'selected') return result.rule;
  if (result.status === 'skipped') return `skipped: ${result.reason}`;
  return result.status === 'failed' ? `${result.error.code}: ${result.error.message}` : result.status;
}

interface Line {
  readonly heading: string;
  readonly region: string;
  readonly instanceId: string;
  readonly name?: string;
}

/** The instances below what they have in common, in the order in which that comes up. */
function sections(lines: readonly Line[]): readonly string[] {
  const byHeading = new Map<string, Line[]>();
  for (const line of lines) byHeading.set(line.heading, [...(byHeading.get(line.heading) ?? []), line]);
  return [...byHeading].map(([heading, members]) => {
    const rows = members.map(({ instanceId, region, name = '' }) => [
      instanceId,
      region === '*' ? 'any' : region,
      name === instanceId ? '' : name,
    ]);
    const body = table(['INSTANCE', 'REGION', 'NAME'], rows).split('\n');
    return [...wrapped(heading), ...body.map((row) => cut(INDENT + row))].join('\n');
  });
}

function showProblem({ code, message, hint }: ErrorRecord): string {
  return [
    ...wrapped(`${code}: ${message}`),
    ...(hint === undefined ? [] : wrapped(hint).map((line) => INDENT + line)),
  ].join('\n');
}

/** Broken between words; what has none, such as the name of a role, stands out. */
function wrapped(text: string): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    const indent = lines.length === 0 ? '' : INDENT;
    if (line !== undefined && `${line} ${word}`.length <= COLUMNS - INDENT.length)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(indent + word);
  }
  return lines;
}

/** Takes two columns of a terminal: Chinese, Japanese, Korean, and the little pictures. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/u;

/** Only names are ever cut: ids and regions come before them, and fit. */
function cut(line: string): string {
  let kept = '';
  let width = 0;
  for (const { segment } of new Intl.Segmenter().segment(line)) {
    width += WIDE.test(segment) ? 2 : 1;
    if (width > COLUMNS) return `${kept}…`;
    if (width < COLUMNS) kept += segment;
  }
  return line;
}
