import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CredentialsProvider } from '../../functions/core/aliyun/credentials.ts';
import { createTairSource, type TairSource } from '../../functions/core/aliyun/tair.ts';
import { toInstant } from '../../functions/core/clock.ts';
import { BackupError } from '../../functions/core/errors.ts';
import type { BackupPolicy } from '../../functions/core/source/source.ts';
import type { Effect, FaultScript } from '../../emulator/faults.ts';
import type { Role, Session } from '../../emulator/identity.ts';
import type { InstanceSpec } from '../../emulator/world.ts';
import { CONTRACT_INSTANCES, STAGED, testSource } from '../contracts/source.ts';
import { startTair, type RunningTair } from '../emulator/tair/start-tair.ts';

const { signal } = new AbortController();
const REGION = 'cn-hangzhou';

/** Waits between tries do not matter here, their number does. */
const HURRIED = { now: () => Date.now(), sleep: async () => undefined, random: () => 0 };

let folder: string;
let rdbFile: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-source-'));
  rdbFile = join(folder, 'shard.rdb');
  await writeFile(rdbFile, 'REDIS0011 not looked at here');
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** Instances made of files: no servers are needed to list and to start. */
const fromFiles = (spec: Omit<InstanceSpec, 'region' | 'rdbFiles'>): InstanceSpec => ({
  region: REGION,
  ...spec,
  rdbFiles: Array.from({ length: spec.shards ?? 1 }, () => rdbFile),
});

const sourceOf = ({ world, accessKey }: RunningTair, readTimeoutMs?: number): TairSource =>
  createTairSource({
    credentials: async () => accessKey,
    endpoint: world.endpoints.tair,
    clock: HURRIED,
    ...(readTimeoutMs === undefined ? {} : { readTimeoutMs }),
  });

for (const nonClusterBackupList of ['empty', 'error'] as const) {
  testSource(`Tair, which says "${nonClusterBackupList}" of classic clusters,`, async () => {
    const running = await startTair(CONTRACT_INSTANCES.map(fromFiles), {
      nonClusterBackupList,
      listsRunningBackups: nonClusterBackupList === 'error',
    });
    return {
      source: sourceOf(running),
      region: REGION,
      instances: STAGED,
      now: () => running.world.clock.now(),
      hold: (id) => running.tair.holdBackup(id),
      failNext: (id) => running.tair.failNextBackup(id),
      setStatus: (id, status) => running.tair.setStatus(id, status),
      exhaustQuota: () => {
        running.tair.options.manualBackupsPerDay = 0;
      },
      close: async () => running.stop(),
    };
  });
}

describe('Tair', () => {
  let running: RunningTair;
  let source: TairSource;
  beforeEach(async () => {
    running = await startTair([fromFiles({ id: 'r-one' }), fromFiles({ id: 'r-two', tags: { team: 'a' } })]);
    source = sourceOf(running);
  });
  afterEach(async () => running.stop());

  const spoil = (action: string, effect: Effect, more: Partial<FaultScript> = {}): void =>
    void running.world.faults.add({ service: 'tair', action, effect, ...more });
  const calls = (action: string): number => running.world.journal.entries({ service: 'tair', action }).length;
  const one = async () => {
    const found = await source.getInstance(REGION, 'r-one', signal);
    if (found === undefined) throw new Error('no instance');
    return found;
  };
  const anyTime = { from: toInstant(0), to: toInstant(Date.parse('2100-01-01T00:00:00Z')) };

  describe('when CreateBackup goes wrong', () => {
    it.each<[string, Effect]>([
      ['its answer is lost after the backup has started', { kind: 'lose-answer' }],
      ['the connection breaks before anything is done', { kind: 'reset' }],
      ['the service fails', { kind: 'error', status: 500, code: 'InternalError' }],
      ['the service is unavailable', { kind: 'error', status: 503, code: 'ServiceUnavailable' }],
      ['a gateway answers with a page', { kind: 'reply', status: 502, body: '<html>502 Bad Gateway</html>' }],
      ['a gateway answers 200 with a page', { kind: 'reply', status: 200, body: '<html>login</html>' }],
      ['the answer names no job', { kind: 'reply', status: 200, body: '{"RequestId":"1"}' }],
      ['the answer never comes', { kind: 'stall' }],
    ])('sends it once and does not know, when %s', async (_what, effect) => {
      const instance = await one();
      spoil('CreateBackup', effect);
      const impatient = sourceOf(running, 300);

      expect(await impatient.startBackup(instance, signal)).toMatchObject({ kind: 'unknown' });
      expect(calls('CreateBackup')).toBe(1);
    });

    it.each([
      ['Throttling', 400],
      ['Throttling.User', 400],
      ['Rejected.Throttling', 429],
      ['Throttling.Api', 503],
    ])('sends it again when it was refused with %s before anybody looked at it', async (code, status) => {
      const instance = await one();
      spoil('CreateBackup', { kind: 'error', status, code }, { times: 2 });

      expect(await source.startBackup(instance, signal)).toMatchObject({ kind: 'started' });
      expect(calls('CreateBackup')).toBe(3);
      expect(running.tair.backups('r-one')).toHaveLength(1);
    });

    it('gives up on throttling that does not end', async () => {
      const instance = await one();
      spoil('CreateBackup', { kind: 'error', status: 400, code: 'Throttling.User' }, { times: -1 });

      await expect(source.startBackup(instance, signal)).rejects.toMatchObject({
        code: 'THROTTLED',
        retryable: true,
      });
      expect(calls('CreateBackup')).toBeLessThan(10);
    });

    it('names the missing permission', async () => {
      const instance = await one();
      spoil('CreateBackup', {
        kind: 'error',
        status: 403,
        code: 'Forbidden.RAM',
        message: 'User not authorized',
      });

      await expect(source.startBackup(instance, signal)).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
        retryable: false,
        hint: 'allow kvstore:CreateBackup on acs:kvstore:cn-hangzhou:*:instance/r-one',
        details: { serviceCode: 'Forbidden.RAM', status: 403, instanceId: 'r-one' },
      });
    });

    it('says that nothing was sent when nobody listens', async () => {
      const instance = await one();
      const nowhere = createTairSource({
        credentials: async () => running.accessKey,
        endpoint: 'http://127.0.0.1:1',
        clock: HURRIED,
      });

      await expect(nowhere.startBackup(instance, signal)).rejects.toMatchObject({
        code: 'SERVICE_ERROR',
        retryable: true,
      });
    });

    it('does not wait for the answer when it is told to stop', async () => {
      const instance = await one();
      spoil('CreateBackup', { kind: 'stall' });
      const stop = new AbortController();

      const starting = source.startBackup(instance, stop.signal);
      stop.abort();

      await expect(starting).rejects.toMatchObject({ code: 'INTERRUPTED' });
    });
  });

  describe('when a list goes wrong', () => {
    it.each<[string, Effect]>([
      ['throttling', { kind: 'error', status: 400, code: 'Throttling.User' }],
      ['a 500', { kind: 'error', status: 500, code: 'InternalError' }],
      ['a broken connection', { kind: 'reset' }],
      ['a page of a gateway', { kind: 'reply', status: 502, body: '<html>502 Bad Gateway</html>' }],
      ['an answer without the list', { kind: 'reply', status: 200, body: '{"RequestId":"1"}' }],
      ['an answer cut short', { kind: 'short', bytes: 40 }],
    ])('asks again after %s', async (_what, effect) => {
      spoil('DescribeInstances', effect, { times: 2 });

      expect((await one()).id).toBe('r-one');
      expect(calls('DescribeInstances')).toBe(3);
    });

    it('throws, and never takes nonsense for an empty list', async () => {
      spoil('DescribeInstances', { kind: 'reply', status: 200, body: '{"TotalCount":0}' }, { times: -1 });

      await expect(source.getInstance(REGION, 'r-one', signal)).rejects.toMatchObject({
        code: 'SERVICE_ERROR',
      });
    });

    it('names an unknown region', async () => {
      await expect(source.getInstance('cn-atlantis', 'r-one', signal)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        hint: expect.stringContaining('cn-atlantis') as string,
      });
    });

    it('leaves no key, token or signature in an error', async () => {
      const wrong = createTairSource({
        credentials: async () => ({ ...running.accessKey, accessKeySecret: 'not-the-secret' }),
        endpoint: running.world.endpoints.tair,
        clock: HURRIED,
      });

      const error = await wrong.getInstance(REGION, 'r-one', signal).catch((thrown: unknown) => thrown);

      expect(error).toMatchObject({ code: 'PERMISSION_DENIED' });
      expect(JSON.stringify(error)).not.toContain(running.accessKey.accessKeyId);
      expect(String(error)).not.toContain(running.accessKey.accessKeyId);
    });
  });

  describe('when its session is refused as ended', () => {
    const sessions = (): { readonly role: Role; readonly issue: () => Session } => {
      const { identity, accountId } = running.world;
      const role = identity.addRole({ accountId, name: 'source', trusts: [], allow: ['kvstore:*'] });
      return { role, issue: () => identity.issue(role, 'tairlift', 3600) };
    };
    const sourceWith = (credentials: CredentialsProvider): TairSource =>
      createTairSource({ credentials, endpoint: running.world.endpoints.tair, clock: HURRIED });

    it('asks for another one and sends once more, also CreateBackup', async () => {
      const { issue } = sessions();
      let session = issue();
      const refused: (string | undefined)[] = [];
      const renewing = sourceWith(async (old) => {
        refused.push(old?.accessKeyId);
        return old?.accessKeyId === session.accessKeyId ? (session = issue()) : session;
      });
      const instance = await one();
      const ended = session.accessKeyId;
      running.world.identity.expire(ended);

      expect(await renewing.startBackup(instance, signal)).toMatchObject({ kind: 'started' });
      expect(refused).toEqual([undefined, ended]);
      expect(running.tair.backups('r-one')).toHaveLength(1);
    });

    it('says so when there is no other', async () => {
      const { issue } = sessions();
      const session = issue();
      const only = sourceWith(async () => session);
      running.world.identity.expire(session.accessKeyId);

      await expect(only.getInstance(REGION, 'r-one', signal)).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
        hint: expect.stringContaining('whether their token has expired') as string,
      });
      expect(calls('DescribeInstances')).toBe(1);
    });

    it('has sent nothing when no session can be had, so that CreateBackup is tried again', async () => {
      const { issue } = sessions();
      const instance = await one();
      let failures = 2;
      const slow = sourceWith(async () => {
        if (failures-- > 0) throw new BackupError('SERVICE_ERROR', 'assume role: 503', { retryable: true });
        return issue();
      });

      expect(await slow.startBackup(instance, signal)).toMatchObject({ kind: 'started' });
      expect(running.tair.backups('r-one')).toHaveLength(1);
    });
  });

  it('takes no row that it has not asked for, when the service ignores a filter', async () => {
    const rows = [
      { InstanceId: 'r-one', ResourceGroupId: 'rg-shop', Tags: { Tag: [{ Key: 'a', Value: 'b' }] } },
      { InstanceId: 'r-two', ResourceGroupId: 'rg-else', Tags: { Tag: [{ Key: 'a', Value: 'c' }] } },
    ];
    const body = JSON.stringify({ RequestId: '1', TotalCount: 2, Instances: { KVStoreInstance: rows } });
    spoil('DescribeInstances', { kind: 'reply', status: 200, body }, { times: -1 });

    for (const filter of [{ ids: ['r-one', 'r-gone'] }, { resourceGroup: 'rg-shop' }, { tags: { a: 'b' } }]) {
      const found: string[] = [];
      for await (const { id } of source.listInstances({ region: REGION, ...filter }, signal)) found.push(id);
      expect({ filter, found }).toEqual({ filter, found: ['r-one'] });
    }
  });

  it('never takes an empty list of regions for all of them', async () => {
    spoil('DescribeRegions', {
      kind: 'reply',
      status: 200,
      body: '{"RequestId":"1","RegionIds":{"KVStoreRegion":[]}}',
    });

    expect(await source.listRegions(signal)).toContain(REGION);
    expect(calls('DescribeRegions')).toBe(2);
  });

  describe('when there is more than one page', () => {
    it('lists all instances, and by any number of ids', async () => {
      for (let index = 0; index < 118; index++)
        await running.tair.addInstance(fromFiles({ id: `r-many-${index}` }));
      const list = async (ids?: readonly string[]): Promise<ReadonlySet<string>> => {
        const found = new Set<string>();
        for await (const { id } of source.listInstances(
          { region: REGION, ...(ids === undefined ? {} : { ids }) },
          signal,
        ))
          found.add(id);
        return found;
      };

      expect((await list()).size).toBe(120);
      expect(calls('DescribeInstances')).toBe(3);
      const ids = Array.from({ length: 95 }, (_, index) => `r-many-${index}`);
      expect(await list([...ids, 'r-gone'])).toEqual(new Set(ids));
    });

    it('lists more backups than a page holds', async () => {
      const instance = await one();
      const hour = 3600_000;
      const first = running.world.clock.now() - 400 * hour;
      for (let index = 0; index < 310; index++)
        await running.tair.plantBackup('r-one', { startedAt: first + index * hour, files: [rdbFile] });

      expect(await source.listBackups(instance, anyTime, signal)).toHaveLength(310);
      expect(calls('DescribeBackups')).toBe(2);
    }, 120_000);
  });

  describe('when pages are not what they should be', () => {
    const page = (total: number | undefined, ...ids: string[]): Effect => ({
      kind: 'reply',
      status: 200,
      body: JSON.stringify({
        RequestId: '1',
        ...(total === undefined ? {} : { TotalCount: total }),
        Instances: { KVStoreInstance: ids.map((id) => ({ InstanceId: id, InstanceStatus: 'Normal' })) },
      }),
    });
    const list = async (): Promise<readonly string[]> => {
      const ids: string[] = [];
      for await (const { id } of source.listInstances({ region: REGION }, signal)) ids.push(id);
      return ids;
    };

    it.each<[string, readonly Effect[]]>([
      ['has fewer rows than were asked for', [page(3, 'r-a', 'r-b'), page(3, 'r-c')]],
      ['counts too few', [page(1, 'r-a', 'r-b'), page(1, 'r-c'), page(1)]],
      ['counts none at all', [page(undefined, 'r-a', 'r-b'), page(undefined, 'r-c'), page(undefined)]],
      [
        'is shifted by an instance that came in between',
        [page(2, 'r-b'), page(3, 'r-b'), page(3, 'r-b'), page(3, 'r-a', 'r-b', 'r-c')],
      ],
    ])('reads every instance when a page %s', async (_what, pages) => {
      for (const effect of pages) spoil('DescribeInstances', effect);

      expect([...(await list())].sort()).toEqual(['r-a', 'r-b', 'r-c']);
    });

    it('throws when the same page comes again and again, and never takes it for all there is', async () => {
      spoil('DescribeInstances', page(100, ...Array.from({ length: 50 }, (_, index) => `r-${index}`)), {
        times: -1,
      });

      await expect(list()).rejects.toMatchObject({
        code: 'SERVICE_ERROR',
        retryable: true,
        message: expect.stringContaining('50 rows of 100') as string,
      });
    });

    it('throws when backups are missing from the pages of their list', async () => {
      const instance = await one();
      const row = { BackupId: 1, BackupStartTime: '2026-01-01T00:00:00Z', BackupStatus: 'Success' };
      const body = JSON.stringify({ RequestId: '1', TotalCount: 2, Backups: { Backup: [row] } });
      spoil('DescribeBackups', { kind: 'reply', status: 200, body }, { times: -1 });

      await expect(source.listBackups(instance, anyTime, signal)).rejects.toMatchObject({
        code: 'SERVICE_ERROR',
        message: expect.stringContaining('1 rows of 2') as string,
      });
    });

    it('keeps the rows of all shards, even if they share an id', async () => {
      const instance = { ...(await one()), architecture: 'cluster' as const, shards: 2 };
      const rows = ['r-one-db-0', 'r-one-db-1'].map((node) => ({
        BackupId: 1,
        BackupJobID: 7,
        NodeInstanceId: node,
        BackupStartTime: '2026-01-01T00:00:00Z',
        BackupStatus: 'Success',
      }));
      const body = JSON.stringify({ RequestId: '1', TotalCount: 2, Backups: { Backup: rows } });
      spoil('DescribeBackups', { kind: 'reply', status: 200, body });

      const [backup] = await source.listBackups(instance, anyTime, signal);

      expect(backup?.files.map(({ node }) => node)).toEqual(['r-one-db-0', 'r-one-db-1']);
    });

    it('reads on where the service puts fewer sets on a page than it was asked for', async () => {
      const instance = { ...(await one()), architecture: 'cluster' as const, shards: 1 };
      const sets = (...ids: string[]): Effect => ({
        kind: 'reply',
        status: 200,
        body: JSON.stringify({
          RequestId: '1',
          PageSize: 2,
          ClusterBackups: ids.map((id) => ({
            ClusterBackupId: id,
            ClusterBackupStatus: 'OK',
            ClusterBackupStartTime: '2026-01-01T00:00:00Z',
          })),
        }),
      });
      spoil('DescribeClusterBackupList', sets('cb-1', 'cb-2'));
      spoil('DescribeClusterBackupList', sets('cb-3'));

      const backups = await source.listBackups(instance, anyTime, signal);

      expect(backups.flatMap(({ ids }) => ids).sort()).toEqual(['cb-1', 'cb-2', 'cb-3']);
    });
  });

  it('asks for tags that fit in no single request all the same', async () => {
    const tags = Object.fromEntries(
      Array.from({ length: 7 }, (_, index) => [`key${index}`, `value${index}`]),
    );
    await running.tair.addInstance(fromFiles({ id: 'r-all', tags }));
    await running.tair.addInstance(fromFiles({ id: 'r-most', tags: { ...tags, key6: 'other' } }));

    const found: string[] = [];
    for await (const { id } of source.listInstances({ region: REGION, tags }, signal)) found.push(id);

    expect(found).toEqual(['r-all']);
  });

  it('says of a disk-based instance that it has no RDB files', async () => {
    await running.tair.addInstance(
      fromFiles({ id: 'r-disk', edition: 'Enterprise', storageType: 'tair_essd' }),
    );

    expect((await source.getInstance(REGION, 'r-disk', signal))?.noBackup).toContain('disk-based');
  });

  it('knows the number of shards of a classic cluster from its class', async () => {
    await running.tair.addInstance(
      fromFiles({ id: 'r-classic', architecture: 'cluster', deployment: 'classic', shards: 4 }),
    );

    expect((await source.getInstance(REGION, 'r-classic', signal))?.shards).toBe(4);
  });

  it('knows the number of shards from the topology where nothing else tells, and does not guess it', async () => {
    await running.tair.addInstance(
      fromFiles({
        id: 'r-odd',
        architecture: 'cluster',
        deployment: 'classic',
        shards: 4,
        instanceClass: 'redis.odd',
      }),
    );
    expect((await source.getInstance(REGION, 'r-odd', signal))?.shards).toBe(4);

    spoil('DescribeLogicInstanceTopology', { kind: 'error', status: 404, code: 'InvalidAction.NotFound' });
    expect((await source.getInstance(REGION, 'r-odd', signal))?.shards).toBe(0);
  });

  it('tells when the service backs an instance up by itself, and whether on the primary', async () => {
    await running.tair.addInstance(fromFiles({ id: 'r-flash', flashback: true }));
    const policyOf = async (id: string): Promise<BackupPolicy> => {
      const instance = await source.getInstance(REGION, id, signal);
      if (instance === undefined) throw new Error(`no instance ${id}`);
      return source.backupPolicy(instance, signal);
    };

    expect(await policyOf('r-flash')).toMatchObject({ runsOnPrimary: true, window: '17:00Z-18:00Z' });
    const { runsOnPrimary, days } = await policyOf('r-one');
    expect(runsOnPrimary).toBe(false);
    expect(days).toHaveLength(7);
  });

  it('lists a backup without its missing shard, and without URLs that are empty', async () => {
    await running.tair.addInstance(fromFiles({ id: 'r-cut', architecture: 'cluster', shards: 3 }));
    running.tair.dropShard('r-cut', 1);
    running.tair.emptyUrls('r-cut');
    const cluster = await source.getInstance(REGION, 'r-cut', signal);
    if (cluster === undefined) throw new Error('no instance');
    await running.tair.plantBackup('r-cut', { startedAt: running.world.clock.now() - 60_000 });

    const [backup] = await source.listBackups(cluster, anyTime, signal);

    expect(backup?.files.map(({ node, url }) => [node, url])).toEqual([
      ['r-cut-db-0', undefined],
      ['r-cut-db-2', undefined],
    ]);
  });

  it('takes the internal addresses of backups in the one region where they can be reached', async () => {
    const instance = await one();
    const backups = {
      Backup: [
        {
          BackupId: 1,
          BackupStatus: 'Success',
          NodeInstanceId: 'r-one',
          BackupStartTime: '2026-01-01T10:00:00Z',
          BackupDownloadURL: 'https://public/x.rdb',
          BackupIntranetDownloadURL: 'http://internal/x.rdb',
        },
      ],
    };
    const body = JSON.stringify({ Backups: backups, TotalCount: 1 });
    spoil('DescribeBackups', { kind: 'reply', status: 200, body }, { times: 2 });
    const urls = async (internalIn: string): Promise<readonly unknown[]> => {
      const { world, accessKey } = running;
      const inside = createTairSource({
        credentials: async () => accessKey,
        endpoint: world.endpoints.tair,
        internalIn,
      });
      const listed = await inside.listBackups(instance, anyTime, signal);
      return listed.flatMap(({ files }) => files.map(({ url }) => url));
    };

    expect(await urls(REGION)).toEqual(['http://internal/x.rdb']);
    expect(await urls('cn-shanghai')).toEqual(['https://public/x.rdb']);
  });

  it('reaches the public address of each region, central or its own', async () => {
    const hosts: string[] = [];
    const credentials = async () => {
      throw new Error('no credentials'); // asked for after the address is known: nothing is sent
    };
    for (const region of ['cn-hangzhou', 'me-central-1', 'xx-new-1']) {
      const client = new (await import('@alicloud/r-kvstore20150101')).default(
        (await import('../../functions/core/aliyun/openapi.ts')).openApiConfig({ credentials, region }),
      );
      hosts.push(client._endpoint);
    }

    expect(hosts).toEqual([
      'r-kvstore.aliyuncs.com',
      'r-kvstore.me-central-1.aliyuncs.com',
      'r-kvstore.xx-new-1.aliyuncs.com',
    ]);
  });
});
