/** What a plan would take, what a run of it takes, and that the two agree. */
import fc from 'fast-check';
import { readEnvironment, readPlans, type Account, type Plan } from '../../functions/core/config.ts';
import { BackupError } from '../../functions/core/errors.ts';
import { silentLog } from '../../functions/core/log.ts';
import type { SourceFor } from '../../functions/core/source/select.ts';
import { orchestrate, type Run } from '../../functions/orchestrator/orchestrate.ts';
import { rehearseAll } from '../../functions/orchestrator/rehearse.ts';
import { toRunError, type Summary } from '../../functions/orchestrator/summary.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createMemoryStore, type MemoryStore } from '../doubles/memory-store.ts';
import { createMemoryUploader } from '../doubles/memory-uploader.ts';
import { createVirtualClock, type VirtualClock } from '../doubles/virtual-clock.ts';

const RUN_ID = '20261120T180000Z-nightly';
const { signal } = new AbortController();
const THEIRS: Account = { roleArn: 'acs:ram::2222:role/source', externalId: 'team-a' };

let clock: VirtualClock;
let store: MemoryStore;
let ours: MemorySource;
let theirs: MemorySource;
let sourceFor: SourceFor;

beforeEach(() => {
  clock = createVirtualClock('2026-11-20T18:00:00Z');
  store = createMemoryStore(() => clock.now());
  ours = createMemorySource(clock, [
    { id: 'r-orders', name: 'prod-orders', tags: { backup: 'nightly' } },
    { id: 'r-cache', name: 'cache-orders', tags: { backup: 'nightly' } },
    { id: 'r-single', name: 'prod-single', noBackup: 'single-node instances have no backups' },
    { id: 'r-north', name: 'prod-north', region: 'cn-beijing' },
  ]);
  theirs = createMemorySource(clock, [{ id: 'r-theirs', name: 'shop', region: 'cn-shanghai' }]);
  sourceFor = ({ account }) => (account === undefined ? ours : theirs);
});

/** Plans by name, each as what stands in braces. */
function plansOf(plans: Readonly<Record<string, string>>): readonly Plan[] {
  const destination = 'destination: { region: cn-hangzhou, bucket: my-backups }';
  const lines = Object.entries(plans).map(([name, plan]) => `  ${name}: { ${plan}, ${destination} }`);
  return [...readPlans(`plans:\n${lines.join('\n')}`, 'plans.yaml', readEnvironment({}), {}).values()];
}

async function ask(plans: readonly Plan[], more: Partial<Run> = {}): Promise<Summary> {
  const [plan] = plans;
  if (plan === undefined) throw new Error('no plan');
  const result = await orchestrate(
    { runId: RUN_ID, dryRun: false, retryFailed: false, plan, plans, ...more },
    {
      sourceFor,
      store,
      invoker: createMemoryUploader(store, clock),
      invokeSelf: async () => Promise.resolve(),
      uploaderLimitMs: 3600_000,
      clock,
      log: silentLog,
    },
    signal,
  );
  if (result.status === 'continued') throw new Error('handed over without a deadline');
  return result;
}

const rehearsed = async (
  plans: Readonly<Record<string, string>>,
  more: Partial<Run> = {},
): Promise<Summary> => ask(plansOf(plans), { ...more, dryRun: true });
const done = async (plan: string, more: Partial<Run> = {}): Promise<Summary> =>
  ask(plansOf({ nightly: plan }), more);
const deniedIn =
  (...regions: readonly string[]): SourceFor =>
  () => ({
    ...ours,
    listInstances: async function* (query, stop) {
      if (regions.includes(query.region))
        throw new BackupError('PERMISSION_DENIED', 'DescribeInstances: Forbidden.RAM');
      yield* ours.listInstances(query, stop);
    },
  });

describe('a dry run', () => {
  it('says of each instance which rule takes it, which it skips or leaves out, and why', async () => {
    const summary = await rehearsed({
      nightly:
        'targets: [{ region: cn-hangzhou, name: prod-* }, { region: "*", tags: { backup: nightly } }], exclude: { name: cache-* }',
    });

    expect(summary).toMatchObject({
      runId: RUN_ID,
      plan: 'nightly',
      status: 'succeeded',
      dryRun: true,
      counts: { selected: 2, stored: 0, skipped: 1, failed: 0 },
      instances: [
        {
          region: 'cn-hangzhou',
          instanceId: 'r-orders',
          status: 'selected',
          name: 'prod-orders',
          rule: 'targets[0]: cn-hangzhou, name prod-*',
        },
        {
          instanceId: 'r-single',
          status: 'skipped',
          reason: 'single-node instances have no backups',
          rule: 'targets[0]: cn-hangzhou, name prod-*',
        },
      ],
      leftOut: [
        {
          region: 'cn-hangzhou',
          instanceId: 'r-cache',
          name: 'cache-orders',
          rule: 'targets[1]: all regions, tags backup=nightly',
          reason: 'exclude: name cache-*',
        },
      ],
    });
    expect(store.objects.size).toBe(0);
  });

  it('says which instances of all accounts and regions no plan covers, and what is known about them', async () => {
    const summary = await rehearsed({
      nightly: 'targets: [{ region: cn-hangzhou, tags: { backup: nightly }, exclude: { name: cache-* } }]',
      weekly: `targets: [{ region: cn-shanghai, name: none, optional: true, account: ${JSON.stringify(THEIRS)} }]`,
    });

    expect(summary.uncovered).toEqual([
      { region: 'cn-beijing', instanceId: 'r-north', name: 'prod-north' },
      {
        region: 'cn-hangzhou',
        instanceId: 'r-cache',
        name: 'cache-orders',
        reason: 'left out of nightly by targets[0].exclude: name cache-*',
      },
      {
        region: 'cn-hangzhou',
        instanceId: 'r-single',
        name: 'prod-single',
        reason: 'single-node instances have no backups',
      },
      { region: 'cn-shanghai', instanceId: 'r-theirs', name: 'shop', account: THEIRS.roleArn },
    ]);
    expect(summary.unlisted).toEqual([]);
  });

  it('counts what another plan takes as covered', async () => {
    const summary = await rehearsed({
      nightly: 'targets: [{ region: cn-hangzhou }]',
      weekly: 'targets: [{ region: cn-beijing }]',
    });

    expect(summary.uncovered).toEqual([]);
  });

  it('says what it could not look at, which is no failure of the plan', async () => {
    sourceFor = deniedIn('cn-beijing');

    const summary = await rehearsed({
      nightly: 'targets: [{ region: cn-hangzhou }]',
      weekly: 'targets: [{ region: cn-beijing, name: prod-* }, { region: cn-beijing }]',
    });

    expect(summary).toMatchObject({ status: 'succeeded', uncovered: [] });
    expect(summary.unlisted?.map(({ message }) => message)).toEqual([
      'list the instances of cn-beijing: DescribeInstances: Forbidden.RAM',
      'plan weekly: list the instances of cn-beijing, name prod-*: DescribeInstances: Forbidden.RAM',
    ]);
  });

  it("of servers of one's own asks nothing of any account", async () => {
    const asked: unknown[] = [];
    sourceFor = ({ account, server }) => {
      if (server === undefined) asked.push(account);
      return createMemorySource(clock, [{ id: 'cart', region: 'self-managed' }]);
    };

    const summary = await rehearsed({
      nightly: 'targets: [{ redis: "redis://cart.internal:6379", id: cart }]',
    });

    expect(summary).toMatchObject({ status: 'succeeded', counts: { selected: 1 } });
    expect(summary.uncovered).toBeUndefined();
    expect(asked).toEqual([]);
  });

  it('of named instances tells about those only', async () => {
    const summary = await rehearsed(
      { nightly: 'targets: [{ region: "*" }, { region: cn-shanghai }], exclude: { name: cache-* }' },
      { instances: ['r-orders', 'r-cache', 'r-gone'] },
    );

    expect(summary.instances).toMatchObject([
      {
        instanceId: 'r-gone',
        status: 'failed',
        error: { message: expect.stringContaining('no target of plan nightly matches it') as string },
      },
      {
        instanceId: 'r-cache',
        status: 'failed',
        error: {
          message: expect.stringContaining('plan nightly leaves it out by exclude: name cache-*') as string,
        },
      },
      { instanceId: 'r-orders', status: 'selected' },
    ]);
    expect(summary.problems).toBeUndefined();
    expect(summary.uncovered).toBeUndefined();
  });

  it('in which a target takes nothing ends in an error that does not speak of a run', async () => {
    const summary = await rehearsed({
      nightly: 'targets: [{ region: cn-beijing }, { region: cn-shanghai }]',
    });

    expect(toRunError(summary).message).toMatch(
      /^dry run of nightly ended partial: 1 of 1 would be backed up; NOTHING_SELECTED \(.*targets\[1\]: cn-shanghai\)/,
    );
  });

  it('of all plans reads each list once', async () => {
    let lists = 0;
    ours.onAsk = () => void lists++;
    const plans = plansOf({
      nightly: 'targets: [{ region: cn-hangzhou, name: prod-* }]',
      weekly: 'targets: [{ region: "*" }]',
      monthly: 'targets: [{ region: "*", exclude: { name: cache-* } }]',
    });

    const all = await rehearseAll(plans, ({ name }) => `20261120T180000Z-${name}`, sourceFor, clock, signal);

    expect(lists).toBe(2);
    expect(all.plans.map(({ plan, counts }) => [plan, counts.selected])).toEqual([
      ['nightly', 2],
      ['weekly', 4],
      ['monthly', 3],
    ]);
    expect(all).toMatchObject({ uncovered: [], unlisted: [] });
  });
});

describe('a run', () => {
  it('ends partial when a target takes nothing, and names it, though all others went well', async () => {
    const summary = await done(
      'targets: [{ region: cn-hangzhou, name: prod-* }, { region: cn-beijing, name: "*-soth" }]',
    );

    expect(summary).toMatchObject({
      status: 'partial',
      counts: { stored: 1, skipped: 1, failed: 0 },
      problems: [
        {
          code: 'NOTHING_SELECTED',
          message:
            'select the instances of nightly: no instance is taken by targets[1]: cn-beijing, name *-soth',
        },
      ],
    });
    expect(toRunError(summary)).toMatchObject({ code: 'RUN_INCOMPLETE' });
    expect(toRunError(summary).message).toContain('targets[1]: cn-beijing, name *-soth');
  });

  it('does not mind an optional target that takes nothing', async () => {
    const targets =
      'targets: [{ region: cn-hangzhou, name: prod-* }, { region: cn-beijing, name: x, optional: true }]';

    expect(await done(targets)).toMatchObject({ status: 'succeeded', counts: { stored: 1 } });
  });

  it('fails when nothing at all is selected, though no target has to take anything', async () => {
    const summary = await done('targets: [{ region: cn-beijing, name: x, optional: true }]');

    expect(summary).toMatchObject({ status: 'failed', problems: [{ code: 'NOTHING_SELECTED' }] });
    expect(toRunError(summary).code).toBe('NOTHING_SELECTED');
  });

  it('of named instances does not mind what else the plan names', async () => {
    sourceFor = deniedIn('cn-beijing');
    const targets = 'targets: [{ region: [cn-hangzhou, cn-beijing] }, { region: cn-shanghai }]';

    expect(await done(targets, { instances: ['r-orders'] })).toMatchObject({
      status: 'succeeded',
      counts: { selected: 1, stored: 1 },
    });
  });

  it('keeps the instances, rules and problems that it found first, through all its invocations', async () => {
    sourceFor = deniedIn('cn-beijing');
    const plans = plansOf({
      nightly: 'targets: [{ region: [cn-hangzhou, cn-beijing], tags: { backup: nightly } }]',
    });
    const stop = new AbortController();
    ours.onStart = () => {
      stop.abort(new BackupError('INTERRUPTED', 'killed'));
      return undefined;
    };
    const killed = orchestrate(
      { runId: RUN_ID, dryRun: false, retryFailed: false, plan: plans[0] as Plan, plans },
      {
        sourceFor,
        store,
        invoker: createMemoryUploader(store, clock),
        invokeSelf: async () => Promise.resolve(),
        uploaderLimitMs: 3600_000,
        clock,
        log: silentLog,
      },
      stop.signal,
    );
    await expect(killed).rejects.toMatchObject({ code: 'INTERRUPTED' });
    ours.onStart = () => undefined;
    ours.put({ id: 'r-later', tags: { backup: 'nightly' } });
    let lists = 0;
    ours.onAsk = (action, ids) => void (action === 'listInstances' && ids === '' && lists++);

    const summary = await ask(plans);

    expect(lists).toBe(0);
    expect(summary).toMatchObject({
      status: 'partial',
      counts: { selected: 2, stored: 2 },
      problems: [{ code: 'PERMISSION_DENIED', message: expect.stringContaining('cn-beijing') as string }],
    });
    const record = JSON.parse(
      store.objects.get(`.tairlift/runs/${RUN_ID}/selection.json`)?.toString() ?? '{}',
    ) as { selected: { rule: string }[] };
    expect(record.selected.map(({ rule }) => rule)).toEqual(
      Array(2).fill('targets[0]: cn-hangzhou cn-beijing, tags backup=nightly'),
    );
  });
});

describe('a run in which a region is out of reach for a while', () => {
  const outOfReach =
    (...regions: readonly string[]): SourceFor =>
    () => ({
      ...ours,
      listInstances: async function* (query, stop) {
        // Looking at a single instance goes well.
        if (regions.includes(query.region) && query.ids === undefined)
          throw new BackupError('SERVICE_ERROR', 'DescribeInstances: 503', { retryable: true });
        yield* ours.listInstances(query, stop);
      },
    });
  const plans = (): readonly Plan[] => plansOf({ nightly: 'targets: [{ region: "*", name: prod-* }]' });

  it('backs up what it found, and ends partial', async () => {
    sourceFor = outOfReach('cn-beijing');

    expect(await ask(plans())).toMatchObject({
      status: 'partial',
      counts: { stored: 1, skipped: 1 },
      problems: [{ code: 'SERVICE_ERROR', message: expect.stringContaining('cn-beijing') as string }],
    });
  });

  it('forgets nothing that it has begun, whatever the next invocation can list', async () => {
    sourceFor = outOfReach('cn-beijing');
    ours.durationMs = 3600_000;
    const [plan] = plans();
    const first = await orchestrate(
      {
        runId: RUN_ID,
        dryRun: false,
        retryFailed: false,
        plan: plan as Plan,
        deadlineMs: clock.now() + 600_000,
      },
      {
        sourceFor,
        store,
        invoker: createMemoryUploader(store, clock),
        invokeSelf: async () => Promise.resolve(),
        uploaderLimitMs: 7200_000,
        clock,
        log: silentLog,
      },
      signal,
    );
    expect(first.status).toBe('continued');
    sourceFor = outOfReach('cn-hangzhou');

    const summary = await ask(plans());

    expect(summary.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual([
      ['r-north', 'stored'],
      ['r-orders', 'stored'],
      ['r-single', 'skipped'],
    ]);
    expect(ours.startsOf('r-orders')).toBe(1);
  });
});

it('an instance that was missing in several regions is stored, and missing no more, when it is there at another try', async () => {
  const plans = plansOf({
    nightly: 'targets: [{ region: [cn-hangzhou, cn-beijing], instances: [r-orders, r-new] }]',
  });
  expect((await ask(plans)).counts).toEqual({ selected: 2, stored: 1, skipped: 0, failed: 1 });
  ours.put({ id: 'r-new', region: 'cn-beijing' });

  const summary = await ask(plans, { retryFailed: true });

  expect(summary).toMatchObject({ status: 'succeeded', counts: { selected: 2, stored: 2, failed: 0 } });
  expect(summary.instances.map(({ region, instanceId }) => `${region}/${instanceId}`)).toEqual([
    'cn-beijing/r-new',
    'cn-hangzhou/r-orders',
  ]);
});

it('a dry run that cannot end before its deadline says so, and is not killed', async () => {
  sourceFor = () => ({
    ...ours,
    // eslint-disable-next-line require-yield
    listInstances: async function* (_query, stop) {
      await clock.sleep(3600_000, stop);
    },
  });

  await expect(
    rehearsed({ nightly: 'targets: [{ region: "*" }]' }, { deadlineMs: clock.now() + 60_000 }),
  ).rejects.toMatchObject({
    code: 'DEADLINE_NEAR',
    message: 'list the instances of nightly before the deadline',
  });
});

it('a run takes, skips and misses exactly what its dry run said', async () => {
  const pick = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values);
  const places = ['cn-hangzhou', 'cn-beijing', 'cn-shanghai'];
  const instance = fc.record({
    region: pick(...places),
    name: pick('prod-a', 'prod-b', 'cache-a'),
    engineVersion: pick('5.0', '7.0'),
    tags: pick<Record<string, string>>({}, { backup: 'nightly' }),
    isSingle: fc.boolean(),
  });
  const traits = fc.record(
    {
      name: pick('prod-*', '*-a', 'none-*'),
      tags: fc.constant({ backup: 'nightly' }),
      engineVersions: pick('5', '7.0'),
    },
    { requiredKeys: [] },
  );
  const exclusion = fc
    .record({ instances: pick('r-0', 'r-1', 'r-2'), name: pick('cache-*', '*-b') }, { requiredKeys: [] })
    .filter((one) => Object.keys(one).length > 0);
  const target = fc
    .record({
      region: pick<string | string[]>('*', ...places, ['cn-hangzhou', 'cn-beijing']),
      what: fc.oneof(traits, fc.record({ instances: pick(['r-0', 'r-1'], ['r-2', 'r-99']) })),
      more: fc.record({ optional: fc.boolean(), exclude: exclusion }, { requiredKeys: [] }),
    })
    .map(({ region, what, more }) => ({ region, ...what, ...more }));
  const plan = fc.record(
    { targets: fc.array(target, { minLength: 1, maxLength: 3 }), exclude: exclusion },
    { requiredKeys: ['targets'] },
  );

  await fc.assert(
    fc.asyncProperty(
      fc.array(instance, { maxLength: 6 }),
      plan,
      fc.subarray(places),
      async (fleet, wanted, denied) => {
        clock = createVirtualClock('2026-11-20T18:00:00Z');
        store = createMemoryStore(() => clock.now());
        const specs = fleet.map(({ isSingle, ...spec }, index) => ({
          id: `r-${index}`,
          ...spec,
          ...(isSingle ? { noBackup: 'single-node instances have no backups' } : {}),
        }));
        ours = createMemorySource(clock, specs);
        sourceFor = deniedIn(...denied);
        const plans = plansOf({ nightly: JSON.stringify(wanted).slice(1, -1) });

        const said = await ask(plans, { dryRun: true });
        const did = await ask(plans);

        const told = said.instances.map(({ instanceId, status }) => [
          instanceId,
          status === 'selected' ? 'stored' : status,
        ]);
        expect(did.instances.map(({ instanceId, status }) => [instanceId, status])).toEqual(told);
        expect([did.status, did.problems]).toEqual([said.status, said.problems]);
        const takenOrNot = new Set(
          [...said.instances, ...(said.uncovered ?? [])].map(({ instanceId }) => instanceId),
        );
        for (const { id, region } of specs) if (!denied.includes(region)) expect(takenOrNot).toContain(id);
      },
    ),
    { numRuns: 200 },
  );
});
