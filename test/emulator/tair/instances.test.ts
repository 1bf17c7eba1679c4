import {
  DescribeInstanceAttributeRequest,
  DescribeInstancesRequest,
  DescribeInstancesRequestTag,
  DescribeLogicInstanceTopologyRequest,
  DescribeRegionsRequest,
} from '@alicloud/r-kvstore20150101';
import type { InstanceSpec } from '../../../emulator/world.ts';
import { ACCOUNT_ID, callRaw, startTair, type RunningTair } from './start-tair.ts';

const OTHER_ACCOUNT_ID = '2222222222222222';

/** Made of files that nobody reads here: these instances need no servers. */
const file = ['/nonexistent.rdb'];
const SPECS: readonly InstanceSpec[] = [
  {
    region: 'cn-hangzhou',
    id: 'r-plain',
    name: 'prod-orders',
    tags: { backup: 'nightly', team: 'a' },
    rdbFiles: file,
  },
  {
    region: 'cn-hangzhou',
    id: 'r-cluster',
    name: 'prod-cart',
    architecture: 'cluster',
    edition: 'Enterprise',
    tags: { backup: 'nightly' },
    resourceGroupId: 'rg-shop',
    rdbFiles: [...file, ...file, ...file],
  },
  { region: 'cn-hangzhou', id: 'r-old', deployment: 'classic', architecture: 'cluster', rdbFiles: file },
  { region: 'cn-hangzhou', id: 'r-single', nodes: 'single', rdbFiles: file },
  { region: 'cn-hangzhou', id: 'r-disk', edition: 'Enterprise', storageType: 'essd_pl1', rdbFiles: file },
  { region: 'cn-shanghai', id: 'r-elsewhere', tags: { backup: 'nightly' }, rdbFiles: file },
  {
    region: 'cn-hangzhou',
    id: 'r-foreign',
    accountId: OTHER_ACCOUNT_ID,
    tags: { backup: 'nightly' },
    rdbFiles: file,
  },
];

let running: RunningTair;

beforeAll(async () => {
  running = await startTair(SPECS);
});

afterAll(async () => running.stop());

type Filters = ConstructorParameters<typeof DescribeInstancesRequest>[0];

async function idsWhere(filters: Filters): Promise<readonly string[]> {
  const request = new DescribeInstancesRequest({ regionId: 'cn-hangzhou', ...filters });
  const { body } = await running.client.describeInstances(request);
  return (body?.instances?.KVStoreInstance ?? []).map(({ instanceId }) => instanceId ?? '');
}

const tag = (key: string, value?: string): DescribeInstancesRequestTag =>
  new DescribeInstancesRequestTag(value === undefined ? { key } : { key, value });

describe('DescribeInstances', () => {
  it('lists the instances of the caller’s account in the region, and no others', async () => {
    expect(await idsWhere({})).toEqual(['r-plain', 'r-cluster', 'r-old', 'r-single', 'r-disk']);
    const owner = running.clientFor(running.world.identity.addAccount(OTHER_ACCOUNT_ID));
    const { body } = await owner.describeInstances(new DescribeInstancesRequest({ regionId: 'cn-hangzhou' }));
    expect(body?.instances?.KVStoreInstance?.map(({ instanceId }) => instanceId)).toEqual(['r-foreign']);
  });

  it.each<[string, Filters, readonly string[]]>([
    ['ids, ignoring unknown ones', { instanceIds: 'r-plain,r-gone,r-disk' }, ['r-plain', 'r-disk']],
    ['architecture', { architectureType: 'cluster' }, ['r-cluster', 'r-old']],
    ['edition', { editionType: 'Enterprise' }, ['r-cluster', 'r-disk']],
    ['type', { instanceType: 'Tair' }, ['r-cluster', 'r-disk']],
    ['node type', { nodeType: 'STAND_ALONE' }, ['r-single']],
    ['resource group', { resourceGroupId: 'rg-shop' }, ['r-cluster']],
    ['status', { instanceStatus: 'Changing' }, []],
    ['a piece of the name', { searchKey: 'prod-' }, ['r-plain', 'r-cluster']],
    ['a tag', { tag: [tag('backup', 'nightly')] }, ['r-plain', 'r-cluster']],
    ['a tag’s key alone', { tag: [tag('team')] }, ['r-plain']],
    ['several tags, which must all be there', { tag: [tag('backup', 'nightly'), tag('team', 'b')] }, []],
  ])('filters by %s', async (_, filters, expected) => {
    expect(await idsWhere(filters)).toEqual(expected);
  });

  it('pages to the end, and counts all', async () => {
    const pages: (readonly string[])[] = [];
    for (const pageNumber of [1, 2, 3, 4]) pages.push(await idsWhere({ pageSize: 2, pageNumber }));
    expect(pages).toEqual([['r-plain', 'r-cluster'], ['r-old', 'r-single'], ['r-disk'], []]);
    const { body } = await running.client.describeInstances(
      new DescribeInstancesRequest({ regionId: 'cn-hangzhou', pageSize: 2 }),
    );
    expect(body).toMatchObject({ totalCount: 5, pageNumber: 1, pageSize: 2 });
  });

  it.each<[string, Filters, string]>([
    ['pages of more than 50', { pageSize: 51 }, 'InvalidPageSize.Malformed'],
    ['a page before the first', { pageNumber: 0 }, 'InvalidPageNumber.Malformed'],
    ['more than 30 ids', { instanceIds: Array(31).fill('r-x').join(',') }, 'InvalidInstanceIds.Malformed'],
    [
      'more than 5 tags',
      { tag: Array.from({ length: 6 }, (_, index) => tag(`key-${index}`)) },
      'InvalidTag.Malformed',
    ],
    ['a region that does not exist', { regionId: 'cn-hangzou' }, 'InvalidRegion.NotFound'],
  ])('refuses %s', async (_, filters, code) => {
    await expect(idsWhere(filters)).rejects.toMatchObject({ code });
  });

  it('tells cloud-native, classic and single-node instances apart as the service does', async () => {
    const { body } = await running.client.describeInstances(
      new DescribeInstancesRequest({ regionId: 'cn-hangzhou' }),
    );
    const seen = Object.fromEntries(
      (body?.instances?.KVStoreInstance ?? []).map((one) => [
        one.instanceId,
        [one.nodeType, one.computingType, one.shardCount, one.instanceType],
      ]),
    );
    expect(seen).toEqual({
      'r-plain': ['MASTER_SLAVE', 'Ecs', undefined, 'Redis'],
      'r-cluster': ['MASTER_SLAVE', 'Ecs', 3, 'Tair'],
      'r-old': ['double', 'Machine', undefined, 'Redis'],
      'r-single': ['STAND_ALONE', 'Ecs', undefined, 'Redis'],
      'r-disk': ['MASTER_SLAVE', 'Ecs', undefined, 'Tair'],
    });
  });

  it('follows instances as they change, come and go', async () => {
    await running.tair.addInstance({ region: 'cn-beijing', id: 'r-new', rdbFiles: file });
    running.tair.setStatus('r-new', 'Changing');
    const query = { RegionId: 'cn-beijing' };
    expect(await callRaw(running, 'DescribeInstances', query)).toMatchObject({
      Instances: { KVStoreInstance: [{ InstanceId: 'r-new', InstanceStatus: 'Changing' }] },
    });
    await running.tair.removeInstance('r-new');
    expect(await callRaw(running, 'DescribeInstances', query)).toMatchObject({ TotalCount: 0 });
  });

  it('needs the caller’s role to allow it', async () => {
    const { identity } = running.world;
    const role = identity.addRole({
      accountId: ACCOUNT_ID,
      name: 'uploader',
      trusts: [],
      allow: ['kvstore:DescribeBackups'],
    });
    const client = running.clientFor(identity.issue(role, 'test', 3600));
    await expect(
      client.describeInstances(new DescribeInstancesRequest({ regionId: 'cn-hangzhou' })),
    ).rejects.toMatchObject({ code: 'Forbidden.RAM', statusCode: 403 });
  });
});

describe('DescribeInstanceAttribute', () => {
  it('tells the storage type, which the list does not', async () => {
    const { body } = await running.client.describeInstanceAttribute(
      new DescribeInstanceAttributeRequest({ instanceId: 'r-disk' }),
    );
    expect(body?.instances?.DBInstanceAttribute).toMatchObject([
      { instanceId: 'r-disk', storageType: 'essd_pl1', engine: 'Redis', instanceType: 'Tair' },
    ]);
  });

  it.each(['r-gone', 'r-foreign'])('does not find %s', async (instanceId) => {
    const request = new DescribeInstanceAttributeRequest({ instanceId });
    await expect(running.client.describeInstanceAttribute(request)).rejects.toMatchObject({
      code: 'InvalidInstanceId.NotFound',
      statusCode: 404,
    });
  });
});

describe('DescribeLogicInstanceTopology', () => {
  it('names the shards of a cluster, and nothing of their slots', async () => {
    const { body } = await running.client.describeLogicInstanceTopology(
      new DescribeLogicInstanceTopologyRequest({ instanceId: 'r-cluster' }),
    );
    expect(body?.redisShardList?.nodeInfo).toMatchObject(
      [0, 1, 2].map((shard) => ({
        nodeId: expect.stringMatching(new RegExp(`^r-cluster-db-${shard}#\\d+$`)) as string,
        nodeType: 'db',
        subInstanceType: 'master',
      })),
    );
    expect(body?.redisProxyList?.nodeInfo).toHaveLength(1);
  });

  it('is not for standard instances', async () => {
    await expect(
      running.client.describeLogicInstanceTopology(
        new DescribeLogicInstanceTopologyRequest({ instanceId: 'r-plain' }),
      ),
    ).rejects.toMatchObject({ code: 'IncorrectDBInstanceType', statusCode: 400 });
  });
});

it('lists regions, those of its instances among them', async () => {
  const { body } = await running.client.describeRegions(new DescribeRegionsRequest({}));
  const regions = body?.regionIds?.KVStoreRegion ?? [];
  expect(regions.map(({ regionId }) => regionId)).toEqual(
    expect.arrayContaining(['cn-hangzhou', 'cn-shanghai']),
  );
  expect(regions[0]).toMatchObject({
    regionEndpoint: new URL(running.world.endpoints.tair).host,
    zoneIdList: { zoneId: ['cn-hangzhou-h', 'cn-hangzhou-i'] },
  });
});
