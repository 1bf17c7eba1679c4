/** Stacks: the repository's own template applied, changed, taken back and removed, and what is refused. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { statementsOf } from '../../../emulator/identity.ts';
import { decide } from '../../../emulator/policy.ts';
import { startEmulator, type Emulator } from '../../../emulator/start-emulator.ts';
import { askRpc, type RpcAnswer } from '../ask-rpc.ts';

const ROOT = join(__dirname, '..', '..', '..');
const TEMPLATE = readFileSync(join(ROOT, 'infra', 'template.json'), 'utf8');
const REGION = 'cn-hangzhou';
const PARAMETERS = { Stage: 'dev', BucketName: 'my-backups', ContactGroup: 'on-call' };

let cloud: Emulator;
beforeEach(async () => {
  cloud = await startEmulator();
});
afterEach(async () => cloud.stop());

async function ros(action: string, parameters: Record<string, string>): Promise<RpcAnswer> {
  return askRpc({
    endpoint: cloud.world.endpoints.ros,
    version: '2019-09-10',
    action,
    parameters: { RegionId: REGION, ...parameters },
    key: cloud.accessKey,
    ca: readFileSync(cloud.environment['NODE_EXTRA_CA_CERTS'] ?? '', 'utf8'),
  });
}

const wire = (parameters: Readonly<Record<string, string>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(parameters).flatMap(([key, value], index) => [
      [`Parameters.${index + 1}.ParameterKey`, key],
      [`Parameters.${index + 1}.ParameterValue`, value],
    ]),
  );

async function create(
  parameters: Readonly<Record<string, string>> = PARAMETERS,
  template = TEMPLATE,
): Promise<RpcAnswer> {
  const answer = await ros('CreateStack', {
    StackName: 'tairlift-dev',
    TemplateBody: template,
    ...wire(parameters),
  });
  await cloud.ros.whenIdle();
  return answer;
}

async function update(
  id: string,
  parameters: Readonly<Record<string, string>>,
  template = TEMPLATE,
): Promise<RpcAnswer> {
  const answer = await ros('UpdateStack', { StackId: id, TemplateBody: template, ...wire(parameters) });
  await cloud.ros.whenIdle();
  return answer;
}

const idOf = ({ body }: RpcAnswer): string => String(body['StackId']);
const stack = async (id: string) => (await ros('GetStack', { StackId: id })).body;
const roleOf = (name: string) => cloud.world.identity.role(`acs:ram::${cloud.world.accountId}:role/${name}`);
const may = (role: string, action: string, resource: string, context: Record<string, string> = {}): boolean =>
  decide(statementsOf(roleOf(role)), { action, resource, context }) === 'allowed';

describe("the repository's own template", () => {
  it('makes the bucket, the roles and the rest, and tells what they are called', async () => {
    const id = idOf(await create());

    expect(await stack(id)).toMatchObject({ Status: 'CREATE_COMPLETE', StackName: 'tairlift-dev' });
    const { Outputs } = (await stack(id)) as { Outputs: { OutputKey: string; OutputValue: string }[] };
    expect(Object.fromEntries(Outputs.map((one) => [one.OutputKey, one.OutputValue]))).toMatchObject({
      Bucket: 'my-backups',
      OrchestratorRoleArn: roleOf('tairlift-dev-orchestrator')?.arn,
      UploaderRoleArn: roleOf('tairlift-dev-uploader')?.arn,
      Logstore: 'functions',
      DeadLetterQueue: 'tairlift-dev-failed',
    });
    expect(cloud.oss.bucket('my-backups')).toMatchObject({
      region: REGION,
      blocksPublicAccess: true,
      encryption: { algorithm: 'AES256' },
      overwriteRules: [{ prefix: 'Backup_' }, { prefix: '.tairlift/' }],
    });
    expect(cloud.ros.hasQueue(cloud.world.accountId, 'tairlift-dev-failed')).toBe(true);
    expect(
      cloud.ros.hasLogstore(cloud.world.accountId, `tairlift-dev-${cloud.world.accountId}`, 'functions'),
    ).toBe(true);
  });

  it('gives roles that may do what they are for, on what is theirs', async () => {
    await create({ ...PARAMETERS, Prefix: 'team-a/' });

    const object = (key: string): string =>
      `acs:oss:oss-${REGION}:${cloud.world.accountId}:my-backups/${key}`;
    expect(may('tairlift-dev-uploader', 'oss:PutObject', object('team-a/Backup_2026/manifest.json'))).toBe(
      true,
    );
    expect(may('tairlift-dev-uploader', 'oss:PutObject', object('Backup_2026/manifest.json'))).toBe(false);
    expect(may('tairlift-dev-uploader', 'oss:DeleteObject', object('team-a/Backup_2026/manifest.json'))).toBe(
      false,
    );
    expect(
      may('tairlift-dev-uploader', 'kvstore:CreateBackup', 'acs:kvstore:cn-hangzhou:1:instance/r-1'),
    ).toBe(false);
  });

  it('with other parameters is changed where they matter, and nowhere else', async () => {
    const id = idOf(await create());
    const before = roleOf('tairlift-dev-orchestrator');

    await update(id, { ...PARAMETERS, KmsKeyId: 'key-1', LogDays: '90' });

    expect(await stack(id)).toMatchObject({ Status: 'UPDATE_COMPLETE' });
    expect(cloud.oss.bucket('my-backups')?.encryption).toEqual({ algorithm: 'KMS', keyId: 'key-1' });
    expect(roleOf('tairlift-dev-uploader')?.policies?.map(({ name }) => name)).toContain(
      'tairlift-dev-uploader-kms',
    );
    expect(roleOf('tairlift-dev-orchestrator')?.policies?.[0]).toEqual(before?.policies?.[0]);
    expect(
      cloud.ros.recorded().find(({ type }) => type === 'ALIYUN::SLS::Logstore')?.properties,
    ).toMatchObject({
      TTL: 90,
    });

    await update(id, PARAMETERS);
    expect(cloud.oss.bucket('my-backups')?.encryption?.algorithm).toBe('AES256');
    expect(roleOf('tairlift-dev-uploader')?.policies?.map(({ name }) => name)).toEqual([
      'tairlift-dev-uploader',
    ]);
  });

  it('applied twice says that nothing would change', async () => {
    const id = idOf(await create());
    for (const DryRun of ['true', 'false'])
      expect(
        await ros('UpdateStack', { StackId: id, TemplateBody: TEMPLATE, DryRun, ...wire(PARAMETERS) }),
      ).toMatchObject({
        status: 400,
        body: { Code: 'NotSupported', Message: expect.stringContaining('completely same stack') as string },
      });
    expect(await create()).toMatchObject({ status: 409, body: { Code: 'StackExists' } });
  });

  it('leaves the bucket and its rules when the stack is deleted, and nothing else', async () => {
    const id = idOf(await create());
    await ros('DeleteStack', { StackId: id });
    await cloud.ros.whenIdle();

    expect(await stack(id)).toMatchObject({ Status: 'DELETE_COMPLETE' });
    expect(cloud.oss.bucket('my-backups')?.overwriteRules).toHaveLength(2);
    expect(roleOf('tairlift-dev-uploader')).toBeUndefined();
    expect(cloud.ros.recorded()).toEqual([]);
    expect((await ros('ListStacks', { 'StackName.1': 'tairlift-dev' })).body).toMatchObject({
      TotalCount: 0,
    });
  });

  it.each([
    ['no bucket', { Stage: 'dev', ContactGroup: 'on-call' }, '(BucketName) was not provided'],
    ['a stage in capitals', { ...PARAMETERS, Stage: 'DEV' }, '(Stage) does not match'],
    ['days that are none', { ...PARAMETERS, LogDays: 'many' }, '(LogDays) is not of the type Number'],
    ['too many days', { ...PARAMETERS, LogDays: '9999' }, '(LogDays) must be from'],
    ['a parameter that it does not have', { ...PARAMETERS, Colour: 'red' }, '(Colour) was not defined'],
  ])('with %s is refused before anything is made', async (_what, parameters, because) => {
    const answer = await create(parameters);
    expect(answer).toMatchObject({ status: 400, body: { Code: 'StackValidationFailed' } });
    expect(answer.body['Message']).toContain(because);
    expect(cloud.oss.bucket('my-backups')).toBeUndefined();
  });
});

describe('a stack that cannot be made', () => {
  it("because the bucket is somebody else's leaves nothing behind, and is made when that is put right", async () => {
    await cloud.oss.createBucket({ name: 'my-backups', region: REGION, accountId: '9999999999999999' });
    const id = idOf(await create());

    const { Status, StatusReason } = await stack(id);
    expect(Status).toBe('CREATE_ROLLBACK_COMPLETE');
    expect(StatusReason).toContain('BucketAlreadyExists');
    expect(cloud.world.identity.roles().filter(({ name }) => name.startsWith('tairlift-'))).toEqual([]);
    expect(cloud.oss.bucket('my-backups')?.accountId).toBe('9999999999999999');

    await update(id, { ...PARAMETERS, BucketName: 'my-own-backups' });
    expect(await stack(id)).toMatchObject({ Status: 'UPDATE_COMPLETE' });
    expect(cloud.oss.bucket('my-own-backups')?.blocksPublicAccess).toBe(true);
  });

  it('because a role is there already says so, and leaves that role as it was', async () => {
    const { identity, accountId } = cloud.world;
    const mine = identity.addRole({ accountId, name: 'tairlift-dev-uploader', trusts: [], allow: ['oss:*'] });
    const id = idOf(await create());

    expect(await stack(id)).toMatchObject({
      Status: 'CREATE_ROLLBACK_COMPLETE',
      StatusReason: expect.stringContaining('EntityAlreadyExists.Role') as string,
    });
    expect(roleOf('tairlift-dev-uploader')).toEqual(mine);
    const { Events } = (await ros('ListStackEvents', { StackId: id, PageSize: '50' })).body as {
      Events: { LogicalResourceId: string; Status: string }[];
    };
    expect(Events.find(({ Status }) => Status === 'CREATE_FAILED')?.LogicalResourceId).toBe('UploaderRole');
  });

  it.each([
    ['kept' as const, true],
    ['removed' as const, false],
  ])(
    'leaves the new bucket or not: what is retained is %s, and either way the next one is made',
    async (retainedInRollback, stays) => {
      await cloud.stop();
      cloud = await startEmulator({ ros: { retainedInRollback } });
      const { identity, accountId } = cloud.world;
      const { arn } = identity.addRole({ accountId, name: 'tairlift-dev-uploader', trusts: [], allow: [] });
      const id = idOf(await create());
      expect(cloud.oss.bucket('my-backups') !== undefined).toBe(stays);

      identity.removeRole(arn);
      await update(id, stays ? { ...PARAMETERS, BucketIs: 'there' } : PARAMETERS);
      expect(await stack(id)).toMatchObject({ Status: 'UPDATE_COMPLETE' });
      expect(cloud.oss.bucket('my-backups')?.policy?.Statement).toHaveLength(1);
    },
  );

  it('in a change is what it was before', async () => {
    const id = idOf(await create());
    const broken = TEMPLATE.replace('"oss:PutObject"', '"PutObject"');
    await update(id, { ...PARAMETERS, LogDays: '90' }, broken);

    expect(await stack(id)).toMatchObject({ Status: 'ROLLBACK_COMPLETE' });
    expect(roleOf('tairlift-dev-orchestrator')?.policies).toHaveLength(1);
    expect(
      cloud.ros.recorded().find(({ type }) => type === 'ALIYUN::SLS::Logstore')?.properties,
    ).toMatchObject({
      TTL: 30,
    });
    await update(id, PARAMETERS);
    expect(await stack(id)).toMatchObject({ Status: 'UPDATE_COMPLETE' });
  });

  const small = (resources: unknown): string =>
    JSON.stringify({ ROSTemplateFormatVersion: '2015-09-01', Resources: resources });
  it.each([
    ['nothing', 'nonsense', 'not a valid JSON or YAML'],
    ['no resources', small({}), 'no resources'],
    ['a type that there is not', small({ A: { Type: 'ALIYUN::OSS::Pail' } }), 'ALIYUN::OSS::Pail'],
    [
      'a name that is nowhere',
      small({ A: { Type: 'ALIYUN::MNS::Queue', Properties: { QueueName: { Ref: 'B' } } } }),
      'refers to (B)',
    ],
    [
      'a function that there is not',
      small({ A: { Type: 'ALIYUN::MNS::Queue', Properties: { QueueName: { 'Fn::Reverse': 'x' } } } }),
      'Fn::Reverse',
    ],
    [
      'a circle',
      small({
        A: { Type: 'ALIYUN::MNS::Queue', DependsOn: 'B' },
        B: { Type: 'ALIYUN::MNS::Queue', DependsOn: ['A'] },
      }),
      'A -> B -> A',
    ],
  ])('because the template has %s is refused', async (_what, template, because) => {
    const answer = await create({}, template);
    expect(answer.body).toMatchObject({ Code: 'StackValidationFailed' });
    expect(answer.body['Message']).toContain(because);
  });
});

it('functions of templates are worked out', async () => {
  const template = `
ROSTemplateFormatVersion: '2015-09-01'
Parameters:
  Name: { Type: String, Default: a-b-c }
  Many: { Type: CommaDelimitedList, Default: 'x,y' }
Conditions:
  IsShort: { 'Fn::Equals': [{ Ref: Name }, a-b-c] }
  Both: { 'Fn::And': [{ Condition: IsShort }, { 'Fn::Not': [{ 'Fn::Equals': [1, 2] }] }] }
  Never: { 'Fn::Or': [{ 'Fn::Equals': [1, 2] }] }
Resources:
  Queue:
    Type: ALIYUN::MNS::Queue
    Properties:
      QueueName: { 'Fn::Join': ['.', { 'Fn::Split': ['-', { Ref: Name }] }] }
      Text: { 'Fn::Sub': ['\${ALIYUN::StackName} \${own} \${!literal}', { own: { 'Fn::Select': [1, { Ref: Many }] } }] }
      Gone: { 'Fn::If': [Both, { Ref: ALIYUN::NoValue }, 1] }
  Second:
    Type: ALIYUN::MNS::Queue
    Properties: { QueueName: { 'Fn::Sub': '\${Queue}.\${Queue.QueueName}' } }
  Not:
    Type: ALIYUN::MNS::Queue
    Condition: Never
    Properties: { QueueName: not }
`;
  const id = idOf(await create({}, template.replaceAll('\\$', '$')));
  expect(await stack(id)).toMatchObject({ Status: 'CREATE_COMPLETE' });
  expect(cloud.ros.recorded().map(({ properties }) => properties)).toEqual([
    { QueueName: 'a.b.c', Text: 'tairlift-dev y ${literal}' },
    { QueueName: 'a.b.c.a.b.c' },
  ]);
});

it('a bucket of the account may be taken over, where the service is taken to do that, and stays when all is undone', async () => {
  await cloud.stop();
  cloud = await startEmulator({
    ros: { ownBuckets: 'adopted' },
    buckets: [{ name: 'my-backups', region: REGION }],
  });
  const { identity, accountId } = cloud.world;
  identity.addRole({ accountId, name: 'tairlift-dev-uploader', trusts: [], allow: [] });
  const id = idOf(await create());
  expect(await stack(id)).toMatchObject({ Status: 'CREATE_ROLLBACK_COMPLETE' });
  expect(cloud.oss.bucket('my-backups')).toBeDefined();
});

it('who may not make stacks is told what is missing', async () => {
  const { identity, accountId, endpoints } = cloud.world;
  const role = identity.addRole({ accountId, name: 'nobody', trusts: [], allow: ['oss:*'] });
  const answer = await askRpc({
    endpoint: endpoints.ros,
    version: '2019-09-10',
    action: 'CreateStack',
    parameters: { RegionId: REGION, StackName: 's', TemplateBody: TEMPLATE },
    key: identity.issue(role, 's', 900),
    ca: readFileSync(cloud.environment['NODE_EXTRA_CA_CERTS'] ?? '', 'utf8'),
  });
  expect(answer).toMatchObject({ status: 403, body: { Code: 'NoPermission' } });
  expect(answer.body['Message']).toContain('ros:CreateStack');
});
