import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { enqueue, invoke, startFc, type FcWorld } from './fc-world.ts';

let fc: FcWorld;
beforeAll(async () => {
  fc = await startFc();
  fc.deploy('echo', 'echo', { environment: { GREETING: 'hello' } });
  fc.deploy('raw', 'echo', { handler: 'index.raw' });
  fc.deploy('text', 'echo', { handler: 'index.text' });
  fc.deploy('nothing', 'echo', { handler: 'index.nothing' });
  fc.deploy('talkative', 'echo', { handler: 'index.talkative' });
  fc.deploy('broken', 'broken', { timeoutSeconds: 30 });
  fc.deploy('module', 'module');
  fc.deploy('missing-handler', 'missing-handler');
  fc.deploy('missing-code', 'module', { handler: 'nowhere.handler' });
});
afterAll(async () => fc.stop());

interface Echo {
  readonly isBuffer: boolean;
  readonly event: string;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly context: {
    readonly requestId: string;
    readonly credentials: Readonly<Record<string, string>>;
    readonly function: unknown;
    readonly region: string;
    readonly accountId: string;
    readonly retryCount: number;
  };
}

async function echo(event = '{}'): Promise<Echo & { headers: Readonly<Record<string, string>> }> {
  const { body, headers } = await invoke(fc.client(), 'echo', event);
  return { ...(JSON.parse(body.toString('utf8')) as Echo), headers };
}

interface Failure {
  readonly type: string | undefined;
  readonly body: {
    readonly errorMessage: string;
    readonly errorType?: string;
    readonly stackTrace?: readonly string[];
  };
}

async function failure(name: string, event: unknown = {}): Promise<Failure> {
  const { status, headers, body } = await invoke(fc.client(), name, JSON.stringify(event));
  expect(status).toBe(200);
  return { type: headers['x-fc-error-type'], body: JSON.parse(body.toString('utf8')) as Failure['body'] };
}

describe('a synchronous invocation', () => {
  it('hands the event over as a buffer', async () => {
    expect(await echo('{"a":1}')).toMatchObject({ isBuffer: true, event: '{"a":1}' });
  });

  it('gives the platform context, under the request id of the answer', async () => {
    const { context, headers } = await echo();
    expect(context).toMatchObject({
      requestId: headers['x-fc-request-id'],
      function: { name: 'echo', handler: 'index.handler', memory: 256, timeout: 60 },
      region: 'cn-hangzhou',
      accountId: '1111111111111111',
      retryCount: 0,
    });
  });

  it('gives credentials of the role of the function, fresh ones for each invocation', async () => {
    const first = (await echo()).context.credentials;
    const second = (await echo()).context.credentials;
    expect(second['accessKeyId']).not.toBe(first['accessKeyId']);
    const found = fc.world.identity.lookup(first['accessKeyId'] ?? '', first['securityToken']);
    expect(found).toMatchObject({
      kind: 'found',
      principal: { arn: 'acs:ram::1111111111111111:assumed-role/function-role/echo' },
    });
    expect(
      found.kind === 'found' ? (found.principal.expiresAt ?? 0) - fc.world.clock.now() : 0,
    ).toBeGreaterThan(35 * 3600 * 1000);
  });

  it('runs in the folder of the code with the variables of platform and function, and no others', async () => {
    process.env['SECRET_OF_THE_DEVELOPER'] = 'not for functions';
    const { environment, folder, context } = await echo();
    delete process.env['SECRET_OF_THE_DEVELOPER'];
    expect(folder).toBe(environment['FC_FUNC_CODE_PATH']);
    expect(environment).toMatchObject({
      GREETING: 'hello',
      FC_ACCOUNT_ID: '1111111111111111',
      FC_FUNCTION_NAME: 'echo',
      FC_FUNCTION_MEMORY_SIZE: '256',
      FC_FUNCTION_HANDLER: 'index.handler',
      FC_REGION: 'cn-hangzhou',
      TZ: 'UTC',
    });
    expect(environment['ALIBABA_CLOUD_SECURITY_TOKEN']).toBeTruthy();
    expect(environment['ALIBABA_CLOUD_ACCESS_KEY_ID']).not.toBe(context.credentials['accessKeyId']);
    expect(environment['SECRET_OF_THE_DEVELOPER']).toBeUndefined();
    expect(environment['HOME']).toBe(join(fc.world.folder, 'fc', environment['FC_INSTANCE_ID'] ?? ''));
  });

  it('answers with buffers and strings as they are, and with nothing for nothing', async () => {
    const bytes = Buffer.from([0, 255, 1, 254, 13, 10]);
    expect((await invoke(fc.client(), 'raw', bytes)).body).toEqual(bytes);
    expect((await invoke(fc.client(), 'text', '')).body.toString()).toBe('plain "text"');
    expect((await invoke(fc.client(), 'nothing', '')).body).toHaveLength(0);
  });

  it('loads ES modules as well', async () => {
    expect((await invoke(fc.client(), 'module', 'x')).body.toString()).toBe('module: x');
  });

  it('returns the end of the log when it is asked to', async () => {
    const { headers } = await invoke(fc.client(), 'echo', '{}', { 'x-fc-log-type': 'Tail' });
    const log = Buffer.from(headers['x-fc-log-result'] ?? '', 'base64').toString('utf8');
    const requestId = headers['x-fc-request-id'] ?? '';
    expect(log).toContain('a line on the output\n');
    expect(log).toContain('a line on the error output\n');
    expect(log).toMatch(new RegExp(`${requestId} \\[INFO\\] a line from the logger\n`));
    expect(log.startsWith(`FC Invoke Start RequestId: ${requestId}\n`)).toBe(true);
    expect(log.endsWith(`FC Invoke End RequestId: ${requestId}\n`)).toBe(true);
    expect(log).toBe(fc.fc.logs(requestId));
    expect(log).not.toContain('\0');
  });

  it('has all of its log when its answer is there', async () => {
    for (let time = 0; time < 20; time++) {
      const { headers, body } = await invoke(fc.client(), 'talkative', '');
      const end = `${'x'.repeat(60_000)}\nthe end: ${body.toString()}\n`;
      expect(fc.fc.logs(headers['x-fc-request-id'] ?? '')).toContain(end);
    }
  });

  it('passes each line on while the function runs', async () => {
    const lines: string[] = [];
    const silence = fc.fc.onLog((line) => lines.push(`${line.functionName}: ${line.text}`));
    await echo();
    silence();
    expect(lines).toContain('echo: a line on the output');
    await echo();
    expect(lines.filter((line) => line === 'echo: a line on the output')).toHaveLength(1);
  });

  it('is cancelled with its process when the client leaves', async () => {
    const impatient = invoke(fc.client(), 'broken', '{"mode":"hang"}', {}, 300);
    await expect(impatient).rejects.toThrow('ReadTimeout');
    await fc.fc.whenIdle();
    expect(fc.fc.invocations('broken').at(-1)).toMatchObject({ outcome: 'cancelled' });
    expect(fc.fc.describe().find(({ name }) => name === 'broken')).toMatchObject({ running: 0 });
  });
});

describe('code that fails', () => {
  it('is a 200 whose header tells the error type and whose body tells the error', async () => {
    const { type, body } = await failure('broken', { mode: 'throw' });
    expect(type).toBe('UnhandledInvocationError');
    expect(body).toMatchObject({ errorMessage: 'this was never going to work', errorType: 'RangeError' });
    expect(body.stackTrace?.[0]).toMatch(/^at exports\.handler .*index\.js/);
  });

  it('may throw what is no error', async () => {
    expect((await failure('broken', { mode: 'throw-text' })).body.errorMessage).toBe('not even an error');
  });

  it('may return what has no JSON', async () => {
    const { type, body } = await failure('broken', { mode: 'circular' });
    expect(type).toBe('UnhandledInvocationError');
    expect(body.errorType).toBe('TypeError');
  });

  it('may exit, even with success, or die of an unhandled rejection', async () => {
    for (const mode of ['exit', 'reject-later']) {
      const { type, body } = await failure('broken', { mode });
      expect(type).toBe('UnhandledInvocationError');
      expect(body.errorMessage).toMatch(
        /^Process exited unexpectedly before completing request \(duration: /,
      );
    }
  });

  it('is told when the handler or the module is missing', async () => {
    expect((await failure('missing-handler')).body.errorMessage).toBe(
      "Handler 'handler' is missing on module 'index'.",
    );
    expect((await failure('missing-code')).body.errorMessage).toMatch(/^Module '.*nowhere' is missing\.$/);
  });
});

describe('the request', () => {
  it('is refused with FunctionNotFound for what is not deployed', async () => {
    await expect(invoke(fc.client(), 'nobody', '')).rejects.toMatchObject({
      statusCode: 404,
      code: 'FunctionNotFound',
    });
  });

  it('finds no function of another account', async () => {
    const stranger = fc.client(fc.world.identity.addAccount('2222222222222222'));
    await expect(invoke(stranger, 'echo', '')).rejects.toMatchObject({ code: 'FunctionNotFound' });
  });

  it('is refused with InvalidAccessKeyID for an unknown key, with SignatureNotMatch for a wrong secret', async () => {
    const unknown = fc.client({ ...fc.accessKey, accessKeyId: 'LTAInobody' });
    await expect(invoke(unknown, 'echo', '')).rejects.toMatchObject({
      statusCode: 403,
      code: 'InvalidAccessKeyID',
    });
    const wrong = fc.client({ ...fc.accessKey, accessKeySecret: 'guess' });
    await expect(invoke(wrong, 'echo', '')).rejects.toMatchObject({
      statusCode: 403,
      code: 'SignatureNotMatch',
    });
  });

  it('is accepted from a session of a role that may invoke, and refused when its token has expired', async () => {
    const session = fc.world.identity.issue(fc.role, 'test', 3600);
    expect((await invoke(fc.client(session), 'text', '')).status).toBe(200);
    expect(fc.world.journal.entries({ service: 'fc' }).at(-1)).toMatchObject({
      action: 'InvokeFunction',
      target: 'text',
      caller: 'acs:ram::1111111111111111:assumed-role/function-role/test',
    });
    fc.world.identity.expire(session.accessKeyId);
    await expect(invoke(fc.client(session), 'text', '')).rejects.toMatchObject({
      code: 'ExpiredSecurityToken',
    });
  });

  it('is refused with AccessDenied for a role that may not invoke', async () => {
    const role = fc.world.identity.addRole({
      accountId: '1111111111111111',
      name: 'reader',
      trusts: [],
      allow: ['oss:*'],
    });
    const session = fc.world.identity.issue(role, 'test', 3600);
    await expect(invoke(fc.client(session), 'echo', '')).rejects.toMatchObject({
      statusCode: 403,
      code: 'AccessDenied',
    });
  });

  it('may carry a query that needs encoding', async () => {
    const { InvokeFunctionRequest, InvokeFunctionHeaders } = await import('@alicloud/fc20230330');
    const { RuntimeOptions } = await import('@darabonba/typescript');
    const request = new InvokeFunctionRequest({ qualifier: "no such/version (é)'*" });
    await expect(
      fc
        .client()
        .invokeFunctionWithOptions('text', request, new InvokeFunctionHeaders({}), new RuntimeOptions({})),
    ).rejects.toMatchObject({ statusCode: 404, code: 'VersionNotFound' });
  });

  it('is limited to 32 MB, and to 128 KB when asynchronous', async () => {
    const tooMuch = invoke(fc.client(), 'raw', Buffer.alloc(32 * 1024 * 1024 + 1));
    await expect(tooMuch).rejects.toMatchObject({ statusCode: 400, code: 'EntityTooLarge' });
    const large = Buffer.alloc(32 * 1024 * 1024, 7);
    expect((await invoke(fc.client(), 'raw', large)).body.equals(large)).toBe(true);
    const async = { 'x-fc-invocation-type': 'Async' };
    await expect(invoke(fc.client(), 'raw', Buffer.alloc(128 * 1024 + 1), async)).rejects.toMatchObject({
      code: 'EntityTooLarge',
    });
    expect((await invoke(fc.client(), 'raw', Buffer.alloc(128 * 1024), async)).status).toBe(202);
  });

  it('is refused with InvalidArgument for a type of invocation or of log that does not exist', async () => {
    for (const headers of [{ 'x-fc-invocation-type': 'Later' }, { 'x-fc-log-type': 'All' }])
      await expect(invoke(fc.client(), 'text', '', headers)).rejects.toMatchObject({
        code: 'InvalidArgument',
      });
  });
});

describe('a request that no SDK would send', () => {
  async function raw(
    method: string,
    path: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: string }> {
    return await new Promise((resolve, reject) => {
      const [hostname, port] = fc.host.split(':');
      const request = httpRequest({ hostname, port, method, path, headers }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(pieces).toString('utf8') }),
        );
      });
      request.on('error', reject);
      request.end();
    });
  }

  it('is refused when it is not signed', async () => {
    const { status, body } = await raw('POST', '/2023-03-30/functions/echo/invocations');
    expect(status).toBe(400);
    expect(JSON.parse(body)).toMatchObject({ Code: 'MissingRequiredHeader', RequestId: expect.any(String) });
  });

  it('is refused when its signature, right as it is, leaves a header out', async () => {
    const path = '/2023-03-30/functions/text/invocations';
    const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
    const send = async (names: readonly string[]): Promise<{ status: number; body: string }> => {
      const headers: Record<string, string> = {
        host: fc.host,
        'x-acs-content-sha256': sha256(''),
        'x-acs-version': 'v',
      };
      const canonicalHeaders = names.map((name) => `${name}:${headers[name]}\n`).join('');
      const canonical = ['POST', path, '', canonicalHeaders, names.join(';'), sha256('')].join('\n');
      const signature = createHmac('sha256', fc.accessKey.accessKeySecret)
        .update(`ACS3-HMAC-SHA256\n${sha256(canonical)}`)
        .digest('hex');
      const authorization = `ACS3-HMAC-SHA256 Credential=${fc.accessKey.accessKeyId},SignedHeaders=${names.join(';')},Signature=${signature}`;
      return await raw('POST', path, { ...headers, authorization });
    };
    expect((await send(['host', 'x-acs-content-sha256', 'x-acs-version'])).status).toBe(200);
    const { status, body } = await send(['host', 'x-acs-content-sha256']);
    expect(status).toBe(403);
    expect(JSON.parse(body)).toMatchObject({ Code: 'SignatureNotMatch' });
  });

  it('is answered with PathNotSupported when the path is unknown or badly encoded', async () => {
    for (const path of [
      '/',
      '/2023-03-30/triggers',
      '/2023-03-30/functions/%zz/code',
      '/2016-08-15/services',
    ]) {
      const { status, body } = await raw('DELETE', path);
      expect(status).toBe(400);
      expect(body).toContain('PathNotSupported');
    }
  });
});

describe('the network', () => {
  it('may lose the answer of an asynchronous invocation that was accepted', async () => {
    const before = fc.fc.tasks('text').length;
    fc.world.faults.add({
      service: 'fc',
      action: 'InvokeFunction',
      target: '^text$',
      effect: { kind: 'lose-answer' },
    });
    await expect(enqueue(fc.client(), 'text', {})).rejects.toThrow('socket hang up');
    await fc.fc.whenIdle();
    expect(fc.fc.tasks('text').slice(before)).toMatchObject([{ status: 'Succeeded' }]);
  });

  it('may answer with an error of the service without running anything', async () => {
    const before = fc.fc.invocations('text').length;
    fc.world.faults.add({
      service: 'fc',
      effect: { kind: 'error', status: 503, code: 'ServiceUnavailable' },
    });
    await expect(invoke(fc.client(), 'text', '')).rejects.toMatchObject({
      statusCode: 503,
      code: 'ServiceUnavailable',
    });
    expect(fc.fc.invocations('text')).toHaveLength(before);
  });
});
