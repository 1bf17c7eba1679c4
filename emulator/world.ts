/** What the emulated services share, and the plain descriptions that a world is made from. */
import type { Clock } from './clock.ts';
import { SERVICES, type ServiceName } from './faults.ts';
import type { Surroundings } from './http.ts';
import type { Identity } from './identity.ts';
import type { PolicyDocument } from './policy.ts';

export interface World extends Surroundings {
  readonly clock: Clock;
  readonly identity: Identity;
  /** Everything on disk lives below: objects, backup files, the data of the servers. */
  readonly folder: string;
  /** The account that owns what no spec assigns to another one. */
  readonly accountId: string;
  /** `http://127.0.0.1:<port>` by service, known once they listen; `sts` and `ros` are https. */
  readonly endpoints: Readonly<Record<ServiceName, string>>;
}

/** The endpoints of a world in which nothing listens yet. */
export function noEndpoints(): Record<ServiceName, string> {
  // Every name is in the list that the type is made of.
  return Object.fromEntries(SERVICES.map((name) => [name, ''])) as Record<ServiceName, string>;
}

export interface InstanceSpec {
  readonly region: string;
  readonly id: string;
  readonly name?: string;
  /** The owner's account; the world's own if left out. */
  readonly accountId?: string;
  readonly architecture?: 'standard' | 'cluster' | 'rwsplit';
  /** Cloud-native (listed by DescribeClusterBackupList when a cluster) or classic. Default cloud-native. */
  readonly deployment?: 'cloud-native' | 'classic';
  /** Classic clusters bought before December 2023 give one backup job per shard. Default false. */
  readonly jobPerShard?: boolean;
  readonly edition?: 'Community' | 'Enterprise';
  /** Default: a high-availability pair. `single` has no backups at all. */
  readonly nodes?: 'pair' | 'single';
  /** Default `7.0`. */
  readonly engineVersion?: string;
  readonly instanceClass?: string;
  /** `tair_essd` and the like; shown by DescribeInstanceAttribute. */
  readonly storageType?: string;
  readonly resourceGroupId?: string;
  readonly shards?: number;
  readonly tags?: Readonly<Record<string, string>>;
  /** Default `Normal`. */
  readonly status?: string;
  /** Data flashback is on: backups run on the primary. Default false. */
  readonly flashback?: boolean;
  /** Shapes of answers that have been seen, or that nobody can rule out. */
  readonly answers?: {
    /** CreateBackup has quotes around its list of jobs. */
    readonly quotedJobIds?: boolean;
    /** DescribeClusterBackupList wraps its list, and writes text and numbers the other way round. */
    readonly wrappedSets?: boolean;
    /** What DescribeBackups says of a cloud-native cluster: its rows by default. */
    readonly clusterRows?: 'listed' | 'none' | 'refused';
  };
  /**
   * Where backups come from: real `redis-server` processes, one a shard (the default), or ready RDB files, one a
   * shard, for scenarios with hundreds of instances.
   */
  readonly rdbFiles?: readonly string[];
}

export interface BucketSpec extends BucketSettings {
  readonly name: string;
  /** As Tair writes it, without `oss-`: `cn-hangzhou`. */
  readonly region: string;
  readonly accountId?: string;
}

/** What can be changed of a bucket. */
export interface BucketSettings {
  /** Default: never switched on. */
  readonly versioning?: 'Enabled' | 'Suspended';
  /** Default: none. */
  readonly lifecycle?: readonly LifecycleRule[];
  /** How objects are encrypted that come without a wish of their own. Default: not at all. */
  readonly encryption?:
    | { readonly algorithm: 'AES256' | 'KMS' | 'SM4'; readonly keyId?: string | undefined }
    | undefined;
  /** Default: false. */
  readonly blocksPublicAccess?: boolean;
  readonly policy?: PolicyDocument | undefined;
  /** Objects that nobody may replace. Without effect once versioning was switched on. */
  readonly overwriteRules?: readonly OverwriteRule[];
}

/** Nothing of it is carried out: the rules are only told. */
export interface LifecycleRule {
  readonly id?: string;
  readonly prefix: string;
  readonly isEnabled: boolean;
  /** Days after which unfinished multipart uploads are ended; none if left out. */
  readonly abortUploadsAfterDays?: number;
  /** Days after which objects are deleted; never if left out. */
  readonly expireAfterDays?: number;
  readonly transitions?: readonly { readonly days: number; readonly storageClass: string }[];
}

export interface OverwriteRule {
  readonly id?: string;
  readonly prefix?: string;
  readonly suffix?: string;
}

export interface FunctionSpec {
  readonly name: string;
  /** Only functions of the older API generation live in a service. */
  readonly service?: string;
  readonly region: string;
  /** The folder that holds the bundle, as it would be uploaded. */
  readonly codeFolder: string;
  /** `index.handler` by default. */
  readonly handler?: string;
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  /** ARN of the role whose session the context carries. */
  readonly role: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Retries of asynchronous invocations whose code failed. Default 3, the platform's. */
  readonly maxAsyncRetryAttempts?: number;
  /** An event that could not be run for so long is given up. Default a day. */
  readonly maxAsyncEventAgeSeconds?: number;
  /** ARN of the queue or function that is told of events that were given up. */
  readonly onFailure?: string;
  readonly timers?: readonly TimerSpec[];
}

export interface TimerSpec {
  readonly name: string;
  /** Six fields, seconds first, UTC, or with a `CRON_TZ=Area/City ` prefix; or `@every 5m`. */
  readonly cron: string;
  /** Handed over as a string in the timer event. */
  readonly payload: string;
}
