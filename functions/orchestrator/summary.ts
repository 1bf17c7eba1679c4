/** What a run reports: one record, stored and returned, and the error that carries it when not all went well. */
import { BackupError, type ErrorRecord } from '../core/errors.ts';
import type { Destination } from '../core/config.ts';
import type { Level } from '../core/repository/manifest.ts';

export type InstanceResult =
  | {
      readonly region: string;
      readonly instanceId: string;
      readonly status: 'stored';
      readonly backupId: string;
      readonly files: number;
      readonly bytes: number;
      readonly level: Level;
      /** Object key. */
      readonly manifest: string;
      /** Of the folder, in the OSS console. */
      readonly url: string;
    }
  | {
      readonly region: string;
      readonly instanceId: string;
      readonly status: 'skipped';
      readonly reason: string;
      /** Only in a dry run. */
      readonly name?: string;
      readonly rule?: string;
    }
  | {
      readonly region: string;
      readonly instanceId: string;
      readonly status: 'failed';
      readonly error: ErrorRecord;
    }
  /** Only in a dry run. */
  | {
      readonly region: string;
      readonly instanceId: string;
      readonly status: 'selected';
      readonly name: string;
      /** The target that takes it: `targets[1]: cn-shanghai, tags backup=nightly`. */
      readonly rule: string;
    };

export type StoredResult = Extract<InstanceResult, { readonly status: 'stored' }>;
export type SkippedResult = Extract<InstanceResult, { readonly status: 'skipped' }>;

/** An instance that a target matches and an exclusion leaves out. */
export interface LeftOutInstance {
  readonly region: string;
  readonly instanceId: string;
  readonly name: string;
  readonly rule: string;
  /** The exclusion: `exclude: name cache-*`. */
  readonly reason: string;
}

/** An instance that no plan takes. */
export interface UncoveredInstance {
  readonly region: string;
  readonly instanceId: string;
  readonly name: string;
  /** The role through which it was seen, when it is not the caller's own account. */
  readonly account?: string;
  /** The exclusions that leave it out, or why it can never be backed up; left out when no target matches it. */
  readonly reason?: string;
}

export interface Summary {
  readonly runId: string;
  readonly plan: string;
  /** `succeeded`: every selected instance that can be backed up is stored, and there is at least one. */
  readonly status: 'succeeded' | 'partial' | 'failed';
  readonly dryRun?: true;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly counts: {
    readonly selected: number;
    readonly stored: number;
    readonly skipped: number;
    readonly failed: number;
  };
  /** What went wrong beside the instances: targets that could not be listed, or that took nothing. */
  readonly problems?: readonly ErrorRecord[];
  readonly instances: readonly InstanceResult[];
  /** The rest is in a dry run only. */
  readonly leftOut?: readonly LeftOutInstance[];
  /** Optional targets that take nothing, or not all that they name. */
  readonly idle?: readonly string[];
  /** What none of the plans takes; not told when the event names instances. */
  readonly uncovered?: readonly UncoveredInstance[];
  /** What could not be listed, so that `uncovered` is not all of it. A run of the plan does not need it. */
  readonly unlisted?: readonly ErrorRecord[];
}

/** An invocation that handed the run over to the next one. */
export interface Continued {
  readonly status: 'continued';
  readonly runId: string;
}

export interface SummaryParts {
  readonly runId: string;
  readonly plan: string;
  readonly dryRun: boolean;
  readonly startedAt: string;
  readonly finishedAt: string;
  readonly problems: readonly ErrorRecord[];
  readonly results: readonly InstanceResult[];
  readonly leftOut?: readonly LeftOutInstance[];
  readonly idle?: readonly string[];
  readonly uncovered?: readonly UncoveredInstance[];
  readonly unlisted?: readonly ErrorRecord[];
}

export function summarize({ results, problems, dryRun, ...run }: SummaryParts): Summary {
  const count = (status: InstanceResult['status']): number =>
    results.filter((result) => result.status === status).length;
  const stored = count('stored');
  const failed = count('failed');
  // Nothing stored is no success, even when nothing failed: a run of skipped instances protects nobody.
  const done = dryRun ? count('selected') : stored;
  const isClean = failed === 0 && problems.length === 0;
  const { leftOut, idle, uncovered, unlisted } = run;
  return {
    runId: run.runId,
    plan: run.plan,
    status: done === 0 ? 'failed' : isClean ? 'succeeded' : 'partial',
    ...(dryRun ? { dryRun } : {}),
    startedAt: run.startedAt,
    finishedAt: run.finishedAt,
    counts: { selected: results.length, stored, skipped: count('skipped'), failed },
    ...(problems.length === 0 ? {} : { problems }),
    instances: results,
    ...(leftOut === undefined ? {} : { leftOut }),
    ...(idle === undefined ? {} : { idle }),
    ...(uncovered === undefined ? {} : { uncovered }),
    ...(unlisted === undefined ? {} : { unlisted }),
  };
}

/**
 * How long a function's error may be is not documented: the message stays below 16 KB, whatever failed. It tells the
 * first failures, lists more of them, and the stored summary has them all.
 */
const MAX_TOLD = 15;
const MAX_LISTED = 100;
const MAX_PROBLEMS = 5;
const MAX_MESSAGE_LENGTH = 300;

/** A longer summary is told in short; the stored one has everything. */
const MAX_SUMMARY_CHARACTERS = 6_000;

/**
 * The error in which a run ends that did not succeed, so that the platform's own metrics and alarms see it. Its
 * message says what a person needs first and ends in the summary as compact JSON.
 */
export function toRunError(summary: Summary): BackupError {
  const { runId, counts, status, problems = [], instances } = summary;
  const failures = instances.filter((result) => result.status === 'failed');
  const told = failures.slice(0, MAX_TOLD);
  const sentences = [
    summary.dryRun === true
      ? `dry run of ${summary.plan} ended ${status}: ${counts.selected - counts.failed - counts.skipped} of ${counts.selected} would be backed up`
      : `run ${runId} ended ${status}: ${counts.stored} of ${counts.selected} stored, ${counts.failed} failed, ${counts.skipped} skipped`,
    ...told.map(({ instanceId, error }) => `${instanceId} ${briefly(error)}`),
    ...(failures.length > told.length ? [`and ${failures.length - told.length} more`] : []),
    ...(counts.selected > 0 && counts.skipped === counts.selected
      ? [`nothing is stored, because every selected instance was skipped`]
      : []),
    ...problems.slice(0, MAX_PROBLEMS).map(briefly),
  ];
  const whole = JSON.stringify(summary);
  const compact = {
    runId,
    plan: summary.plan,
    status,
    counts,
    failed: failures.slice(0, MAX_LISTED).map(({ instanceId, error }) => ({ instanceId, code: error.code })),
  };
  const nothing = problems.find((problem) => problem.code === 'NOTHING_SELECTED');
  const hint = nothing?.hint ?? (failures[0]?.error.hint || problems[0]?.hint);
  return new BackupError(
    nothing !== undefined && counts.selected === 0 ? 'NOTHING_SELECTED' : 'RUN_INCOMPLETE',
    `${sentences.join('; ')} ${whole.length <= MAX_SUMMARY_CHARACTERS ? whole : JSON.stringify(compact)}`,
    {
      details: { runId, status, stored: counts.stored, failed: counts.failed },
      ...(hint === undefined ? {} : { hint }),
    },
  );
}

function briefly({ code, message }: ErrorRecord): string {
  const isLong = message.length > MAX_MESSAGE_LENGTH;
  return `${code} (${isLong ? `${message.slice(0, MAX_MESSAGE_LENGTH)}…` : message})`;
}

/** The folder in the OSS console. */
export function consoleUrl({ region, bucket }: Destination, folder: string): string {
  return `https://oss.console.aliyun.com/bucket/oss-${region}/${bucket}/object?path=${encodeURIComponent(folder)}`;
}
