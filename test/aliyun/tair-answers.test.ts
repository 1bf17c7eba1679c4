import {
  count,
  countDataNodes,
  groupRows,
  instant,
  mergeSets,
  parseAnswer,
  rowsOf,
  splitJobIds,
  toBackupRow,
  toClusterSet,
  toInstance,
  toJob,
  type BackupRow,
  type ClusterSet,
  type Json,
} from '../../functions/core/aliyun/tair-answers.ts';

/** Shapes as the vendor's documentation, samples and tools show them; the values are ours. */

describe('job ids', () => {
  it.each<[unknown, readonly string[]]>([
    ['4679933', ['4679933']],
    [4679933, ['4679933']],
    ['10000,10001', ['10000', '10001']],
    ['"1022,2480"', ['1022', '2480']],
    [' 7 , 8,', ['7', '8']],
    ['', []],
    [undefined, []],
    [{ id: 7 }, []],
  ])('of %j are %j', (value, ids) => {
    expect(splitJobIds(value)).toEqual(ids);
  });
});

describe('the data shards of a topology', () => {
  const node = (id: string, type = 'db', role?: string): Json => ({
    NodeId: id,
    NodeType: type,
    ...(role === undefined ? {} : { SubInstanceType: role }),
  });

  it.each<[string, readonly Json[], number]>([
    ['of masters', [node('r-1-db-0#7', 'db', 'master'), node('r-1-db-1#8', 'db', 'master')], 2],
    ['where nothing tells the roles', [node('r-1-db-0#7'), node('r-1-db-1#8')], 2],
    [
      'without read replicas',
      [node('r-1-db-0#7', 'db', 'master'), node('r-1-db-0-ro#8', 'db', 'readonly')],
      1,
    ],
    [
      'without the nodes that hold no data',
      [node('r-1-db-0#7'), node('r-1-proxy-0#9', 'proxy'), node('c', 'cs')],
      1,
    ],
    ['each once, on whatever host', [node('r-1-db-0#7'), node('r-1-db-0#8')], 1],
    ['with a name only', [node('')], 0],
  ])('are counted %s', (_what, nodes, shards) => {
    expect(countDataNodes(nodes)).toBe(shards);
  });
});

describe('an instant', () => {
  it.each<[unknown, string | undefined]>([
    ['2019-03-14T05:28:50Z', '2019-03-14T05:28:50Z'],
    ['2024-01-09T17:21:57', '2024-01-09T17:21:57Z'],
    ['2024-01-09T17:21Z', '2024-01-09T17:21:00Z'],
    ['2024-01-09 17:21:57', '2024-01-09T17:21:57Z'],
    ['2024-01-09T17:21:57.123Z', '2024-01-09T17:21:57Z'],
    ['2024-13-09T17:21:57Z', undefined],
    ['', undefined],
    [undefined, undefined],
    [1704820917, undefined],
  ])('written %j is %j', (value, expected) => {
    expect(instant(value)).toBe(expected);
  });
});

describe('a number', () => {
  it.each<[unknown, number | undefined]>([
    [1024, 1024],
    ['2048', 2048],
    [0, 0],
    ['', undefined],
    ['-1', undefined],
    [-1, undefined],
    [1.5, undefined],
    ['many', undefined],
    [null, undefined],
  ])('written %j is %j', (value, expected) => {
    expect(count(value)).toBe(expected);
  });
});

describe('a list', () => {
  const rows = [{ a: 1 }];
  it.each<[string, unknown]>([
    ['wrapped', { Backup: rows }],
    ['bare', rows],
  ])('is read when it is %s', (_how, list) => {
    expect(rowsOf({ Backups: list }, 'Backups', 'Backup', 'list')).toEqual(rows);
  });

  it('is empty when the service says so', () => {
    expect(rowsOf({ Backups: {} }, 'Backups', 'Backup', 'list')).toEqual([]);
    expect(rowsOf({ Backups: [] }, 'Backups', 'Backup', 'list')).toEqual([]);
  });

  it.each<[string, Json]>([
    ['is missing', {}],
    ['is null', { Backups: null }],
    ['is text', { Backups: 'none' }],
    ['holds something else', { Backups: { Backup: ['x'] } }],
  ])('that %s is nonsense, and not empty', (_how, answer) => {
    expect(() => rowsOf(answer, 'Backups', 'Backup', 'list')).toThrow(
      expect.objectContaining({ code: 'SERVICE_ERROR', retryable: true }) as Error,
    );
  });

  it.each(['', '<html></html>', 'null', '[]', '"text"', '{"cut'])('in the answer %j is nonsense', (text) => {
    expect(() => parseAnswer(text, 'list')).toThrow(/nonsense/);
  });
});

describe('an instance', () => {
  const row = {
    InstanceId: 'r-1',
    InstanceStatus: 'Normal',
    InstanceType: 'Redis',
    ArchitectureType: 'standard',
  };

  it.each<[string, Json, number]>([
    ['standard', {}, 1],
    ['read/write splitting', { ArchitectureType: 'rwsplit', ShardCount: 4 }, 1],
    ['a cloud-native cluster', { ArchitectureType: 'cluster', ShardCount: 8 }, 8],
    ['a cluster that says it in text', { ArchitectureType: 'cluster', ShardCount: '16' }, 16],
    [
      'a classic cluster',
      { ArchitectureType: 'cluster', InstanceClass: 'redis.logic.sharding.2g.32db.0rodb.16proxy.default' },
      32,
    ],
    [
      'an enterprise one',
      {
        ArchitectureType: 'cluster',
        InstanceClass: 'redis.amber.logic.sharding.1g.2db.0rodb.6proxy.multithread',
      },
      2,
    ],
    [
      'a cluster that does not tell',
      { ArchitectureType: 'cluster', InstanceClass: 'redis.sharding.small.default' },
      0,
    ],
  ])('that is %s has the right number of shards', (_what, fields, shards) => {
    expect(toInstance({ ...row, ...fields }, 'cn-hangzhou').shards).toBe(shards);
  });

  it.each<[string, Json, string | undefined]>([
    ['a classic single node', { NodeType: 'single' }, 'single-node instances have no backups'],
    ['a cloud-native single node', { NodeType: 'STAND_ALONE' }, 'single-node instances have no backups'],
    [
      'disk-based by class',
      { InstanceType: 'Tair', InstanceClass: 'tair.essd.standard.xlarge' },
      'disk-based instances have no downloadable RDB files',
    ],
    [
      'disk-based by type',
      { InstanceType: 'tair_essd' },
      'disk-based instances have no downloadable RDB files',
    ],
    ['Memcache', { InstanceType: 'Memcache' }, 'Memcache instances have no RDB files'],
    [
      'in memory',
      { InstanceType: 'Tair', InstanceClass: 'tair.rdb.1g', NodeType: 'MASTER_SLAVE' },
      undefined,
    ],
    ['in persistent memory', { InstanceType: 'Tair', InstanceClass: 'tair.scm.standard.1m.4d' }, undefined],
  ])('that is %s: %j gives %j', (_what, fields, reason) => {
    expect(toInstance({ ...row, ...fields }, 'cn-hangzhou').noBackup).toBe(reason);
  });
});

describe('a job', () => {
  it.each(['NoStart', 'Preparing', 'Waiting', 'Uploading', 'Checking', 'Failed', 'Error', '', undefined])(
    'in the state %j is not finished',
    (status) => {
      expect(toJob({ BackupJobID: 29, BackupProgressStatus: status }).state).toBe('running');
    },
  );

  it('is finished only by that word, whatever its progress says', () => {
    expect(
      toJob({
        BackupJobID: 29,
        BackupProgressStatus: 'Finished',
        Process: '125',
        Progress: '25%',
        JobMode: 'Manual',
      }),
    ).toEqual({
      id: '29',
      state: 'finished',
      mode: 'manual',
      progressPercent: 25,
    });
    expect(toJob({ BackupJobID: '29', BackupProgressStatus: 'Uploading', Progress: '100' }).state).toBe(
      'running',
    );
  });

  it('is an automatic one by its task, when its mode is not told', () => {
    expect(toJob({ BackupJobID: 1, TaskAction: 'NormalBackupTask' }).mode).toBe('automated');
    expect(toJob({ BackupJobID: 1, TaskAction: 'TempBackupTask' }).mode).toBe('manual');
  });
});

describe('a row of DescribeBackups', () => {
  it('is read whatever it writes as number or text', () => {
    const fields = {
      BackupType: 'FullBackup',
      BackupMode: 'Manual',
      BackupStatus: 'Success',
      NodeInstanceId: 'r-1',
      BackupStartTime: '2019-03-14T05:28:50Z',
      BackupEndTime: '2019-03-14T05:31:13Z',
      RecoverConfigMode: { whitelist: true },
      BackupDownloadURL:
        'https://b.oss-cn-hangzhou.aliyuncs.com/custins1/hins1_data_20190314132850.rdb?Expires=1',
    };
    const numbers = toBackupRow({ ...fields, BackupId: 165000050, BackupJobID: 24340, BackupSize: 1024 });
    const texts = toBackupRow({ ...fields, BackupId: '165000050', BackupJobID: '24340', BackupSize: '1024' });

    expect(numbers).toEqual(texts);
    expect(numbers).toMatchObject({
      id: '165000050',
      jobId: '24340',
      announcedBytes: 1024,
      state: 'succeeded',
    });
  });

  it('that is an increment is no backup', () => {
    expect(
      toBackupRow({ BackupId: 1, BackupType: 'IncrementalBackup', BackupStatus: 'Success' }),
    ).toBeUndefined();
  });

  it.each<[unknown, string]>([
    ['Success', 'succeeded'],
    ['Failed', 'failed'],
    ['Running', 'running'],
    ['Uploaded?', 'running'],
    [undefined, 'running'],
  ])('with the status %j is %s', (status, state) => {
    expect(toBackupRow({ BackupId: 1, BackupStatus: status })?.state).toBe(state);
  });

  it('takes the internal URL when there is no public one, and none that is no URL', () => {
    const url = (fields: Json): string | undefined => toBackupRow({ BackupId: 1, ...fields })?.url;

    expect(url({ BackupDownloadURL: '', BackupIntranetDownloadURL: 'http://b-internal/x.rdb' })).toBe(
      'http://b-internal/x.rdb',
    );
    const two = {
      BackupDownloadURL: 'https://b/x.rdb',
      BackupIntranetDownloadURL: 'http://b-internal/x.rdb',
    };
    expect(url(two)).toBe('https://b/x.rdb');
    expect(toBackupRow({ BackupId: 1, ...two }, 'internal')?.url).toBe('http://b-internal/x.rdb');
    expect(url({ BackupDownloadURL: 'pending' })).toBeUndefined();
    expect(url({})).toBeUndefined();
  });
});

const start = Date.parse('2026-11-20T18:00:00Z');
const at = (seconds: number): string => new Date(start + seconds * 1000).toISOString().replace('.000', '');
const row = (id: number, changes: Partial<BackupRow> = {}): BackupRow => ({
  id: String(id),
  jobId: '7',
  node: `r-1-db-${id}`,
  mode: 'manual',
  state: 'succeeded',
  startedAt: at(0),
  endedAt: at(60),
  announcedBytes: 10,
  url: `https://bucket/custins/hins${id}_data.rdb?Signature=s`,
  ...changes,
});

describe('rows of a cluster', () => {
  it('of one job are one backup, its shards in the order of their numbers', () => {
    const rows = [10, 2, 0, 1].map((id) => row(id));

    const [backup, ...others] = groupRows(rows, true);

    expect(others).toEqual([]);
    expect(backup).toMatchObject({ ids: ['0', '1', '2', '10'], jobIds: ['7'], state: 'succeeded' });
    expect(backup?.files.map(({ shard, node, name }) => [shard, node, name])).toEqual([
      [0, 'r-1-db-0', 'hins0_data.rdb'],
      [1, 'r-1-db-1', 'hins1_data.rdb'],
      [2, 'r-1-db-2', 'hins2_data.rdb'],
      [3, 'r-1-db-10', 'hins10_data.rdb'],
    ]);
  });

  it('with a job for each shard are one backup when they started together', () => {
    const rows = [0, 1, 2].map((id) => row(id, { jobId: `7${id}`, startedAt: at(id) }));

    expect(groupRows(rows, true)).toMatchObject([{ jobIds: ['70', '71', '72'], startedAt: at(0) }]);
  });

  it('of the same node, of another mode, or from much later are other backups', () => {
    const first = [0, 1].map((id) => row(id, { jobId: `7${id}` }));
    const sameNode = row(5, { jobId: '80', node: 'r-1-db-0', startedAt: at(120) });
    const otherMode = row(6, { jobId: '81', node: 'r-1-db-6', mode: 'automated' });
    const later = row(7, { jobId: '82', node: 'r-1-db-7', startedAt: at(3600) });

    const groups = groupRows([...first, sameNode, otherMode, later], true);

    expect(groups.map(({ jobIds }) => jobIds)).toEqual(
      expect.arrayContaining([['70', '71'], ['80'], ['81'], ['82']]),
    );
    expect(groups).toHaveLength(4);
  });

  it('of two halves of two jobs are never patched together', () => {
    const halves = [
      row(0, { jobId: '7' }),
      row(1, { jobId: '7' }),
      row(2, { jobId: '8' }),
      row(3, { jobId: '8' }),
    ];

    expect(groupRows(halves, true).map(({ files }) => files.length)).toEqual([2, 2]);
  });

  it('fail together, and are finished only together', () => {
    expect(groupRows([row(0), row(1, { state: 'failed' })], true)[0]?.state).toBe('failed');
    expect(groupRows([row(0), row(1, { state: 'running' })], true)[0]).toMatchObject({ state: 'running' });
  });

  it('count once for a node that was tried again', () => {
    const rows = [row(0), row(1, { state: 'failed' }), row(9, { node: 'r-1-db-1', startedAt: at(30) })];

    expect(groupRows(rows, true)).toMatchObject([{ state: 'succeeded', ids: ['0', '9'] }]);
  });

  it('have different file names even when their URLs do not', () => {
    const rows = [0, 1].map((id) => row(id, { url: `https://bucket/custins${id}/dump.rdb` }));

    expect(groupRows(rows, true)[0]?.files.map(({ name }) => name)).toEqual(['dump.rdb', '1-dump.rdb']);
  });
});

describe('rows of a standard instance', () => {
  it('are a backup each, newest first', () => {
    const rows = [
      row(1, { node: 'r-1', jobId: '7' }),
      row(2, { node: 'r-1', jobId: '8', startedAt: at(60) }),
    ];

    expect(groupRows(rows, false).map(({ ids }) => ids)).toEqual([['2'], ['1']]);
  });
});

describe('a set of DescribeClusterBackupList', () => {
  const shard = (id: number, changes: Json = {}): Json => ({
    BackupId: String(id),
    InstanceName: `r-1-db-${id}`,
    BackupName: `hins${id}_data_20240110012135.rdb`,
    BackupSize: '1024',
    BackupStatus: 'OK',
    IsAvail: '1',
    BackupStartTime: '2024-01-09T17:21:30Z',
    BackupEndTime: '2024-01-09T17:21:57',
    RecoverConfigMode: null,
    BackupDownloadURL: `http://bucket/custins/hins${id}_data_20240110012135.rdb`,
    ...changes,
  });
  const set = (changes: Json = {}): ClusterSet =>
    toClusterSet(
      {
        ClusterBackupId: 'cb-1',
        ClusterBackupStatus: 'OK',
        ClusterBackupMode: 'Automated',
        ClusterBackupStartTime: '2024-01-09T17:21:30Z',
        ClusterBackupEndTime: '2024-01-09T17:22:00Z',
        IsAvail: 1,
        Backups: [shard(0), shard(1)],
        ...changes,
      },
      'list',
    );

  it.each<[string, Json, string]>([
    ['whole', {}, 'succeeded'],
    ['wrapped', { Backups: { Backup: [shard(0)] } }, 'succeeded'],
    ['running', { ClusterBackupStatus: 'RUNNING', IsAvail: 0, Backups: [] }, 'running'],
    ['failed', { ClusterBackupStatus: 'Failed', IsAvail: 0 }, 'failed'],
    [
      'said to be OK with a shard that is not',
      { Backups: [shard(0), shard(1, { BackupStatus: 'ERROR' })] },
      'failed',
    ],
    ['said to be OK and not available', { IsAvail: 0 }, 'running'],
    ['said to be OK and, in text, not available', { IsAvail: '0' }, 'running'],
    ['in a state nobody knows', { ClusterBackupStatus: 'ARCHIVED' }, 'running'],
  ])('that is %s: %j', (_what, changes, state) => {
    expect(set(changes).state).toBe(state);
  });

  it('gets its job and missing URLs from the rows of DescribeBackups', () => {
    const [backup, ...others] = mergeSets(
      [set({ Backups: [shard(0), shard(1, { BackupDownloadURL: '' })] })],
      [row(0, { jobId: '55' }), row(1, { jobId: '55' })],
    );

    expect(others).toEqual([]);
    expect(backup).toMatchObject({
      ids: ['cb-1'],
      jobIds: ['55'],
      mode: 'automated',
      startedAt: '2024-01-09T17:21:30Z',
      endedAt: '2024-01-09T17:22:00Z',
    });
    expect(backup?.files[1]?.url).toBe('https://bucket/custins/hins1_data.rdb?Signature=s');
  });

  it('is waited for when its rows are listed before it', () => {
    const backups = mergeSets([set()], [row(0), row(1), row(8, { jobId: '9' }), row(9, { jobId: '9' })]);

    expect(backups.find(({ jobIds }) => jobIds.includes('9'))?.state).toBe('running');
  });
});
