import * as fc from 'fast-check';
import { SLOT_COUNT, SlotSet, parseSlots } from '../../functions/core/rdb/slots.ts';
import { proveCluster, type ShardContents } from '../../functions/core/repository/cluster-proof.ts';

const MADE = { startedAt: '2026-11-20T18:00:00Z', endedAt: '2026-11-20T18:10:00Z' };

const shard = (
  number: number,
  ranges: string,
  more: Partial<ShardContents['rdb']> & { readonly owned?: string } = {},
): ShardContents => {
  const { owned, ...rdb } = more;
  return {
    shard: number,
    name: `${String.fromCharCode(97 + number)}.rdb`,
    rdb: {
      keys: ranges === '' ? 0 : 9,
      digest: String(number).repeat(32),
      slots: { ranges, ...(owned === undefined ? {} : { owned }) },
      ...rdb,
    },
  };
};

const problemsOf = (...files: readonly ShardContents[]): readonly string[] =>
  proveCluster(files, MADE).problems;

describe('the files of a cluster', () => {
  it('are one backup when no slot has keys in two of them', () => {
    expect(proveCluster([shard(0, '0-100,200'), shard(1, '8192'), shard(2, '')], MADE)).toEqual({
      problems: [],
      proof: { slots: 'disjoint', slotsSeen: 103, emptyShards: [2] },
    });
  });

  it('are none when slots have keys in two: named are the slots, both files, and what it may mean', () => {
    expect(problemsOf(shard(0, '0-5'), shard(1, '6-9'), shard(2, '4-5,9'))).toEqual([
      '2 slots (4-5) have keys both in a.rdb (shard 0) and in c.rdb (shard 2): slots were moved between the shards while the backup was made, or one of the files is of another backup',
      'slot 9 has keys both in b.rdb (shard 1) and in c.rdb (shard 2): slots were moved between the shards while the backup was made, or one of the files is of another backup',
    ]);
  });

  it('are none when one of them is there twice, also if its keys are in other databases only', () => {
    const twin = { digest: 'f'.repeat(32), keys: 5 };
    expect(problemsOf(shard(0, '', twin), shard(1, '', twin))).toEqual([
      'a.rdb (shard 0) and b.rdb (shard 1) hold the very same keys: one shard is there twice',
    ]);
  });

  it('may be equal when they hold nothing', () => {
    const nothing = { digest: '0'.repeat(32), keys: 0 };
    expect(problemsOf(shard(0, '', nothing), shard(1, '', nothing), shard(2, '7'))).toEqual([]);
  });

  describe('of a source that tells whose each slot is', () => {
    it('are proven by it', () => {
      const files = [shard(0, '0-5', { owned: '0-8191' }), shard(1, '', { owned: '8192-16383' })];
      expect(proveCluster(files, MADE)).toMatchObject({ problems: [], proof: { slots: 'owned' } });
    });

    it('are none when a file has keys of a slot that is not its shard’s', () => {
      expect(
        problemsOf(shard(0, '0-5', { owned: '0-8191' }), shard(1, '9000,7', { owned: '8192-16383' })),
      ).toEqual(['slot 7 has keys in b.rdb (shard 1), whose shard does not own it']);
    });

    it('are none when slots are nobody’s: a shard is missing', () => {
      expect(
        problemsOf(shard(0, '0-5', { owned: '0-8191' }), shard(1, '9000', { owned: '8193-16383' })),
      ).toEqual(['slot 8192 is of none of the shards: a shard is missing']);
    });

    it('are proven as far as it tells when it tells it of some only', () => {
      expect(proveCluster([shard(0, '5', { owned: '0-9' }), shard(1, '10')], MADE)).toMatchObject({
        problems: [],
        proof: { slots: 'disjoint' },
      });
    });
  });

  describe('that say when they were written', () => {
    it.each([
      ['all while the backup was made', ['2026-11-20T18:00:03Z', '2026-11-20T18:05:00Z'], 0],
      ['one a week before', ['2026-11-20T18:00:03Z', '2026-11-13T18:05:00Z'], 1],
      ['one a day later', ['2026-11-20T18:00:03Z', '2026-11-21T18:05:00Z'], 1],
      ['one by a clock that is half an hour off', ['2026-11-20T18:00:03Z', '2026-11-20T17:31:00Z'], 0],
      ['all at another time, so that it means nothing', ['2020-01-01T00:00:00Z', '2020-01-01T00:00:01Z'], 0],
    ])('%s', (_what, [first = '', second = ''], count) => {
      const problems = problemsOf(shard(0, '0', { createdAt: first }), shard(1, '1', { createdAt: second }));
      expect(problems).toHaveLength(count);
      for (const problem of problems) expect(problem).toContain(`b.rdb (shard 1) was written at ${second}`);
    });
  });

  it('are none when it is not known which slots they hold', () => {
    expect(
      problemsOf(shard(0, '0-70000'), { ...shard(1, ''), rdb: { ...shard(1, '').rdb, slots: {} } }),
    ).toEqual([
      'the slots that a.rdb (shard 0) holds cannot be read',
      'the slots of b.rdb (shard 1) are not known',
    ]);
  });

  it('of many shards that are all wrong are reported in a few lines', () => {
    const many = Array.from({ length: 256 }, (_, number) =>
      shard(number, '0-16383', { digest: `${number}` }),
    );
    const problems = problemsOf(...many);
    expect(problems).toHaveLength(6);
    expect(problems.at(-1)).toBe('and so it is with 250 more pairs of files');
  });

  it('are one backup however the slots are shared out, and none when one key has moved', () => {
    const owners = fc.array(fc.nat(3), { minLength: SLOT_COUNT, maxLength: SLOT_COUNT, size: 'max' });
    fc.assert(
      fc.property(owners, fc.nat(SLOT_COUNT - 1), (owner, moved) => {
        const sets = [0, 1, 2, 3].map((number) => {
          const slots = new SlotSet();
          for (const [slot, of] of owner.entries()) if (of === number) slots.add(slot);
          return slots;
        });
        const files = (): ShardContents[] => sets.map((set, number) => shard(number, set.report().ranges));
        expect(problemsOf(...files())).toEqual([]);
        sets[((owner[moved] ?? 0) + 1) % 4]?.add(moved);
        expect(problemsOf(...files()).join()).toContain(`slot ${moved} has keys both in`);
      }),
      { numRuns: 5 },
    );
  });
});

describe('slots in words', () => {
  it('are read as they are written', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(SLOT_COUNT - 1), { maxLength: 300 }), (chosen) => {
        const slots = new SlotSet();
        for (const slot of chosen) slots.add(slot);
        expect(parseSlots(slots.report().ranges)?.report()).toEqual(slots.report());
      }),
    );
  });

  it.each(['-', 'a', '1-', '5-4', '16384', '0-16384', '1,,2', ' 1', '1.5'])(
    'are not read from "%s"',
    (text) => {
      expect(parseSlots(text)).toBeUndefined();
    },
  );
});
