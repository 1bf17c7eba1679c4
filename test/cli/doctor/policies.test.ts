/** What policies say of a need, and what they allow beyond all needs. */
import * as fc from 'fast-check';
import {
  excessOf,
  judge,
  othersTrusted,
  parsePolicy,
  trusts,
  type Need,
  type Policy,
  type Statement,
} from '../../../cli/doctor/policies.ts';

const BUCKET = 'acs:oss:cn-hangzhou:1234:backups';
const PUT: Need = { action: 'oss:PutObject', resource: `${BUCKET}/redis/Backup_*` };

const policyOf = (...statements: readonly Statement[]): Policy => ({ name: 'p', statements });
const allow = (
  action: Statement['Action'],
  resource: Statement['Resource'],
  more: Statement = {},
): Statement => ({
  Effect: 'Allow',
  ...(action === undefined ? {} : { Action: action }),
  ...(resource === undefined ? {} : { Resource: resource }),
  ...more,
});
const kindOf = (need: Need, ...statements: readonly Statement[]): string =>
  judge([policyOf(...statements)], need).kind;

describe('a need', () => {
  it.each<readonly [string, Statement, string]>([
    ['the very action and resource', allow('oss:PutObject', PUT.resource), 'allowed'],
    ['everything', allow('*', '*'), 'allowed'],
    ['all actions of the service', allow('oss:*', '*'), 'allowed'],
    ['an action in other letters', allow('OSS:putobject', '*'), 'allowed'],
    [
      'one of a list',
      allow(['oss:GetObject', 'oss:PutObject'], ['acs:oss:*:*:other', `acs:oss:*:*:backups/*`]),
      'allowed',
    ],
    ['a wider prefix', allow('oss:Put*', 'acs:oss:*:*:backups/redis/*'), 'allowed'],
    [
      'the region with the name of the service',
      allow('oss:PutObject', 'acs:oss:oss-cn-hangzhou:1234:backups/*'),
      'allowed',
    ],
    ['all but another action', allow(undefined, '*', { NotAction: 'oss:DeleteObject' }), 'allowed'],
    ['all but this action', allow(undefined, '*', { NotAction: 'oss:Put*' }), 'missing'],
    [
      'all resources but others',
      allow('oss:PutObject', undefined, { NotResource: 'acs:oss:*:*:other/*' }),
      'allowed',
    ],
    [
      'all resources but a part of what is needed',
      allow('oss:PutObject', undefined, { NotResource: 'acs:oss:*:*:backups/redis/Backup_r-1/*' }),
      'missing',
    ],
    ['another action', allow('oss:GetObject', '*'), 'missing'],
    ['an action that only begins alike', allow('oss:PutObjectAcl', '*'), 'missing'],
    ['a narrower prefix', allow('oss:PutObject', 'acs:oss:*:*:backups/redis/Backup_r-1/*'), 'missing'],
    [
      'as many characters as there are stars',
      allow('oss:PutObject', 'acs:oss:*:*:backups/redis/Backup_?'),
      'missing',
    ],
    ['the bucket and not its objects', allow('oss:PutObject', 'acs:oss:*:*:backups'), 'missing'],
    ['another region', allow('oss:PutObject', 'acs:oss:cn-shanghai:*:backups/*'), 'missing'],
    ['another account', allow('oss:PutObject', 'acs:oss:*:99:backups/*'), 'missing'],
  ])('is judged where a statement allows %s', (_what, statement, kind) => {
    expect(kindOf(PUT, statement)).toBe(kind);
  });

  it('is denied where a statement denies it, whatever else allows it, and the policy is named', () => {
    const policies = [
      policyOf(allow('*', '*')),
      { name: 'guard', statements: [{ Effect: 'Deny', Action: 'oss:*', Resource: '*' }] },
    ];
    expect(judge(policies, PUT)).toEqual({ kind: 'denied', by: 'guard' });
  });

  it('is denied where only a part of it is', () => {
    const one = { Effect: 'Deny', Action: 'oss:PutObject', Resource: '*Backup_r-1/*' };
    expect(kindOf(PUT, allow('*', '*'), one)).toBe('denied');
    const elsewhere = { ...one, Resource: 'acs:oss:*:*:backups/other/*' };
    expect(kindOf(PUT, allow('*', '*'), elsewhere)).toBe('allowed');
    const allBut = (NotResource: string): Statement => ({ Effect: 'Deny', Action: '*', NotResource });
    expect(kindOf(PUT, allow('*', '*'), allBut('*Backup_r-1/*'))).toBe('denied');
    expect(kindOf(PUT, allow('*', '*'), allBut('acs:oss:*:*:backups/*'))).toBe('allowed');
  });

  it('is not judged where it depends on what is not known from here', () => {
    const office = allow('oss:*', '*', { Condition: { IpAddress: { 'acs:SourceIp': '10.0.0.0/8' } } });
    expect(judge([policyOf(office)], PUT)).toEqual({
      kind: 'unclear',
      conditions: ['IpAddress acs:SourceIp'],
    });
    expect(kindOf(PUT, office, allow('oss:PutObject', '*'))).toBe('allowed');
    expect(kindOf(PUT, { ...office, Effect: 'Deny' }, allow('oss:PutObject', '*'))).toBe('unclear');
  });
});

describe('a condition', () => {
  const LIST: Need = {
    action: 'oss:ListObjects',
    resource: BUCKET,
    context: { 'oss:Prefix': 'redis/.tairlift/*', 'acs:SecureTransport': 'true' },
  };

  it.each<readonly [Statement['Condition'], string]>([
    [{ StringLike: { 'oss:Prefix': ['redis/.tairlift/*'] } }, 'allowed'],
    [{ StringLike: { 'oss:prefix': 'redis/*' } }, 'allowed'],
    [{ StringLike: { 'oss:Prefix': 'redis/.tairlift/runs/*' } }, 'missing'],
    [{ StringEquals: { 'oss:Prefix': 'redis/' } }, 'missing'],
    [{ StringNotLike: { 'oss:Prefix': 'secret/*' } }, 'allowed'],
    [{ StringNotEquals: { 'oss:Prefix': 'redis/.tairlift/*' } }, 'missing'],
    [{ StringEqualsIgnoreCase: { 'oss:Prefix': 'REDIS/.tairlift/*' } }, 'allowed'],
    [{ Bool: { 'acs:SecureTransport': true } }, 'allowed'],
    [{ Bool: { 'acs:SecureTransport': 'false' } }, 'missing'],
    [{ Bool: { 'acs:MFAPresent': 'true' } }, 'unclear'],
    [{ NumericLessThan: { 'oss:MaxKeys': '100' } }, 'unclear'],
    [{ Bool: { 'acs:SecureTransport': 'true' }, StringLike: { 'oss:Prefix': 'other/*' } }, 'missing'],
  ])('%j is judged by what the request tells', (Condition, kind) => {
    expect(kindOf(LIST, allow('oss:ListObjects', '*', Condition === undefined ? {} : { Condition }))).toBe(
      kind,
    );
  });
});

describe('excess', () => {
  const needs: readonly Need[] = [
    PUT,
    { action: 'kvstore:CreateBackup', resource: 'acs:kvstore:*:*:instance/*' },
  ];

  it('is nothing where a policy allows what is needed, or less', () => {
    expect(
      excessOf(
        [
          policyOf(
            allow('oss:PutObject', PUT.resource),
            allow('kvstore:CreateBackup', 'acs:kvstore:cn-hangzhou:1234:instance/r-1'),
            { Effect: 'Deny', Action: 'oss:DeleteObject', Resource: '*' },
          ),
        ],
        needs,
      ),
    ).toEqual([]);
  });

  it.each<readonly [string, Statement, boolean]>([
    ['an action that is not needed', allow('oss:GetBucketAcl', '*'), false],
    ['a wildcard', allow('kvstore:Describe*', '*'), false],
    ['a resource that is wider', allow('oss:PutObject', 'acs:oss:*:*:*'), false],
    ['the right to delete', allow('oss:DeleteObject', `${BUCKET}/*`), true],
    ['the right to delete behind a wildcard', allow('oss:*', `${BUCKET}/*`), true],
    ['everything', allow('*', '*'), true],
    ['everything but something', allow(undefined, '*', { NotAction: 'ram:*' }), true],
  ])('is %s', (_what, statement, isDangerous) => {
    expect(excessOf([policyOf(statement)], needs)).toEqual([
      expect.objectContaining({ policy: 'p', isDangerous }),
    ]);
  });

  it('names only the resources that reach too far', () => {
    const statement = allow('oss:PutObject', [PUT.resource, 'acs:oss:*:*:other/*']);
    expect(excessOf([policyOf(statement)], needs)).toEqual([
      { policy: 'p', action: 'oss:PutObject', resources: ['acs:oss:*:*:other/*'], isDangerous: false },
    ]);
  });
});

describe('documents', () => {
  it('are read with one statement or several, and refused with none', () => {
    const one = { Effect: 'Allow', Action: 'oss:*', Resource: '*' };
    expect(parsePolicy('p', JSON.stringify({ Version: '1', Statement: one })).statements).toEqual([one]);
    expect(parsePolicy('p', JSON.stringify({ Statement: [one, one] })).statements).toHaveLength(2);
    expect(() => parsePolicy('p', '{}')).toThrow(SyntaxError);
    expect(() => parsePolicy('p', 'null')).toThrow(SyntaxError);
    expect(() => parsePolicy('p', '<xml>')).toThrow(SyntaxError);
  });

  it('of trust say which service may take the role, and who else', () => {
    const trust = (Principal: object): string =>
      JSON.stringify({ Statement: [{ Action: 'sts:AssumeRole', Effect: 'Allow', Principal }] });
    expect(trusts(trust({ Service: ['fc.aliyuncs.com'] }), 'fc.aliyuncs.com')).toBe(true);
    expect(trusts(trust({ Service: 'fc.aliyuncs.com' }), 'fc.aliyuncs.com')).toBe(true);
    expect(trusts(trust({ Service: ['ecs.aliyuncs.com'] }), 'fc.aliyuncs.com')).toBe(false);
    expect(trusts('nonsense', 'fc.aliyuncs.com')).toBeUndefined();
    expect(
      othersTrusted(trust({ Service: ['fc.aliyuncs.com'], RAM: ['acs:ram::99:root'] }), 'fc.aliyuncs.com'),
    ).toEqual(['acs:ram::99:root']);
  });
});

describe('patterns', () => {
  const letters = fc.array(fc.constantFrom('a', 'b', '/', '*'), { maxLength: 8 }).map((all) => all.join(''));
  const plain = fc.array(fc.constantFrom('a', 'b', '/'), { maxLength: 8 }).map((all) => all.join(''));
  const isAllowed = (pattern: string, resource: string): boolean =>
    kindOf({ action: 'a:B', resource }, allow('a:B', pattern)) === 'allowed';

  it('that cover one another cover everything that the covered one matches', () => {
    fc.assert(
      fc.property(letters, letters, plain, (wide, narrow, text) => {
        if (isAllowed(wide, narrow) && isAllowed(narrow, text)) expect(isAllowed(wide, text)).toBe(true);
      }),
    );
  });

  it('deny wherever both match something', () => {
    fc.assert(
      fc.property(letters, letters, plain, (denied, needed, text) => {
        if (!isAllowed(denied, text) || !isAllowed(needed, text)) return;
        const kind = kindOf({ action: 'a:B', resource: needed }, allow('a:B', '*'), {
          Effect: 'Deny',
          Action: 'a:B',
          Resource: denied,
        });
        expect(kind).toBe('denied');
      }),
    );
  });
});
