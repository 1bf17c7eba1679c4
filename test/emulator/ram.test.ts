/** RAM, as doctor asks it. */
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { askRpc, type RpcAnswer } from './ask-rpc.ts';

let cloud: Emulator;
beforeAll(async () => {
  cloud = await startEmulator();
  cloud.world.identity.addRole({
    accountId: cloud.world.accountId,
    name: 'tairlift-dev-uploader',
    trusts: ['fc.aliyuncs.com'],
    allow: [],
    policies: [
      {
        name: 'tairlift-dev-uploader',
        type: 'Custom',
        document: { Version: '1', Statement: [{ Effect: 'Allow', Action: 'oss:PutObject', Resource: '*' }] },
      },
    ],
  });
});
afterAll(async () => cloud.stop());

const ram = async (
  action: string,
  parameters: Record<string, string>,
  key = cloud.accessKey,
): Promise<RpcAnswer> =>
  askRpc({ endpoint: cloud.world.endpoints.ram, version: '2015-05-01', action, parameters, key });
describe('RAM', () => {
  it('leads from a role to what its policies say', async () => {
    const role = await ram('GetRole', { RoleName: 'tairlift-dev-uploader' });
    expect(role.body['Role']).toMatchObject({
      Arn: `acs:ram::${cloud.world.accountId}:role/tairlift-dev-uploader`,
      AssumeRolePolicyDocument: expect.stringContaining('"Service":["fc.aliyuncs.com"]') as string,
    });

    const attached = await ram('ListPoliciesForRole', { RoleName: 'tairlift-dev-uploader' });
    expect(attached.body['Policies']).toMatchObject({
      Policy: [{ PolicyName: 'tairlift-dev-uploader', PolicyType: 'Custom', DefaultVersion: 'v1' }],
    });

    const policy = { PolicyName: 'tairlift-dev-uploader', PolicyType: 'Custom' };
    const whole = await ram('GetPolicy', policy);
    const version = await ram('GetPolicyVersion', { ...policy, VersionId: 'v1' });
    const document =
      '{"Version":"1","Statement":[{"Effect":"Allow","Action":"oss:PutObject","Resource":"*"}]}';
    expect(whole.body['DefaultPolicyVersion']).toMatchObject({ PolicyDocument: document });
    expect(version.body['PolicyVersion']).toMatchObject({ PolicyDocument: document });
  });

  it('says what is not there', async () => {
    expect(await ram('GetRole', { RoleName: 'nobody' })).toMatchObject({
      status: 404,
      body: { Code: 'EntityNotExist.Role' },
    });
    expect(await ram('GetPolicy', { PolicyName: 'none', PolicyType: 'Custom' })).toMatchObject({
      body: { Code: 'EntityNotExist.Policy' },
    });
  });

  it('tells nothing to those who may not ask', async () => {
    const { identity, accountId } = cloud.world;
    const nobody = identity.addRole({ accountId, name: 'nobody-much', trusts: [], allow: ['oss:*'] });
    expect(
      await ram('GetRole', { RoleName: 'tairlift-dev-uploader' }, identity.issue(nobody, 's', 900)),
    ).toMatchObject({ status: 403, body: { Code: 'NoPermission' } });
  });
});
