import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { buildSync } from 'esbuild';
import { createFc } from '../../../emulator/fc/fc-service.ts';
import { buildHost, enqueue, invoke, startFc, until, type FcWorld } from './fc-world.ts';

let fc: FcWorld;
beforeEach(async () => {
  fc = await startFc();
});
afterEach(async () => fc.stop());

interface Count {
  readonly count: number;
  readonly instanceId: string;
  readonly pid: number;
}

async function count(name = 'counter', waitMs = 0): Promise<Count> {
  const { body } = await invoke(fc.client(), name, JSON.stringify({ waitMs }));
  return JSON.parse(body.toString('utf8')) as Count;
}

function description(name: string) {
  return fc.fc.describe().find((function_) => function_.name === name);
}

/** Zombies count as gone: who should collect them may not be there. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return stdout.trim() !== '' && !stdout.trim().startsWith('Z');
}

describe('an instance', () => {
  it('is used again for the next invocation, and keeps what the code keeps in its module', async () => {
    fc.deploy('counter', 'counter');
    const first = await count();
    const second = await count();
    expect([first.count, second.count]).toEqual([1, 2]);
    expect(second.instanceId).toBe(first.instanceId);
    expect(fc.fc.invocations('counter').map(({ warm }) => warm)).toEqual([false, true]);
  });

  it('serves one invocation at a time', async () => {
    fc.deploy('counter', 'counter');
    const counts = await Promise.all([count('counter', 100), count('counter', 100), count('counter', 100)]);
    expect(counts.map((it) => it.count)).toEqual([1, 1, 1]);
    expect(new Set(counts.map((it) => it.instanceId)).size).toBe(3);
  });

  it('is not used again after the function was deployed anew, or after the process has ended', async () => {
    fc.deploy('counter', 'counter');
    const { pid } = await count();
    fc.deploy('counter', 'counter');
    expect((await count()).count).toBe(1);
    await until(() => !isRunning(pid));
    fc.deploy('broken', 'broken');
    await invoke(fc.client(), 'broken', '{"mode":"exit"}');
    expect((await invoke(fc.client(), 'broken', '{}')).body.toString()).toBe('fine');
    expect(fc.fc.invocations('broken').map(({ warm }) => warm)).toEqual([false, false]);
  });

  it('lets a running invocation end with the code that it started with', async () => {
    fc.deploy('counter', 'counter');
    const running = count('counter', 200);
    await until(() => description('counter')?.running === 1);
    fc.deploy('counter', 'echo');
    expect((await running).count).toBe(1);
    await until(() => description('counter')?.idle === 0);
  });

  it('is kept idle in small numbers and for a while only', async () => {
    const frugal = await startFc({ idlePerFunction: 1, idleMs: 300 });
    frugal.deploy('counter', 'counter');
    const event = JSON.stringify({ waitMs: 100 });
    await Promise.all([1, 2, 3].map(async () => invoke(frugal.client(), 'counter', event)));
    expect(frugal.fc.describe()).toMatchObject([{ running: 0, idle: 1 }]);
    await until(() => frugal.fc.describe()[0]?.idle === 0);
    await frugal.stop();
  });
});

describe('the limit of concurrency', () => {
  it('refuses what is synchronous with 429, and lets wait what is not', async () => {
    fc.deploy('counter', 'counter');
    fc.fc.reserve('counter', 1);
    for (let task = 0; task < 3; task++) await enqueue(fc.client(), 'counter', { waitMs: 50 });
    await expect(count()).rejects.toMatchObject({ statusCode: 429, code: 'ResourceExhausted' });
    await fc.fc.whenIdle();
    expect(fc.fc.tasks('counter').map(({ status }) => status)).toEqual([
      'Succeeded',
      'Succeeded',
      'Succeeded',
    ]);
    expect(new Set(fc.fc.invocations('counter').map(({ instanceId }) => instanceId)).size).toBe(1);
    expect((await count()).count).toBe(4);
  });

  it('of the account counts all functions', async () => {
    const small = await startFc({ accountLimit: 1 });
    small.deploy('counter', 'counter');
    small.deploy('text', 'echo', { handler: 'index.text' });
    await enqueue(small.client(), 'counter', { waitMs: 200 });
    await until(() => small.fc.tasks('counter')[0]?.status === 'Running');
    await expect(invoke(small.client(), 'text', '')).rejects.toMatchObject({ code: 'ResourceExhausted' });
    await small.fc.whenIdle();
    expect((await invoke(small.client(), 'text', '')).status).toBe(200);
    await small.stop();
  });
});

describe('the limit of time', () => {
  it('ends the process of a handler that does not return', async () => {
    fc.deploy('broken', 'broken', { timeoutSeconds: 600 });
    const hanging = new Promise<void>((resolve) => {
      fc.fc.onLog(({ text }) => text === 'hanging' && resolve());
    });
    const answer = invoke(fc.client(), 'broken', '{"mode":"hang"}');
    await hanging;
    fc.world.clock.advance(600_000);
    const { status, headers, body } = await answer;
    expect(status).toBe(200);
    expect(headers['x-fc-error-type']).toBe('FunctionTimeoutError');
    expect(body.toString()).toContain('Function time out after 600 seconds');
    expect(description('broken')).toMatchObject({ running: 0, idle: 0, failures: 1 });
  });

  it('ends one that never gives up the processor, in real time', async () => {
    fc.deploy('broken', 'broken', { timeoutSeconds: 1 });
    const { headers } = await invoke(fc.client(), 'broken', '{"mode":"spin"}');
    expect(headers['x-fc-error-type']).toBe('FunctionTimeoutError');
  });
});

describe('the limit of memory', () => {
  it('counts what is outside the heap, and ends the process that takes more', async () => {
    fc.deploy('hungry', 'hungry', { memoryMb: 192 });
    const { status, headers, body } = await invoke(fc.client(), 'hungry', '{"megabytes":1024}');
    expect(status).toBe(200);
    expect(headers['x-fc-error-type']).toBe('FunctionOOMError');
    expect(body.toString()).toContain('Process exited unexpectedly before completing request');
    expect(
      (await invoke(fc.client(), 'hungry', '{"megabytes":8}')).headers['x-fc-error-type'],
    ).toBeUndefined();
  });

  it('is watched per invocation: the peak of one is not the peak of the next', async () => {
    fc.deploy('hungry', 'hungry', { memoryMb: 512 });
    await invoke(fc.client(), 'hungry', '{"megabytes":160}');
    await invoke(fc.client(), 'hungry', '{"megabytes":8}');
    const [large, small] = fc.fc.invocations('hungry').map((record) => record.peakRssMb);
    expect(large).toBeGreaterThan(160);
    expect(large).toBeLessThan(512);
    expect(small).toBeLessThan((large ?? 0) - 60);
    expect(small).toBeGreaterThan(10);
    expect(description('hungry')?.peakRssMb).toBe(large);
  });
});

describe('a deployment', () => {
  it('is refused, as a whole, when one of its functions cannot be right', () => {
    const right = {
      region: 'cn-hangzhou',
      codeFolder: '.',
      memoryMb: 256,
      timeoutSeconds: 60,
      role: fc.role.arn,
    };
    const untrusting = fc.world.identity.addRole({ accountId: '1', name: 'x', trusts: ['1'], allow: [] });
    for (const [wrong, reason] of [
      [{ name: '1st' }, 'the name is not valid'],
      [{ memoryMb: 64 }, '64 MB is not between 128 and 32768'],
      [{ timeoutSeconds: 86_401 }, 'a timeout of 86401 s is not between 1 and 86400'],
      [{ role: 'acs:ram::1:role/none' }, 'there is no role'],
      [{ role: untrusting.arn }, 'does not trust fc.aliyuncs.com'],
      [{ timers: [{ name: 't', cron: 'whenever', payload: '' }] }, 'CronPattern'],
    ] as const)
      expect(() =>
        fc.fc.deploy([
          { name: 'fine', ...right },
          { name: 'wrong', ...right, ...wrong },
        ]),
      ).toThrow(reason);
    expect(fc.fc.describe()).toEqual([]);
  });
});

describe('the end', () => {
  it('of the emulator ends all processes, running and idle, and is safe to ask for twice', async () => {
    fc.deploy('counter', 'counter');
    const { pid: idle } = await count();
    const other = new Promise<number>((resolve) => {
      fc.deploy('broken', 'broken');
      fc.fc.onLog(({ text }) => text === 'hanging' && resolve(0));
    });
    await enqueue(fc.client(), 'broken', { mode: 'hang' });
    await enqueue(fc.client(), 'broken', { mode: 'none' }, { 'x-fc-async-delay': '3600' });
    await other;
    await Promise.all([fc.fc.stop(), fc.fc.stop()]);
    expect(isRunning(idle)).toBe(false);
    expect(fc.fc.tasks('broken').map(({ status }) => status)).toEqual(['Stopped', 'Stopped']);
    expect(fc.fc.describe()).toMatchObject([
      { running: 0, idle: 0 },
      { running: 0, idle: 0 },
    ]);
    await expect(enqueue(fc.client(), 'broken', {})).rejects.toMatchObject({ statusCode: 503 });
  });

  it('of a killed emulator ends its functions too', async () => {
    const script = join(fc.world.folder, 'emulator.js');
    buildSync({
      stdin: {
        contents: `
          import { createClock } from './emulator/clock.ts';
          import { createFc } from './emulator/fc/fc-service.ts';
          import { createIdentity } from './emulator/identity.ts';
          const clock = createClock();
          const identity = createIdentity(clock);
          const role = identity.addRole({ accountId: '1', name: 'r', trusts: ['fc.aliyuncs.com'], allow: [] });
          const [, , hostFile, folder, codeFolder] = process.argv;
          const fc = createFc({ clock, identity, folder }, { hostFile });
          fc.onLog(({ text }) => process.stdout.write(text + '\\n'));
          const timers = [{ name: 't', cron: '@every 24h', payload: '' }];
          fc.deploy([{ name: 'f', region: 'r', codeFolder, memoryMb: 256, timeoutSeconds: 60, role: role.arn,
            handler: 'index.tellPid', timers }]);
          void fc.fireTimer('f', 't');
        `,
        resolveDir: join(__dirname, '..', '..', '..'),
        loader: 'ts',
      },
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'cjs',
    });
    const codeFolder = join(__dirname, '..', '..', 'fixtures', 'functions', 'counter');
    const args = [script, buildHost(fc.world.folder), fc.world.folder, codeFolder];
    const emulator = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    let output = '';
    emulator.stdout.on('data', (piece: Buffer) => (output += piece.toString('utf8')));
    await until(() => /pid \d+\n/.test(output));
    const pid = Number(/pid (\d+)\n/.exec(output)?.[1]);
    expect(isRunning(pid)).toBe(true);
    emulator.kill('SIGKILL');
    await until(() => !isRunning(pid));
  });
});

describe('the host process', () => {
  it('must have been built before a function is deployed', () => {
    const unbuilt = createFc(fc.world, { hostFile: join(fc.world.folder, 'not-built.js') });
    const spec = {
      name: 'f',
      region: 'r',
      codeFolder: '.',
      memoryMb: 256,
      timeoutSeconds: 60,
      role: fc.role.arn,
    };
    unbuilt.deploy([]);
    expect(() => unbuilt.deploy([spec])).toThrow('not-built.js is missing; run `npm run build` first');
  });
});
