import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { deploySourceRole, grants, sourceAccountTemplate } from './source-account.ts';

const ROOT = join(__dirname, '..', '..');
const textOf = (...path: string[]): string => readFileSync(join(ROOT, ...path), 'utf8');

const OURS = '1111111111111111';
const THEIRS = '2222222222222222';
const actionsOf = (): readonly string[] => grants().flatMap(({ Action }) => Action);

describe('the role of a source account', () => {
  it('may do what the tables of permissions give the functions of the service, and nothing else', () => {
    const documented = [...textOf('docs', 'permissions.md').matchAll(/^\| `(kvstore:\w+)`/gm)].map(
      ([, action = '']) => action,
    );

    expect([...actionsOf()].sort()).toEqual([...new Set(documented)].sort());
  });

  it('may do exactly what the code calls', () => {
    const called = [...textOf('functions', 'core', 'aliyun', 'tair.ts').matchAll(/action: '(\w+)'/g)].map(
      ([, action = '']) => `kvstore:${action}`,
    );

    expect([...new Set(called)].sort()).toEqual([...actionsOf()].sort());
  });

  it('allows without wildcards, and reaches no further than instances', () => {
    for (const { Effect, Action, Resource } of grants()) {
      expect(Effect).toBe('Allow');
      for (const action of [Action].flat()) expect(action).toMatch(/^kvstore:(Describe\w+|CreateBackup)$/);
      const isListOnly = [Action].flat().every((action) => /:Describe(Regions|Instances)$/.test(action));
      expect(Resource).toBe(isListOnly ? '*' : 'acs:kvstore:*:*:instance/*');
    }
  });

  it('trusts the backup account alone, and only with the external id', () => {
    const role = deploySourceRole(THEIRS, { BackupAccountId: OURS, ExternalId: 'team-a' });

    expect(role).toMatchObject({
      accountId: THEIRS,
      name: 'tairlift-source',
      trusts: [`acs:ram::${OURS}:root`],
      externalId: 'team-a',
    });
  });

  it('cannot be made without an external id, or for something that is no account', () => {
    expect(() => deploySourceRole(THEIRS, { BackupAccountId: OURS, ExternalId: '' })).toThrow('ExternalId');
    expect(() => deploySourceRole(THEIRS, { BackupAccountId: '*', ExternalId: 'team-a' })).toThrow(
      'BackupAccountId',
    );
    const { ExternalId, BackupAccountId } = sourceAccountTemplate().Parameters;
    expect([ExternalId?.Default, BackupAccountId?.Default]).toEqual([undefined, undefined]);
  });
});
