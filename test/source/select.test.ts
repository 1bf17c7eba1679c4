import { BackupError } from '../../functions/core/errors.ts';
import type { Target } from '../../functions/core/config.ts';
import { matchesPattern, selectInstances, type Selection } from '../../functions/core/source/select.ts';
import { createMemorySource, type MemorySource } from '../doubles/memory-source.ts';
import { createVirtualClock } from '../doubles/virtual-clock.ts';

const { signal } = new AbortController();
let source: MemorySource;

beforeEach(() => {
  source = createMemorySource(createVirtualClock(), [
    { id: 'r-a', name: 'prod-orders', tags: { backup: 'nightly', team: 'a' } },
    { id: 'r-b', name: 'prod-users', tags: { backup: 'nightly' } },
    { id: 'r-c', name: 'test-orders' },
    { id: 'r-d', name: 'prod-single', noBackup: 'single-node instances have no backups' },
    { id: 'r-x', region: 'cn-shanghai', name: 'prod-orders' },
  ]);
});

const select = async (...targets: readonly Target[]): Promise<Selection> =>
  selectInstances(targets, () => source, signal);
const idsOf = ({ selected }: Selection): readonly string[] => selected.map(({ instance }) => instance.id);

describe('a target', () => {
  it('without anything else is all of its region', async () => {
    expect(idsOf(await select({ region: 'cn-hangzhou' }))).toEqual(['r-a', 'r-b', 'r-c', 'r-d']);
  });

  it('takes the instances that carry all of its tags', async () => {
    expect(idsOf(await select({ region: 'cn-hangzhou', tags: { backup: 'nightly' } }))).toEqual([
      'r-a',
      'r-b',
    ]);
    expect(idsOf(await select({ region: 'cn-hangzhou', tags: { backup: 'nightly', team: 'a' } }))).toEqual([
      'r-a',
    ]);
  });

  it('takes the instances whose names match its pattern', async () => {
    expect(idsOf(await select({ region: 'cn-hangzhou', name: 'prod-*' }))).toEqual(['r-a', 'r-b', 'r-d']);
  });

  it('takes the instances that it lists, and names those that do not exist', async () => {
    const selection = await select({ region: 'cn-hangzhou', instances: ['r-c', 'r-gone', 'r-x'] });

    expect(idsOf(selection)).toEqual(['r-c']);
    expect(selection.missing).toEqual([
      { region: 'cn-hangzhou', id: 'r-gone' },
      { region: 'cn-hangzhou', id: 'r-x' },
    ]);
  });

  it('that matches nothing is named', async () => {
    const selection = await select(
      { region: 'cn-hangzhou' },
      { region: 'cn-beijing', tags: { backup: 'nightly' } },
    );

    expect(selection.unmatched).toEqual(['cn-beijing, tags backup=nightly']);
  });

  it('that cannot be listed stops no other one, and is named with its reason', async () => {
    const denied = new BackupError('PERMISSION_DENIED', 'DescribeInstances in cn-shanghai', {
      hint: 'allow it',
    });
    const account = { roleArn: 'acs:ram::2222:role/source' };

    const selection = await selectInstances(
      [
        { region: 'cn-shanghai', account },
        { region: 'cn-hangzhou', name: '*-orders' },
      ],
      (of) => {
        if (of !== undefined) throw denied;
        return source;
      },
      signal,
    );

    expect(idsOf(selection)).toEqual(['r-a', 'r-c']);
    expect(selection.problems).toMatchObject([
      { code: 'PERMISSION_DENIED', hint: 'allow it', cause: denied },
    ]);
    expect(selection.problems[0]?.message).toContain('cn-shanghai, through acs:ram::2222:role/source');
  });
});

describe('a selection', () => {
  it('has each instance once, by the first target that matches', async () => {
    const account = { roleArn: 'acs:ram::2222:role/source' };

    const selection = await select(
      { region: 'cn-hangzhou', instances: ['r-a'], account },
      { region: 'cn-hangzhou', tags: { backup: 'nightly' } },
      { region: 'cn-shanghai' },
    );

    expect(idsOf(selection)).toEqual(['r-a', 'r-b', 'r-x']);
    expect(selection.selected.map((entry) => entry.account)).toEqual([account, undefined, undefined]);
  });

  it('ends with the signal, not with half a list', async () => {
    const stop = new AbortController();
    source.onAsk = () => stop.abort(new BackupError('DEADLINE_NEAR', 'hand over'));

    const selecting = selectInstances(
      [{ region: 'cn-hangzhou' }],
      () => {
        stop.abort(new BackupError('DEADLINE_NEAR', 'hand over'));
        throw stop.signal.reason;
      },
      stop.signal,
    );

    await expect(selecting).rejects.toMatchObject({ code: 'DEADLINE_NEAR' });
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
