import { planNamed, readEnvironment, readPlans, type Plan } from '../../functions/core/config.ts';
import { BackupError } from '../../functions/core/errors.ts';
import { rememberLists } from '../../functions/core/source/remember-lists.ts';
import {
  matchesPattern,
  selectInstances,
  type Selection,
  type SourceFor,
} from '../../functions/core/source/select.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createVirtualClock } from '../doubles/virtual-clock.ts';

const { signal } = new AbortController();
const ACCOUNT = '{ roleArn: "acs:ram::2222:role/source", externalId: team-a }';
let source: MemorySource;

beforeEach(() => {
  source = createMemorySource(createVirtualClock(), [
    { id: 'r-a', name: 'prod-orders', tags: { backup: 'nightly', team: 'a' }, resourceGroup: 'rg-shop' },
    { id: 'r-b', name: 'prod-users', tags: { backup: 'nightly' }, engineVersion: '6.0' },
    { id: 'r-c', name: 'test-orders', engineVersion: '5.0' },
    { id: 'r-d', name: 'prod-single', noBackup: 'single-node instances have no backups' },
    { id: 'r-x', region: 'cn-shanghai', name: 'prod-orders' },
  ]);
});

/** What stands behind `targets:` in a plan, and the lines below it. */
function planOf(targets: string, rest = ''): Plan {
  const destination = 'destination: { region: cn-hangzhou, bucket: my-backups }';
  const text = `plans:\n  p:\n    targets: ${targets}\n    ${destination}\n    ${rest}\n`;
  return planNamed(readPlans(text, 'plans.yaml', readEnvironment({}), {}), 'p');
}

const select = async (targets: string, rest = '', sourceFor: SourceFor = () => source): Promise<Selection> =>
  selectInstances(planOf(targets, rest), sourceFor, signal);
const idsOf = ({ selected }: Selection): readonly string[] => selected.map(({ instance }) => instance.id);
const leftOutOf = ({ leftOut }: Selection): readonly (readonly [string, string])[] =>
  leftOut.map(({ instance, exclusion }) => [instance.id, exclusion]);

/** A source in which these regions cannot be listed. */
const deaf =
  (error: BackupError, ...regions: readonly string[]): SourceFor =>
  () => ({
    ...source,
    listInstances: async function* (query, stop) {
      if (regions.includes(query.region)) throw error;
      yield* source.listInstances(query, stop);
    },
  });
const denied = new BackupError('PERMISSION_DENIED', 'DescribeInstances: Forbidden.RAM', { hint: 'allow it' });

describe('a target', () => {
  it.each<[string, string, readonly string[]]>([
    ['nothing but a region is all of it', '{ region: cn-hangzhou }', ['r-a', 'r-b', 'r-c', 'r-d']],
    ['several regions is all of them', '{ region: [cn-shanghai, cn-beijing] }', ['r-x']],
    ['"*" is all regions there are', '{ region: "*", name: "*-orders" }', ['r-a', 'r-c', 'r-x']],
    ['a tag takes those that carry it', '{ region: "*", tags: { backup: nightly } }', ['r-a', 'r-b']],
    ['tags takes those that carry all', '{ region: "*", tags: { backup: nightly, team: a } }', ['r-a']],
    ['a name takes those that match', '{ region: "*", name: "prod-o*" }', ['r-a', 'r-x']],
    ['names takes those that match one', '{ region: "*", name: [test-*, "*-users"] }', ['r-b', 'r-c']],
    ['a resource group takes its members', '{ region: "*", resourceGroup: rg-shop }', ['r-a']],
    ['a version takes exactly that', '{ region: "*", engineVersions: "6.0" }', ['r-b']],
    [
      'a major version takes all of it',
      '{ region: "*", engineVersions: ["7", "5"] }',
      ['r-a', 'r-c', 'r-d', 'r-x'],
    ],
    [
      'several things takes what meets all',
      '{ region: "*", name: prod-*, engineVersions: "7" }',
      ['r-a', 'r-d', 'r-x'],
    ],
    ['ids finds them in any region', '{ region: "*", instances: [r-c, r-x] }', ['r-c', 'r-x']],
  ])('with %s', async (_what, target, ids) => {
    expect(idsOf(await select(`[${target}]`))).toEqual(ids);
  });

  it('names those of its ids that do not exist in its regions', async () => {
    const selection = await select(
      '[{ region: cn-hangzhou, instances: [r-c, r-gone, r-x] }, { region: [cn-shanghai, cn-beijing], instances: r-a }]',
    );

    expect(idsOf(selection)).toEqual(['r-c']);
    expect(selection.missing).toEqual([
      { region: 'cn-hangzhou', id: 'r-gone' },
      { region: 'cn-hangzhou', id: 'r-x' },
      { region: 'cn-shanghai,cn-beijing', id: 'r-a' },
    ]);
    expect(selection.unmatched).toEqual([]);
  });

  it('names an id once, however many targets look for it in the same place', async () => {
    const selection = await select(
      '[{ region: cn-beijing, instances: r-gone }, { region: "*", instances: r-gone }, { region: cn-beijing, instances: [r-gone, r-a] }, { region: cn-hangzhou }]',
    );

    expect(selection.missing).toEqual([
      { region: '*', id: 'r-gone' },
      { region: 'cn-beijing', id: 'r-a' },
    ]);
  });

  it('that matches nothing is named, unless it says that it may', async () => {
    const selection = await select(
      '[{ region: cn-hangzhou }, { region: cn-beijing, tags: { backup: nightly } }, { region: cn-beijing, optional: true }, { region: cn-beijing, instances: r-gone, optional: true }]',
    );

    expect(selection.unmatched).toEqual(['targets[1]: cn-beijing, tags backup=nightly']);
    expect(selection.missing).toEqual([]);
    expect(selection.idle).toEqual([
      'targets[2]: cn-beijing',
      'targets[3]: cn-beijing, instances r-gone (not there: r-gone)',
    ]);
  });

  it('whose matches are all left out is named with what left them out', async () => {
    const selection = await select(
      '[{ region: "*", name: "*-orders", exclude: { name: test-* } }]',
      'exclude: { name: prod-* }',
    );

    expect(selection.unmatched).toEqual([
      'targets[0]: all regions, name *-orders (all 3 that match are left out: 2 by exclude: name prod-*, 1 by targets[0].exclude: name test-*)',
    ]);
  });

  it('that cannot be listed stops no other one, and is named with its reason', async () => {
    const selection = await select(
      `[{ region: cn-shanghai, account: ${ACCOUNT} }, { region: cn-hangzhou, name: "*-orders" }]`,
      '',
      ({ account }) => {
        if (account !== undefined) throw denied;
        return source;
      },
    );

    expect(idsOf(selection)).toEqual(['r-a', 'r-c']);
    expect(selection.problems).toMatchObject([
      {
        code: 'PERMISSION_DENIED',
        hint: 'allow it',
        cause: denied,
        message: 'list the instances of cn-shanghai, through acs:ram::2222:role/source',
      },
    ]);
    expect(selection.unmatched).toEqual([]);
  });

  it('goes on with its other regions when one of all cannot be listed, and names that one', async () => {
    const selection = await select('[{ region: "*", name: "*-orders" }]', '', deaf(denied, 'cn-shanghai'));

    expect(idsOf(selection)).toEqual(['r-a', 'r-c']);
    expect(selection.problems.map(({ message }) => message)).toEqual([
      'list the instances of cn-shanghai, name *-orders',
    ]);
  });

  it('tells regions that fail alike once', async () => {
    const selection = await select('[{ region: "*" }]', '', deaf(denied, 'cn-shanghai', 'cn-hangzhou'));

    expect(selection.problems.map(({ message }) => message)).toEqual([
      'list the instances of cn-hangzhou cn-shanghai',
    ]);
  });

  it('calls nothing missing or unmatched that may be where it could not look', async () => {
    const targets = '[{ region: "*", instances: [r-x] }, { region: "*", name: nothing-* }]';

    const selection = await select(targets, '', deaf(denied, 'cn-shanghai'));

    expect(selection).toMatchObject({ selected: [], missing: [], unmatched: [] });
    expect(selection.problems).toHaveLength(2);
  });

  it('of all regions is a problem when the regions cannot be listed', async () => {
    const selection = await select('[{ region: "*" }, { region: cn-shanghai }]', '', () => ({
      ...source,
      listRegions: async () => Promise.reject(denied),
    }));

    expect(idsOf(selection)).toEqual(['r-x']);
    expect(selection.problems.map(({ message }) => message)).toEqual(['list the instances of all regions']);
  });
});

describe('an exclusion', () => {
  it.each<[string, string, readonly (readonly [string, string])[]]>([
    ['an id', '{ instances: r-b }', [['r-b', 'exclude: instances r-b']]],
    [
      'all of its tags',
      '{ tags: { backup: nightly, team: a } }',
      [['r-a', 'exclude: tags backup=nightly team=a']],
    ],
    ['a name', '{ name: [x, test-*] }', [['r-c', 'exclude: name x test-*']]],
    ['a resource group', '{ resourceGroup: rg-shop }', [['r-a', 'exclude: resource group rg-shop']]],
    [
      'a version',
      '{ engineVersions: ["5", "6.0"] }',
      [
        ['r-b', 'exclude: version 5 6.0'],
        ['r-c', 'exclude: version 5 6.0'],
      ],
    ],
    [
      'any thing of several',
      '{ instances: r-a, name: test-* }',
      [
        ['r-a', 'exclude: instances r-a'],
        ['r-c', 'exclude: name test-*'],
      ],
    ],
    [
      'any exclusion of several',
      '[{ tags: { team: a } }, { tags: { backup: nightly } }]',
      [
        ['r-a', 'exclude: tags team=a'],
        ['r-b', 'exclude: tags backup=nightly'],
      ],
    ],
  ])('of the plan leaves out by %s', async (_what, exclusion, expected) => {
    const selection = await select('[{ region: cn-hangzhou }]', `exclude: ${exclusion}`);

    expect(leftOutOf(selection)).toEqual(expected);
    expect(idsOf(selection)).toEqual(
      ['r-a', 'r-b', 'r-c', 'r-d'].filter((id) => !expected.some(([left]) => left === id)),
    );
  });

  it('of a target holds for that target only: another one may take the instance', async () => {
    const selection = await select(
      '[{ region: cn-hangzhou, exclude: { name: prod-* } }, { region: cn-hangzhou, tags: { team: a } }]',
    );

    expect(selection.selected.map(({ instance, rule }) => [instance.id, rule])).toEqual([
      ['r-a', 'targets[1]: cn-hangzhou, tags team=a'],
      ['r-c', 'targets[0]: cn-hangzhou'],
    ]);
    expect(leftOutOf(selection)).toEqual([
      ['r-b', 'targets[0].exclude: name prod-*'],
      ['r-d', 'targets[0].exclude: name prod-*'],
    ]);
  });

  it('of the plan holds for what a target lists by id, too, which is then not missing', async () => {
    const selection = await select(
      '[{ region: "*", instances: [r-a, r-x] }]',
      'exclude: { instances: [r-x] }',
    );

    expect(idsOf(selection)).toEqual(['r-a']);
    expect(selection.missing).toEqual([]);
    expect(leftOutOf(selection)).toEqual([['r-x', 'exclude: instances r-x']]);
  });
});

describe('a selection', () => {
  it('has each instance once, by the first target that takes it, with its rule and its role', async () => {
    const selection = await select(
      `[{ region: cn-hangzhou, instances: [r-a], account: ${ACCOUNT} }, { region: cn-hangzhou, tags: { backup: nightly } }, { region: cn-shanghai }]`,
    );

    expect(
      selection.selected.map(({ instance, rule, account }) => [instance.id, rule, account?.externalId]),
    ).toEqual([
      ['r-a', 'targets[0]: cn-hangzhou, instances r-a, through acs:ram::2222:role/source', 'team-a'],
      ['r-b', 'targets[1]: cn-hangzhou, tags backup=nightly', undefined],
      ['r-x', 'targets[2]: cn-shanghai', undefined],
    ]);
  });

  it('ends with the signal, not with half a list', async () => {
    const stop = new AbortController();
    source.onAsk = () => stop.abort(new BackupError('DEADLINE_NEAR', 'hand over'));

    const selecting = selectInstances(planOf('[{ region: "*" }]'), () => source, stop.signal);

    await expect(selecting).rejects.toMatchObject({ code: 'DEADLINE_NEAR' });
  });

  it('reads a bounded number of lists at once', async () => {
    let open = 0;
    let most = 0;
    const regions = Array.from({ length: 40 }, (_, index) => `cn-place-${index}`);
    const slow: SourceFor = () => ({
      ...source,
      listRegions: async () => regions,
      // eslint-disable-next-line require-yield
      listInstances: async function* () {
        most = Math.max(most, ++open);
        await new Promise((resolve) => setImmediate(resolve));
        open--;
      },
    });

    await select('[{ region: "*" }, { region: "*", name: a }, { region: "*", name: b }]', '', slow);

    expect(most).toBe(6);
  });
});

describe('remembered lists', () => {
  it('are read once, whoever asks for them and how often', async () => {
    let lists = 0;
    source.onAsk = () => void lists++;
    const remembered = rememberLists(() => source);

    const first = await select('[{ region: "*" }, { region: "*", name: prod-* }]', '', remembered);
    const second = await select('[{ region: "*" }]', '', remembered);
    expect(lists).toBe(2);
    await select('[{ region: "*", tags: { team: a } }]', '', remembered);

    expect(idsOf(second)).toEqual(idsOf(first));
    expect(lists).toBe(4);
  });
});

describe('a name pattern', () => {
  it.each([
    ['prod-orders', 'prod-*', true],
    ['prod-', 'prod-*', true],
    ['my-prod-1', 'prod-*', false],
    ['prod-1', 'prod-?', true],
    ['prod-12', 'prod-?', false],
    ['a.b', 'a.b', true],
    ['aXb', 'a.b', false],
    ['(x)[1]', '(x)[?]', true],
    ['生产-订单', '生产-??', true],
    ['Prod-1', 'prod-*', false],
    ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab', '*a*a*a*a*c', false],
  ])('%s against %s: %s', (name, pattern, matches) => {
    expect(matchesPattern(name, pattern)).toBe(matches);
  });
});
