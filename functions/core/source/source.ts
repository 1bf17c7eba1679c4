/**
 * Where backups come from. One implementation per kind of source; rules that hold for all of them (selection,
 * waiting, adopting, completeness) are built on top of this interface and never inside an implementation.
 */
import type { ByteStream } from '../transfer/byte-stream.ts';

export type Architecture = 'standard' | 'cluster' | 'rwsplit';

/** One Redis-compatible instance, as far as backing it up needs to know. */
export interface Instance {
  readonly region: string;
  readonly id: string;
  /** The operator's own name for it; may be empty. */
  readonly name: string;
  readonly engine: string;
  readonly engineVersion: string;
  readonly architecture: Architecture;
  /** Data shards, each of which gives one file of a backup. 1 unless it is a cluster. */
  readonly shards: number;
  /** As the service writes it (`Normal`, `Changing`, …). */
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
  /** The service's own grouping of what an account owns; absent where there is none, or it is not told. */
  readonly resourceGroup?: string;
  /** Why it can never be backed up by downloading files, when that is so; one clause, lower case. */
  readonly noBackup?: string;
}

export interface InstanceQuery {
  readonly region: string;
  /** Only these; ids that do not exist are simply not returned. Any number: implementations split what their API limits. */
  readonly ids?: readonly string[];
  /** Only those that carry all of these. */
  readonly tags?: Readonly<Record<string, string>>;
  /** Only those of this resource group, by its id. */
  readonly resourceGroup?: string;
}

/** What became of a request to start a backup. It is never sent twice by an implementation. */
export type StartResult =
  /** Accepted. One job, or one for each shard. */
  | { readonly kind: 'started'; readonly jobIds: readonly string[] }
  /** Refused, because one is running already: find and adopt it. */
  | { readonly kind: 'already-running' }
  /** No answer arrived: it may or may not have started. Look before doing anything else. */
  | { readonly kind: 'unknown'; readonly reason: string }
  /** Nothing was started: the backup is made while it is read, by `pull`, and this is to be its id. */
  | { readonly kind: 'pulled'; readonly id: string };

export type BackupMode = 'manual' | 'automated';

/** A job as the service's progress list shows it. Jobs vanish from that list; failure shows only in the backups. */
export interface BackupJob {
  readonly id: string;
  /** Everything that is not known to be finished counts as running. */
  readonly state: 'running' | 'finished';
  readonly mode: BackupMode;
  /** ISO 8601, UTC; absent when the service did not say. */
  readonly startedAt?: string;
  /** 0 to 100 when the service says something usable. */
  readonly progressPercent?: number;
}

/** One backup of an instance as the service lists it: all rows that belong together. */
export interface SourceBackup {
  /** Set id of a cloud-native cluster, or the ids of the rows, ascending. */
  readonly ids: readonly string[];
  /** Empty when the service does not tell. */
  readonly jobIds: readonly string[];
  readonly mode: BackupMode;
  readonly state: 'running' | 'succeeded' | 'failed';
  /** ISO 8601, UTC, whole seconds. */
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly files: readonly SourceFile[];
}

/** One file of a backup: one shard. */
export interface SourceFile {
  /** 0-based position among the shards, in the order of the service's node ids. */
  readonly shard: number;
  /** The service's id of the node it came from. */
  readonly node: string;
  /** The file's own name, taken from the URL's path: `hins1_data_20260101000000.rdb`. Unique within the backup. */
  readonly name: string;
  /** As the service announces it; 0 when it does not. Never trusted as the length, only compared. */
  readonly announcedBytes: number;
  /** Signed and short-lived: use at once, never store, never log. Absent when it cannot be downloaded. */
  readonly url?: string;
}

/** A half-open span of time, ISO 8601 UTC. Implementations widen it where the service filters coarsely. */
export interface TimeSpan {
  readonly from: string;
  readonly to: string;
}

export interface Source {
  /** Regions in which there can be instances, each once; at least one. */
  listRegions(signal: AbortSignal): Promise<readonly string[]>;

  /**
   * All matching instances, every page of them, each at most once, in no particular order. Throws when a page cannot
   * be had: never ends early as if the list were complete.
   */
  listInstances(query: InstanceQuery, signal: AbortSignal): AsyncIterable<Instance>;

  /** The instance as it is now, or undefined when it does not exist (any more). */
  getInstance(region: string, id: string, signal: AbortSignal): Promise<Instance | undefined>;

  /**
   * Asks once for a backup. Throttling before acceptance is retried inside; anything after which the request may have
   * been accepted is not. Throws `BACKUP_QUOTA`, `INSTANCE_NOT_FOUND`, `INSTANCE_NOT_READY` (retryable),
   * `PERMISSION_DENIED`.
   */
  startBackup(instance: Instance, signal: AbortSignal): Promise<StartResult>;

  /** Jobs that the service still lists for the instance, running or finished, in no particular order. */
  listJobs(instance: Instance, signal: AbortSignal): Promise<readonly BackupJob[]>;

  /**
   * Backups of the instance that started within the span, newest first, all pages. URLs in the files are fresh. A
   * backup whose rows are not all listed yet is returned with the files that are: completeness is judged above.
   */
  listBackups(instance: Instance, span: TimeSpan, signal: AbortSignal): Promise<readonly SourceBackup[]>;

  /**
   * Only of a source that keeps no backups, where nothing can be listed, adopted or downloaded twice. Looks at the
   * instance and prepares to read it; no snapshot is taken yet. Throws, retryable, when it cannot be backed up now.
   */
  readonly pull?: (instance: Instance, signal: AbortSignal) => Promise<Pull>;
}

/** A backup that comes into being while it is read: one file for each shard. There is no common point in time. */
export interface Pull {
  readonly shards: readonly PullShard[];
  /** Which node holds which keys, in a few characters: files that were pulled under another layout do not belong together. */
  readonly layout: string;
  /**
   * Call it when all files are stored. Throws SOURCE_CHANGED when the layout is not what it was at the beginning, so that
   * keys may be in two of the files or in none.
   */
  confirm(signal: AbortSignal): Promise<void>;
}

export interface PullShard {
  /** 0-based. */
  readonly shard: number;
  readonly node: string;
  /** The cluster slots that it holds (`0-5460,5470`): its file must hold no keys of others. Absent without a cluster. */
  readonly slots?: string;
  /** About as long as the file may be; 0 when nobody knows. */
  readonly expectedBytes: number;
  /**
   * Takes a snapshot and begins to read it. Each call is another snapshot, of other bytes.
   * @param name of the file, for errors
   */
  open(name: string, signal: AbortSignal): Promise<PulledStream>;
}

export interface PulledStream extends ByteStream {
  /** What the server calls the point in its history that the snapshot shows. */
  readonly id: string;
  readonly server: string;
  readonly role: 'primary' | 'replica';
  /** Why replicas that are preferred were not used. */
  readonly passedOver: readonly string[];
}

/** How the service itself backs an instance up, beside what it is asked for. */
export interface BackupPolicy {
  /** Data flashback is on: then backups are made on the primary, and not on a replica. */
  readonly runsOnPrimary: boolean;
  /** Of the service's own backups, UTC, as the service writes it: `17:00Z-18:00Z`; empty when it does not say. */
  readonly window: string;
  /** Days of the week on which it makes them, `Monday`; empty when it does not say. */
  readonly days: readonly string[];
}

/** What only a service with a schedule of its own can tell. */
export interface BackupPolicies {
  /** Throws `INSTANCE_NOT_FOUND`, `PERMISSION_DENIED`, … */
  backupPolicy(instance: Instance, signal: AbortSignal): Promise<BackupPolicy>;
}
