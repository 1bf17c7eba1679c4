/**
 * What each part of tairlift has to be allowed, and why: one table for the roles that are deployed, for the page that
 * explains them, for what `doctor` looks at, and for what an error says when something is refused.
 *
 * An action stands here because a call of the code (or of the platform, in the name of the function) needs it; tests hold
 * the table against the calls. It is data and imports nothing.
 */

/** Whose right it is. `doctor` is whoever calls the command line. */
export type Who = 'orchestrator' | 'uploader' | 'doctor';

/** On what an action is allowed. */
export type Scope =
  /** Every instance of the account. */
  | 'instances'
  /** The call works on no single thing, or the service can grant it on none: only `*` helps. */
  | 'everything'
  /** The bucket itself. */
  | 'bucket'
  /** The bucket, but only as far as keys of the run state are asked for. */
  | 'bucket-run-state'
  /** Objects of backups: `<prefix>Backup_*`. */
  | 'backups'
  /** Objects of the state of runs: `<prefix>.tairlift/*`. */
  | 'run-state'
  | 'orchestrator'
  | 'uploader'
  /** Both functions. */
  | 'functions'
  /** The roles of the functions. */
  | 'roles'
  /** The policies of those roles. */
  | 'policies'
  /** The roles that plans name in other accounts. */
  | 'source-roles'
  /** The key with which the bucket is encrypted. */
  | 'key'
  /** Where the functions' logs go. */
  | 'logstore'
  /** The queue of events that were given up. */
  | 'dead-letters';

/** What has to be so that the action is needed at all; always if left out. */
export type When =
  /** Plans name roles of other accounts. */
  | 'other-accounts'
  /** The bucket is encrypted with a key of KMS. */
  | 'kms'
  /** The functions are in a VPC. */
  | 'vpc'
  /** The functions are of Function Compute 2.0, which the templates here do not deploy. */
  | 'fc2';

export interface Permission {
  readonly who: Who;
  /** As a policy names it. */
  readonly action: string;
  /** The calls that need it. */
  readonly call: string;
  /** Function Compute makes the call, in the name of the function; the code does not. */
  readonly by?: 'platform';
  readonly why: string;
  readonly on: readonly Scope[];
  readonly when?: When;
  /** What happens without it, where that is not the loud end of what was attempted. */
  readonly without?: string;
}

const selecting = (who: Who): readonly Permission[] => [
  {
    who,
    action: 'kvstore:DescribeRegions',
    call: 'DescribeRegions',
    why: 'targets with `region: "*"`, and what no plan covers',
    on: ['everything'],
    without: 'such targets fail; of the rest, a dry run says that it could not look everywhere',
  },
  {
    who,
    action: 'kvstore:DescribeInstances',
    call: 'DescribeInstances',
    why: 'selects, and looks at an instance before its backup',
    on: ['everything'],
  },
  {
    who,
    action: 'kvstore:DescribeInstanceAttribute',
    call: 'DescribeInstanceAttribute',
    why: 'shards of classic clusters, disk-based Enterprise classes',
    on: ['instances'],
    without: 'the topology tells the shards; that an instance is on disk shows when its backup is refused',
  },
  {
    who,
    action: 'kvstore:DescribeLogicInstanceTopology',
    call: 'DescribeLogicInstanceTopology',
    why: 'shards, where neither list nor class tells',
    on: ['instances'],
    without: 'such an instance fails, and the others go on',
  },
];

const assuming = (who: Who): Permission => ({
  who,
  action: 'sts:AssumeRole',
  call: 'AssumeRole',
  why: 'instances of other accounts',
  on: ['source-roles'],
  when: 'other-accounts',
  without: 'the targets of those accounts fail; the others go on',
});

/** What the platform does in the name of a function, and what a bucket with a key of its own takes. */
const running = (who: Who): readonly Permission[] => [
  {
    who,
    action: 'log:PostLogStoreLogs',
    call: 'PostLogStoreLogs',
    by: 'platform',
    why: 'the function’s log',
    on: ['logstore'],
    without: 'the function runs, and leaves no log; the alarm on runs that did not happen goes off',
  },
  {
    who,
    action: 'mns:SendMessage',
    call: 'SendMessage',
    by: 'platform',
    why: 'keeps an event that was given up after its retries',
    on: ['dead-letters'],
    without: 'such an event is gone; the function’s errors still raise their alarm',
  },
  {
    who,
    action: 'kms:GenerateDataKey',
    call: 'PutObject, InitiateMultipartUpload, in a bucket that is encrypted with a key of KMS',
    why: 'encrypts what is written',
    on: ['key'],
    when: 'kms',
  },
  {
    who,
    action: 'kms:Decrypt',
    call: 'GetObject, UploadPart, CompleteMultipartUpload, in such a bucket',
    why: 'reads what is encrypted; parts of an upload are encrypted with its one data key',
    on: ['key'],
    when: 'kms',
  },
  // As the platform's own role has them: https://www.alibabacloud.com/help/doc-detail/181589.htm
  ...(
    [
      ['vpc:DescribeVSwitchAttributes', 'finds the zone of the vSwitch'],
      ['ecs:CreateNetworkInterface', 'gives the function an address in the VPC'],
      ['ecs:DescribeNetworkInterfaces', 'finds that network interface again'],
      ['ecs:DeleteNetworkInterface', 'removes it with the function'],
      ['ecs:CreateNetworkInterfacePermission', 'lets the platform attach it'],
      ['ecs:DescribeNetworkInterfacePermissions', 'waits until it may'],
      ['ecs:DeleteNetworkInterfacePermission', 'takes that back'],
    ] as const
  ).map(([action, why]): Permission => ({
    who,
    action,
    call: action.slice(4),
    by: 'platform',
    why,
    on: ['everything'],
    when: 'vpc',
    without: 'the platform refuses the function in its VPC',
  })),
];

const ORCHESTRATOR: readonly Permission[] = [
  ...selecting('orchestrator'),
  {
    who: 'orchestrator',
    action: 'kvstore:CreateBackup',
    call: 'CreateBackup',
    why: 'asks for a backup, once',
    on: ['instances'],
  },
  {
    who: 'orchestrator',
    action: 'kvstore:DescribeBackupTasks',
    call: 'DescribeBackupTasks',
    why: 'is a backup running, and which',
    on: ['instances'],
  },
  {
    who: 'orchestrator',
    action: 'kvstore:DescribeBackups',
    call: 'DescribeBackups',
    why: 'is it finished, has it failed; adoption',
    on: ['instances'],
  },
  {
    who: 'orchestrator',
    action: 'kvstore:DescribeClusterBackupList',
    call: 'DescribeClusterBackupList',
    why: 'the same for cloud-native clusters',
    on: ['instances'],
  },
  {
    who: 'orchestrator',
    action: 'oss:ListObjects',
    call: 'ListObjectsV2',
    why: 'outcomes and signs of life in the run folder, the plan’s locks',
    on: ['bucket-run-state'],
  },
  {
    who: 'orchestrator',
    action: 'oss:GetObject',
    call: 'GetObject, HeadObject',
    why: 'run state, locks, manifests, length and CRC-64 of what is stored',
    on: ['run-state', 'backups'],
  },
  {
    who: 'orchestrator',
    action: 'oss:PutObject',
    call: 'PutObject, never replacing',
    why: 'run state, signs of life, locks and summary',
    on: ['run-state'],
  },
  {
    who: 'orchestrator',
    action: 'fc:InvokeFunction',
    call: 'InvokeFunction',
    why: 'the uploader, and itself before its deadline',
    on: ['uploader', 'orchestrator'],
  },
  {
    who: 'orchestrator',
    action: 'fc:GetAsyncTask',
    call: 'GetAsyncTask',
    why: 'has an uploader ended',
    on: ['uploader'],
    without: 'signs of life tell, some minutes later',
  },
  {
    who: 'orchestrator',
    action: 'fc:GetStatefulAsyncInvocation',
    call: 'GetStatefulAsyncInvocation',
    why: 'the same on Function Compute 2.0',
    on: ['uploader'],
    when: 'fc2',
    without: 'signs of life tell, some minutes later',
  },
  {
    who: 'orchestrator',
    action: 'cms:PutCustomEvent',
    call: 'PutCustomEvent',
    why: 'raises an event when a run did not end well',
    on: ['everything'],
    without: 'the log says that the event could not be raised; the function’s error still raises its alarm',
  },
  assuming('orchestrator'),
  ...running('orchestrator'),
];

const UPLOADER: readonly Permission[] = [
  {
    who: 'uploader',
    action: 'kvstore:DescribeBackups',
    call: 'DescribeBackups',
    why: 'fresh download URLs',
    on: ['instances'],
  },
  {
    who: 'uploader',
    action: 'kvstore:DescribeClusterBackupList',
    call: 'DescribeClusterBackupList',
    why: 'the same for cloud-native clusters',
    on: ['instances'],
  },
  {
    who: 'uploader',
    action: 'oss:GetObject',
    call: 'GetObject, HeadObject',
    why: 'is the backup there already; reads the manifest back; where an interrupted attempt stopped',
    on: ['run-state', 'backups'],
  },
  {
    who: 'uploader',
    action: 'oss:PutObject',
    call: 'PutObject, InitiateMultipartUpload, UploadPart, CompleteMultipartUpload, never replacing',
    why: 'files, manifest, outcome, signs of life',
    on: ['run-state', 'backups'],
  },
  {
    who: 'uploader',
    action: 'oss:AbortMultipartUpload',
    call: 'AbortMultipartUpload',
    why: 'leaves nothing unfinished that is of no use to the next attempt',
    on: ['backups'],
    without: 'the bucket’s lifecycle rule ends such uploads, days later',
  },
  {
    who: 'uploader',
    action: 'oss:ListMultipartUploads',
    call: 'ListMultipartUploads',
    why: 'finds the upload of an interrupted attempt, or its own when an answer was lost',
    on: ['bucket'],
    without: 'every attempt sends everything, and such uploads are left to the lifecycle rule',
  },
  {
    who: 'uploader',
    action: 'oss:ListParts',
    call: 'ListParts',
    why: 'which parts an interrupted attempt has sent',
    on: ['backups'],
    without: 'every attempt sends everything',
  },
  assuming('uploader'),
  ...running('uploader'),
];

const DOCTOR: readonly Permission[] = [
  ...selecting('doctor'),
  {
    who: 'doctor',
    action: 'kvstore:DescribeBackupPolicy',
    call: 'DescribeBackupPolicy',
    why: 'are backups made on the primary; when the service makes its own',
    on: ['instances'],
  },
  {
    who: 'doctor',
    action: 'oss:GetBucketInfo',
    call: 'GetBucketInfo',
    why: 'is the bucket there, and where',
    on: ['bucket'],
  },
  {
    who: 'doctor',
    action: 'oss:GetBucketVersioning',
    call: 'GetBucketVersioning',
    why: 'is nothing replaced',
    on: ['bucket'],
  },
  {
    who: 'doctor',
    action: 'oss:GetBucketLifecycle',
    call: 'GetBucketLifecycle',
    why: 'are unfinished uploads ended, are backups deleted by age',
    on: ['bucket'],
  },
  ...(
    [
      ['GetBucketEncryption', 'is what is written encrypted, and with which key'],
      ['GetBucketPublicAccessBlock', 'can nobody make it public'],
      ['GetBucketPolicy', 'is it reached over TLS only'],
      ['GetBucketOverwriteConfig', 'are backups kept from being replaced by others too'],
    ] as const
  ).map(([call, why]): Permission => ({ who: 'doctor', action: `oss:${call}`, call, why, on: ['bucket'] })),
  {
    who: 'doctor',
    action: 'fc:GetFunction',
    call: 'GetFunction',
    why: 'are the functions deployed, and how',
    on: ['functions'],
  },
  {
    who: 'doctor',
    action: 'fc:ListTriggers',
    call: 'ListTriggers',
    why: 'does a timer start each plan',
    on: ['functions'],
  },
  {
    who: 'doctor',
    action: 'fc:GetAsyncInvokeConfig',
    call: 'GetAsyncInvokeConfig',
    why: 'is what fails tried again, and kept when it is given up',
    on: ['functions'],
  },
  {
    who: 'doctor',
    action: 'ram:GetRole',
    call: 'GetRole',
    why: 'may the functions take their roles on',
    on: ['roles'],
  },
  {
    who: 'doctor',
    action: 'ram:ListPoliciesForRole',
    call: 'ListPoliciesForRole',
    why: 'which policies the roles have',
    on: ['roles'],
  },
  {
    who: 'doctor',
    action: 'ram:GetPolicy',
    call: 'GetPolicy',
    why: 'may the roles do what they need, and no more',
    on: ['policies'],
  },
  assuming('doctor'),
];

/** Ordered by who, and then as a run meets them. */
export const PERMISSIONS: readonly Permission[] = [...ORCHESTRATOR, ...UPLOADER, ...DOCTOR];

export function permissionsOf(who: Who): readonly Permission[] {
  return PERMISSIONS.filter((permission) => permission.who === who);
}

/** The names and places of one deployment; each may be a pattern or a placeholder. */
export interface Place {
  readonly region: string;
  readonly accountId: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly orchestrator: string;
  readonly uploader: string;
  readonly orchestratorRole: string;
  readonly uploaderRole: string;
  readonly logProject: string;
  readonly logstore: string;
  readonly deadLetters: string;
  /** ARNs. */
  readonly sourceRoles: readonly string[];
  /** Its id. */
  readonly key: string;
}

/** What stands as `Resource` in a policy: https://help.aliyun.com/en/ram/user-guide/policy-elements */
export function resourcesOn(scope: Scope, place: Place): readonly string[] {
  return RESOURCES[scope](place);
}

const RESOURCES: Readonly<Record<Scope, (place: Place) => readonly string[]>> = {
  everything: () => ['*'],
  instances: () => ['acs:kvstore:*:*:instance/*'],
  bucket: ({ bucket }) => [`acs:oss:*:*:${bucket}`],
  'bucket-run-state': ({ bucket }) => [`acs:oss:*:*:${bucket}`],
  backups: ({ bucket, prefix }) => [`acs:oss:*:*:${bucket}/${prefix}Backup_*`],
  'run-state': ({ bucket, prefix }) => [`acs:oss:*:*:${bucket}/${prefix}.tairlift/*`],
  orchestrator: (place) => functionArns(place, place.orchestrator),
  uploader: (place) => functionArns(place, place.uploader),
  functions: (place) => [place.orchestrator, place.uploader].flatMap((name) => functionArns(place, name)),
  roles: ({ accountId, orchestratorRole, uploaderRole }) =>
    [orchestratorRole, uploaderRole].map((name) => `acs:ram:*:${accountId}:role/${name}`),
  policies: ({ accountId, orchestratorRole, uploaderRole }) =>
    [orchestratorRole, uploaderRole].map((name) => `acs:ram:*:${accountId}:policy/${name}*`),
  'source-roles': ({ sourceRoles }) => sourceRoles,
  key: ({ region, accountId, key }) => [`acs:kms:${region}:${accountId}:key/${key}`],
  logstore: ({ region, accountId, logProject, logstore }) => [
    `acs:log:${region}:${accountId}:project/${logProject}/logstore/${logstore}`,
  ],
  'dead-letters': ({ region, accountId, deadLetters }) => [
    `acs:mns:${region}:${accountId}:/queues/${deadLetters}/messages`,
  ],
};

/** With and without a qualifier: https://help.aliyun.com/en/functioncompute/developer-reference/api-fc-2023-03-30-invokefunction */
function functionArns({ region, accountId }: Place, name: string): readonly string[] {
  const arn = `acs:fc:${region}:${accountId}:functions/${name}`;
  return [arn, `${arn}/*`];
}

/** `Condition` of a policy, where the resource alone would allow too much. */
export function conditionOn(
  scope: Scope,
  { prefix }: Place,
): { readonly StringLike: Readonly<Record<string, readonly string[]>> } | undefined {
  // https://help.aliyun.com/en/oss/user-guide/authorization-syntax-and-elements
  return scope === 'bucket-run-state'
    ? { StringLike: { 'oss:Prefix': [`${prefix}.tairlift/*`] } }
    : undefined;
}

/** What this one needs the action for; undefined when it needs it for nothing. */
export function permissionFor(who: Who, action: string): Permission | undefined {
  return PERMISSIONS.find((permission) => permission.who === who && permission.action === action);
}
