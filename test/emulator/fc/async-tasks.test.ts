import {
  GetAsyncTaskRequest,
  ListAsyncTasksRequest,
  StopAsyncTaskRequest,
  InvokeFunctionHeaders,
  InvokeFunctionRequest,
} from '@alicloud/fc20230330';
import { RuntimeOptions } from '@darabonba/typescript';
import { Readable } from 'node:stream';
import { enqueue, invoke, startFc, until, type FcWorld } from './fc-world.ts';

let fc: FcWorld;
beforeAll(async () => {
  fc = await startFc();
});
afterAll(async () => fc.stop());

/** A function of its own for a test, so that its tasks are its own. */
let count = 0;
function deploy(fixture: string, maxAsyncRetryAttempts = 3): string {
  const name = `${fixture}-${++count}`;
  fc.deploy(name, fixture, { maxAsyncRetryAttempts });
  return name;
}

function statuses(name: string): readonly string[] {
  return fc.fc.tasks(name).map((task) => task.status);
}

describe('an asynchronous invocation', () => {
  it('is accepted with 202 and the request id under which it runs', async () => {
    const name = deploy('echo');
    const answer = await enqueue(fc.client(), name, { a: 1 });
    expect(answer).toMatchObject({ status: 202, body: Buffer.alloc(0) });
    await fc.fc.whenIdle();
    const [task] = fc.fc.tasks(name);
    expect(task).toMatchObject({
      requestId: answer.headers['x-fc-request-id'],
      status: 'Succeeded',
      attempts: 1,
    });
    expect(JSON.parse(task?.returnPayload ?? '')).toMatchObject({
      event: '{"a":1}',
      context: { requestId: task?.requestId, retryCount: 0 },
    });
    expect(task?.peakRssMb).toBeGreaterThan(10);
  });

  it('is tried again under the same request id, and told how often it was, until the code succeeds', async () => {
    const name = deploy('broken');
    await enqueue(fc.client(), name, { mode: 'fail-until', until: 2 });
    await fc.fc.whenIdle();
    const [task] = fc.fc.tasks(name);
    expect(task).toMatchObject({ status: 'Succeeded', attempts: 3, returnPayload: '{"retryCount":2}' });
    expect(fc.fc.invocations(name)).toMatchObject(
      [0, 1, 2].map((retryCount) => ({
        requestId: task?.requestId,
        retryCount,
      })),
    );
  });

  it('fails for good after the configured retries', async () => {
    const name = deploy('broken', 1);
    await enqueue(fc.client(), name, { mode: 'throw' });
    await fc.fc.whenIdle();
    expect(fc.fc.tasks(name)).toMatchObject([
      {
        status: 'Failed',
        attempts: 2,
        errorMessage: expect.stringContaining('this was never going to work'),
      },
    ]);
  });

  it('is not tried again when the function says so', async () => {
    const name = deploy('broken', 0);
    await enqueue(fc.client(), name, { mode: 'exit' });
    await fc.fc.whenIdle();
    expect(fc.fc.tasks(name)).toMatchObject([{ status: 'Failed', attempts: 1 }]);
  });

  it('runs again after its host was lost', async () => {
    const name = deploy('broken');
    await enqueue(fc.client(), name, { mode: 'hang-until', until: 1 });
    await until(
      () =>
        statuses(name)[0] === 'Running' &&
        fc.fc.describe().some((it) => it.name === name && it.running === 1),
    );
    expect(fc.fc.killRunning(name)).toBe(1);
    await fc.fc.whenIdle();
    expect(fc.fc.tasks(name)).toMatchObject([{ status: 'Succeeded', attempts: 2 }]);
    expect(fc.fc.invocations(name)[0]).toMatchObject({ outcome: 'exited' });
  });

  it('waits for its delay on the clock of the emulator', async () => {
    const name = deploy('counter');
    await enqueue(fc.client(), name, {}, { 'x-fc-async-delay': '600' });
    fc.world.clock.advance(590_000);
    await invoke(fc.client(), name, '{}');
    expect(statuses(name)).toEqual(['Enqueued']);
    fc.world.clock.advance(10_000);
    await fc.fc.whenIdle();
    expect(statuses(name)).toEqual(['Succeeded']);
  });

  it('is refused when its delay is no whole number of seconds up to an hour', async () => {
    const name = deploy('counter');
    for (const delay of ['3601', '-1', '1.5', 'soon', ''])
      await expect(enqueue(fc.client(), name, {}, { 'x-fc-async-delay': delay })).rejects.toMatchObject({
        statusCode: 400,
        code: 'InvalidArgument',
      });
    expect(fc.fc.tasks(name)).toHaveLength(0);
  });

  it.each(['during', 'after'] as const)(
    'may be delivered twice, the second time %s the first',
    async (when) => {
      const name = deploy('counter');
      fc.fc.duplicateNext(name, when);
      await enqueue(fc.client(), name, { waitMs: 50 });
      await fc.fc.whenIdle();
      await enqueue(fc.client(), name, {});
      await fc.fc.whenIdle();
      const [first, second, ...others] = fc.fc.invocations(name);
      expect(others).toHaveLength(1);
      expect(second?.requestId).toBe(first?.requestId);
      expect(second?.instanceId === first?.instanceId).toBe(when === 'after');
      expect(fc.fc.tasks(name)).toMatchObject([
        { status: 'Succeeded', attempts: 1 },
        { status: 'Succeeded' },
      ]);
    },
  );

  it('is dropped as expired when it could not be run for a day', async () => {
    const name = deploy('broken');
    const patient = await startFc({ retryDelayMs: () => 25 * 3600 * 1000 });
    patient.deploy(name, 'broken');
    await enqueue(patient.client(), name, { mode: 'throw' });
    await until(() => patient.fc.tasks(name)[0]?.status === 'Retrying');
    patient.world.clock.advance(25 * 3600 * 1000);
    await patient.fc.whenIdle();
    expect(patient.fc.tasks(name)).toMatchObject([{ status: 'Expired', attempts: 1 }]);
    await patient.stop();
  });

  it('waits between attempts on the clock of the emulator', async () => {
    const patient = await startFc({ retryDelayMs: (failed) => failed * 3600 * 1000 });
    patient.deploy('broken', 'broken');
    await enqueue(patient.client(), 'broken', { mode: 'fail-until', until: 1 });
    await until(() => patient.fc.tasks('broken')[0]?.status === 'Retrying');
    patient.world.clock.advance(3600 * 1000);
    await patient.fc.whenIdle();
    expect(patient.fc.tasks('broken')).toMatchObject([{ status: 'Succeeded', attempts: 2 }]);
    await patient.stop();
  });
});

describe('a task id', () => {
  it('is accepted once, also after the task has failed, and for each function of its own', async () => {
    const name = deploy('broken', 0);
    const other = deploy('counter');
    const id = { 'x-fc-async-task-id': 'run-1_r-bp1' };
    await enqueue(fc.client(), name, { mode: 'throw' }, id);
    for (const wait of [async () => undefined, async () => fc.fc.whenIdle()]) {
      await wait();
      await expect(enqueue(fc.client(), name, { mode: 'throw' }, id)).rejects.toMatchObject({
        statusCode: 409,
        code: 'StatefulAsyncInvocationAlreadyExists',
      });
    }
    await enqueue(fc.client(), other, {}, id);
    await fc.fc.whenIdle();
    expect(fc.fc.tasks(name)).toMatchObject([{ taskId: 'run-1_r-bp1', status: 'Failed', attempts: 1 }]);
    expect(fc.fc.tasks(other)).toMatchObject([{ taskId: 'run-1_r-bp1', status: 'Succeeded' }]);
  });

  it('may be used again after the seven days that a task is remembered', async () => {
    const name = deploy('counter');
    await enqueue(fc.client(), name, {}, { 'x-fc-async-task-id': 'again' });
    await fc.fc.whenIdle();
    fc.world.clock.advance(7 * 24 * 3600 * 1000 + 1);
    expect((await enqueue(fc.client(), name, {}, { 'x-fc-async-task-id': 'again' })).status).toBe(202);
  });

  it('starts with a letter or an underscore and has at most 128 characters', async () => {
    const name = deploy('counter');
    for (const id of ['1st', '-a', 'a b', 'a/b', 'x'.repeat(129), ''])
      await expect(enqueue(fc.client(), name, {}, { 'x-fc-async-task-id': id })).rejects.toMatchObject({
        code: 'InvalidArgument',
      });
    for (const id of ['_1', 'x'.repeat(128)])
      expect((await enqueue(fc.client(), name, {}, { 'x-fc-async-task-id': id })).status).toBe(202);
  });

  it('is sent by the field that the SDK has for it, together with a delay', async () => {
    const name = deploy('counter');
    const response = await fc.client().invokeFunctionWithOptions(
      name,
      new InvokeFunctionRequest({ body: Readable.from([Buffer.from('{}')]) }),
      new InvokeFunctionHeaders({
        xFcInvocationType: 'Async',
        xFcAsyncTaskId: 'by-field',
        commonHeaders: { 'x-fc-async-delay': '60' },
      }),
      new RuntimeOptions({}),
    );
    expect(response.statusCode).toBe(202);
    expect(fc.fc.tasks(name)).toMatchObject([{ taskId: 'by-field', status: 'Enqueued' }]);
    fc.world.clock.advance(60_000);
    await fc.fc.whenIdle();
  });
});

describe('the tasks of a function', () => {
  it('are looked up one by one', async () => {
    const name = deploy('broken', 1);
    await enqueue(fc.client(), name, { mode: 'throw' }, { 'x-fc-async-task-id': 'one' });
    await fc.fc.whenIdle();
    const { body } = await fc.client().getAsyncTask(name, 'one', new GetAsyncTaskRequest({}));
    expect(body).toMatchObject({
      taskId: 'one',
      status: 'Failed',
      alreadyRetriedTimes: 1,
      taskPayload: '{"mode":"throw"}',
      taskErrorMessage: expect.stringContaining('UnhandledInvocationError'),
    });
    await expect(fc.client().getAsyncTask(name, 'none', new GetAsyncTaskRequest({}))).rejects.toMatchObject({
      statusCode: 404,
      code: 'AsyncTaskNotFound',
    });
  });

  it('are listed newest first, page by page, by status and prefix', async () => {
    const name = deploy('broken', 0);
    for (const id of ['a-1', 'a-2', 'a-3', 'b-1'])
      await enqueue(
        fc.client(),
        name,
        { mode: id === 'a-2' ? 'throw' : 'none' },
        { 'x-fc-async-task-id': id },
      );
    await fc.fc.whenIdle();
    const list = async (query: ConstructorParameters<typeof ListAsyncTasksRequest>[0]) => {
      const { body } = await fc.client().listAsyncTasks(name, new ListAsyncTasksRequest(query));
      return { ids: body?.tasks?.map((task) => task.taskId), nextToken: body?.nextToken };
    };
    expect(await list({ prefix: 'a-', limit: 2 })).toEqual({ ids: ['a-3', 'a-2'], nextToken: '2' });
    expect(await list({ prefix: 'a-', limit: 2, nextToken: '2' })).toEqual({
      ids: ['a-1'],
      nextToken: undefined,
    });
    expect((await list({ status: 'Failed' })).ids).toEqual(['a-2']);
    expect((await list({ sortOrderByTime: 'asc' })).ids).toEqual(['a-1', 'a-2', 'a-3', 'b-1']);
    await expect(list({ limit: 101 })).rejects.toMatchObject({ code: 'InvalidArgument' });
  });

  it('can be stopped while they wait and while they run, but not when they have ended', async () => {
    const name = deploy('broken');
    const stop = async (id: string) => fc.client().stopAsyncTask(name, id, new StopAsyncTaskRequest({}));
    await enqueue(fc.client(), name, { mode: 'hang' }, { 'x-fc-async-task-id': 'running' });
    await enqueue(fc.client(), name, {}, { 'x-fc-async-task-id': 'waiting', 'x-fc-async-delay': '3600' });
    await until(() => statuses(name)[0] === 'Running');
    await stop('waiting');
    await stop('running');
    await fc.fc.whenIdle();
    expect(statuses(name)).toEqual(['Stopped', 'Stopped']);
    expect(fc.fc.invocations(name)).toMatchObject([{ outcome: 'cancelled' }]);
    await expect(stop('running')).rejects.toMatchObject({ code: 'InvalidArgument' });
    await expect(stop('none')).rejects.toMatchObject({ code: 'AsyncTaskNotFound' });
  });
});
