/**
 * One run over many instances, each of which has a trouble of its own: every one ends in a verified backup or in a
 * loud failure, judged from the bucket's bytes.
 */
import {
  CUT,
  FLIPPED,
  FOREIGN,
  LARGE,
  OTHER,
  PAGE,
  removeFiles,
  shard,
  shardsOf,
  SMALL,
  WITHOUT_CHECKSUM,
  writeFiles,
} from './files.ts';
import { BUCKET, idOf, stage, type Scenario, type Stage } from './stage.ts';

const MIB = 1024 * 1024;
const DAY_MS = 24 * 3600_000;
/** Enough keys that some slots of a neighbour's would be among them. */
const FIRST_HALF = shard('first-half', { slots: [0, 8191], keys: 3000 });
const ALWAYS = { times: -1 };
const unavailable = { kind: 'error', status: 503, code: 'ServiceUnavailable' } as const;
const throttled = {
  kind: 'error',
  status: 400,
  code: 'Throttling.User',
  message: 'Request was denied due to user flow control.',
} as const;

const downloads: readonly Scenario[] = [
  { when: 'nothing goes wrong', files: [SMALL], ends: { stored: 'parsed' } },
  { when: 'nothing goes wrong with a file of several parts', files: [LARGE], ends: { stored: 'parsed' } },
  {
    when: 'a download is cut in the middle',
    files: [LARGE],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'cut', afterBytes: 5 * MIB }, { skip: 1 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'downloads are reset one after the other',
    files: [LARGE],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'reset' }, { skip: 1, times: 3 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a download falls silent',
    files: [LARGE],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'stall', afterBytes: MIB }, { skip: 1 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a download is never answered',
    files: [SMALL],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'stall' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a download drips',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('download', 'Download', { kind: 'drip', bytesPerSecond: 30_000 }, { skip: 1 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a download ends early and says so in its length',
    files: [LARGE],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'short', bytes: 2 * MIB }, { skip: 2 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a byte of a download is altered once',
    files: [LARGE],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'flip', atByte: 3 * MIB }, { skip: 2 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a byte of a download is altered every time',
    files: [SMALL],
    arrange: ({ fault }) => fault('download', 'Download', { kind: 'flip', atByte: 30_000 }, ALWAYS),
    ends: { fails: 'CHECKSUM_MISMATCH' },
  },
  {
    when: 'the download URL has expired',
    files: [LARGE],
    arrange: ({ fault }) =>
      fault(
        'download',
        'Download',
        { kind: 'error', status: 403, code: 'AccessDenied', message: 'Request has expired.' },
        { skip: 1 },
      ),
    ends: { stored: 'parsed' },
  },
  {
    when: 'every download URL is refused',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'download',
        'Download',
        { kind: 'error', status: 403, code: 'AccessDenied', message: 'Request has expired.' },
        ALWAYS,
      ),
    ends: { fails: 'URL_EXPIRED' },
  },
  {
    when: 'the file is not there',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('download', 'Download', { kind: 'error', status: 404, code: 'NoSuchKey' }, ALWAYS),
    ends: { fails: 'SOURCE_INVALID', saying: /404|NoSuchKey/ },
  },
  {
    when: 'the download host fails twice',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('download', 'Download', { kind: 'error', status: 502, code: 'BadGateway' }, { times: 2 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a range is answered with the whole file',
    files: [LARGE],
    arrange: ({ fault }) =>
      fault('download', 'Download', { kind: 'drop-request-headers', names: ['range'] }, { skip: 2 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'ranges are never honoured',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('download', 'Download', { kind: 'drop-request-headers', names: ['range'] }, ALWAYS),
    ends: { fails: 'SOURCE_INVALID' },
  },
  {
    when: 'a page with status 200 comes in the place of the file',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'download',
        'Download',
        { kind: 'reply', status: 200, headers: { 'content-type': 'text/html' }, body: '<html>log in</html>' },
        ALWAYS,
      ),
    ends: { fails: 'SOURCE_INVALID' },
  },
  {
    when: 'the file changes while it is read',
    files: [LARGE],
    arrange: ({ fault }) =>
      fault(
        'download',
        'Download',
        { kind: 'headers', set: { etag: '"another"', 'last-modified': 'Fri, 20 Nov 2026 00:00:00 GMT' } },
        { skip: 2, times: -1 },
      ),
    ends: { fails: 'SOURCE_CHANGED' },
  },
  {
    when: 'the file was cut at the source',
    files: [CUT],
    ends: { fails: 'RDB_TRUNCATED', saying: /byte \d+/ },
  },
  {
    when: 'the file was damaged at the source',
    files: [FLIPPED],
    ends: { fails: 'RDB_CORRUPT', saying: /byte \d+/ },
  },
  { when: 'the file is of a kind that cannot be read', files: [FOREIGN], ends: { fails: 'RDB_UNSUPPORTED' } },
  { when: 'the file is a web page', files: [PAGE], ends: { fails: 'RDB_CORRUPT' } },
  {
    when: 'the writer of the file had checksums switched off',
    files: [WITHOUT_CHECKSUM],
    ends: { stored: 'checksummed' },
  },
];

const uploads: readonly Scenario[] = [
  {
    when: 'OSS is unavailable for a part',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'UploadPart', unavailable, { times: 3 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the answer to a part is lost',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'UploadPart', { kind: 'lose-answer' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a part arrives altered',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'UploadPart', { kind: 'flip-request', atByte: MIB }),
    ends: { stored: 'parsed' },
  },
  {
    // The listing and the finished object tell the true ones.
    when: 'OSS answers each part with another checksum than it has',
    files: [LARGE],
    arrange: ({ fault }) =>
      fault('oss', 'UploadPart', { kind: 'headers', set: { 'x-oss-hash-crc64ecma': '1' } }, ALWAYS),
    ends: { stored: 'parsed' },
  },
  {
    when: 'an upload cannot be begun at first',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'InitiateMultipartUpload', unavailable, { times: 2 }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the answer to the beginning of an upload is lost',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'InitiateMultipartUpload', { kind: 'lose-answer' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the answer to the completion is lost',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'CompleteMultipartUpload', { kind: 'lose-answer' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the completion fails at first',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'CompleteMultipartUpload', unavailable),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the upload disappears under our hands',
    files: [LARGE],
    arrange: ({ fault }) => fault('oss', 'UploadPart', { kind: 'error', status: 404, code: 'NoSuchUpload' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the role may not write this object',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'oss',
        'PutObject',
        { kind: 'error', status: 403, code: 'AccessDenied' },
        { times: -1, key: 'rdb$' },
      ),
    ends: { fails: 'PERMISSION_DENIED' },
  },
  {
    when: 'the answer to the manifest is lost',
    files: [SMALL],
    arrange: ({ fault }) => fault('oss', 'PutObject', { kind: 'lose-answer' }, { key: 'manifest' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the manifest cannot be written',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'oss',
        'PutObject',
        { kind: 'error', status: 403, code: 'AccessDenied' },
        { times: -1, key: 'manifest' },
      ),
    ends: { fails: 'PERMISSION_DENIED' },
  },
  {
    when: 'an answer of OSS is a web page',
    files: [LARGE],
    arrange: ({ fault }) =>
      fault(
        'oss',
        'UploadPart',
        { kind: 'reply', status: 502, body: '<html>Bad Gateway</html>' },
        { times: 2 },
      ),
    ends: { stored: 'parsed' },
  },
];

const sources: readonly Scenario[] = [
  {
    when: 'the service throttles',
    files: [SMALL],
    arrange: ({ fault }) => {
      for (const action of ['CreateBackup', 'DescribeBackups'])
        fault('tair', action, throttled, { times: 2 });
    },
    ends: { stored: 'parsed' },
  },
  {
    when: 'the answer to CreateBackup is lost',
    files: [SMALL],
    arrange: ({ fault }) => fault('tair', 'CreateBackup', { kind: 'lose-answer' }),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the instance has had its backups of the day',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('tair', 'CreateBackup', {
        kind: 'error',
        status: 400,
        code: 'BackupTimesExceeded',
        message: 'Exceeding the daily backup times of this DB instance.',
      }),
    ends: { fails: 'BACKUP_QUOTA' },
    created: 0,
  },
  {
    when: 'the backup fails',
    files: [SMALL],
    arrange: ({ emulator, id }) => emulator.tair.failNextBackup(id),
    ends: { fails: 'BACKUP_FAILED' },
  },
  {
    when: 'a cluster has all its shards',
    files: shardsOf(3),
    ends: { stored: 'parsed' },
  },
  {
    when: 'a shard of a cluster has no keys',
    files: [FIRST_HALF, shard('no-keys', { slots: [8192, 16_383], keys: 0 })],
    ends: { stored: 'parsed' },
  },
  {
    when: 'slots were moved between two shards while the backup was made',
    files: [FIRST_HALF, shard('moved', { slots: [8000, 16_383], keys: 300 })],
    ends: {
      fails: 'SHARDS_DISAGREE',
      saying: /slots? .*8\d\d\d.* keys both in .*shard 0.* and in .*shard 1/,
    },
  },
  {
    when: 'one shard of a cluster is there twice, and another is not',
    files: [FIRST_HALF, FIRST_HALF],
    ends: { fails: 'SHARDS_DISAGREE', saying: /hold the very same keys: one shard is there twice/ },
  },
  {
    when: "the file of one shard is last week's",
    files: [
      shard('of-today', { slots: [0, 8191], createdAtMs: Date.now() }),
      shard('of-last-week', { slots: [8192, 16_383], createdAtMs: Date.now() - 7 * DAY_MS }),
    ],
    ends: { fails: 'SHARDS_DISAGREE', saying: /shard 1\) was written at .* it is of another backup/ },
  },
  {
    when: 'a classic cluster gives a job for each shard',
    files: shardsOf(2),
    spec: { deployment: 'classic', jobPerShard: true },
    ends: { stored: 'parsed' },
  },
  {
    when: 'one shard of a cluster is damaged',
    files: [FIRST_HALF, FLIPPED, OTHER],
    ends: { fails: 'RDB_CORRUPT' },
  },
  {
    when: 'one shard of a cluster fails',
    files: shardsOf(2),
    arrange: ({ emulator, id }) => emulator.tair.failNextBackup(id, { shards: [1] }),
    ends: { fails: 'BACKUP_FAILED' },
  },
  {
    when: 'one shard of a cluster is not listed',
    files: shardsOf(2),
    arrange: ({ emulator, id }) => emulator.tair.dropShard(id, 1),
    ends: { fails: 'BACKUP_TIMEOUT' },
  },
  {
    when: 'the backup has no download URL',
    files: [SMALL],
    arrange: ({ emulator, id }) => emulator.tair.emptyUrls(id),
    ends: { fails: 'BACKUP_TIMEOUT' },
  },
  {
    when: 'the job vanishes',
    files: [SMALL],
    arrange: async ({ emulator, id }) => emulator.tair.vanishJob(id),
    ends: { fails: 'BACKUP_TIMEOUT' },
  },
  {
    when: 'the backup never finishes',
    files: [SMALL],
    arrange: ({ emulator, id }) => void emulator.tair.holdBackup(id),
    ends: { fails: 'BACKUP_TIMEOUT' },
  },
  {
    when: 'the service answers with a page',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'tair',
        'DescribeBackups',
        { kind: 'reply', status: 502, body: '<html>Bad Gateway</html>' },
        { times: 2 },
      ),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the service answers with nonsense',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault(
        'tair',
        'DescribeBackups',
        {
          kind: 'reply',
          status: 200,
          headers: { 'content-type': 'application/json' },
          body: '{"Backups":"soon"}',
        },
        { times: 2 },
      ),
    ends: { stored: 'parsed' },
  },
  {
    when: 'the role may not create backups',
    files: [SMALL],
    arrange: ({ fault }) =>
      fault('tair', 'CreateBackup', { kind: 'error', status: 403, code: 'Forbidden.RAM' }, ALWAYS),
    ends: { fails: 'PERMISSION_DENIED' },
    created: 0,
  },
  {
    when: 'the instance is being changed for ever',
    files: [SMALL],
    spec: { status: 'Changing' },
    ends: { fails: 'INSTANCE_NOT_READY' },
    created: 0,
  },
];

const scenarios = [...downloads, ...uploads, ...sources];

describe('in a troubled night', () => {
  let night: Stage;
  beforeAll(async () => {
    await writeFiles();
    night = await stage(scenarios);
  }, 180_000);
  afterAll(async () => {
    await night?.stop();
    removeFiles();
  });

  it.each(scenarios.map((scenario) => [scenario.when, scenario] as const))('%s', async (_when, scenario) => {
    await expect(night.judge(scenario)).resolves.toBeUndefined();
  });

  it('the summary counts every instance once, and is the one in the bucket', async () => {
    const { counts, instances, runId, status } = night.summary;
    expect(new Set(instances.map(({ instanceId }) => instanceId))).toEqual(new Set(scenarios.map(idOf)));
    expect(counts).toEqual({
      selected: scenarios.length,
      stored: scenarios.filter(({ ends }) => 'stored' in ends).length,
      failed: scenarios.filter(({ ends }) => 'fails' in ends).length,
      skipped: 0,
    });
    expect(status).toBe('partial');
    const stored = await night.emulator.oss.read(BUCKET, `.tairlift/runs/${runId}/summary.json`);
    expect(JSON.parse(stored.toString())).toEqual(JSON.parse(JSON.stringify(night.summary)));
  });

  it('no object was written twice', () => {
    const { journal } = night.emulator.world;
    const writes = [
      ...journal.entries({ service: 'oss', action: 'PutObject' }),
      ...journal.entries({ service: 'oss', action: 'CompleteMultipartUpload' }),
    ]
      .filter(({ status, fault }) => status === 200 || fault === 'lose-answer')
      .map(({ target }) => target);
    expect(writes.filter((target, index) => writes.indexOf(target) !== index)).toEqual([]);
  });
});
