import type { InstanceResult, Summary } from '../functions/orchestrator/summary.ts';
import { duration, size, table } from './terminal.ts';

/** A run's summary for people. */
export function showSummary(summary: Summary): string {
  const { counts } = summary;
  const rows = summary.instances.map((result) => [
    result.region,
    result.instanceId,
    result.status,
    ...detailsOf(result),
  ]);
  const took = duration(Date.parse(summary.finishedAt) - Date.parse(summary.startedAt));
  return [
    rows.length === 0
      ? 'no instance was selected'
      : table(['REGION', 'INSTANCE', 'STATUS', 'FILES', 'SIZE', 'LEVEL', 'MANIFEST'], rows),
    ...(summary.problems ?? []).map(
      (problem) =>
        `${problem.code}: ${problem.message}${problem.hint === undefined ? '' : `\n  ${problem.hint}`}`,
    ),
    `run ${summary.runId} ${summary.status}: ${counts.stored} of ${counts.selected} stored, ${counts.skipped} skipped, ${counts.failed} failed, in ${took}`,
  ].join('\n');
}

/** Files, size, level, and the manifest or the reason why there is none. */
function detailsOf(result: InstanceResult): readonly string[] {
  if (result.status === 'stored')
    return [String(result.files), size(result.bytes), result.level, result.manifest];
  if (result.status === 'skipped') return ['', '', '', result.reason];
  return result.status === 'failed'
    ? ['', '', '', `${result.error.code}: ${result.error.message}`]
    : ['', '', '', ''];
}
