import { DescribeInstancesRequest, DescribeRegionsRequest } from '@alicloud/r-kvstore20150101';
import { startTair, type RunningTair } from './start-tair.ts';

const OTHERS = '2222222222222222';

let running: RunningTair;
beforeAll(async () => {
  running = await startTair([{ region: 'cn-hangzhou', id: 'r-one', rdbFiles: [__filename] }], {
    throttle: { burst: 2, perSecond: 0.5, actions: { DescribeRegions: { burst: 3, perSecond: 1 } } },
  });
});
afterAll(async () => running.stop());

const REFUSED = { code: 'Throttling.User', statusCode: 400 };

it('refuses an account what is more than its share of an action, until some time has passed', async () => {
  const { client, world } = running;
  const list = async (by = client): Promise<number> =>
    (await by.describeInstances(new DescribeInstancesRequest({ regionId: 'cn-hangzhou' }))).statusCode ?? 0;
  const regions = async (): Promise<number> =>
    (await client.describeRegions(new DescribeRegionsRequest({}))).statusCode ?? 0;

  expect([await list(), await list()]).toEqual([200, 200]);
  await expect(list()).rejects.toMatchObject(REFUSED);
  await expect(list()).rejects.toMatchObject(REFUSED);
  // Other actions and other accounts have shares of their own.
  expect([await regions(), await regions(), await regions()]).toEqual([200, 200, 200]);
  await expect(regions()).rejects.toMatchObject(REFUSED);
  expect(await list(running.clientFor(world.identity.addAccount(OTHERS)))).toBe(200);

  world.clock.advance(2_000);
  expect(await list()).toBe(200);
  await expect(list()).rejects.toMatchObject(REFUSED);
});
