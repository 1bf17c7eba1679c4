/** A cluster's backup that the service lists in parts: one for each job, when each shard has a job of its own. */
import type { SourceBackup } from './source.ts';

/** The parts as one backup: as far as the least of them, with the shards counted through. Undefined without any part. */
export function joinBackups(parts: readonly SourceBackup[]): SourceBackup | undefined {
  const [first, ...others] = parts;
  if (first === undefined || others.length === 0) return first;
  const ends = parts.map((part) => part.endedAt).filter((end) => end !== undefined);
  const { endedAt: _replaced, ...rest } = first;
  return {
    ...rest,
    ids: parts.flatMap((part) => part.ids),
    jobIds: parts.flatMap((part) => part.jobIds),
    state: parts.some((part) => part.state === 'failed')
      ? 'failed'
      : parts.every((part) => part.state === 'succeeded')
        ? 'succeeded'
        : 'running',
    startedAt: parts.map((part) => part.startedAt).sort()[0] ?? first.startedAt,
    ...(ends.length === 0 ? {} : { endedAt: ends.sort().at(-1) ?? '' }),
    files: parts
      .flatMap((part) => part.files)
      .sort((a, b) => a.node.localeCompare(b.node, 'en', { numeric: true }))
      .map((file, shard) => ({ ...file, shard })),
  };
}
