import { invoke, startFc, type FcWorld } from './fc-world.ts';
import type { AccessKey, Session } from '../../../emulator/identity.ts';

/** The SDK of the older generation has no types of its own. */
interface OlderClient {
  invokeFunction(
    service: string,
    name: string,
    event: string,
    headers?: Readonly<Record<string, string>>,
    qualifier?: string,
    options?: { readonly rawBuf?: boolean },
  ): Promise<{ readonly headers: Readonly<Record<string, string>>; readonly data: unknown }>;
}
const OlderSdk = require('@alicloud/fc2') as new (
  accountId: string,
  config: Readonly<Record<string, string>>,
) => OlderClient;

let fc: FcWorld;
beforeAll(async () => {
  fc = await startFc();
  fc.deploy('echo', 'echo', { service: 'backup' });
  fc.deploy('broken', 'broken', { service: 'backup', maxAsyncRetryAttempts: 0 });
  fc.deploy('modern', 'echo');
});
afterAll(async () => fc.stop());

function client(key: AccessKey | Session = fc.accessKey, accountId = '1111111111111111'): OlderClient {
  return new OlderSdk(accountId, {
    accessKeyID: key.accessKeyId,
    accessKeySecret: key.accessKeySecret,
    ...('securityToken' in key ? { securityToken: key.securityToken } : {}),
    region: 'cn-hangzhou',
    endpoint: `http://${fc.host}`,
  });
}

describe('the older API generation', () => {
  it('invokes a function of a service and waits for its answer', async () => {
    const { data, headers } = await client().invokeFunction('backup', 'echo', '{"a":1}');
    expect(JSON.parse(String(data))).toMatchObject({
      event: '{"a":1}',
      context: { requestId: headers['x-fc-request-id'], service: { name: 'backup' } },
    });
  });

  it('tells an error of the code by its header', async () => {
    const { data, headers } = await client().invokeFunction('backup', 'broken', '{"mode":"throw"}');
    expect(headers['x-fc-error-type']).toBe('UnhandledInvocationError');
    expect(data).toMatchObject({ errorMessage: 'this was never going to work' });
  });

  it('accepts an asynchronous invocation once per id', async () => {
    const headers = {
      'x-fc-invocation-type': 'Async',
      'x-fc-stateful-async-invocation-id': 'run-1',
    };
    await client().invokeFunction('backup', 'broken', '{"mode":"none"}', headers);
    await expect(client().invokeFunction('backup', 'broken', '{}', headers)).rejects.toMatchObject({
      code: 'StatefulAsyncInvocationAlreadyExists',
      message: expect.stringContaining('failed with 409'),
    });
    await fc.fc.whenIdle();
    expect(fc.fc.tasks('broken')).toMatchObject([{ taskId: 'run-1', status: 'Succeeded' }]);
  });

  it('knows services, functions and versions', async () => {
    for (const [service, name, qualifier, code] of [
      ['none', 'echo', 'LATEST', 'ServiceNotFound'],
      ['backup', 'none', 'LATEST', 'FunctionNotFound'],
      ['backup', 'modern', 'LATEST', 'FunctionNotFound'],
      ['backup', 'echo', '7', 'VersionNotFound'],
    ] as const)
      await expect(client().invokeFunction(service, name, '{}', {}, qualifier)).rejects.toMatchObject({
        code,
      });
  });

  it('has its functions called service$function by the newer one', async () => {
    expect((await invoke(fc.client(), 'backup$echo', '{}')).status).toBe(200);
    await expect(invoke(fc.client(), 'echo', '{}')).rejects.toMatchObject({ code: 'FunctionNotFound' });
  });

  it('verifies key, signature, token and account', async () => {
    const call = async (with_: OlderClient) => with_.invokeFunction('backup', 'echo', '{}');
    const session = fc.world.identity.issue(fc.role, 'test', 3600);
    expect((await call(client(session))).headers['x-fc-error-type']).toBeUndefined();
    await expect(call(client({ ...session, securityToken: 'x' }))).rejects.toMatchObject({
      code: 'InvalidSecurityToken',
    });
    fc.world.identity.expire(session.accessKeyId);
    await expect(call(client(session))).rejects.toMatchObject({ code: 'ExpiredSecurityToken' });
    const { accessKeyId, accessKeySecret } = fc.accessKey;
    await expect(call(client({ accessKeyId: 'LTAIx', accessKeySecret }))).rejects.toMatchObject({
      code: 'InvalidAccessKeyID',
    });
    await expect(call(client({ accessKeyId, accessKeySecret: 'x' }))).rejects.toMatchObject({
      code: 'SignatureNotMatch',
    });
    await expect(call(client(fc.accessKey, '2222222222222222'))).rejects.toMatchObject({
      code: 'AccessDenied',
    });
  });
});
