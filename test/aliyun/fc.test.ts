import { createFc2Functions } from '../../functions/core/aliyun/fc2.ts';
import { createFc3Functions } from '../../functions/core/aliyun/fc3.ts';
import { createFunctionInvoker, type FunctionClient } from '../../functions/core/invoker.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { startRawServer } from '../doubles/raw-server.ts';
import { testInvoker, uploadRequest } from '../contracts/invoker.ts';
import { startFc, type FcWorld } from '../emulator/fc/fc-world.ts';

const { signal } = new AbortController();
const HURRIED = { now: () => Date.now(), sleep: async () => undefined, random: () => 0 };

const GENERATIONS = [
  {
    name: 'Function Compute 3.0',
    create: createFc3Functions,
    uploader: 'uploader',
    prefix: '',
    tellsState: true,
  },
  {
    name: 'Function Compute 2.0',
    create: createFc2Functions,
    uploader: 'backup/uploader',
    prefix: 'backup/',
    tellsState: false,
  },
] as const;

for (const { name, create, uploader, prefix, tellsState } of GENERATIONS) {
  const functionsOf = (fc: FcWorld): FunctionClient =>
    create({
      credentials: async () => fc.accessKey,
      accountId: '1111111111111111',
      region: 'cn-hangzhou',
      endpoint: `http://${fc.host}`,
      clock: HURRIED,
    });
  const deploy = (fc: FcWorld, functionName: string, fixture: string): void =>
    fc.deploy(functionName, fixture, {
      maxAsyncRetryAttempts: 0,
      ...(prefix === '' ? {} : { service: 'backup' }),
    });

  testInvoker(name, async () => {
    const fc = await startFc();
    deploy(fc, 'uploader', 'scribe');
    const requests: UploadRequest[] = [];
    fc.fc.onLog(({ text }) => {
      if (text.startsWith('got ')) requests.push(JSON.parse(text.slice(4)) as UploadRequest);
    });
    return {
      invoker: createFunctionInvoker(functionsOf(fc), uploader),
      requests: () => requests,
      settled: async () => fc.fc.whenIdle(),
      tellsState,
      close: async () => fc.stop(),
    };
  });

  describe(name, () => {
    let fc: FcWorld;
    let functions: FunctionClient;
    beforeAll(async () => {
      fc = await startFc();
      deploy(fc, 'echo', 'echo');
      deploy(fc, 'broken', 'broken');
      functions = functionsOf(fc);
    });
    afterAll(async () => fc.stop());
    afterEach(() => fc.world.faults.clear());

    it('runs a function and gives back what it returns', async () => {
      const answer = await functions.call(`${prefix}echo`, Buffer.from('{"a":"ä"}'), signal);

      expect(JSON.parse(answer.toString())).toMatchObject({ event: '{"a":"ä"}' });
    });

    it("throws the function's own error, which comes as HTTP 200", async () => {
      await expect(
        functions.call(`${prefix}broken`, Buffer.from('{"mode":"throw"}'), signal),
      ).rejects.toMatchObject({
        code: 'INVOKE_FAILED',
        message: expect.stringContaining('this was never going to work') as string,
        details: { errorType: 'UnhandledInvocationError' },
      });
    });

    it('says which function is missing and what to do', async () => {
      const invoker = createFunctionInvoker(functions, `${prefix}absent`);

      await expect(invoker.invoke(uploadRequest(), signal)).rejects.toMatchObject({
        code: 'INVOKE_FAILED',
        retryable: false,
        hint: expect.stringContaining('TAIRLIFT_UPLOADER') as string,
      });
    });

    it.each([
      ['too many invocations', { kind: 'error', status: 429, code: 'ResourceExhausted' } as const],
      ['a failing service', { kind: 'error', status: 500, code: 'InternalServerError' } as const],
      ['a broken connection', { kind: 'reset' } as const],
      ['a page of a gateway', { kind: 'reply', status: 502, body: '<html>502</html>' } as const],
    ])('asks again after %s', async (_what, effect) => {
      fc.world.faults.add({ service: 'fc', effect, times: 2 });

      const attempt = fc.world.journal.entries({ service: 'fc' }).length;
      expect(await functions.start(`${prefix}echo`, Buffer.from('{}'), `retry-${attempt}`, signal)).toBe(
        'accepted',
      );
      await fc.fc.whenIdle();
    });

    it('recognises its own request when only the answer was lost', async () => {
      fc.world.faults.add({ service: 'fc', effect: { kind: 'lose-answer' } });
      const before = fc.fc.invocations('echo').length;

      expect(await functions.start(`${prefix}echo`, Buffer.from('{}'), 'lost-1', signal)).toBe(
        'accepted-before',
      );
      await fc.fc.whenIdle();

      expect(fc.fc.invocations('echo')).toHaveLength(before + 1);
    });

    it('asks again what became of a task when the answer is lost', async () => {
      await functions.start(`${prefix}echo`, Buffer.from('{}'), 'state-1', signal);
      await fc.fc.whenIdle();
      fc.world.faults.add({ service: 'fc', effect: { kind: 'reset' }, times: 2 });

      expect(await functions.stateOf(`${prefix}echo`, 'state-1', signal)).toBe(
        tellsState ? 'ended' : 'unknown',
      );
    });

    it.each([
      ['that it may not be looked at', { kind: 'error', status: 403, code: 'AccessDenied' } as const],
      ['nonsense', { kind: 'reply', status: 200, body: '[]' } as const],
    ])('knows nothing of a task when the platform answers %s', async (_what, effect) => {
      fc.world.faults.add({ service: 'fc', effect, times: -1 });

      expect(await functions.stateOf(`${prefix}echo`, 'state-2', signal)).toBe('unknown');
    });

    it('does not wait for the rest of an answer once it is told to stop', async () => {
      const server = await startRawServer();
      const stopped = new AbortController();
      let isGone = false;
      server.talk(async (peer) => {
        void peer.gone.then(() => (isGone = true));
        await peer.request();
        await peer.send('HTTP/1.1 202 Accepted\r\ncontent-length: 5\r\n\r\nab');
        // Nothing tells when the client has the head and waits for the rest.
        setTimeout(() => stopped.abort(), 200);
        await peer.gone;
      });
      const slow = create({
        credentials: async () => fc.accessKey,
        accountId: '1111111111111111',
        region: 'cn-hangzhou',
        endpoint: server.url,
      });

      await expect(
        slow.start(`${prefix}echo`, Buffer.from('{}'), 'slow-1', stopped.signal),
      ).rejects.toMatchObject({ code: 'INTERRUPTED' });

      expect(isGone).toBe(false);
      await server.close();
    });

    it('names the missing permission', async () => {
      fc.world.faults.add({ service: 'fc', effect: { kind: 'error', status: 403, code: 'AccessDenied' } });

      await expect(
        functions.start(`${prefix}echo`, Buffer.from('{}'), 'denied', signal),
      ).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
        hint: expect.stringContaining('fc:InvokeFunction') as string,
      });
    });
  });
}

describe('a function of the older generation', () => {
  it('must be named with its service', async () => {
    const functions = createFc2Functions({
      credentials: async () => ({ accessKeyId: 'id', accessKeySecret: 'secret' }),
      accountId: '1',
      region: 'cn-hangzhou',
    });

    await expect(functions.start('uploader', Buffer.from('{}'), 't', signal)).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    });
  });
});
