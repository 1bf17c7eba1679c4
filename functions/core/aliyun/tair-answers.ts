/**
 * Reads the answers of the r-kvstore API, version 2015-01-01, as they come over the wire. The SDK's own casting throws
 * on shapes that the service really sends (an object where the schema says text) and drops what it does not know, so
 * the JSON is read here: numbers or text, wrapped or bare lists, times with or without seconds and zone.
 */
import { BackupError } from '../errors.ts';
import { toInstant } from '../clock.ts';
import type {
  Architecture,
  BackupJob,
  BackupMode,
  BackupPolicy,
  Instance,
  SourceBackup,
  SourceFile,
} from '../source/source.ts';

export type Json = Readonly<Record<string, unknown>>;

/** The answer as an object, or a retryable `SERVICE_ERROR`: gateways answer 200 with pages of their own. */
export function parseAnswer(text: string, attempt: string): Json {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw nonsense(attempt, 'not JSON', cause);
  }
  if (!isJson(json)) throw nonsense(attempt, 'not an object');
  return json;
}

/**
 * The rows of a list, bare (`"Backups":[…]`) or wrapped (`"Backups":{"Backup":[…]}`). An answer without the list is
 * nonsense and never an empty list: taking it for empty would lose instances in silence.
 */
export function rowsOf(answer: Json, list: string, wrapped: string, attempt: string): readonly Json[] {
  const container = answer[list];
  const rows = isJson(container) ? (container[wrapped] ?? []) : container;
  if (!Array.isArray(rows) || !rows.every(isJson)) throw nonsense(attempt, `no list of ${list}`);
  return rows;
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : typeof value === 'number' ? String(value) : '';
}

/** A whole number from 0 on, however it is written; undefined for anything else. */
export function count(value: unknown): number | undefined {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** `yyyy-MM-ddTHH:mm[:ss[.fff]][Z]`, always UTC although one list leaves out the `Z`; undefined when it is no time. */
export function instant(value: unknown): string | undefined {
  const match = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d)?(\.\d+)?Z?$/.exec(text(value).trim());
  if (match === null) return undefined;
  const ms = Date.parse(`${match[1]}T${match[2]}${match[3] ?? ':00'}Z`);
  return Number.isNaN(ms) ? undefined : toInstant(ms);
}

/** `yyyy-MM-ddTHH:mmZ`, the only form in which this API takes times. */
export function toMinute(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16)}Z`;
}

/** One job, or one for each shard as a list with commas; one published sample even has quotes around it. */
export function splitJobIds(value: unknown): readonly string[] {
  return text(value)
    .replaceAll(/["'[\]\s]/g, '')
    .split(',')
    .filter((id) => id !== '');
}

/** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeinstances-redis */
export function toInstance(row: Json, region: string): Instance {
  const architecture = toArchitecture(text(row['ArchitectureType']));
  const resourceGroup = text(row['ResourceGroupId']);
  const noBackup = whyNoBackup(row);
  return {
    region: text(row['RegionId']) || region,
    id: text(row['InstanceId']),
    name: text(row['InstanceName']),
    engine: text(row['InstanceType']) || 'Redis',
    engineVersion: text(row['EngineVersion']),
    architecture,
    shards: architecture === 'cluster' ? shardsOf(row) : 1,
    status: text(row['InstanceStatus']),
    tags: toTags(row),
    ...(resourceGroup === '' ? {} : { resourceGroup }),
    ...(noBackup === undefined ? {} : { noBackup }),
  };
}

function toArchitecture(value: string): Architecture {
  if (/^cluster$/i.test(value)) return 'cluster';
  return /^(rwsplit|splitrw)$/i.test(value) ? 'rwsplit' : 'standard';
}

/**
 * Data shards of a cluster: said outright for cloud-native ones, and part of the class name of classic ones
 * (`redis.logic.sharding.2g.8db.0rodb.8proxy.default` has 8). 0 when neither tells.
 */
export function shardsOf(row: Json): number {
  const said = count(row['ShardCount']);
  if (said !== undefined && said > 0) return said;
  for (const key of ['RealInstanceClass', 'InstanceClass']) {
    const inClass = /\.(\d+)db(\.|$)/.exec(text(row[key]))?.[1];
    if (inClass !== undefined && Number(inClass) > 0) return Number(inClass);
  }
  return 0;
}

/**
 * Shards in the topology of a cluster, whose nodes are `r-bp1…-db-0#6889415`: those that hold data, each once, and not
 * the read replicas that some clusters have besides.
 */
export function countDataNodes(nodes: readonly Json[]): number {
  const isData = (node: Json): boolean =>
    !/^(proxy|cs|normal)$/i.test(text(node['NodeType'])) &&
    /^(master)?$/i.test(text(node['SubInstanceType']));
  const ids = nodes.filter(isData).map((node) => text(node['NodeId']).replace(/#.*$/, ''));
  return new Set(ids.filter((id) => id !== '')).size;
}

/**
 * Single-node instances have no backups at all; disk-based ones are backed up as disk snapshots, not as RDB files.
 * https://help.aliyun.com/zh/redis/user-guide/automatic-or-manual-backup
 */
export function whyNoBackup(row: Json): string | undefined {
  const nodes = text(row['NodeType']);
  if (/^(single|stand_?alone)$/i.test(nodes)) return 'single-node instances have no backups';
  if (
    /^tair\.(essd|ssd|localssd)\b/i.test(text(row['InstanceClass'])) ||
    isDiskType(text(row['InstanceType']))
  )
    return 'disk-based instances have no downloadable RDB files';
  if (/^memcache/i.test(text(row['InstanceType']))) return 'Memcache instances have no RDB files';
  const isInMemory = /^(tair\.(rdb|scm)|redis)\b/i.test(text(row['InstanceClass']));
  if (!isInMemory && /^(tair_|cloud_)?(essd|ssd|local_?ssd)/i.test(text(row['StorageType'])))
    return 'disk-based instances have no downloadable RDB files';
  return undefined;
}

function isDiskType(value: string): boolean {
  return /^tair_(essd|ssd|localssd)/i.test(value);
}

function toTags(row: Json): Readonly<Record<string, string>> {
  const container = row['Tags'];
  const list = isJson(container) ? container['Tag'] : container;
  if (!Array.isArray(list)) return {};
  return Object.fromEntries(list.filter(isJson).map((tag) => [text(tag['Key']), text(tag['Value'])]));
}

/**
 * https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describebackuptasks-redis
 * The documented states end with `Finished`; there is no failed one. What is not known to be finished is running.
 */
export function toJob(row: Json): BackupJob {
  const startedAt = instant(row['StartTime']);
  const progressPercent = count(text(row['Progress']).replace('%', ''));
  return {
    id: text(row['BackupJobID'] ?? row['BackupJobId']),
    state: text(row['BackupProgressStatus']) === 'Finished' ? 'finished' : 'running',
    mode: toMode(row['JobMode'] ?? (text(row['TaskAction']) === 'NormalBackupTask' ? 'Automated' : 'Manual')),
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(progressPercent === undefined ? {} : { progressPercent: Math.min(100, progressPercent) }),
  };
}

function toMode(value: unknown): BackupMode {
  return /^auto/i.test(text(value)) ? 'automated' : 'manual';
}

/** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describebackuppolicy-redis */
export function toBackupPolicy(answer: Json): BackupPolicy {
  return {
    runsOnPrimary: text(answer['EnableBackupLog']) === '1',
    window: text(answer['PreferredBackupTime']),
    days: text(answer['PreferredBackupPeriod'])
      .split(',')
      .map((day) => day.trim())
      .filter((day) => day !== ''),
  };
}

/** One row of DescribeBackups: the backup of one node. */
export interface BackupRow {
  readonly id: string;
  readonly jobId: string;
  readonly node: string;
  readonly mode: BackupMode;
  readonly state: SourceBackup['state'];
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly announcedBytes: number;
  readonly url?: string;
}

/**
 * https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describebackups-redis
 * Increments of a continuous backup are no backups of their own: undefined.
 */
export function toBackupRow(row: Json, download: Download = 'public'): BackupRow | undefined {
  if (/^incremental/i.test(text(row['BackupType']))) return undefined;
  return {
    id: text(row['BackupId']),
    jobId: text(row['BackupJobID'] ?? row['BackupJobId']),
    node: text(row['NodeInstanceId']),
    mode: toMode(row['BackupMode']),
    state: toState(text(row['BackupStatus'])),
    ...times(row['BackupStartTime'], row['BackupEndTime']),
    announcedBytes: count(row['BackupSize']) ?? 0,
    ...downloadUrl(row, download),
  };
}

/** Success and Failed in one list, OK and ERROR in the other; any other word is a state on the way there. */
function toState(value: string): SourceBackup['state'] {
  if (/^(success|ok)$/i.test(value)) return 'succeeded';
  return /^(fail(ed|ure)?|error)$/i.test(value) ? 'failed' : 'running';
}

function times(start: unknown, end: unknown): { readonly startedAt: string; readonly endedAt?: string } {
  const startedAt = instant(start);
  const endedAt = instant(end);
  return {
    startedAt: startedAt ?? endedAt ?? toInstant(0),
    ...(endedAt === undefined ? {} : { endedAt }),
  };
}

/** Which of a file's two addresses is taken first; the other one when there is only that. */
export type Download = 'public' | 'internal';

/**
 * Whether the internal one can be reached depends on where this runs, and it is plain HTTP.
 * Empty when it cannot be downloaded (yet).
 */
function downloadUrl(row: Json, download: Download): { readonly url?: string } {
  const addresses = [row['BackupDownloadURL'], row['BackupIntranetDownloadURL']];
  const url = (download === 'public' ? addresses : addresses.reverse())
    .map((candidate) => text(candidate).trim())
    .find((candidate) => /^https?:\/\//i.test(candidate) && URL.canParse(candidate));
  return url === undefined ? {} : { url };
}

/** A set of DescribeClusterBackupList: one backup of a whole cloud-native cluster. */
export interface ClusterSet {
  readonly id: string;
  readonly mode: BackupMode;
  readonly state: SourceBackup['state'];
  readonly startedAt: string;
  readonly endedAt?: string;
  readonly shards: readonly BackupRow[];
}

/**
 * https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeclusterbackuplist-redis
 * A set with `IsAvail` 0 has a shard that failed or is not finished, whatever the set's own status says.
 */
export function toClusterSet(row: Json, attempt: string, download: Download = 'public'): ClusterSet {
  const mode = toMode(row['ClusterBackupMode']);
  const shards = rowsOf({ Backups: row['Backups'] ?? [] }, 'Backups', 'Backup', attempt).map((shard) => ({
    id: text(shard['BackupId']),
    jobId: '',
    node: text(shard['InstanceName']),
    mode,
    state: toState(text(shard['BackupStatus'])),
    ...times(shard['BackupStartTime'], shard['BackupEndTime']),
    announcedBytes: count(shard['BackupSize']) ?? 0,
    ...downloadUrl(shard, download),
  }));
  const said = toState(text(row['ClusterBackupStatus']));
  const isAvailable = text(row['IsAvail']) !== '0' && row['IsAvail'] !== false;
  return {
    id: text(row['ClusterBackupId']),
    mode,
    state: combined([
      said,
      ...shards.map((shard) => shard.state),
      ...(isAvailable ? [] : ['running' as const]),
    ]),
    ...times(row['ClusterBackupStartTime'], row['ClusterBackupEndTime']),
    shards,
  };
}

/** One failure fails the whole; the whole has succeeded when all have. */
function combined(states: readonly SourceBackup['state'][]): SourceBackup['state'] {
  if (states.includes('failed')) return 'failed';
  return states.every((state) => state === 'succeeded') ? 'succeeded' : 'running';
}

/** Jobs of one CreateBackup start together; a cluster's next backup cannot start before they have all ended. */
const SAME_BACKUP_WITHIN_MS = 10 * 60_000;

/**
 * Puts the rows of DescribeBackups together to backups, newest first. A standard instance's row is a backup. Of a
 * cluster, rows of one job belong together. Jobs with a single row belong together too (clusters bought before December
 * 2023 have one job for each shard) when they are of one mode, of different nodes, and started within ten minutes of
 * the first; a job with several rows is never mixed with another, so that no backup is patched up from two halves.
 * Of several rows for one node in one job (a shard that was tried again) the newest counts.
 */
export function groupRows(rows: readonly BackupRow[], isCluster: boolean): readonly SourceBackup[] {
  if (!isCluster) return rows.map((row) => toBackup([row])).sort(newestFirst);
  const byJob = new Map<string, BackupRow[]>();
  for (const row of rows) {
    const job = row.jobId === '' ? `row ${row.id}` : row.jobId;
    byJob.set(job, [...(byJob.get(job) ?? []), row]);
  }
  const jobs = [...byJob.values()].map(newestOfEachNode).sort((a, b) => startOf(a) - startOf(b));
  const groups: BackupRow[][] = [];
  for (const job of jobs) {
    const group = groups.find(
      (candidate) =>
        job.length === 1 &&
        new Set(candidate.map((row) => row.jobId)).size === candidate.length &&
        candidate[0]?.mode === job[0]?.mode &&
        startOf(job) - startOf(candidate) <= SAME_BACKUP_WITHIN_MS &&
        !job.some((row) => candidate.some((other) => other.node === row.node)),
    );
    if (group === undefined) groups.push([...job]);
    else group.push(...job);
  }
  return groups.map(toBackup).sort(newestFirst);
}

function newestOfEachNode(rows: readonly BackupRow[]): BackupRow[] {
  const newest = new Map<string, BackupRow>();
  for (const row of rows) {
    const known = newest.get(row.node);
    if (known === undefined || Date.parse(row.startedAt) >= Date.parse(known.startedAt))
      newest.set(row.node, row);
  }
  return [...newest.values()];
}

function startOf(rows: readonly BackupRow[]): number {
  return Math.min(...rows.map((row) => Date.parse(row.startedAt)));
}

function toBackup(rows: readonly BackupRow[]): SourceBackup {
  const state = combined(rows.map((row) => row.state));
  const ends = rows.map((row) => row.endedAt).filter((end) => end !== undefined);
  return {
    ids: rows.map((row) => row.id).sort(byNumber),
    jobIds: [...new Set(rows.map((row) => row.jobId).filter((id) => id !== ''))].sort(byNumber),
    mode: rows[0]?.mode ?? 'manual',
    state,
    startedAt: toInstant(startOf(rows)),
    ...(state === 'running' || ends.length === 0 ? {} : { endedAt: ends.sort().at(-1) ?? '' }),
    files: toFiles(rows),
  };
}

/**
 * The backups of a cloud-native cluster: its sets, with job ids and missing URLs from the rows of DescribeBackups,
 * which the service gives for most of them. Rows that are in no set are backups of their own; while there are sets, such
 * a backup waits for its set and is not finished before, because its set's id is what it will be found by later.
 */
export function mergeSets(sets: readonly ClusterSet[], rows: readonly BackupRow[]): readonly SourceBackup[] {
  const rowById = new Map(rows.map((row) => [row.id, row]));
  const inSets = new Set(sets.flatMap((set) => set.shards.map((shard) => shard.id)));
  const merged = sets.map((set): SourceBackup => {
    const shards = set.shards.map((shard) => {
      const row = rowById.get(shard.id);
      return {
        ...shard,
        jobId: row?.jobId ?? '',
        announcedBytes: shard.announcedBytes || (row?.announcedBytes ?? 0),
        ...(shard.url === undefined && row?.url !== undefined ? { url: row.url } : {}),
      };
    });
    return {
      ids: [set.id],
      jobIds: [...new Set(shards.map((shard) => shard.jobId).filter((id) => id !== ''))].sort(byNumber),
      mode: set.mode,
      state: set.state,
      startedAt: set.startedAt,
      ...(set.state === 'running' || set.endedAt === undefined ? {} : { endedAt: set.endedAt }),
      files: toFiles(shards),
    };
  });
  const alone = groupRows(
    rows.filter((row) => !inSets.has(row.id)),
    true,
  ).map((backup) =>
    sets.length > 0 && backup.state === 'succeeded' ? { ...backup, state: 'running' as const } : backup,
  );
  return [...merged, ...alone].sort(newestFirst);
}

/** Shards in the order of their nodes' numbers: `…-db-2` comes before `…-db-10`. */
function toFiles(rows: readonly BackupRow[]): readonly SourceFile[] {
  const ordered = [...rows].sort(
    (a, b) => nodeNumber(a.node) - nodeNumber(b.node) || a.node.localeCompare(b.node),
  );
  const names = new Set<string>();
  return ordered.map((row, shard) => {
    const own = fileName(row);
    const name = names.has(own) ? `${shard}-${own}` : own;
    names.add(name);
    return {
      shard,
      node: row.node,
      name,
      announcedBytes: row.announcedBytes,
      ...(row.url === undefined ? {} : { url: row.url }),
    };
  });
}

function nodeNumber(node: string): number {
  return Number(/(\d+)$/.exec(node)?.[1] ?? 0);
}

function fileName({ url, node, id }: BackupRow): string {
  const last = url === undefined ? '' : (new URL(url).pathname.split('/').at(-1) ?? '');
  const name = last.replaceAll(/%[0-9a-f]{2}|[^\w.-]/gi, '_').replace(/^\.+/, '');
  return name === '' ? `${node || 'node'}_${id}.rdb` : name;
}

function newestFirst(a: SourceBackup, b: SourceBackup): number {
  return Date.parse(b.startedAt) - Date.parse(a.startedAt);
}

function byNumber(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true });
}

export function nonsense(attempt: string, what: string, cause?: unknown): BackupError {
  return new BackupError('SERVICE_ERROR', `${attempt}: the service answered nonsense, ${what}`, {
    retryable: true,
    cause,
  });
}

function isJson(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
