/** What of a bucket's own settings matters to backups. */
import type { BackupError } from '../errors.ts';

/** What the caller may not look at is absent. */
export interface BucketSettings {
  /** Where it is, without `oss-`. */
  readonly region?: string;
  /** `Disabled`, `Enabled` or `Suspended`; unless it is disabled, nothing keeps an object from being replaced. */
  readonly versioning?: string;
  /** Lifecycle rules that are in force. */
  readonly rules?: readonly BucketRule[];
  /** Why something is absent, with the right that would be needed. */
  readonly denied: readonly BackupError[];
}

export interface BucketRule {
  /** Of the objects that it is for; empty for all. */
  readonly prefix: string;
  /** Unfinished multipart uploads are ended this long after their last part. */
  readonly endsUploadsAfterDays?: number;
  /** Objects are deleted. */
  readonly expiresAfterDays?: number;
}

/** Does a rule for objects below `prefix` end unfinished uploads? After how many days; undefined when none does. */
export function endsUploadsAfterDays(rules: readonly BucketRule[], prefix: string): number | undefined {
  const days = rules
    .filter((rule) => prefix.startsWith(rule.prefix))
    .flatMap((rule) => rule.endsUploadsAfterDays ?? []);
  return days.length === 0 ? undefined : Math.min(...days);
}

/** Does a rule delete objects below `prefix`, or some of them? After how many days; undefined when none does. */
export function expiresAfterDays(rules: readonly BucketRule[], prefix: string): number | undefined {
  const days = rules
    .filter((rule) => prefix.startsWith(rule.prefix) || rule.prefix.startsWith(prefix))
    .flatMap((rule) => rule.expiresAfterDays ?? []);
  return days.length === 0 ? undefined : Math.min(...days);
}
