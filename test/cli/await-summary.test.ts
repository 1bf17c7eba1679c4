/** Waiting for a run that somebody else orchestrates: it ends, whatever became of them. */
import { awaitSummary } from '../../cli/await-summary.ts';
import type { InvocationState } from '../../functions/core/invoker.ts';
import type { Summary } from '../../functions/orchestrator/summary.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createVirtualClock, type VirtualClock } from '../doubles/virtual-clock.ts';

const MINUTE = 60_000;
const RUN = '20261120T180000Z-nightly';
const FOLDER = `.tairlift/runs/${RUN}/`;
const { signal } = new AbortController();

let clock: VirtualClock;
let store: MemoryStore;
let startedAtMs: number;
beforeEach(() => {
  clock = createVirtualClock();
  store = createMemoryStore(() => clock.now());
  startedAtMs = clock.now();
});

const elapsed = (): number => clock.now() - startedAtMs;
const put = (name: string): void =>
  void store.objects.set(`${FOLDER}${name}.json`, Buffer.from(`{"runId":"${name}"}`));
const wait = async (state: () => InvocationState, known = 0): Promise<Summary> =>
  awaitSummary({ runId: RUN, prefix: '', store, known, state: async () => state(), clock }, signal);

/** What an orchestrator leaves that works for so long. */
async function orchestrateFor(minutes: number): Promise<void> {
  for (let sign = 0; sign * 5 < minutes; sign++) {
    put(`alive-${sign}-x`);
    await clock.sleep(5 * MINUTE, signal);
  }
}

it('goes on as long as somebody works on the run, through hand-overs, and where the platform tells nothing', async () => {
  put('handover-1');
  const working = orchestrateFor(90).then(() => put('summary'));

  expect(await wait(() => (elapsed() > MINUTE ? 'ended' : 'unknown'))).toEqual({ runId: 'summary' });
  await working;
  expect(elapsed()).toBeGreaterThanOrEqual(90 * MINUTE);
});

it('goes on while the invocation is in the queue of the platform', async () => {
  const queued = clock.sleep(120 * MINUTE, signal).then(() => put('summary-2'));
  put('summary');

  expect(await wait(() => 'alive', 1)).toEqual({ runId: 'summary-2' });
  await queued;
});

it.each<[string, InvocationState, boolean]>([
  ['the platform does not tell that the function is gone', 'unknown', false],
  ['the invocation that it was handed over to is gone', 'ended', true],
])('ends loud when %s', async (_what, state, isHandedOver) => {
  if (isHandedOver) put('handover-1');
  await Promise.all([
    orchestrateFor(20),
    expect(wait(() => state)).rejects.toMatchObject({
      code: 'INVOKE_FAILED',
      message: `run ${RUN}: there was no sign of life of it for 16 min`,
    }),
  ]);
  expect(elapsed()).toBeGreaterThan(30 * MINUTE);
  expect(elapsed()).toBeLessThan(35 * MINUTE);
});

it('ends soon when the function has ended without a summary and without handing over', async () => {
  await expect(wait(() => 'ended')).rejects.toMatchObject({
    message: expect.stringContaining('ended without a summary') as string,
  });
  expect(elapsed()).toBeLessThan(MINUTE);
});
