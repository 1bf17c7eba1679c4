/** The instances of a round, listed once and recorded: who resumes works on the same ones. */
import { randomUUID } from 'node:crypto';
import type { Plan } from '../core/config.ts';
import { fromErrorRecord, toErrorRecord, type ErrorRecord } from '../core/errors.ts';
import type { Log } from '../core/log.ts';
import { selectInstances, type Selection, type SourceFor } from '../core/source/select.ts';
import { throwIfStopped } from '../core/transfer/retry.ts';
import type { RunFolder } from './run-folder.ts';
import { restrict } from './run-selection.ts';

export interface Selecting {
  readonly plan: Plan;
  /** As the event names them. */
  readonly instances?: readonly string[];
  /** Of the round's record: `selection`, or that of a later round. */
  readonly record: string;
  readonly folder: RunFolder;
  /** Keys of the run's folder when this invocation began. */
  readonly present: ReadonlySet<string>;
  readonly sourceFor: SourceFor;
  readonly log: Log;
}

/**
 * While something could not be listed for a reason that may pass, who resumes lists again; but what has been found by
 * then may be under way, and stays in the selection whatever the next list says.
 * @throws BackupError retryable, when nothing was found and the reason may pass
 */
export async function selectOnce(selecting: Selecting, signal: AbortSignal): Promise<Selection> {
  const { plan, instances, record, folder, sourceFor, log } = selecting;
  const recorded = await folder.own.read(record, signal);
  if (recorded !== undefined) return fromRecord(recorded as SelectionRecord); // written below

  const listed = await selectInstances(plan, sourceFor, signal);
  throwIfStopped(signal);
  const earlier = await earlierSelections(selecting, signal);
  const selection = withEarlier(restrict(listed, plan, instances), earlier);
  const passing = selection.problems.find((problem) => problem.retryable);
  if (selection.selected.length === 0 && passing !== undefined) throw passing;
  for (const target of selection.unmatched) log.warn('a target takes no instance', { target });
  for (const target of selection.idle) log.info('an optional target does not take all it names', { target });
  for (const { instance, exclusion } of selection.leftOut)
    log.info('an instance is left out', { instance: instance.id, exclusion });
  if (selection.selected.length + selection.missing.length === 0) return selection;
  const written: SelectionRecord = { ...selection, problems: selection.problems.map(toErrorRecord) };
  const name = passing === undefined ? record : `${incomplete(record)}${randomUUID()}`;
  return fromRecord((await folder.own.write(name, written, signal)) as SelectionRecord);
}

interface SelectionRecord extends Omit<Selection, 'problems'> {
  readonly problems: readonly ErrorRecord[];
}

function fromRecord({ problems, ...selection }: SelectionRecord): Selection {
  return { ...selection, problems: problems.map(fromErrorRecord) };
}

function incomplete(record: string): string {
  return `${record}-incomplete-`;
}

/** What invocations before this one found while they could not list everything. */
async function earlierSelections(
  { record, folder, present }: Selecting,
  signal: AbortSignal,
): Promise<readonly Selection[]> {
  const selections: Selection[] = [];
  for (const key of present) {
    if (!key.startsWith(incomplete(record))) continue;
    const found = await folder.read(key, signal);
    if (found !== undefined) selections.push(fromRecord(found as SelectionRecord)); // written above
  }
  return selections;
}

function withEarlier(selection: Selection, earlier: readonly Selection[]): Selection {
  if (earlier.length === 0) return selection;
  const selected = [...selection.selected];
  for (const one of earlier.flatMap((before) => before.selected))
    if (
      !selected.some(
        ({ instance: { region, id } }) => region === one.instance.region && id === one.instance.id,
      )
    )
      selected.push(one);
  const isSelected = (id: string): boolean => selected.some(({ instance }) => instance.id === id);
  return { ...selection, selected, missing: selection.missing.filter(({ id }) => !isSelected(id)) };
}
