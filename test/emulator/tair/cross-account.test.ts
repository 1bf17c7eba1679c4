import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { startEmulator, type Emulator } from '../../../emulator/start-emulator.ts';

const OWNER_ID = '2222222222222222';

let cloud: Emulator;

beforeAll(async () => {
  cloud = await startEmulator({
    instances: [
      { region: 'cn-hangzhou', id: 'r-own', rdbFiles: ['/nonexistent.rdb'] },
      { region: 'cn-hangzhou', id: 'r-theirs', accountId: OWNER_ID, rdbFiles: ['/nonexistent.rdb'] },
    ],
  });
});

afterAll(async () => cloud.stop());

/** The vendor's clients, unmodified, in a process that knows no more than what the emulator says to export. */
async function run(script: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', script], {
    timeout: 30_000,
    env: { ...process.env, ...cloud.environment },
  });
  return stdout.trim();
}

const list = (credential: string): string => `
  const Credential = require('@alicloud/credentials');
  const KvStore = require('@alicloud/r-kvstore20150101');
  const { $OpenApiUtil } = require('@alicloud/openapi-core');
  const hostOf = (name) => new URL(process.env['TAIRLIFT_ENDPOINT_' + name]).host;
  const credential = ${credential};
  const client = new KvStore.default(new $OpenApiUtil.Config({ credential, endpoint: hostOf('TAIR'), protocol: 'http' }));
  client.describeInstances(new KvStore.DescribeInstancesRequest({ regionId: 'cn-hangzhou' })).then(
    ({ body }) => console.log(body.instances.KVStoreInstance.map((one) => one.instanceId).join()),
    (error) => console.log(error.code ?? error.message));`;

const assumed = (roleArn: string): string => `new Credential.default(null,
  Credential.RAMRoleARNCredentialsProvider.builder()
    .withCredentialsProvider(Credential.EnvironmentVariableCredentialsProvider.builder().build())
    .withRoleArn('${roleArn}').withRoleSessionName('nightly').withExternalId('team-a')
    .withStsEndpoint(hostOf('STS')).build())`;

it('shows the exported access key its own account’s instances', async () => {
  expect(await run(list('new Credential.default()'))).toBe('r-own');
});

it('shows a role of another account that account’s instances', async () => {
  const role = cloud.world.identity.addRole({
    accountId: OWNER_ID,
    name: 'source',
    trusts: [cloud.world.accountId],
    externalId: 'team-a',
    allow: ['kvstore:*'],
  });
  expect(await run(list(assumed(role.arn)))).toBe('r-theirs');
  const callers = cloud.world.journal.entries({ service: 'tair' }).map(({ caller }) => caller);
  expect(callers.at(-1)).toBe(`acs:ram::${OWNER_ID}:assumed-role/source/nightly`);
});

it('keeps a role to what it may do', async () => {
  const role = cloud.world.identity.addRole({
    accountId: OWNER_ID,
    name: 'narrow',
    trusts: [cloud.world.accountId],
    externalId: 'team-a',
    allow: ['kvstore:DescribeBackups'],
  });
  expect(await run(list(assumed(role.arn)))).toBe('Forbidden.RAM');
});
