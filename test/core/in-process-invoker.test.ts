import { createInProcessInvoker } from '../../functions/core/in-process-invoker.ts';
import { createLog, silentLog } from '../../functions/core/log.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';
import { testInvoker, uploadRequest } from '../contracts/invoker.ts';

const { signal } = new AbortController();

testInvoker('this process', async () => {
  const requests: UploadRequest[] = [];
  const invoker = createInProcessInvoker({
    upload: async (request) => void requests.push(request),
    concurrency: 4,
    signal,
    log: silentLog,
  });
  return {
    invoker,
    requests: () => requests,
    settled: async () => invoker.settled(),
    tellsState: true,
    close: async () => undefined,
  };
});

describe('uploads in this process', () => {
  it('run no more at a time than allowed', async () => {
    let running = 0;
    let most = 0;
    const invoker = createInProcessInvoker({
      upload: async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setImmediate(resolve));
        running--;
      },
      concurrency: 2,
      signal,
      log: silentLog,
    });

    for (let attempt = 1; attempt <= 6; attempt++) await invoker.invoke(uploadRequest({ attempt }), signal);
    await invoker.settled();

    expect(most).toBe(2);
  });

  it('are alive until they end, and ended also when they throw, which is logged', async () => {
    const lines: string[] = [];
    let fail: (error: Error) => void = () => undefined;
    const invoker = createInProcessInvoker({
      upload: async () =>
        new Promise((_resolve, reject) => {
          fail = reject;
        }),
      concurrency: 1,
      signal,
      log: createLog((line) => lines.push(line)),
    });

    await invoker.invoke(uploadRequest(), signal);
    expect(await invoker.state(uploadRequest(), signal)).toBe('alive');
    fail(new Error('the disk is full'));
    await invoker.settled();

    expect(await invoker.state(uploadRequest(), signal)).toBe('ended');
    expect(lines.join()).toContain('the disk is full');
  });
});
