/** Who the caller is, said by STS over its real transport, and what is said when STS does not answer. */
import { startEmulator, type Emulator } from '../../emulator/start-emulator.ts';
import { composeCloud } from '../../functions/core/compose.ts';
import { readEnvironment } from '../../functions/core/config.ts';
import { denialOf } from '../../functions/core/denials.ts';
import { toTaskError } from '../../functions/core/aliyun/fc-answers.ts';

const { signal } = new AbortController();
const PLACE = { region: 'cn-hangzhou', bucket: 'my-backups', prefix: '' };

describe('a function whose role lacks a right', () => {
  let emulator: Emulator;
  beforeEach(async () => {
    emulator = await startEmulator({ buckets: [{ name: PLACE.bucket, region: PLACE.region }] });
  });
  afterEach(async () => emulator.stop());

  it('is named by its function where nobody tells its role', async () => {
    emulator.world.faults.add({ service: 'sts', times: -1, effect: { kind: 'reset' } });
    const { identity, accountId } = emulator.world;
    const role = identity.addRole({ accountId, name: 'some-role', trusts: ['fc.aliyuncs.com'], allow: [] });
    const cloud = composeCloud(readEnvironment(emulator.environment), {
      region: 'cn-shanghai',
      accountId,
      functionName: 'tairlift-prod-uploader',
      credentials: identity.issue(role, 'session', 3600),
    });
    const store = cloud.storeFor(PLACE);

    for (const key of ['a', 'b'])
      await expect(store.get(key, signal)).rejects.toMatchObject({
        code: 'PERMISSION_DENIED',
        message: expect.stringContaining(
          `/${key}: the role of function tairlift-prod-uploader lacks oss:GetObject on acs:oss:*:*:my-backups/${key}`,
        ) as string,
        details: { lacks: 'oss:GetObject', caller: 'the role of function tairlift-prod-uploader' },
      });
  });
});

it('an action that knows no resources is to be allowed on all of them, with what happens without it', () => {
  expect(
    denialOf({ action: 'kvstore:DescribeRegions', resource: 'acs:kvstore:cn-hangzhou:*:instance/*' }),
  ).toEqual({
    details: { lacks: 'kvstore:DescribeRegions', on: '*' },
    hint: expect.stringMatching(
      /^allow kvstore:DescribeRegions on \*; without it, such targets fail/,
    ) as string,
  });
});

describe('the error of a task', () => {
  it.each([
    [undefined, undefined],
    ['', undefined],
    ['Process exited unexpectedly', 'Process exited unexpectedly'],
    ['UnhandledInvocationError: {"errorMessage":"A: said \\"no\\"","errorType":"Error"}', 'A: said "no"'],
  ])('%j is read as the function said it', (text, said) => {
    expect(toTaskError(text)).toBe(said);
  });

  it('is cut where it is long, and holds no secret', () => {
    expect(toTaskError('x'.repeat(10_000))).toHaveLength(2_000);
    expect(toTaskError('get http://a/b?Signature=abc')).toBe('get http://a/b?<redacted>');
  });
});
