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
  readonly encryption?: BucketEncryption;
  readonly blocksPublicAccess?: boolean;
  /** The bucket's own policy as JSON; empty when it has none. */
  readonly policy?: string;
  /** Objects below these nobody may replace. */
  readonly writeOncePrefixes?: readonly string[];
  /** Why something is absent, with the right that would be needed. */
  readonly denied: readonly BackupError[];
}

/** What is done to objects that are written without a wish of their own. */
export interface BucketEncryption {
  /** `none`, `AES256`, `KMS` or `SM4`. */
  readonly algorithm: string;
  /** Id of the key of KMS, where one is named. */
  readonly key?: string;
}

export interface BucketRule {
  /** Of the objects that it is for; empty for all. */
  readonly prefix: string;
  /** Unfinished multipart uploads are ended this long after their last part. */
  readonly endsUploadsAfterDays?: number;
  /** Objects are deleted. */
  readonly expiresAfterDays?: number;
  /** Objects are moved into other storage classes. */
  readonly transitions: readonly { readonly afterDays: number; readonly storageClass: string }[];
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

/** When do objects below `prefix`, or some of them, become unreadable without being restored first? */
export function archivesAfterDays(rules: readonly BucketRule[], prefix: string): number | undefined {
  const days = rules
    .filter((rule) => prefix.startsWith(rule.prefix) || rule.prefix.startsWith(prefix))
    .flatMap(({ transitions }) => transitions)
    .flatMap(({ afterDays, storageClass }) => (/archive/i.test(storageClass) ? afterDays : []));
  return days.length === 0 ? undefined : Math.min(...days);
}
