/** The table of permissions against the calls of the code, and the policies against the table. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { PERMISSIONS, permissionFor, permissionsOf, type Who } from '../../functions/core/permissions.ts';

const ROOT = join(__dirname, '..', '..');
const actionsOf = (...who: readonly Who[]): readonly string[] => [
  ...new Set(who.flatMap((one) => permissionsOf(one).map(({ action }) => action))),
];

/** The actions that the clients of services name beside their calls. */
function calledActions(): readonly string[] {
  const folder = join(ROOT, 'functions', 'core', 'aliyun');
  return readdirSync(folder).flatMap((file) => {
    const code = readFileSync(join(folder, file), 'utf8');
    const spelled = [...code.matchAll(/'((?:oss|fc|cms|ram|kvstore):[A-Z]\w+)'/g)].map(
      ([, action = '']) => action,
    );
    const ofTair = file === 'tair.ts' ? [...code.matchAll(/action: '(\w+)'/g)] : [];
    return [...spelled, ...ofTair.map(([, action = '']) => `kvstore:${action}`)];
  });
}

describe('the table of permissions', () => {
  it('has every action that the code calls', () => {
    expect(actionsOf('orchestrator', 'uploader', 'doctor')).toEqual(
      expect.arrayContaining([...new Set(calledActions())]),
    );
  });

  it('names nothing twice, and no wildcard', () => {
    const names = PERMISSIONS.map(({ who, action }) => `${who} ${action}`);

    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^\w+ [a-z]+:[A-Za-z]+$/);
  });

  it('lets nobody delete objects, or change what the bucket is', () => {
    for (const { action } of PERMISSIONS) expect(action).not.toMatch(/^oss:(Delete|PutBucket|PutObjectAcl)/);
  });

  it('gives a function nothing that only doctor needs', () => {
    expect(permissionFor('uploader', 'oss:GetBucketInfo')).toBeUndefined();
    expect(permissionFor('doctor', 'oss:GetBucketInfo')?.on).toEqual(['bucket']);
    expect(permissionsOf('doctor').filter(({ action }) => /:(Put|Create|Invoke|Abort)/.test(action))).toEqual(
      [],
    );
  });

  it.each([
    ['orchestrator', 'ORCHESTRATOR_MAY'],
    ['uploader', 'UPLOADER_MAY'],
  ] as const)('is what the %s of the sample cloud may do', (who, list) => {
    const code = readFileSync(join(ROOT, 'emulator', 'sample', 'sample-cloud.ts'), 'utf8');
    const [, body = ''] = code.split(`const ${list} = [`);
    const allowed = [...(body.split('];')[0] ?? '').matchAll(/'([a-z]+:\w+)'/g)].map(
      ([, action = '']) => action,
    );
    const called = permissionsOf(who).filter(({ when, by }) => when === undefined && by === undefined);

    expect(allowed.sort()).toEqual(called.map(({ action }) => action).sort());
  });

  it('needs the same of both functions where something is only sometimes needed', () => {
    const sometimes = (who: Who): readonly string[] =>
      permissionsOf(who).flatMap(({ action, when }) =>
        when === undefined || when === 'fc2' ? [] : [`${when} ${action}`],
      );

    expect(sometimes('uploader')).toEqual(sometimes('orchestrator'));
  });
});
