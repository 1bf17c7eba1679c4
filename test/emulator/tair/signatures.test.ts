import { DescribeInstancesRequest, DescribeInstancesRequestTag } from '@alicloud/r-kvstore20150101';
import { createHmac, randomUUID } from 'node:crypto';
import { ACCOUNT_ID, ask, startTair, type RunningTair } from './start-tair.ts';

let running: RunningTair;

beforeEach(async () => {
  running = await startTair([]);
});

afterEach(async () => running.stop());

const anything = new DescribeInstancesRequest({ regionId: 'cn-hangzhou' });

/** Characters that encoders disagree about. */
const awkward = new DescribeInstancesRequest({
  regionId: 'cn-hangzhou',
  searchKey: "a b*c~d'e(f)g!h+i/j=k&l%m?n,o:p 中文 🙂",
  tag: [new DescribeInstancesRequestTag({ key: 'k*', value: "v'(1)!" })],
});

it.each([
  ['version 3', undefined],
  ['version 1', 'v2'],
])('accepts %s from the official client, awkward characters included', async (_, algorithm) => {
  const client = running.clientFor(running.accessKey, algorithm);
  const { body } = await client.describeInstances(awkward);
  expect(body).toMatchObject({ totalCount: 0 });
  expect(running.world.journal.entries()).toMatchObject([
    { service: 'tair', action: 'DescribeInstances', status: 200, caller: `acs:ram::${ACCOUNT_ID}:root` },
  ]);
});

describe.each([
  ['version 3', undefined],
  ['version 1', 'v2'],
])('%s', (_, algorithm) => {
  function session() {
    const { identity } = running.world;
    const role = identity.addRole({ accountId: ACCOUNT_ID, name: 'r', trusts: [], allow: ['kvstore:*'] });
    return identity.issue(role, 'test', 3600);
  }

  it('accepts a session with its token', async () => {
    const { body } = await running.clientFor(session(), algorithm).describeInstances(anything);
    expect(body).toMatchObject({ totalCount: 0 });
  });

  it('refuses a session whose token has expired', async () => {
    const client = running.clientFor(session(), algorithm);
    running.world.clock.advance(3_600_000);
    await expect(client.describeInstances(anything)).rejects.toMatchObject({
      code: 'InvalidSecurityToken.Expired',
      statusCode: 400,
    });
  });

  it('refuses a session with another token', async () => {
    const client = running.clientFor({ ...session(), securityToken: 'other' }, algorithm);
    await expect(client.describeInstances(anything)).rejects.toMatchObject({
      code: 'InvalidSecurityToken.Malformed',
    });
  });

  it('refuses a session without its token', async () => {
    const { accessKeyId, accessKeySecret } = session();
    const client = running.clientFor({ accessKeyId, accessKeySecret }, algorithm);
    await expect(client.describeInstances(anything)).rejects.toMatchObject({ code: 'MissingSecurityToken' });
  });

  it('refuses a wrong secret', async () => {
    const client = running.clientFor({ ...running.accessKey, accessKeySecret: 'wrong' }, algorithm);
    await expect(client.describeInstances(anything)).rejects.toMatchObject({
      code: 'SignatureDoesNotMatch',
      statusCode: 400,
    });
  });

  it('refuses an unknown key', async () => {
    const client = running.clientFor({ accessKeyId: 'LTAIunknown', accessKeySecret: 'x' }, algorithm);
    await expect(client.describeInstances(anything)).rejects.toMatchObject({
      code: 'InvalidAccessKeyId.NotFound',
      statusCode: 404,
    });
  });
});

/** Signed by hand, with version 1, so that single parts can be changed. */
function signedUrl(
  change: Readonly<Record<string, string>> = {},
  after: Readonly<Record<string, string>> = {},
): string {
  const { accessKeyId, accessKeySecret } = running.accessKey;
  const parameters: Record<string, string> = {
    Action: 'DescribeInstances',
    Version: '2015-01-01',
    Timestamp: new Date().toISOString(),
    SignatureMethod: 'HMAC-SHA1',
    SignatureVersion: '1.0',
    SignatureNonce: randomUUID(),
    AccessKeyId: accessKeyId,
    ...change,
  };
  const canonical = Object.entries(parameters)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const signature = createHmac('sha1', `${accessKeySecret}&`)
    .update(`GET&%2F&${encodeURIComponent(canonical)}`)
    .digest('base64');
  const query = new URLSearchParams({ ...parameters, ...after, Signature: signature });
  return `${running.world.endpoints.tair}/?${query.toString()}`;
}

async function codeOf(url: string): Promise<string> {
  const { body } = await ask(url);
  return (JSON.parse(body.toString()) as { Code?: string }).Code ?? 'none';
}

it('accepts what is signed by hand as the documentation says', async () => {
  expect(await codeOf(signedUrl())).toBe('none');
});

it('refuses a parameter that was added after signing', async () => {
  expect(await codeOf(signedUrl({}, { RegionId: 'cn-hangzhou' }))).toBe('SignatureDoesNotMatch');
});

it('refuses the same nonce a second time', async () => {
  const url = signedUrl();
  expect([await codeOf(url), await codeOf(url)]).toEqual(['none', 'SignatureNonceUsed']);
});

it('refuses a request that is more than 15 minutes old', async () => {
  const Timestamp = new Date(Date.now() - 16 * 60_000).toISOString();
  expect(await codeOf(signedUrl({ Timestamp }))).toBe('InvalidTimeStamp.Expired');
});

it('refuses a request that is not signed at all', async () => {
  expect(await codeOf(`${running.world.endpoints.tair}/?Action=DescribeInstances&Version=2015-01-01`)).toBe(
    'IncompleteSignature',
  );
});

it.each([
  ['an action that does not exist', { Action: 'DropEverything' }],
  ['an action that is part of every object', { Action: 'constructor' }],
  ['another version of the API', { Version: '2014-01-01' }],
])('does not find %s', async (_, change) => {
  expect(await codeOf(signedUrl(change))).toBe('InvalidAction.NotFound');
});
