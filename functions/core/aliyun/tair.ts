/**
 * Tair and Redis instances through the r-kvstore API. The SDK's request classes name the parameters and its client
 * knows the endpoints and signs; the answers are read by tair-answers.ts, because the SDK's casting throws on shapes
 * that the service really sends.
 */
import KvStore, * as kvstore from '@alicloud/r-kvstore20150101';
import { $OpenApiUtil, OpenApiUtil } from '@alicloud/openapi-core';
import { callerOf, type WhoAmI } from '../denials.ts';
import { BackupError, asBackupError, describe } from '../errors.ts';
import type {
  BackupJob,
  BackupPolicies,
  BackupPolicy,
  Instance,
  InstanceQuery,
  Source,
  SourceBackup,
  StartResult,
  TimeSpan,
} from '../source/source.ts';
import { PATIENT, retry, systemClock, type RetryClock, type RetryPolicy } from '../transfer/retry.ts';
import { fixedCredentials, type Credentials, type CredentialsProvider } from './credentials.ts';
import {
  NO_RUNTIME_OPTIONS,
  abandonOnAbort,
  openApiConfig,
  toCallFailure,
  type CallFailure,
} from './openapi.ts';
import {
  count,
  countDataNodes,
  groupRows,
  mergeSets,
  nonsense,
  parseAnswer,
  rowsOf,
  shardsOf,
  splitJobIds,
  text,
  toBackupPolicy,
  toBackupRow,
  toClusterSet,
  toInstance,
  toJob,
  toMinute,
  whyNoBackup,
  type BackupRow,
  type ClusterSet,
  type Download,
  type Json,
} from './tair-answers.ts';
import { TairFailure } from './tair-errors.ts';

export interface TairOptions {
  readonly credentials: CredentialsProvider;
  /** `http(s)://host:port` in place of the service's public addresses. */
  readonly endpoint?: string | undefined;
  /** Backups of this region's instances are downloaded from their internal addresses. */
  readonly internalIn?: string | undefined;
  /** How long one answer may take; 20 s if left out. */
  readonly readTimeoutMs?: number;
  readonly clock?: RetryClock;
  /** Whose credentials they are, for what an error says. */
  readonly whoAmI?: WhoAmI;
}

/** Any region's endpoint lists the regions; this one is central and serves both sites. */
export const HOME_REGION = 'cn-hangzhou';

/** The public address that the vendor's client uses for a region. */
export function tairAddress(region: string): string {
  const { _endpoint: host } = new KvStore(
    openApiConfig({ credentials: async () => ({ accessKeyId: '', accessKeySecret: '' }), region }),
  );
  return `https://${host}`;
}

/** What the API takes: ids in one DescribeInstances, tags in one, rows in a page of each list. */
const MAX_IDS = 30;
const MAX_TAGS = 5;
const INSTANCES_PER_PAGE = 50;
const BACKUPS_PER_PAGE = 300;
const SETS_PER_PAGE = 50;

/** A list that does not end by then is not a list: 1000 pages are 50 000 instances of one region. */
const MAX_PAGES = 1000;

/** A fleet that changes while its pages are read is read again, at most so often. */
const MAX_LISTINGS = 3;

/**
 * CreateBackup is sent again only when it was refused before it was looked at. The whole of it ends well before
 * obtain-backup.ts gives up looking for a backup that nobody has seen start.
 */
const START_POLICY: RetryPolicy = { attempts: 6, firstDelayMs: 500, maxDelayMs: 8_000, totalMs: 30_000 };

/** Which timestamp DescribeBackups filters is not documented: a backup that started in the span may end a day later. */
const SPAN_PADDING_BEFORE_MS = 2 * 60_000;
const SPAN_PADDING_AFTER_MS = 24 * 3600_000;

export type TairSource = Source & BackupPolicies;

export function createTairSource(options: TairOptions): TairSource {
  const clients = new Map<string, KvStore>();
  /** Clusters that are known not to be cloud-native; a closure of one invocation, so it cannot go stale for long. */
  const classic = new Set<string>();

  function client(region: string, credentials: Credentials): KvStore {
    const key = `${region} ${credentials.accessKeyId}`;
    const known = clients.get(key);
    if (known !== undefined) return known;
    const created = new KvStore(
      openApiConfig({ ...options, credentials: fixedCredentials(credentials), region }),
    );
    clients.set(key, created);
    return created;
  }

  /**
   * One request, its answer as JSON. Throws a TairFailure. A session that is refused as ended
   * is renewed, and the request sent once more: it was turned away at the door, so also a CreateBackup may be.
   */
  async function send(call: Call, signal: AbortSignal): Promise<Json> {
    const credentials = await credentialsFor(call, undefined, signal);
    try {
      return await sendAs(credentials, call, signal);
    } catch (error) {
      if (!(error instanceof TairFailure) || !SESSION_OVER.test(error.serviceCode)) throw error;
      const renewed = await credentialsFor(call, credentials, signal);
      if (renewed.accessKeyId === credentials.accessKeyId) throw error;
      return sendAs(renewed, call, signal);
    }
  }

  async function credentialsFor(
    call: Call,
    refused: Credentials | undefined,
    signal: AbortSignal,
  ): Promise<Credentials> {
    try {
      return await abandonOnAbort(options.credentials(refused), signal);
    } catch (error) {
      const known = asBackupError(error);
      if (signal.aborted || !known.retryable) throw known;
      throw failureOf(call, { kind: 'unsent', reason: describe(known) });
    }
  }

  async function sendAs(credentials: Credentials, call: Call, signal: AbortSignal): Promise<Json> {
    const { region, action, parameters, method = 'POST' } = call;
    const params = new $OpenApiUtil.Params({
      action,
      version: '2015-01-01',
      protocol: 'HTTPS',
      pathname: '/',
      method,
      authType: 'AK',
      style: 'RPC',
      reqBodyType: 'formData',
      bodyType: 'string',
    });
    // The vendor's own tools send RegionId with every action; the SDK's request classes lack it for some.
    const query = OpenApiUtil.query({ RegionId: region, ...parameters });
    const request = new $OpenApiUtil.OpenApiRequest({ query });
    let answer: Record<string, unknown>;
    try {
      const calling = client(region, credentials).callApi(params, request, NO_RUNTIME_OPTIONS);
      answer = await abandonOnAbort(calling, signal);
    } catch (error) {
      if (error instanceof BackupError) throw error;
      throw await namedFailure(call, toCallFailure(error));
    }
    return parseAnswer(text(answer['body']), attemptOf(call));
  }

  /** Where a right is missing, with the name of who lacks it. */
  async function namedFailure(call: Call, failure: CallFailure): Promise<TairFailure> {
    const nameless = failureOf(call, failure);
    const caller = await callerOf(nameless, options.whoAmI);
    return caller === undefined ? nameless : failureOf(call, failure, caller);
  }

  /** A question is safe to repeat, also when its answer cannot be read. */
  async function ask<T>(call: Call, read: (answer: Json) => T, signal: AbortSignal): Promise<T> {
    return retry(async () => read(await send(call, signal)), PATIENT, signal, options.clock ?? systemClock);
  }

  /** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeregions-redis */
  async function listRegions(signal: AbortSignal): Promise<readonly string[]> {
    const parameters = new kvstore.DescribeRegionsRequest({ acceptLanguage: 'en-US' }).toMap();
    return ask(
      { region: HOME_REGION, action: 'DescribeRegions', parameters },
      (answer) => {
        const rows = rowsOf(answer, 'RegionIds', 'KVStoreRegion', 'DescribeRegions');
        // The service lists a region once for each of its zones.
        const ids = [...new Set(rows.map((row) => text(row['RegionId'])).filter((id) => id !== ''))];
        // Taken at its word, "all regions" would be none, and nothing would be forgotten so thoroughly.
        if (ids.length === 0) throw nonsense('DescribeRegions', 'no region at all');
        return ids;
      },
      signal,
    );
  }

  async function* listInstances(query: InstanceQuery, signal: AbortSignal): AsyncGenerator<Instance> {
    const chunks = query.ids === undefined ? [undefined] : chunked(query.ids, MAX_IDS);
    const seen = new Set<string>();
    for (const ids of chunks) {
      for (const row of await listRows(query, ids, signal)) {
        const id = text(row['InstanceId']);
        if (id === '' || seen.has(id)) continue;
        seen.add(id);
        if (!answers(toInstance(row, query.region), row, ids, query)) continue;
        const instance = await complete(row, query.region, signal);
        if (instance !== undefined) yield instance;
      }
    }
  }

  /** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeinstances-redis */
  async function listRows(
    query: InstanceQuery,
    ids: readonly string[] | undefined,
    signal: AbortSignal,
  ): Promise<readonly Json[]> {
    const { region, tags = {}, resourceGroup } = query;
    const list: PagedList = {
      call: (pageNumber) => {
        const parameters = new kvstore.DescribeInstancesRequest({
          regionId: region,
          pageSize: INSTANCES_PER_PAGE,
          pageNumber,
          ...(ids === undefined ? {} : { instanceIds: ids.join(',') }),
          ...(resourceGroup === undefined ? {} : { resourceGroupId: resourceGroup }),
          tag: Object.entries(tags)
            .slice(0, MAX_TAGS)
            .map(([key, value]) => new kvstore.DescribeInstancesRequestTag({ key, value })),
        }).toMap();
        return { region, action: 'DescribeInstances', parameters };
      },
      list: 'Instances',
      wrapped: 'KVStoreInstance',
      keyOf: (row) => text(row['InstanceId']),
    };
    // An id that does not exist is left out by the service, or makes it refuse the whole list.
    const rows = await unlessRefused(listAll(list, signal), ids);
    if (rows !== undefined) return rows;
    return ids === undefined || ids.length === 1 ? [] : oneByOne(query, ids, signal);
  }

  /** All rows of a list; reads it again when rows came or went between two pages, for one may have slipped through. */
  async function listAll(list: PagedList, signal: AbortSignal): Promise<readonly Json[]> {
    const all = new Map<string, Json>();
    for (let listing = 1; ; listing++) {
      const { rows, total, isSteady } = await listOnce(list, signal);
      for (const [key, row] of rows) all.set(key, row);
      if (isSteady || (listing === MAX_LISTINGS && all.size >= total)) return [...all.values()];
      if (listing < MAX_LISTINGS) continue;
      const { action, region, instanceId = region } = list.call(1);
      throw nonsense(`${action} for ${instanceId}`, `${all.size} rows of ${total}`);
    }
  }

  /**
   * Ends when as many different rows are there as the service counts, or with a page that brings nothing new. How many
   * rows are on a page is the service's business: it may give less than it is asked for, or the same page for ever.
   */
  async function listOnce({ call, list, wrapped, keyOf }: PagedList, signal: AbortSignal): Promise<Listing> {
    const rows = new Map<string, Json>();
    const totals = new Set<number | undefined>();
    for (let number = 1; number <= MAX_PAGES; number++) {
      const page = call(number);
      const { rows: found, total } = await ask(page, (answer) => toPage(answer, list, wrapped, page), signal);
      const known = rows.size;
      for (const row of found) rows.set(keyOf(row), row);
      totals.add(total);
      if (rows.size === total || rows.size === known) {
        const isSteady = totals.size === 1 && (total === undefined || rows.size >= total);
        return { rows, total: total ?? rows.size, isSteady };
      }
    }
    const { action, region, instanceId = region } = call(1);
    throw nonsense(`${action} for ${instanceId}`, `a list of more than ${MAX_PAGES} pages`);
  }

  /** Undefined when the service refuses the ids that were asked for. */
  async function unlessRefused<T>(
    asking: Promise<T>,
    ids: readonly string[] | undefined,
  ): Promise<T | undefined> {
    try {
      return await asking;
    } catch (error) {
      if (ids !== undefined && asBackupError(error).code === 'INSTANCE_NOT_FOUND') return undefined;
      throw error;
    }
  }

  async function oneByOne(
    query: InstanceQuery,
    ids: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly Json[]> {
    const rows: Json[] = [];
    for (const id of ids) rows.push(...(await listRows(query, [id], signal)));
    return rows;
  }

  /**
   * The list leaves two things open: the number of shards of some classic clusters, and whether an Enterprise instance
   * of a class with no telling name keeps its data on disk. For those alone the instance's attributes are asked for.
   */
  async function complete(row: Json, region: string, signal: AbortSignal): Promise<Instance | undefined> {
    const instance = toInstance(row, region);
    const isDiskUnclear =
      /^tair/i.test(instance.engine) && !/^(tair\.(rdb|scm|essd)|redis\.)/i.test(text(row['InstanceClass']));
    if (instance.noBackup !== undefined || (instance.shards > 0 && !isDiskUnclear)) return instance;
    const attributes = await describeAttributes(instance, signal);
    if (attributes === undefined) return undefined;
    const noBackup = whyNoBackup(attributes);
    return {
      ...instance,
      shards:
        instance.shards > 0 ? instance.shards : shardsOf(attributes) || (await countShards(instance, signal)),
      ...(noBackup === undefined ? {} : { noBackup }),
    };
  }

  /** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeinstanceattribute-redis */
  async function describeAttributes(
    { region, id }: Instance,
    signal: AbortSignal,
  ): Promise<Json | undefined> {
    const parameters = new kvstore.DescribeInstanceAttributeRequest({ instanceId: id }).toMap();
    const call = { region, action: 'DescribeInstanceAttribute', parameters, instanceId: id };
    const read = (answer: Json): Page => toPage(answer, 'Instances', 'DBInstanceAttribute', call);
    try {
      return (await unlessRefused(ask(call, read, signal), [id]))?.rows[0];
    } catch (error) {
      // One odd instance must not cost a whole region its list: what stays unknown is refused later, by name.
      if (asBackupError(error).code !== 'PERMISSION_DENIED') throw error;
      return {};
    }
  }

  /**
   * The topology of a classic cluster names its shards. 0 when it does not: obtain-backup.ts then refuses, because
   * nothing could prove that a backup of it is whole.
   * https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describelogicinstancetopology-redis
   */
  async function countShards({ region, id }: Instance, signal: AbortSignal): Promise<number> {
    const parameters = new kvstore.DescribeLogicInstanceTopologyRequest({ instanceId: id }).toMap();
    const call = { region, action: 'DescribeLogicInstanceTopology', parameters, instanceId: id };
    try {
      const { rows } = await ask(
        call,
        (answer) => toPage(answer, 'RedisShardList', 'NodeInfo', call),
        signal,
      );
      return countDataNodes(rows);
    } catch (error) {
      if (isTransient(error) && asBackupError(error).code !== 'PERMISSION_DENIED') throw error;
      return 0;
    }
  }

  async function getInstance(region: string, id: string, signal: AbortSignal): Promise<Instance | undefined> {
    for await (const instance of listInstances({ region, ids: [id] }, signal))
      if (instance.id === id) return instance;
    return undefined;
  }

  /** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-createbackup-redis */
  async function startBackup({ region, id }: Instance, signal: AbortSignal): Promise<StartResult> {
    const parameters = new kvstore.CreateBackupRequest({ instanceId: id }).toMap();
    const call = { region, action: 'CreateBackup', parameters, instanceId: id };
    const attempt = async (): Promise<StartResult | BackupError> => {
      try {
        const answer = await send(call, signal);
        const jobIds = splitJobIds(answer['BackupJobID'] ?? answer['BackupJobId']);
        return jobIds.length > 0
          ? { kind: 'started', jobIds }
          : { kind: 'unknown', reason: 'the answer names no job' };
      } catch (error) {
        return toStartResult(error);
      }
    };
    const result = await retry(attempt, START_POLICY, signal, options.clock ?? systemClock);
    if (result instanceof BackupError) throw result;
    return result;
  }

  async function listJobs({ region, id }: Instance, signal: AbortSignal): Promise<readonly BackupJob[]> {
    const parameters = new kvstore.DescribeBackupTasksRequest({ instanceId: id }).toMap();
    const call = { region, action: 'DescribeBackupTasks', parameters, instanceId: id };
    const read = (answer: Json): readonly Json[] => {
      // Jobs only hint at progress and vanish by themselves: an answer without any is an empty list.
      if (answer['BackupJobs'] === undefined && text(answer['RequestId']) !== '') return [];
      return toPage(answer, 'BackupJobs', 'BackupJob', call).rows;
    };
    return (await ask(call, read, signal)).map(toJob);
  }

  async function listBackups(
    instance: Instance,
    span: TimeSpan,
    signal: AbortSignal,
  ): Promise<readonly SourceBackup[]> {
    const startsWithin = ({ startedAt }: { readonly startedAt: string }): boolean =>
      Date.parse(startedAt) >= Date.parse(span.from) && Date.parse(startedAt) < Date.parse(span.to);
    if (instance.architecture !== 'cluster') {
      const rows = await listBackupRows(instance, span, signal);
      return groupRows(rows, false).filter(startsWithin);
    }
    const sets = await listClusterSets(instance, span, signal);
    const rows = await listBackupRows(instance, span, signal).catch((error: unknown) => {
      // The documentation says that this list is not for cloud-native clusters; in practice it answers.
      if (sets === undefined || isTransient(error)) throw error;
      return [];
    });
    const backups = sets === undefined ? groupRows(rows, true) : mergeSets(sets, rows);
    return backups.filter(startsWithin);
  }

  const downloadOf = ({ region }: Instance): Download =>
    region === options.internalIn ? 'internal' : 'public';

  async function listBackupRows(
    instance: Instance,
    span: TimeSpan,
    signal: AbortSignal,
  ): Promise<readonly BackupRow[]> {
    const rows = await listAll(
      {
        call: (pageNumber) => {
          const parameters = new kvstore.DescribeBackupsRequest({
            instanceId: instance.id,
            ...padded(span),
            pageSize: BACKUPS_PER_PAGE,
            pageNumber,
          }).toMap();
          const { region, id: instanceId } = instance;
          return { region, action: 'DescribeBackups', parameters, instanceId };
        },
        list: 'Backups',
        wrapped: 'Backup',
        // Of a cluster, nobody promises that its nodes' rows have ids of their own.
        keyOf: (row) => `${text(row['BackupId'])} ${text(row['NodeInstanceId'])}`,
      },
      signal,
    );
    return rows.map((row) => toBackupRow(row, downloadOf(instance))).filter((row) => row !== undefined);
  }

  /**
   * Undefined when the cluster is a classic one: the service then answers that it is not a cluster, or with an empty
   * list. GET only, no total: the last page is the first that is not full.
   * https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describeclusterbackuplist-redis
   */
  async function listClusterSets(
    instance: Instance,
    span: TimeSpan,
    signal: AbortSignal,
  ): Promise<readonly ClusterSet[] | undefined> {
    const place = `${instance.region}/${instance.id}`;
    if (classic.has(place)) return undefined;
    const attempt = `DescribeClusterBackupList for ${instance.id}`;
    const sets = new Map<string, ClusterSet>();
    for (let number = 1; number <= MAX_PAGES; number++) {
      const parameters = new kvstore.DescribeClusterBackupListRequest({
        regionId: instance.region,
        instanceId: instance.id,
        ...padded(span),
        pageSize: SETS_PER_PAGE,
        pageNumber: number,
      }).toMap();
      const call: Call = {
        region: instance.region,
        action: 'DescribeClusterBackupList',
        parameters,
        instanceId: instance.id,
        method: 'GET',
      };
      let found: readonly ClusterSet[];
      let perPage = SETS_PER_PAGE;
      const read = (answer: Json): readonly ClusterSet[] => {
        // The service may put fewer on a page than it was asked for; then it says how many.
        perPage = Math.min(SETS_PER_PAGE, count(answer['PageSize']) || SETS_PER_PAGE);
        const { rows } = toPage(answer, 'ClusterBackups', 'ClusterBackup', call);
        return rows.map((row) => toClusterSet(row, attempt, downloadOf(instance)));
      };
      try {
        found = await ask(call, read, signal);
      } catch (error) {
        if (!(error instanceof TairFailure) || !/InvalidClusterInstance/i.test(error.serviceCode))
          throw error;
        classic.add(place);
        return undefined;
      }
      const known = sets.size;
      for (const set of found) sets.set(set.id, set);
      // A service that ignores the page number would give the first page for ever.
      if (found.length < perPage || sets.size === known) return [...sets.values()];
    }
    throw nonsense(attempt, `a list of more than ${MAX_PAGES} pages`);
  }

  /** https://help.aliyun.com/zh/redis/developer-reference/api-r-kvstore-2015-01-01-describebackuppolicy-redis */
  async function backupPolicy({ region, id }: Instance, signal: AbortSignal): Promise<BackupPolicy> {
    const parameters = new kvstore.DescribeBackupPolicyRequest({ instanceId: id }).toMap();
    return ask(
      { region, action: 'DescribeBackupPolicy', parameters, instanceId: id },
      toBackupPolicy,
      signal,
    );
  }

  return { listRegions, listInstances, getInstance, startBackup, listJobs, listBackups, backupPolicy };
}

/** What a gateway says of a session that has ended or was revoked. */
const SESSION_OVER = /^(InvalidSecurityToken|InvalidAccessKeyId)/i;

function failureOf(call: Call, failure: CallFailure, caller?: string): TairFailure {
  return new TairFailure(failure, attemptOf(call), call.action, call.region, call.instanceId, caller);
}

function attemptOf({ action, region, instanceId }: Call): string {
  return `${action} in ${region}${instanceId === undefined ? '' : ` for ${instanceId}`}`;
}

interface Page {
  readonly rows: readonly Json[];
  /** Rows on all pages; undefined where the service does not count. */
  readonly total: number | undefined;
}

function toPage(answer: Json, list: string, wrapped: string, { action, region, instanceId }: Call): Page {
  const rows = rowsOf(answer, list, wrapped, `${action} for ${instanceId ?? region}`);
  return { rows, total: count(answer['TotalCount']) };
}

interface PagedList {
  /** Of a page, counted from 1. */
  readonly call: (pageNumber: number) => Call;
  readonly list: string;
  readonly wrapped: string;
  /** By which two rows are the same. */
  readonly keyOf: (row: Json) => string;
}

interface Listing {
  readonly rows: ReadonlyMap<string, Json>;
  /** As the service counts them. */
  readonly total: number;
  /** The count was the same on each page, and there are as many different rows. */
  readonly isSteady: boolean;
}

interface Call {
  readonly region: string;
  readonly action: string;
  /** By their names on the wire. */
  readonly parameters: Record<string, unknown>;
  readonly method?: 'GET' | 'POST';
  /** For messages. */
  readonly instanceId?: string;
}

/**
 * What a failed CreateBackup means. Thrown, and so sent again, are throttling and requests that never got a
 * connection; other refusals are returned as errors. Everything after which a backup may be running is `unknown`.
 */
function toStartResult(error: unknown): StartResult | BackupError {
  const known = asBackupError(error);
  if (!(known instanceof TairFailure))
    return known.code === 'SERVICE_ERROR' ? { kind: 'unknown', reason: describe(known) } : known;
  if (known.serviceCode === 'BackupJobExists') return { kind: 'already-running' };
  if (known.code === 'THROTTLED' || known.failure.kind === 'unsent') throw known;
  const mayHaveStarted =
    known.failure.kind === 'unanswered' || (known.code === 'SERVICE_ERROR' && known.retryable);
  return mayHaveStarted ? { kind: 'unknown', reason: describe(known) } : known;
}

function isTransient(error: unknown): boolean {
  const { code, retryable } = asBackupError(error);
  return retryable || code === 'PERMISSION_DENIED' || code === 'INTERRUPTED' || code === 'DEADLINE_NEAR';
}

function padded({ from, to }: TimeSpan): { readonly startTime: string; readonly endTime: string } {
  return {
    startTime: toMinute(Date.parse(from) - SPAN_PADDING_BEFORE_MS),
    endTime: toMinute(Date.parse(to) + SPAN_PADDING_AFTER_MS),
  };
}

/**
 * Is this row what was asked for? The service filters, but by no more tags than one request takes, and what it was
 * asked for is checked on every row that shows it: a filter that is ignored must not widen a plan to a whole region.
 */
function answers(
  { id, tags, resourceGroup }: Instance,
  row: Json,
  ids: readonly string[] | undefined,
  query: InstanceQuery,
): boolean {
  if (ids !== undefined && !ids.includes(id)) return false;
  if (
    query.resourceGroup !== undefined &&
    resourceGroup !== undefined &&
    resourceGroup !== query.resourceGroup
  )
    return false;
  const wanted = Object.entries(query.tags ?? {});
  if (row['Tags'] === undefined && wanted.length <= MAX_TAGS) return true;
  return wanted.every(([key, value]) => tags[key] === value);
}

function chunked<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  const unique = [...new Set(items)];
  return Array.from({ length: Math.ceil(unique.length / size) }, (_, index) =>
    unique.slice(index * size, (index + 1) * size),
  );
}
