/** What `npm run synth` writes, and what the template declares. */
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { generate } from '../../infra/generate.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { lifecycleProblems } from '../../functions/core/lifecycle.ts';
import { synthesize } from '../../infra/template.ts';
import { resolve } from './resolve.ts';

const ROOT = join(__dirname, '..', '..');

interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
  readonly DeletionPolicy?: string;
  readonly Condition?: string;
}

interface Template {
  readonly Parameters: Readonly<Record<string, { readonly Default?: unknown }>>;
  readonly Conditions: Readonly<Record<string, unknown>>;
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, unknown>>;
}

const text = readFileSync(join(ROOT, 'infra', 'template.json'), 'utf8');
const template = JSON.parse(text) as Template;

describe('what is made from code', () => {
  it('stands in the repository as `npm run synth` makes it now', () => {
    for (const [path, content] of generate(ROOT))
      expect([path, readFileSync(join(ROOT, path), 'utf8')]).toEqual([path, content]);
  });

  it('is the same each time, and made without a network', () => {
    const connect = jest.spyOn(Socket.prototype, 'connect');

    expect(synthesize()).toBe(synthesize());
    expect(connect).not.toHaveBeenCalled();
    connect.mockRestore();
  });
});

describe('the template', () => {
  it('asks only for what nobody can know for somebody else', () => {
    const asked = Object.entries(template.Parameters).filter(([, { Default }]) => Default === undefined);

    expect(asked.map(([name]) => name)).toEqual(['Stage', 'BucketName', 'ContactGroup']);
  });

  it('uses every parameter and every condition, and none that is not there', () => {
    const body = JSON.stringify([template.Conditions, template.Resources]);
    const used = [
      ...body.matchAll(/"Ref":"(\w+)"/g),
      ...body.matchAll(/\$\{(\w+)\}/g),
      ...body.matchAll(/"Fn::If":\["(\w+)"/g),
      ...body.matchAll(/"Condition":"(\w+)"/g),
    ].map(([, name = '']) => name);
    const declared = [...Object.keys(template.Parameters), ...Object.keys(template.Conditions)];

    expect([...new Set(used)].sort()).toEqual(declared.sort());
  });

  it('names resources that are there', () => {
    const named = [...JSON.stringify(template).matchAll(/"Fn::GetAtt":\["(\w+)"/g)].map(([, id]) => id ?? '');

    expect(Object.keys(template.Resources)).toEqual(expect.arrayContaining([...new Set(named)]));
  });

  it('moves and deletes at ages that make sense, by default', () => {
    const days = (name: string): number => Number(template.Parameters[name]?.Default);

    expect([days('ArchiveAfterDays'), days('ColdArchiveAfterDays')]).toEqual([0, 0]);
    expect(
      lifecycleProblems({
        ia: days('IaAfterDays'),
        expire: days('ExpireAfterDays'),
        abortUploads: days('AbortUploadsAfterDays'),
      }),
    ).toEqual([]);
  });

  it('keeps the bucket and what protects it when the stack is removed', () => {
    const kept = Object.entries(template.Resources).filter(
      ([, { DeletionPolicy }]) => DeletionPolicy === 'Retain',
    );

    expect(kept.map(([id]) => id)).toEqual(['BackupBucket', 'WriteOnce']);
  });

  it('tells what was made', () => {
    expect(Object.keys(template.Outputs)).toEqual([
      'OrchestratorRoleArn',
      'UploaderRoleArn',
      'Bucket',
      'LogProject',
      'Logstore',
      'DeadLetterQueue',
    ]);
  });

  it('fits the limits of the service', () => {
    // https://help.aliyun.com/en/ros/product-overview/limits
    expect(Buffer.byteLength(text)).toBeLessThan(524_288);
    expect(Object.keys(template.Resources).length).toBeLessThanOrEqual(200);
    expect(Object.keys(template.Parameters).length).toBeLessThanOrEqual(200);
    expect(Object.keys(template.Outputs).length).toBeLessThanOrEqual(200);
  });
});

describe.each(['numbers', 'texts'] as const)('where numbers are compared as %s', (numbers) => {
  it.each([
    ['0', false],
    ['60', true],
  ])('an age of %s days is one: %s', (days, isOne) => {
    const given = { Stage: 'prod', BucketName: 'my-backups', ContactGroup: 'ops' };
    const ages = { ArchiveAfterDays: days, ColdArchiveAfterDays: days, LateRunHours: days };
    const { BackupBucket, ...others } = resolve(text, { ...given, ...ages }, numbers);

    expect(JSON.stringify(BackupBucket).includes('"Archive"')).toBe(isOne);
    expect(JSON.stringify(BackupBucket).includes('"ColdArchive"')).toBe(isOne);
    expect('LateRuns' in others).toBe(isOne);
  });
});

describe('a parameter that cannot work', () => {
  const given = { Stage: 'prod', BucketName: 'my-backups', ContactGroup: 'ops' };

  it.each([
    ['Stage', 'Prod'],
    ['Stage', 'a-very-long-stage-name'],
    ['BucketName', 'My_Backups'],
    ['BucketIs', 'mine'],
    ['Prefix', '/redis/'],
    ['Prefix', 'redis//'],
    ['Prefix', '../redis/'],
    ['ContactGroup', ''],
    ['SourceRoles', 'tairlift-source'],
    ['SourceRoles', 'acs:ram::2222222222222222:role/a, acs:ram::3333333333333333:role/b'],
    ['KmsKeyId', 'acs:kms:cn-hangzhou:1:key/x'],
    ['VpcId', 'default'],
    ['ArchiveAfterDays', '-1'],
    ['AbortUploadsAfterDays', '1'],
    ['LateRunHours', '200'],
  ])('is refused before anything is made: %s as "%s"', (name, value) => {
    expect(() => resolve(text, { ...given, [name]: value })).toThrow(`The Parameter (${name})`);
  });

  it.each(['', 'redis/', 'team-a/redis/', 'v1.2_', 'x'])('is none of the prefixes like "%s"', (prefix) => {
    expect(() => resolve(text, { ...given, Prefix: prefix })).not.toThrow();
    expect(readEnvironment({ TAIRLIFT_PREFIX: prefix }).destination.prefix).toBe(prefix);
  });
});
