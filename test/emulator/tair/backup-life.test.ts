import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateBackupRequest, DescribeBackupTasksRequest } from '@alicloud/r-kvstore20150101';
import type { InstanceSpec } from '../../../emulator/world.ts';
import { ask, backUp, backupsOf, callRaw, startTair, type RunningTair } from './start-tair.ts';

const HOUR_MS = 3_600_000;
const ID = 'r-one';

let folder: string;
let file: string;
let running: RunningTair;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'tairlift-life-'));
  file = join(folder, 'ready.rdb');
  await writeFile(file, 'REDIS0009 a file that nobody reads');
});

afterEach(async () => {
  await running.stop();
  await rm(folder, { recursive: true, force: true });
});

const one = (spec: Partial<InstanceSpec> = {}): InstanceSpec => ({
  region: 'cn-hangzhou',
  id: ID,
  rdbFiles: [file],
  ...spec,
});

async function create(instanceId = ID): Promise<string> {
  const { body } = await running.client.createBackup(new CreateBackupRequest({ instanceId }));
  return body?.backupJobID ?? '';
}

async function progressOf(jobId: string): Promise<readonly string[]> {
  const request = new DescribeBackupTasksRequest({ instanceId: ID, backupJobId: jobId });
  const { body } = await running.client.describeBackupTasks(request);
  return (body?.backupJobs ?? []).map(({ backupProgressStatus }) => backupProgressStatus ?? '');
}

/** Resolves when the job's progress is this one. */
async function reaches(jobId: string, progress: string): Promise<void> {
  while (!(await progressOf(jobId)).includes(progress));
}

describe('a backup', () => {
  it('goes through its stages as the clock does, and is listed when it is finished', async () => {
    running = await startTair([one()], { backupDurationMs: 4 * HOUR_MS });
    const jobId = await create();
    expect(await progressOf(jobId)).toEqual(['NoStart']);
    running.world.clock.advance(HOUR_MS);
    await reaches(jobId, 'Preparing');
    running.world.clock.advance(HOUR_MS);
    await reaches(jobId, 'Uploading');
    expect(await backupsOf(running, ID)).toEqual([]);
    running.world.clock.advance(2 * HOUR_MS);
    await reaches(jobId, 'Finished');
    expect(await backupsOf(running, ID)).toMatchObject([
      { backupStatus: 'Success', backupJobID: Number(jobId) },
    ]);
  });

  it('of a real server is an RDB file of the size that the list says', async () => {
    running = await startTair([{ region: 'cn-hangzhou', id: ID }]);
    await running.tair.instance(ID).shards[0]?.client.set('key', 'value');
    const release = running.tair.holdBackup(ID);
    const jobId = await create();
    await reaches(jobId, 'Uploading');
    release();
    await reaches(jobId, 'Finished');
    const [row] = await backupsOf(running, ID, jobId);
    const { body } = await ask(row?.backupDownloadURL ?? '');
    expect(body.subarray(0, 5).toString()).toBe('REDIS');
    expect(body).toHaveLength(row?.backupSize ?? 0);
  });

  it('may be listed while it runs, without URLs', async () => {
    running = await startTair([one()], { listsRunningBackups: true });
    running.tair.holdBackup(ID);
    const jobId = await create();
    expect(await backupsOf(running, ID, jobId)).toMatchObject([
      { backupStatus: 'Running', backupDownloadURL: '' },
    ]);
  });

  it('is named after its start in China’s time', async () => {
    running = await startTair([one()]);
    const startedAt = Date.parse('2024-01-09T17:21:35Z');
    const { shards } = await running.tair.plantBackup(ID, { startedAt });
    expect(shards[0]?.path).toMatch(/^\/custins\d+\/hins\d+_data_20240110012135\.rdb$/);
  });

  it('never takes the name of another one, however quickly they follow each other', async () => {
    running = await startTair([one()]);
    for (let count = 0; count < 3; count++) await backUp(running, ID);
    const paths = running.tair.backups(ID).flatMap(({ shards }) => shards.map(({ path }) => path));
    expect(new Set(paths).size).toBe(3);
  });
});

describe('CreateBackup', () => {
  it('answers with the job’s id as a string, where the job list has a number', async () => {
    running = await startTair([one()]);
    const { BackupJobID: id } = await callRaw(running, 'CreateBackup', { InstanceId: ID });
    expect(typeof id).toBe('string');
    expect(await callRaw(running, 'DescribeBackupTasks', { InstanceId: ID })).toMatchObject({
      InstanceId: ID,
      BackupJobs: [{ BackupJobID: Number(id), TaskAction: 'TempBackupTask', JobMode: 'Manual' }],
    });
  });

  it('answers with one job per shard on clusters of the old kind', async () => {
    running = await startTair([
      one({ architecture: 'cluster', deployment: 'classic', jobPerShard: true, rdbFiles: [file, file] }),
    ]);
    const ids = (await backUp(running, ID)).split(',');
    expect(ids).toHaveLength(2);
    for (const [shard, id] of ids.entries())
      expect(await backupsOf(running, ID, id)).toMatchObject([{ nodeInstanceId: `${ID}-db-${shard}` }]);
  });

  it('refuses a second backup while one runs, and takes it afterwards', async () => {
    running = await startTair([one()]);
    const release = running.tair.holdBackup(ID);
    const jobId = await create();
    await expect(create()).rejects.toMatchObject({ code: 'BackupJobExists', statusCode: 400 });
    release();
    await reaches(jobId, 'Finished');
    expect(await create()).not.toBe(jobId);
    expect(running.tair.createBackupCalls(ID)).toBe(3);
  });

  it('makes one backup when its answer is lost', async () => {
    running = await startTair([one()]);
    running.tair.holdBackup(ID);
    running.world.faults.add({
      service: 'tair',
      action: 'CreateBackup',
      target: ID,
      effect: { kind: 'lose-answer' },
    });
    await expect(create()).rejects.toThrow(/socket hang up|ECONNRESET/);
    expect(running.tair.createBackupCalls(ID)).toBe(1);
    expect(
      await callRaw(running, 'DescribeBackupTasks', { InstanceId: ID, JobMode: 'Manual' }),
    ).toMatchObject({
      BackupJobs: [{ BackupProgressStatus: expect.stringMatching(/NoStart|Preparing|Uploading/) as string }],
    });
  });

  it('refuses more backups in a day than are allowed, until the day is over', async () => {
    running = await startTair([one()], { manualBackupsPerDay: 2 });
    await running.tair.plantBackup(ID, { mode: 'Automated', startedAt: running.world.clock.now() });
    await backUp(running, ID);
    await backUp(running, ID);
    await expect(create()).rejects.toMatchObject({ code: 'BackupTimesExceeded', statusCode: 400 });
    running.world.clock.advance(24 * HOUR_MS);
    expect(await backUp(running, ID)).not.toBe('');
  });

  it('refuses an instance that is not in its normal state', async () => {
    running = await startTair([one()]);
    running.tair.setStatus(ID, 'Changing');
    await expect(create()).rejects.toMatchObject({ code: 'IncorrectDBInstanceState', statusCode: 400 });
  });

  it('is throttled when a fault says so, and the official client knows it for that', async () => {
    running = await startTair([one()]);
    running.world.faults.add({
      service: 'tair',
      action: 'CreateBackup',
      effect: { kind: 'error', status: 400, code: 'Throttling.User', message: 'Request was denied.' },
    });
    await expect(create()).rejects.toMatchObject({ name: 'ThrottlingError', code: 'Throttling.User' });
    expect(running.tair.createBackupCalls(ID)).toBe(0);
    expect(await create()).not.toBe('');
  });

  it('refuses a single-node instance', async () => {
    running = await startTair([one({ nodes: 'single' })]);
    await expect(create()).rejects.toMatchObject({ code: 'IncorrectDBInstanceType', statusCode: 400 });
  });

  it('does not find an instance that was released', async () => {
    running = await startTair([one()]);
    await running.tair.removeInstance(ID);
    await expect(create()).rejects.toMatchObject({ code: 'InvalidInstanceId.NotFound', statusCode: 404 });
  });

  it.each(['6', '731', '0', 'seven'])('refuses to keep a backup for %s days', async (days) => {
    running = await startTair([one()]);
    await expect(
      callRaw(running, 'CreateBackup', { InstanceId: ID, BackupRetentionPeriod: days }),
    ).rejects.toMatchObject({ code: 'InvalidBackupRetentionPeriod.Malformed' });
    expect(
      await callRaw(running, 'CreateBackup', { InstanceId: ID, BackupRetentionPeriod: '-1' }),
    ).toHaveProperty('BackupJobID');
  });
});

it('tells when a backup with a retention of its own expires', async () => {
  running = await startTair([one()]);
  const { BackupJobID: jobId } = await callRaw(running, 'CreateBackup', {
    InstanceId: ID,
    BackupRetentionPeriod: '7',
  });
  await reaches(String(jobId), 'Finished');
  const [row] = await backupsOf(running, ID);
  const kept = Date.parse(row?.expectExpireTime ?? '') - Date.parse(row?.backupStartTime ?? '');
  expect(kept).toBe(7 * 24 * HOUR_MS);
});

describe('a backup that fails', () => {
  it('ends as a finished job whose rows say Failed, without URLs', async () => {
    running = await startTair([one()]);
    running.tair.failNextBackup(ID);
    const jobId = await backUp(running, ID);
    expect(await backupsOf(running, ID, jobId)).toMatchObject([
      { backupStatus: 'Failed', backupSize: 0, backupDownloadURL: '', backupIntranetDownloadURL: '' },
    ]);
  });

  it('does so once', async () => {
    running = await startTair([one()]);
    running.tair.failNextBackup(ID);
    await backUp(running, ID);
    expect(await backupsOf(running, ID, await backUp(running, ID))).toMatchObject([
      { backupStatus: 'Success' },
    ]);
  });

  it('may lose a single shard', async () => {
    running = await startTair([one({ architecture: 'cluster', rdbFiles: [file, file, file] })]);
    running.tair.failNextBackup(ID, { shards: [1] });
    const rows = await backupsOf(running, ID, await backUp(running, ID));
    expect(rows.map(({ backupStatus }) => backupStatus)).toEqual(['Success', 'Failed', 'Success']);
  });

  it('may leave a job that is listed no more', async () => {
    running = await startTair([one()]);
    running.tair.failNextBackup(ID, { job: 'gone' });
    const jobId = await create();
    while ((await progressOf(jobId)).length > 0);
    expect(await backupsOf(running, ID, jobId)).toMatchObject([{ backupStatus: 'Failed' }]);
  });

  it('may leave a job that never finishes', async () => {
    running = await startTair([one()]);
    running.tair.failNextBackup(ID, { job: 'stuck' });
    const jobId = await create();
    while ((await backupsOf(running, ID, jobId)).length === 0);
    expect(await progressOf(jobId)).toEqual(['Uploading']);
  });

  it('fails for real when the server is gone', async () => {
    const written: string[] = [];
    const stderr = jest
      .spyOn(process.stderr, 'write')
      .mockImplementation((text) => written.push(String(text)) > 0);
    try {
      running = await startTair([{ region: 'cn-hangzhou', id: ID }]);
      process.kill(running.tair.instance(ID).shards[0]?.pid ?? 0, 'SIGKILL');
      const jobId = await backUp(running, ID);
      expect(await backupsOf(running, ID, jobId)).toMatchObject([{ backupStatus: 'Failed' }]);
      expect(written.join('')).toContain(`backup of ${ID}, shard 0`);
    } finally {
      stderr.mockRestore();
    }
  });
});

describe('what the service may forget', () => {
  it('a running backup vanishes: no job, no row, and another one can be made', async () => {
    running = await startTair([one()]);
    const release = running.tair.holdBackup(ID);
    const jobId = await create();
    await running.tair.vanishJob(ID);
    expect(await progressOf(jobId)).toEqual([]);
    expect(await backupsOf(running, ID)).toEqual([]);
    release();
    await backUp(running, ID);
    expect(await backupsOf(running, ID)).toHaveLength(1);
  });

  it('the next backup vanishes when none runs', async () => {
    running = await startTair([one()]);
    await running.tair.vanishJob(ID);
    const jobId = await create();
    expect(await progressOf(jobId)).toEqual([]);
    expect(await backupsOf(running, ID)).toEqual([]);
  });

  it('a shard is missing from the lists', async () => {
    running = await startTair([one({ architecture: 'cluster', rdbFiles: [file, file] })]);
    running.tair.dropShard(ID, 0);
    const rows = await backupsOf(running, ID, await backUp(running, ID));
    expect(rows.map(({ nodeInstanceId }) => nodeInstanceId)).toEqual([`${ID}-db-1`]);
    expect(() => running.tair.dropShard(ID, 2)).toThrow(/no shard 2/);
  });

  it('URLs are empty until they come back', async () => {
    running = await startTair([one()]);
    await backUp(running, ID);
    running.tair.emptyUrls(ID);
    expect((await backupsOf(running, ID))[0]?.backupDownloadURL).toBe('');
    running.tair.emptyUrls(ID, false);
    expect((await backupsOf(running, ID))[0]?.backupDownloadURL).not.toBe('');
  });
});

describe('a second start in the same folder', () => {
  it('knows the backups of the first, and serves their files', async () => {
    const kept = join(folder, 'world');
    const spec = { region: 'cn-hangzhou', id: ID };
    running = await startTair([spec], { folder: kept });
    await running.tair.instance(ID).shards[0]?.client.set('key', 'value');
    const jobId = await backUp(running, ID);
    const [before] = await backupsOf(running, ID, jobId);
    const { body: bytes } = await ask(before?.backupDownloadURL ?? '');
    await running.stop();

    running = await startTair([spec], { folder: kept });
    const [after] = await backupsOf(running, ID, jobId);
    expect(after).toMatchObject({ backupId: before?.backupId, backupStatus: 'Success' });
    expect((await ask(after?.backupDownloadURL ?? '')).body).toEqual(bytes);
    expect(Number(await backUp(running, ID))).toBeGreaterThan(Number(jobId));
  });

  it('finds a backup that was running as failed', async () => {
    const kept = join(folder, 'world');
    running = await startTair([one()], { folder: kept });
    running.tair.holdBackup(ID);
    const jobId = await create();
    await running.stop();

    running = await startTair([one()], { folder: kept });
    expect(await backupsOf(running, ID, jobId)).toMatchObject([{ backupStatus: 'Failed' }]);
  });

  it('has forgotten what vanished', async () => {
    const kept = join(folder, 'world');
    running = await startTair([one()], { folder: kept });
    running.tair.holdBackup(ID);
    await create();
    await running.tair.vanishJob(ID);
    await running.stop();

    running = await startTair([one()], { folder: kept });
    expect(running.tair.backups(ID)).toEqual([]);
  });
});
