import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DescribeBackupPolicyRequest,
  DescribeBackupsRequest,
  DescribeClusterBackupListRequest,
} from '@alicloud/r-kvstore20150101';
import { ALL_TIME, ask, backUp, backupsOf, callRaw, startTair, type RunningTair } from './start-tair.ts';

const REGION = 'cn-hangzhou';
const WINDOW = { StartTime: ALL_TIME.startTime, EndTime: ALL_TIME.endTime };

let folder: string;
let running: RunningTair;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-lists-'));
  const file = join(folder, 'ready.rdb');
  await writeFile(file, 'REDIS0009 a file that nobody reads');
  running = await startTair([
    { region: REGION, id: 'r-one', rdbFiles: [file] },
    { region: REGION, id: 'r-many', architecture: 'cluster', engineVersion: '5.0', rdbFiles: [file, file] },
    { region: REGION, id: 'r-old', architecture: 'cluster', deployment: 'classic', rdbFiles: [file, file] },
  ]);
});

afterEach(async () => {
  await running.stop();
  await rm(folder, { recursive: true, force: true });
});

const at = (text: string): number => Date.parse(text);

describe('DescribeBackups', () => {
  it('has the documented shape', async () => {
    const jobId = await backUp(running, 'r-one');
    const answer = await callRaw(running, 'DescribeBackups', { InstanceId: 'r-one', ...WINDOW });
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string;
    const url = expect.stringMatching(
      /^http:\/\/127\.0\.0\.1:\d+\/custins\d+\/hins\d+_data_\d{14}\.rdb\?.*Expires=\d+&OSSAccessKeyId=STS\.\w+&Signature=/,
    ) as string;
    expect(answer).toEqual({
      RequestId: expect.any(String) as string,
      PageNumber: 1,
      PageSize: 30,
      TotalCount: 1,
      FullStorageSize: 34,
      LogStorageSize: 0,
      FreeSize: 1_073_741_824,
      Backups: {
        Backup: [
          {
            BackupId: expect.any(Number) as number,
            BackupJobID: Number(jobId),
            BackupStatus: 'Success',
            BackupType: 'FullBackup',
            BackupMode: 'Manual',
            BackupMethod: 'Physical',
            BackupDBNames: 'all',
            BackupSize: 34,
            EngineVersion: '7.0',
            NodeInstanceId: 'r-one',
            BackupStartTime: time,
            BackupEndTime: time,
            ExpectExpireTime: '',
            RecoverConfigMode: '{"whitelist":true,"config":true,"account":true}',
            BackupDownloadURL: url,
            BackupIntranetDownloadURL: url,
          },
        ],
      },
    });
  });

  it('lists what started within the window, newest first, to the minute at both ends', async () => {
    for (const startedAt of ['2026-01-01T10:00:00Z', '2026-01-02T10:00:30Z', '2026-01-03T10:00:00Z'])
      await running.tair.plantBackup('r-one', { startedAt: at(startedAt) });
    const { body } = await running.client.describeBackups(
      new DescribeBackupsRequest({
        instanceId: 'r-one',
        startTime: '2026-01-01T10:00Z',
        endTime: '2026-01-02T10:00Z',
      }),
    );
    expect(body?.backups?.backup?.map(({ backupStartTime }) => backupStartTime)).toEqual([
      '2026-01-02T10:00:30Z',
      '2026-01-01T10:00:00Z',
    ]);
  });

  it('pages rows, not backups', async () => {
    for (let day = 1; day <= 20; day++)
      await running.tair.plantBackup('r-many', { startedAt: at('2026-01-01T00:00:00Z') + day * 86_400_000 });
    const page = async (pageNumber: number): Promise<number> => {
      const request = new DescribeBackupsRequest({
        instanceId: 'r-many',
        ...ALL_TIME,
        pageNumber,
        pageSize: 30,
      });
      const { body } = await running.client.describeBackups(request);
      expect(body?.totalCount).toBe(40);
      return body?.backups?.backup?.length ?? 0;
    };
    expect([await page(1), await page(2), await page(3)]).toEqual([30, 10, 0]);
  });

  it('finds one backup by its id', async () => {
    const planted = await running.tair.plantBackup('r-many', { startedAt: at('2026-01-01T00:00:00Z') });
    const wanted = planted.shards[1];
    const request = new DescribeBackupsRequest({
      instanceId: 'r-many',
      ...ALL_TIME,
      backupId: wanted?.backupId ?? 0,
    });
    const { body } = await running.client.describeBackups(request);
    expect(body?.backups?.backup?.map(({ nodeInstanceId }) => nodeInstanceId)).toEqual(['r-many-db-1']);
  });

  it('serves the files that a planted backup names', async () => {
    const file = join(folder, 'planted.rdb');
    await writeFile(file, 'planted');
    await running.tair.plantBackup('r-one', { startedAt: at('2026-01-01T00:00:00Z'), files: [file] });
    const [row] = await backupsOf(running, 'r-one');
    expect(row).toMatchObject({ backupMode: 'Automated', backupEndTime: '2026-01-01T00:01:00Z' });
    expect((await ask(row?.backupDownloadURL ?? '')).body.toString()).toBe('planted');
  });

  it.each([
    ['a time with seconds', { StartTime: '2026-01-01T10:00:00Z' }, 'InvalidStartTime.Malformed'],
    ['no start', { StartTime: '' }, 'InvalidStartTime.Malformed'],
    ['a time that is none', { EndTime: '2026-13-01T10:00Z' }, 'InvalidEndTime.Malformed'],
    ['an end before its start', { EndTime: '2009-01-01T10:00Z' }, 'InvalidStartTimeAndEndTime.Malformed'],
    ['a page size that is not on its list', { PageSize: '31' }, 'InvalidPageSize.Malformed'],
    ['a job id that is a list', { BackupJobId: '1,2' }, 'InvalidBackupJobId.Malformed'],
  ])('refuses %s', async (_, change, code) => {
    const query = { InstanceId: 'r-one', ...WINDOW, ...change };
    await expect(callRaw(running, 'DescribeBackups', query)).rejects.toMatchObject({ code });
  });

  it('finds no instance of another region when the caller names one', async () => {
    const query = { InstanceId: 'r-one', ...WINDOW, RegionId: 'cn-shanghai' };
    await expect(callRaw(running, 'DescribeBackups', query)).rejects.toMatchObject({
      code: 'InvalidInstanceId.NotFound',
    });
  });
});

describe('DescribeClusterBackupList', () => {
  const query = { RegionId: REGION, InstanceId: 'r-many', ...WINDOW };

  it('has the documented shape, with its numbers as strings and no job id', async () => {
    await backUp(running, 'r-many');
    const answer = await callRaw(running, 'DescribeClusterBackupList', query, 'GET');
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/) as string;
    const url = expect.stringMatching(/^http:.*\/hins\d+_data_\d{14}\.rdb\?/) as string;
    const shard = (number: number): object => ({
      BackupId: expect.stringMatching(/^\d+$/) as string,
      InstanceName: `r-many-db-${number}`,
      BackupName: expect.stringMatching(/^hins\d+_data_\d{14}\.rdb$/) as string,
      BackupSize: '34',
      BackupStatus: 'OK',
      IsAvail: '1',
      Engine: 'redis',
      ExtraInfo: { CustinsDbVersion: '5.0' },
      BackupStartTime: time,
      BackupEndTime: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$/) as string,
      RecoverConfigMode: null,
      BackupDownloadURL: url,
      BackupIntranetDownloadURL: url,
    });
    expect(answer).toEqual({
      RequestId: expect.any(String) as string,
      PageNumber: 1,
      PageSize: 30,
      MaxResults: 1,
      FullStorageSize: 68,
      LogStorageSize: 0,
      FreeSize: 2 * 1_073_741_824,
      ClusterBackups: [
        {
          ClusterBackupId: expect.stringMatching(/^cb-\w+$/) as string,
          ClusterBackupStatus: 'OK',
          ClusterBackupMode: 'Manual',
          ClusterBackupSize: '68',
          ClusterBackupStartTime: time,
          ClusterBackupEndTime: time,
          ExpectExpireTime: '',
          IsAvail: 1,
          Progress: '100%',
          ShardClassMemory: 1024,
          Backups: [shard(0), shard(1)],
        },
      ],
    });
  });

  it('is understood by the official client, and its shards’ ids are those of DescribeBackups', async () => {
    const jobId = await backUp(running, 'r-many');
    const { body } = await running.client.describeClusterBackupList(
      new DescribeClusterBackupListRequest({ regionId: REGION, instanceId: 'r-many', ...ALL_TIME }),
    );
    const rows = await backupsOf(running, 'r-many', jobId);
    expect(body?.clusterBackups?.[0]?.backups?.map(({ backupId }) => Number(backupId))).toEqual(
      rows.map(({ backupId }) => backupId),
    );
  });

  it('refuses POST', async () => {
    await expect(callRaw(running, 'DescribeClusterBackupList', query)).rejects.toMatchObject({
      code: 'UnsupportedHTTPMethod',
      statusCode: 403,
    });
  });

  it('shows a running set without shards, and a failed one as not available', async () => {
    const list = async (): Promise<unknown> =>
      (await callRaw(running, 'DescribeClusterBackupList', query, 'GET'))['ClusterBackups'];
    const release = running.tair.holdBackup('r-many');
    running.tair.failNextBackup('r-many', { shards: [1] });
    await callRaw(running, 'CreateBackup', { InstanceId: 'r-many' });
    expect(await list()).toMatchObject([{ ClusterBackupStatus: 'RUNNING', IsAvail: 0, Backups: [] }]);
    release();
    while (running.tair.backups('r-many')[0]?.progress !== 'Finished') await list();
    expect(await list()).toMatchObject([
      {
        ClusterBackupStatus: 'Failed',
        IsAvail: 0,
        Backups: [
          { BackupStatus: 'OK', IsAvail: '1' },
          { BackupStatus: 'ERROR', IsAvail: '0', BackupDownloadURL: '' },
        ],
      },
    ]);
  });

  it('pages without a total, and leaves shards out when asked to', async () => {
    for (let day = 1; day <= 7; day++)
      await running.tair.plantBackup('r-many', { startedAt: at('2026-01-01T00:00:00Z') + day * 86_400_000 });
    const page = async (number: number): Promise<Readonly<Record<string, unknown>>> =>
      callRaw(
        running,
        'DescribeClusterBackupList',
        { ...query, PageSize: '5', PageNumber: String(number), NoShardBackup: 'true' },
        'GET',
      );
    const first = await page(1);
    expect(first).toMatchObject({
      MaxResults: 5,
      ClusterBackups: Array.from({ length: 5 }, () => ({ Backups: [] })),
    });
    expect(first).not.toHaveProperty('TotalCount');
    expect(await page(2)).toMatchObject({ MaxResults: 2 });
  });

  it.each(['r-one', 'r-old'])(
    'has nothing, or an error, for %s, which is no cloud-native cluster',
    async (id) => {
      await backUp(running, id);
      const ask = async (): Promise<unknown> =>
        callRaw(running, 'DescribeClusterBackupList', { ...query, InstanceId: id }, 'GET');
      expect(await ask()).toMatchObject({ MaxResults: 0, ClusterBackups: [] });
      running.tair.options.nonClusterBackupList = 'error';
      await expect(ask()).rejects.toMatchObject({ code: 'InvalidClusterInstance.NotFound' });
    },
  );
});

it('describes the backup policy, its days as a string', async () => {
  const { body } = await running.client.describeBackupPolicy(
    new DescribeBackupPolicyRequest({ instanceId: 'r-one' }),
  );
  expect(body).toMatchObject({ backupRetentionPeriod: '7', preferredBackupTime: '17:00Z-18:00Z' });
  expect(Date.parse(body?.preferredNextBackupTime ?? '')).toBeGreaterThan(running.world.clock.now());
});
