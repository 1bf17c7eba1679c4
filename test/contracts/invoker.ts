/** What every Invoker promises. Run in this process, and on both generations of Function Compute. */
import type { Invoker } from '../../functions/core/invoker.ts';
import type { UploadRequest } from '../../functions/core/upload-request.ts';

export interface InvokerStage {
  readonly invoker: Invoker;
  /** Requests that the uploader really got, in order of arrival. */
  requests(): readonly UploadRequest[];
  /** Resolves when all that was accepted has been run. */
  settled(): Promise<void>;
  /** Does the platform tell the state of an invocation? */
  readonly tellsState: boolean;
  close(): Promise<void>;
}

export function uploadRequest(changes: Partial<UploadRequest> = {}): UploadRequest {
  return {
    runId: '20261120T180000Z-nightly',
    plan: 'nightly',
    date: '2026-11-20',
    attempt: 1,
    destination: { region: 'cn-hangzhou', bucket: 'my-backups', prefix: '' },
    instance: {
      region: 'cn-hangzhou',
      id: 'r-one',
      name: '订单',
      engine: 'Redis',
      engineVersion: '7.0',
      architecture: 'standard',
      shards: 1,
    },
    backup: {
      ids: ['1'],
      jobIds: ['2'],
      mode: 'manual',
      startedAt: '2026-11-20T18:00:00Z',
      endedAt: '2026-11-20T18:01:00Z',
      adopted: false,
    },
    ...changes,
  };
}

export function testInvoker(name: string, open: () => Promise<InvokerStage>): void {
  describe(`${name} as an invoker`, () => {
    const { signal } = new AbortController();
    let stage: InvokerStage;
    beforeEach(async () => {
      stage = await open();
    });
    afterEach(async () => stage.close());

    it('hands the request over as it is', async () => {
      expect(await stage.invoker.invoke(uploadRequest(), signal)).toBe('accepted');
      await stage.settled();

      expect(stage.requests()).toEqual([uploadRequest()]);
    });

    it('runs an attempt once, however often it is invoked', async () => {
      await stage.invoker.invoke(uploadRequest(), signal);
      expect(await stage.invoker.invoke(uploadRequest(), signal)).toBe('accepted-before');
      await stage.settled();
      expect(await stage.invoker.invoke(uploadRequest(), signal)).toBe('accepted-before');
      await stage.settled();

      expect(stage.requests()).toHaveLength(1);
    });

    it('runs other attempts, instances and runs for themselves', async () => {
      const { instance } = uploadRequest();
      await stage.invoker.invoke(uploadRequest(), signal);
      await stage.invoker.invoke(uploadRequest({ attempt: 2 }), signal);
      await stage.invoker.invoke(uploadRequest({ instance: { ...instance, id: 'r-two' } }), signal);
      await stage.invoker.invoke(uploadRequest({ runId: '20261120T180000Z-night.ly' }), signal);
      await stage.invoker.invoke(uploadRequest({ runId: '20261120T180000Z-night_ly' }), signal);
      await stage.settled();

      expect(stage.requests()).toHaveLength(5);
    });

    it('knows nothing of an attempt that was not invoked, and when one has ended', async () => {
      expect(await stage.invoker.state(uploadRequest({ attempt: 7 }), signal)).toBe('unknown');

      await stage.invoker.invoke(uploadRequest(), signal);
      await stage.settled();

      expect(await stage.invoker.state(uploadRequest(), signal)).toBe(stage.tellsState ? 'ended' : 'unknown');
    });

    it('accepts nothing once it is told to stop', async () => {
      await expect(stage.invoker.invoke(uploadRequest(), AbortSignal.abort())).rejects.toBeDefined();
    });
  });
}
