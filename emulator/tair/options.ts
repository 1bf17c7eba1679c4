/** Where the vendor's documentation leaves room, or its answer differs from place to place: one switch each. */
export interface TairOptions {
  /** How long a backup takes at least, on the emulator's clock. The BGSAVE takes what it takes besides. */
  backupDurationMs: number;
  /** Does DescribeBackups list a backup that is still running, as `Running`? Not documented. */
  listsRunningBackups: boolean;
  /** What DescribeClusterBackupList says of an instance that is no cloud-native cluster. Both have been seen. */
  nonClusterBackupList: 'empty' | 'error';
  /** Manual backups in 24 hours. */
  manualBackupsPerDay: number;
  /** Life of a download URL. Not documented. */
  urlLifetimeMs: number;
  /** Does the download host send `x-oss-hash-crc64ecma`, as OSS does? Not documented for backups. */
  sendsCrc64: boolean;
  /** How often each action may be called by an account, all of its roles together; not documented. As often as it likes if left out. */
  throttle?: Throttle;
}

/** Calls of one action that an account may make at once, and how fast it gets others. */
export interface Throttle {
  readonly burst: number;
  readonly perSecond: number;
  /** Other rates for single actions. */
  readonly actions?: Readonly<Record<string, Omit<Throttle, 'actions'>>>;
}

export const DEFAULT_OPTIONS: TairOptions = {
  backupDurationMs: 0,
  listsRunningBackups: false,
  nonClusterBackupList: 'empty',
  manualBackupsPerDay: 30,
  urlLifetimeMs: 3 * 3_600_000,
  sendsCrc64: true,
};
