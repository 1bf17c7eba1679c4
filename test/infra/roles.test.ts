/** The roles of the template, asked what they may do: what the functions need, and nothing beside it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { decide, readPolicy, type Question, type Statement } from '../../emulator/policy.ts';
import { resolve } from './resolve.ts';

const template = readFileSync(join(__dirname, '..', '..', 'infra', 'template.json'), 'utf8');

const GIVEN = { Stage: 'prod', BucketName: 'my-backups', Prefix: 'team-a/', ContactGroup: 'ops' };
type Who = 'Orchestrator' | 'Uploader';

/** Everything that is attached to the role, read as strictly as the service reads it. */
function statementsOf(who: Who, parameters: Readonly<Record<string, string>> = {}): readonly Statement[] {
  const resources = resolve(template, { ...GIVEN, ...parameters });
  const own = resources[`${who}Role`]?.Properties['Policies'] as readonly {
    readonly PolicyDocument: unknown;
  }[];
  const attached = Object.values(resources)
    .filter(({ Type, Properties }) =>
      Type === 'ALIYUN::RAM::ManagedPolicy'
        ? (Properties['Roles'] as readonly string[]).includes(`${who}Role.RoleName`)
        : false,
    )
    .map(({ Properties }) => Properties['PolicyDocument']);
  return [...own.map(({ PolicyDocument }) => PolicyDocument), ...attached].flatMap(
    (document) => readPolicy(document).Statement,
  );
}

const may = (who: Who, question: Question, parameters?: Readonly<Record<string, string>>): boolean =>
  decide(statementsOf(who, parameters), question) === 'allowed';

const oss = (action: string, key: string): Question => ({
  action: `oss:${action}`,
  resource: `acs:oss:oss-cn-hangzhou:1111111111111111:my-backups${key === '' ? '' : `/${key}`}`,
});
const list = (prefix: string): Question => ({ ...oss('ListObjects', ''), context: { 'oss:Prefix': prefix } });
const fc = (action: string, name: string): Question => ({
  action: `fc:${action}`,
  resource: `acs:fc:cn-hangzhou:1111111111111111:functions/${name}`,
});
const FILE = 'team-a/Backup_r-1/2026-11-20/20261120T180000Z-nightly/dump.rdb';
const STATE = 'team-a/.tairlift/runs/20261120T180000Z-nightly/summary.json';
const kvstore = (action: string): Question => ({
  action: `kvstore:${action}`,
  resource: 'acs:kvstore:cn-shanghai:1111111111111111:instance/r-1',
});

describe('the role of the orchestrator', () => {
  it.each([
    oss('GetObject', FILE),
    oss('GetObject', STATE),
    oss('PutObject', STATE),
    list('team-a/.tairlift/runs/20261120T180000Z-nightly/'),
    kvstore('CreateBackup'),
    fc('InvokeFunction', 'tairlift-prod-uploader'),
    fc('InvokeFunction', 'tairlift-prod-orchestrator/LATEST'),
    fc('GetAsyncTask', 'tairlift-prod-uploader'),
    { action: 'kvstore:DescribeInstances', resource: '*' },
    { action: 'cms:PutCustomEvent', resource: '*' },
  ])('allows $action on $resource', (question) => {
    expect(may('Orchestrator', question)).toBe(true);
  });

  it.each([
    oss('PutObject', FILE),
    oss('DeleteObject', STATE),
    oss('AbortMultipartUpload', FILE),
    oss('GetObject', 'team-b/Backup_r-1/2026-11-20/x/dump.rdb'),
    oss('PutBucketPolicy', ''),
    list('team-a/Backup_'),
    list(''),
    oss('ListObjects', ''),
    fc('InvokeFunction', 'tairlift-dev-uploader'),
    fc('UpdateFunction', 'tairlift-prod-uploader'),
    kvstore('DeleteInstance'),
    kvstore('ModifyInstanceSpec'),
    { action: 'sts:AssumeRole', resource: 'acs:ram::2222222222222222:role/tairlift-source' },
    { action: 'ram:GetRole', resource: '*' },
  ])('refuses $action on $resource', (question) => {
    expect(may('Orchestrator', question)).toBe(false);
  });
});

describe('the role of the uploader', () => {
  it.each([
    oss('PutObject', FILE),
    oss('PutObject', STATE),
    oss('GetObject', FILE),
    oss('ListParts', FILE),
    oss('AbortMultipartUpload', FILE),
    oss('ListMultipartUploads', ''),
    kvstore('DescribeBackups'),
  ])('allows $action on $resource', (question) => {
    expect(may('Uploader', question)).toBe(true);
  });

  it.each([
    list('team-a/.tairlift/'),
    oss('DeleteObject', FILE),
    oss('PutObjectAcl', FILE),
    oss('PutObject', 'team-b/Backup_r-1/x'),
    oss('AbortMultipartUpload', STATE),
    kvstore('CreateBackup'),
    fc('InvokeFunction', 'tairlift-prod-uploader'),
    { action: 'cms:PutCustomEvent', resource: '*' },
  ])('refuses $action on $resource', (question) => {
    expect(may('Uploader', question)).toBe(false);
  });
});

describe.each(['Orchestrator', 'Uploader'] as const)('what only some deployments need, for the %s', (who) => {
  const role = 'acs:ram::2222222222222222:role/tairlift-source';
  const other = 'acs:ram::3333333333333333:role/tairlift-source';

  it('is there only when it is asked for', () => {
    const sometimes = (parameters: Readonly<Record<string, string>>): readonly string[] =>
      [
        { action: 'sts:AssumeRole', resource: role },
        { action: 'kms:Decrypt', resource: 'acs:kms:cn-hangzhou:1111111111111111:key/key-1' },
        { action: 'ecs:CreateNetworkInterface', resource: '*' },
      ]
        .filter((question) => may(who, question, parameters))
        .map(({ action }) => action);

    expect(sometimes({})).toEqual([]);
    expect(sometimes({ SourceRoles: `${other},${role}` })).toEqual(['sts:AssumeRole']);
    expect(sometimes({ KmsKeyId: 'key-1' })).toEqual(['kms:Decrypt']);
    expect(sometimes({ VpcId: 'vpc-1' })).toEqual(['ecs:CreateNetworkInterface']);
  });

  it('allows the roles that are named, and no others', () => {
    const named = { SourceRoles: other };

    expect(may(who, { action: 'sts:AssumeRole', resource: other }, named)).toBe(true);
    expect(may(who, { action: 'sts:AssumeRole', resource: role }, named)).toBe(false);
  });

  it('fits into a policy with many roles', () => {
    const many = Array.from(
      { length: 90 },
      (_, index) => `acs:ram::${10 ** 15 + index}:role/tairlift-source`,
    );

    // The reader knows the limit of the service for the length of a policy.
    expect(
      may(who, { action: 'sts:AssumeRole', resource: many[89] ?? '' }, { SourceRoles: many.join(',') }),
    ).toBe(true);
  });

  it('trusts Function Compute alone', () => {
    const trust = resolve(template, GIVEN)[`${who}Role`]?.Properties['AssumeRolePolicyDocument'];

    expect(trust).toEqual({
      Version: '1',
      Statement: [{ Effect: 'Allow', Action: 'sts:AssumeRole', Principal: { Service: ['fc.aliyuncs.com'] } }],
    });
  });
});

describe('the bucket', () => {
  const bucketWith = (parameters: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> =>
    resolve(template, { ...GIVEN, ...parameters })['BackupBucket']?.Properties ?? {};

  it('is private, encrypted, and without versions', () => {
    expect(bucketWith({})).toMatchObject({
      AccessControl: 'private',
      BlockPublicAccess: true,
      DeletionForce: false,
      ServerSideEncryptionConfiguration: { SSEAlgorithm: 'AES256' },
    });
    expect(bucketWith({})).not.toHaveProperty('VersioningConfiguration');
    expect(bucketWith({})).not.toHaveProperty('ServerSideEncryptionConfiguration.KMSMasterKeyID');
    expect(bucketWith({ KmsKeyId: 'key-1' })).toMatchObject({
      ServerSideEncryptionConfiguration: { SSEAlgorithm: 'KMS', KMSMasterKeyID: 'key-1' },
    });
  });

  it('refuses whatever comes without TLS, and says nothing else', () => {
    const { Statement } = readPolicy(bucketWith({})['Policy'], 'bucket');
    const asked = (secure: string): string =>
      decide(Statement, { ...oss('GetObject', FILE), context: { 'acs:SecureTransport': secure } });

    expect([asked('false'), asked('true')]).toEqual(['denied', 'silent']);
  });

  it.each([
    ['by default', {}, [[30, 'IA']]],
    [
      'with Archive',
      { ArchiveAfterDays: '90' },
      [
        [30, 'IA'],
        [90, 'Archive'],
      ],
    ],
    [
      'with Cold Archive',
      { ColdArchiveAfterDays: '180' },
      [
        [30, 'IA'],
        [180, 'ColdArchive'],
      ],
    ],
    [
      'with both',
      { ArchiveAfterDays: '90', ColdArchiveAfterDays: '180' },
      [
        [30, 'IA'],
        [90, 'Archive'],
        [180, 'ColdArchive'],
      ],
    ],
  ])('moves backups %s through the classes that are asked for', (_what, parameters, expected) => {
    const [backups, state] = (
      bucketWith(parameters)['LifecycleConfiguration'] as {
        readonly Rule: readonly {
          readonly Prefix: string;
          readonly Transition?: readonly { readonly Days: number; readonly StorageClass: string }[];
        }[];
      }
    ).Rule;

    expect(backups?.Prefix).toBe('team-a/Backup_');
    expect(backups?.Transition?.map(({ Days, StorageClass }) => [Days, StorageClass])).toEqual(expected);
    expect(state).toEqual({
      ID: 'run-state',
      Prefix: 'team-a/.tairlift/',
      Status: 'Enabled',
      Expiration: { Days: 3650 },
    });
  });

  it('lets nobody replace what is written, also who does not ask for it', () => {
    expect(resolve(template, GIVEN)['WriteOnce']?.Properties['Rule']).toEqual([
      { Id: 'backups', Action: 'forbid', Prefix: 'team-a/Backup_' },
      { Id: 'run-state', Action: 'forbid', Prefix: 'team-a/.tairlift/' },
    ]);
  });

  it('is left alone when it is there already', () => {
    const types = Object.values(resolve(template, { ...GIVEN, BucketIs: 'there' })).map(({ Type }) => Type);

    expect(types.filter((type) => type.startsWith('ALIYUN::OSS'))).toEqual([]);
  });
});
