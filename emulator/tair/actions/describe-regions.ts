import type { TairAction } from '../state.ts';
import { authorize } from '../state.ts';

/** Where r-kvstore is offered, as far as this world knows. */
const REGIONS: Readonly<Record<string, string>> = {
  'cn-hangzhou': 'China (Hangzhou)',
  'cn-shanghai': 'China (Shanghai)',
  'cn-beijing': 'China (Beijing)',
  'cn-shenzhen': 'China (Shenzhen)',
  'cn-hongkong': 'China (Hong Kong)',
  'ap-southeast-1': 'Singapore',
  'ap-northeast-1': 'Japan (Tokyo)',
  'eu-central-1': 'Germany (Frankfurt)',
  'us-east-1': 'US (Virginia)',
  'us-west-1': 'US (Silicon Valley)',
};

/** https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describeregions-redis */
export const describeRegions: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeRegions');
    return {
      RegionIds: {
        KVStoreRegion: knownRegions(state.instances.values()).map((region) => ({
          RegionId: region,
          LocalName: REGIONS[region] ?? region,
          RegionEndpoint: new URL(state.world.endpoints.tair).host,
          ZoneIds: `${region}-h,${region}-i`,
          ZoneIdList: { ZoneId: [`${region}-h`, `${region}-i`] },
        })),
      },
    };
  },
});

/** Those of the list, and those where an instance of this world lives. */
export function knownRegions(
  instances: Iterable<{ readonly spec: { readonly region: string } }>,
): readonly string[] {
  return [...new Set([...Object.keys(REGIONS), ...[...instances].map(({ spec }) => spec.region)])];
}
