/** What policies say: the rules that the emulated services ask, and what they refuse to understand. */
import { createClock } from '../../emulator/clock.ts';
import { createIdentity, isAllowed, type Role } from '../../emulator/identity.ts';
import { decide, readPolicy, type Statement } from '../../emulator/policy.ts';

const allow = (Action: string | string[], Resource: string | string[]): Statement => ({
  Effect: 'Allow',
  Action,
  Resource,
});
const put = (resource: string) => ({ action: 'oss:PutObject', resource });
const OBJECT = 'acs:oss:oss-cn-hangzhou:1234567890123456:backups/prod/file.rdb';

describe('a policy', () => {
  it.each([
    ['oss:PutObject', 'acs:oss:*:*:backups/prod/*', 'allowed'],
    ['oss:*', '*', 'allowed'],
    ['oss:Put*', 'acs:oss:*:*:backups/*', 'allowed'],
    ['OSS:putobject', 'acs:oss:*:*:backups/*', 'allowed'],
    ['oss:PutObject', 'acs:oss:*:*:backups/test/*', 'silent'],
    ['oss:PutObject', 'acs:oss:*:*:backups', 'silent'],
    ['oss:PutObject', 'acs:oss:*:*:BACKUPS/*', 'silent'],
    ['oss:PutObject', 'acs:oss:oss-cn-shanghai:*:backups/*', 'silent'],
    ['oss:GetObject', '*', 'silent'],
    ['oss:PutObject', 'acs:oss:*:*:backups/prod/file?rdb', 'allowed'],
    ['oss:PutObject', 'acs:oss:*:*:backups.prod/*', 'silent'],
  ])('that allows %s on %s: putting an object is %s', (action, resource, verdict) => {
    expect(decide([allow(action, resource)], put(OBJECT))).toBe(verdict);
  });

  it('is denied by one statement, whatever others allow', () => {
    const deny: Statement = { Effect: 'Deny', Action: 'oss:*', Resource: 'acs:oss:*:*:backups/prod/*' };
    expect(decide([allow('*', '*'), deny], put(OBJECT))).toBe('denied');
    expect(decide([deny, allow('*', '*')], put('acs:oss:x:1:backups/other'))).toBe('allowed');
  });

  it('allows what works on no single thing only where it says everything', () => {
    const question = { action: 'kvstore:DescribeInstances', resource: '*' };
    expect(decide([allow('kvstore:*', 'acs:kvstore:*:*:instance/*')], question)).toBe('silent');
    expect(decide([allow('kvstore:*', '*')], question)).toBe('allowed');
  });

  it.each([
    ['Bool', 'acs:SecureTransport', 'false', 'false', true],
    ['Bool', 'acs:SecureTransport', 'false', 'true', false],
    ['StringEquals', 'sts:ExternalId', 'team-a', 'team-a', true],
    ['StringEquals', 'sts:ExternalId', 'team-a', 'team-A', false],
    ['StringLike', 'oss:Prefix', 'prod/*', 'prod/a', true],
    ['StringLike', 'oss:Prefix', 'prod/*', 'test/a', false],
    ['StringNotLike', 'oss:Prefix', 'prod/*', 'test/a', true],
    ['NumericLessThan', 'oss:MaxKeys', '100', '99', true],
    ['NumericLessThan', 'oss:MaxKeys', '100', '100', false],
    ['NumericLessThanEquals', 'oss:MaxKeys', '100', '100', true],
  ])('with %s on %s, wanting %s and given %s: %s', (operator, key, wanted, given, isMet) => {
    const statement = { ...allow('oss:*', '*'), Condition: { [operator]: { [key]: wanted } } };
    const question = { ...put(OBJECT), context: { [key]: given } };
    expect(decide([statement], question)).toBe(isMet ? 'allowed' : 'silent');
    expect(decide([statement], put(OBJECT))).toBe('silent');
  });

  it.each([
    [{ Version: '2', Statement: [] }, 'Version must be "1"'],
    [{ Version: '1', Statement: [] }, 'at least one statement'],
    [{ Version: '1', Statement: [{ Effect: 'Allow', NotAction: 'oss:*', Resource: '*' }] }, 'NotAction'],
    [{ Version: '1', Statement: [{ Effect: 'Maybe', Action: '*', Resource: '*' }] }, 'Effect'],
    [{ Version: '1', Statement: [{ Effect: 'Allow', Action: 'PutObject', Resource: '*' }] }, 'Action'],
    [{ Version: '1', Statement: [{ Effect: 'Allow', Action: 'oss:*', Resource: 'bucket/*' }] }, 'Resource'],
    [
      {
        Version: '1',
        Statement: [{ Effect: 'Allow', Action: '*', Resource: '*', Condition: { StringIs: { a: 'b' } } }],
      },
      'StringIs',
    ],
    [
      { Version: '1', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*', Principal: '*' }] },
      'Principal',
    ],
  ])('%j is refused', (document, because) => {
    expect(() => readPolicy(document)).toThrow(because);
  });
});

describe('a role', () => {
  const role: Omit<Role, 'arn'> = {
    accountId: '1',
    name: 'r',
    trusts: [],
    allow: [],
    policies: [
      { name: 'p', type: 'Custom', document: { Version: '1', Statement: [allow('oss:PutObject', '*')] } },
    ],
  };

  it('that is changed changes what its sessions may do, and one that is removed ends it', () => {
    const identity = createIdentity(createClock());
    const session = identity.issue(identity.addRole(role), 's', 900);
    const may = (action: string): boolean => {
      const found = identity.lookup(session.accessKeyId, session.securityToken);
      return found.kind === 'found' && isAllowed(found.principal, { action, resource: '*' });
    };
    expect([may('oss:PutObject'), may('oss:GetObject')]).toEqual([true, false]);

    const { arn } = identity.addRole({ ...role, policies: [], allow: ['oss:GetObject'] });
    expect([may('oss:PutObject'), may('oss:GetObject')]).toEqual([false, true]);

    identity.removeRole(arn);
    expect([may('oss:PutObject'), may('oss:GetObject')]).toEqual([false, false]);
  });
});
