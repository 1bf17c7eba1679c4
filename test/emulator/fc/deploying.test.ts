/** Functions that are deployed through the API, by the vendor's own clients. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import FcOlder from '@alicloud/fc2';
import FcModern, {
  CreateFunctionInput,
  CreateFunctionRequest,
  CreateTriggerInput,
  CreateTriggerRequest,
  GetAsyncInvokeConfigRequest,
  GetFunctionRequest,
  InputCodeLocation,
  ListFunctionsRequest,
  ListTriggersRequest,
  PutAsyncInvokeConfigInput,
  PutAsyncInvokeConfigRequest,
  PutConcurrencyConfigRequest,
  PutConcurrencyInput,
  UpdateFunctionInput,
  UpdateFunctionRequest,
  UpdateTriggerInput,
  UpdateTriggerRequest,
} from '@alicloud/fc20230330';
import { $OpenApiUtil } from '@alicloud/openapi-core';
import OSS from 'ali-oss';
import { startEmulator, type Emulator } from '../../../emulator/start-emulator.ts';
import { zip } from '../../deploy/zip.ts';
import { askRpc } from '../ask-rpc.ts';
import { buildHost, enqueue, invoke } from './fc-world.ts';

const saying = (word: string): Buffer => zip({ 'index.js': `exports.handler = async () => '${word}';` });
const ENVIRONMENT = zip({ 'index.js': 'exports.handler = async () => process.env;' });
const FAILING = zip({ 'index.js': `exports.handler = async () => { throw new Error('no'); };` });

const folder = mkdtempSync(join(tmpdir(), 'tairlift-fc-deploying-'));
let cloud: Emulator;
let client: FcModern;
let role: string;
beforeAll(async () => {
  cloud = await startEmulator({ fc: { hostFile: buildHost(folder), retryDelayMs: () => 0 } });
  const { identity, accountId, endpoints } = cloud.world;
  const trusts = ['fc.aliyuncs.com'];
  ({ arn: role } = identity.addRole({ accountId, name: 'of-functions', trusts, allow: ['mns:SendMessage'] }));
  client = new FcModern(
    new $OpenApiUtil.Config({ ...cloud.accessKey, endpoint: new URL(endpoints.fc).host, protocol: 'http' }),
  );
  await makeQueue('failed');
});
afterAll(async () => {
  await cloud.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function makeQueue(QueueName: string): Promise<void> {
  const Resources = { Queue: { Type: 'ALIYUN::MNS::Queue', Properties: { QueueName } } };
  const TemplateBody = JSON.stringify({ ROSTemplateFormatVersion: '2015-09-01', Resources });
  await askRpc({
    endpoint: cloud.world.endpoints.ros,
    version: '2019-09-10',
    action: 'CreateStack',
    parameters: { RegionId: 'cn-hangzhou', StackName: `queue-${QueueName}`, TemplateBody },
    key: cloud.accessKey,
    ca: readFileSync(cloud.environment['NODE_EXTRA_CA_CERTS'] ?? '', 'utf8'),
  });
  await cloud.ros.whenIdle();
}

const inline = (archive: Buffer): InputCodeLocation =>
  new InputCodeLocation({ zipFile: archive.toString('base64') });

async function create(functionName: string, changes: Partial<CreateFunctionInput> = {}) {
  const body = new CreateFunctionInput({
    functionName,
    runtime: 'nodejs20',
    handler: 'index.handler',
    memorySize: 512,
    cpu: 0.5,
    diskSize: 512,
    timeout: 60,
    role,
    code: inline(saying('hello')),
    ...changes,
  });
  return (await client.createFunction(new CreateFunctionRequest({ body }))).body;
}

async function createTimer(functionName: string, config: unknown, triggerName = 'nightly') {
  const triggerConfig = JSON.stringify(config);
  const body = new CreateTriggerInput({
    triggerName,
    triggerType: 'timer',
    triggerConfig,
    qualifier: 'LATEST',
  });
  return (await client.createTrigger(functionName, new CreateTriggerRequest({ body }))).body;
}

/** The code of the service's error. */
async function refused(
  call: Promise<unknown>,
): Promise<{ code?: string; statusCode?: number; message?: string }> {
  try {
    await call;
  } catch (error) {
    // The client's errors carry these.
    return error as { code: string; statusCode: number; message: string };
  }
  throw new Error('the call should have been refused');
}

const answerOf = async (functionName: string): Promise<string> =>
  (await invoke(client, functionName, '{}')).body.toString();
const getFunction = async (name: string) => (await client.getFunction(name, new GetFunctionRequest({}))).body;

describe('a function', () => {
  it('runs when it was created, tells what it was given, and is not there when it was deleted', async () => {
    const created = await create('life', {
      description: 'a short one',
      environmentVariables: { COLOUR: 'red' },
    });
    expect(created).toMatchObject({
      functionName: 'life',
      functionArn: `acs:fc:cn-hangzhou:${cloud.world.accountId}:functions/life`,
      state: 'Active',
    });
    expect(await answerOf('life')).toBe('hello');
    expect(await getFunction('life')).toMatchObject({
      description: 'a short one',
      environmentVariables: { COLOUR: 'red' },
      memorySize: 512,
      codeChecksum: created?.codeChecksum,
    });

    await client.deleteFunction('life');
    expect(await refused(getFunction('life'))).toMatchObject({ code: 'FunctionNotFound', statusCode: 404 });
  });

  it('changes what an update names, and keeps the rest, code too', async () => {
    const before = await create('changing', { environmentVariables: { A: '1' } });
    const update = async (body: Partial<UpdateFunctionInput>) =>
      client.updateFunction('changing', new UpdateFunctionRequest({ body: new UpdateFunctionInput(body) }));

    await update({ timeout: 120 });
    expect(await getFunction('changing')).toMatchObject({
      timeout: 120,
      environmentVariables: { A: '1' },
      codeChecksum: before?.codeChecksum,
    });
    expect(await answerOf('changing')).toBe('hello');

    await update({ code: inline(saying('goodbye')) });
    expect(await answerOf('changing')).toBe('goodbye');
    expect((await getFunction('changing'))?.codeChecksum).not.toBe(before?.codeChecksum);
  });

  it('comes through the bucket for code, with a token for one object of that bucket', async () => {
    const { accountId, endpoints } = cloud.world;
    const older = new FcOlder(accountId, {
      accessKeyID: cloud.accessKey.accessKeyId,
      accessKeySecret: cloud.accessKey.accessKeySecret,
      region: 'cn-hangzhou',
      endpoint: endpoints.fc,
    });
    // The method is there; the published types lack it.
    const { data } = await (older as unknown as WithGet).get('/tempBucketToken');
    const bucket = new OSS({
      accessKeyId: data.credentials.AccessKeyId,
      accessKeySecret: data.credentials.AccessKeySecret,
      stsToken: data.credentials.SecurityToken,
      bucket: data.ossBucket,
      endpoint: endpoints.oss,
      refreshSTSToken: async () => ({ accessKeyId: '', accessKeySecret: '', stsToken: '' }),
      refreshSTSTokenInterval: 3_600_000,
    });
    const ossObjectName = `${accountId}/${data.objectName}`;
    await bucket.put(ossObjectName, saying('from the bucket'));
    expect(await refused(bucket.put('0000/other.zip', saying('elsewhere')))).toMatchObject({
      code: 'AccessDenied',
    });

    const code = new InputCodeLocation({ ossBucketName: data.ossBucket, ossObjectName });
    const { codeChecksum } = (await create('through-oss', { code })) ?? {};

    expect(await answerOf('through-oss')).toBe('from the bucket');
    expect(codeChecksum).toBe(cloud.oss.list(data.ossBucket).find(({ key }) => key === ossObjectName)?.crc64);
  });

  it('finds the services of the emulator trustworthy', async () => {
    await create('environment', { code: inline(ENVIRONMENT), environmentVariables: { COLOUR: 'red' } });
    expect(JSON.parse(await answerOf('environment'))).toMatchObject({
      COLOUR: 'red',
      NODE_EXTRA_CA_CERTS: cloud.environment['NODE_EXTRA_CA_CERTS'],
      FC_FUNCTION_NAME: 'environment',
    });
  });

  it('is listed, page by page', async () => {
    for (const name of ['list-a', 'list-b', 'list-c']) await create(name);
    const list = async (nextToken?: string) => {
      const request = new ListFunctionsRequest({ prefix: 'list-', limit: 2, nextToken });
      return (await client.listFunctions(request)).body;
    };
    const first = await list();
    const second = await list(first?.nextToken);
    expect(first?.functions?.map(({ functionName }) => functionName)).toEqual(['list-a', 'list-b']);
    expect(second?.functions?.map(({ functionName }) => functionName)).toEqual(['list-c']);
    expect(second?.nextToken).toBeUndefined();
  });

  it.each<[string, Partial<CreateFunctionInput>, string]>([
    ['a name that begins with a digit', { functionName: '1st' }, 'functionName'],
    ['memory between the steps', { memorySize: 500 }, 'memorySize'],
    ['more memory than there is', { memorySize: 65_536 }, 'memorySize'],
    ['too little memory for its cores', { cpu: 1, memorySize: 512 }, 'cpu'],
    ['a disk of a size that there is not', { diskSize: 1024 }, 'diskSize'],
    ['a time limit of more than a day', { timeout: 86_401 }, 'timeout'],
    ['another runtime', { runtime: 'nodejs22' }, 'runtime'],
    ['a handler without a function', { handler: 'index' }, 'handler'],
    ['a variable of the platform', { environmentVariables: { FC_REGION: 'x' } }, 'FC_REGION'],
    ['a variable with a dash', { environmentVariables: { 'a-b': 'x' } }, 'a-b'],
    ['4 KB of variables', { environmentVariables: { LONG: 'x'.repeat(4093) } }, '4097 bytes'],
    ['a role that does not exist', { role: 'acs:ram::1234567890123456:role/nobody' }, 'nobody'],
    ['no code', { code: new InputCodeLocation({}) }, 'code'],
    ['code that is no archive', { code: inline(Buffer.from('exports.handler = 1')) }, 'no zip archive'],
    [
      'code from a bucket that is not there',
      { code: new InputCodeLocation({ ossBucketName: 'nowhere', ossObjectName: 'a' }) },
      'nowhere',
    ],
    [
      "a checksum that is not the archive's",
      { code: new InputCodeLocation({ zipFile: saying('x').toString('base64'), checksum: '1' }) },
      'checksum',
    ],
  ])('with %s is refused', async (_what, changes, because) => {
    const error = await refused(create('refused', changes));
    expect(error).toMatchObject({ code: 'InvalidArgument', statusCode: 400 });
    expect(error.message).toContain(because);
    expect(await refused(getFunction('refused'))).toMatchObject({ code: 'FunctionNotFound' });
  });

  it('is not created twice, and one that is not there is not changed', async () => {
    await create('twice');
    expect(await refused(create('twice'))).toMatchObject({ code: 'FunctionAlreadyExists', statusCode: 409 });
    const request = new UpdateFunctionRequest({ body: new UpdateFunctionInput({ timeout: 5 }) });
    expect(await refused(client.updateFunction('never', request))).toMatchObject({
      code: 'FunctionNotFound',
    });
  });
});

describe('a timer', () => {
  const HOURLY = { cronExpression: '0 0 * * * *', enable: true, payload: '{"plan":"nightly"}' };

  it('fires when it is deployed, no more when it is switched off, and never when it is deleted', async () => {
    await create('timed');
    await createTimer('timed', HOURLY);
    const fired = (): number => cloud.fc.tasks('timed').length;
    const anHour = async (): Promise<void> => {
      cloud.world.clock.advance(3_600_000);
      await cloud.fc.whenIdle();
    };

    await anHour();
    expect(fired()).toBe(1);
    const [task] = cloud.fc.tasks('timed');
    expect(JSON.parse(task?.event.toString() ?? '')).toMatchObject({
      triggerName: 'nightly',
      payload: '{"plan":"nightly"}',
    });

    const triggerConfig = JSON.stringify({ ...HOURLY, enable: false });
    const off = new UpdateTriggerRequest({ body: new UpdateTriggerInput({ triggerConfig }) });
    await client.updateTrigger('timed', 'nightly', off);
    await anHour();
    expect(fired()).toBe(1);

    await client.deleteTrigger('timed', 'nightly');
    await createTimer('timed', HOURLY, 'other');
    await anHour();
    expect(fired()).toBe(2);
    const { triggers } = (await client.listTriggers('timed', new ListTriggersRequest({}))).body ?? {};
    expect(triggers?.map(({ triggerName }) => triggerName)).toEqual(['other']);
    expect(await refused(client.getTrigger('timed', 'nightly'))).toMatchObject({ code: 'TriggerNotFound' });
  });

  it.each([
    ['five fields', { ...HOURLY, cronExpression: '0 0 4 * *' }],
    ['words', { ...HOURLY, cronExpression: 'every night' }],
    ['a day that never comes', { ...HOURLY, cronExpression: '0 0 0 31 2 *' }],
    ['another zone than there is', { ...HOURLY, cronExpression: 'CRON_TZ=Mars/Base 0 0 4 * * *' }],
    ['nothing', {}],
    ['a payload that is no text', { ...HOURLY, payload: { plan: 'nightly' } }],
  ])('with %s is refused', async (_what, config) => {
    await create('untimed').catch(() => undefined);
    expect(await refused(createTimer('untimed', config))).toMatchObject({
      code: 'InvalidArgument',
      statusCode: 400,
    });
  });
});

describe('events that nobody waits for', () => {
  const queue = (): string => `acs:mns:cn-hangzhou:${cloud.world.accountId}:/queues/failed/messages`;
  const configure = async (functionName: string, body: Partial<PutAsyncInvokeConfigInput>) =>
    client.putAsyncInvokeConfig(
      functionName,
      new PutAsyncInvokeConfigRequest({ body: new PutAsyncInvokeConfigInput(body), qualifier: 'LATEST' }),
    );

  it('are tried as often as the function says, then sent to its destination', async () => {
    await create('failing', { code: inline(FAILING) });
    await configure('failing', {
      maxAsyncRetryAttempts: 1,
      maxAsyncEventAgeInSeconds: 3600,
      destinationConfig: {
        onFailure: { destination: queue() },
      } as PutAsyncInvokeConfigInput['destinationConfig'] & object,
    });

    await enqueue(client, 'failing', { plan: 'nightly' });
    await cloud.fc.whenIdle();

    expect(cloud.fc.tasks('failing')).toMatchObject([{ status: 'Failed', attempts: 2 }]);
    const [letter] = cloud.deadLetters.filter(({ functionName }) => functionName === 'failing');
    expect(letter).toMatchObject({ destination: queue() });
    expect(letter?.lostBecause).toBeUndefined();
    expect(JSON.parse(letter?.body ?? '')).toMatchObject({
      requestContext: { condition: 'RetriesExhausted', approximateInvokeCount: 2 },
      requestPayload: '{"plan":"nightly"}',
    });
    const request = new GetAsyncInvokeConfigRequest({ qualifier: 'LATEST' });
    expect((await client.getAsyncInvokeConfig('failing', request)).body).toMatchObject({
      maxAsyncRetryAttempts: 1,
      destinationConfig: { onFailure: { destination: queue() } },
    });
  });

  it('get lost when there is no such queue', async () => {
    await create('astray', { code: inline(FAILING) });
    const destination = queue().replace('failed', 'nowhere');
    await configure('astray', {
      maxAsyncRetryAttempts: 0,
      destinationConfig: { onFailure: { destination } } as PutAsyncInvokeConfigInput['destinationConfig'] &
        object,
    });
    await enqueue(client, 'astray', {});
    await cloud.fc.whenIdle();
    const [letter] = cloud.deadLetters.filter(({ functionName }) => functionName === 'astray');
    expect(letter?.lostBecause).toBe('there is no queue nowhere');
  });

  it('get lost when the role may not send them', async () => {
    const { identity, accountId } = cloud.world;
    const silent = identity.addRole({ accountId, name: 'silent', trusts: ['fc.aliyuncs.com'], allow: [] });
    await create('mute', { code: inline(FAILING), role: silent.arn });
    await configure('mute', {
      maxAsyncRetryAttempts: 0,
      destinationConfig: {
        onFailure: { destination: queue() },
      } as PutAsyncInvokeConfigInput['destinationConfig'] & object,
    });
    await enqueue(client, 'mute', {});
    await cloud.fc.whenIdle();
    const [letter] = cloud.deadLetters.filter(({ functionName }) => functionName === 'mute');
    expect(letter?.lostBecause).toContain(`mns:SendMessage on ${queue()}`);
  });

  it('are not configured by nonsense', async () => {
    await create('nonsense');
    for (const body of [
      { maxAsyncRetryAttempts: 9 },
      { maxAsyncEventAgeInSeconds: 604_801 },
      {
        destinationConfig: {
          onFailure: { destination: 'failed' },
        } as PutAsyncInvokeConfigInput['destinationConfig'] & object,
      },
    ])
      expect(await refused(configure('nonsense', body))).toMatchObject({ code: 'InvalidArgument' });
    expect(
      await refused(client.getAsyncInvokeConfig('nonsense', new GetAsyncInvokeConfigRequest({}))),
    ).toMatchObject({ code: 'AsyncConfigNotExists', statusCode: 404 });
  });
});

describe('reserved concurrency', () => {
  const reserve = async (functionName: string, reservedConcurrency: number) =>
    client.putConcurrencyConfig(
      functionName,
      new PutConcurrencyConfigRequest({ body: new PutConcurrencyInput({ reservedConcurrency }) }),
    );

  it('is a limit: what is more is refused with 429', async () => {
    await create('limited');
    await reserve('limited', 0);
    expect(await refused(invoke(client, 'limited', '{}'))).toMatchObject({
      code: 'ResourceExhausted',
      statusCode: 429,
    });
    await client.deleteConcurrencyConfig('limited');
    expect(await answerOf('limited')).toBe('hello');
    expect(await refused(client.getConcurrencyConfig('limited'))).toMatchObject({ statusCode: 404 });
  });

  it('leaves a tenth of the account to those who reserve nothing', async () => {
    for (const name of ['share-a', 'share-b']) await create(name);
    await reserve('share-a', 50);
    expect(await refused(reserve('share-b', 41))).toMatchObject({ code: 'InvalidArgument', statusCode: 400 });
    await reserve('share-b', 40);
    expect((await client.getConcurrencyConfig('share-b')).body).toMatchObject({ reservedConcurrency: 40 });
  });
});

it('who may not deploy is told what is missing', async () => {
  const { identity, accountId, endpoints } = cloud.world;
  const reader = identity.addRole({ accountId, name: 'reader', trusts: [], allow: ['fc:Get*'] });
  const session = identity.issue(reader, 'test', 900);
  const limited = new FcModern(
    new $OpenApiUtil.Config({ ...session, endpoint: new URL(endpoints.fc).host, protocol: 'http' }),
  );
  await create('guarded');
  expect((await limited.getFunction('guarded', new GetFunctionRequest({}))).body?.functionName).toBe(
    'guarded',
  );
  const error = await refused(limited.deleteFunction('guarded'));
  expect(error).toMatchObject({ code: 'AccessDenied', statusCode: 403 });
  expect(error.message).toContain(
    `fc:DeleteFunction' on resource 'acs:fc:cn-hangzhou:${accountId}:functions/guarded'`,
  );
});

interface WithGet {
  get(path: string): Promise<{ readonly data: Token }>;
}

interface Token {
  readonly credentials: {
    readonly AccessKeyId: string;
    readonly AccessKeySecret: string;
    readonly SecurityToken: string;
  };
  readonly ossBucket: string;
  readonly objectName: string;
}
