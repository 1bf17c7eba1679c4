import { ServiceError } from '../../http.ts';
import type { Call } from '../../openapi/rpc-service.ts';
import type { Instance } from '../instance.ts';
import { describeInstance, editionOf, typeOf, nodeTypeOf, instanceClassOf } from '../describe-instance.ts';
import { malformed, readPage, slicePage } from '../parameters.ts';
import { authorize, type TairAction } from '../state.ts';
import { knownRegions } from './describe-regions.ts';

const DEFAULT_PAGE_SIZE = 30;
const MAX_PAGE_SIZE = 50;
const MAX_INSTANCE_IDS = 30;
const MAX_TAGS = 5;

/** https://www.alibabacloud.com/help/en/redis/developer-reference/api-r-kvstore-2015-01-01-describeinstances-redis */
export const describeInstances: TairAction = (state) => ({
  methods: ['POST', 'GET'],
  perform(call) {
    authorize(state, call, 'DescribeInstances');
    const page = readPage(call, DEFAULT_PAGE_SIZE, (size) => size >= 1 && size <= MAX_PAGE_SIZE);
    const region = call.parameters.get('RegionId') ?? '';
    if (region !== '' && !knownRegions(state.instances.values()).includes(region))
      throw new ServiceError(404, 'InvalidRegion.NotFound', 'The specified region does not exist.');
    const filters = readFilters(call);
    const matching = [...state.instances.values()].filter(
      (instance) =>
        instance.accountId === call.principal.accountId &&
        (region === '' || instance.spec.region === region) &&
        filters.every((accepts) => accepts(instance)),
    );
    return {
      PageNumber: page.number,
      PageSize: page.size,
      TotalCount: matching.length,
      Instances: { KVStoreInstance: slicePage(matching, page).map(describeInstance) },
    };
  },
});

type Filter = (instance: Instance) => boolean;

/** What a parameter is compared with. */
const SIMPLE_FILTERS: Readonly<Record<string, (instance: Instance) => string>> = {
  InstanceStatus: (instance) => instance.status,
  ArchitectureType: (instance) => instance.architecture,
  EditionType: editionOf,
  InstanceType: typeOf,
  NodeType: nodeTypeOf,
  EngineVersion: (instance) => instance.engineVersion,
  InstanceClass: instanceClassOf,
  ResourceGroupId: (instance) => instance.spec.resourceGroupId ?? '',
  ChargeType: () => 'PostPaid',
  NetworkType: () => 'VPC',
  ZoneId: (instance) => `${instance.spec.region}-h`,
  Expired: () => 'false',
};

function readFilters(call: Call): readonly Filter[] {
  const filters: Filter[] = [];
  for (const [name, valueOf] of Object.entries(SIMPLE_FILTERS)) {
    const wanted = call.parameters.get(name) ?? '';
    if (wanted !== '') filters.push((instance) => valueOf(instance).toLowerCase() === wanted.toLowerCase());
  }
  const ids = (call.parameters.get('InstanceIds') ?? '').split(',').filter((id) => id !== '');
  if (ids.length > MAX_INSTANCE_IDS) throw malformed('InstanceIds');
  if (ids.length > 0) filters.push(({ id }) => ids.includes(id));
  const searched = call.parameters.get('SearchKey') ?? '';
  if (searched !== '')
    filters.push(({ id, spec }) => id.includes(searched) || (spec.name ?? id).includes(searched));
  return [...filters, ...readTags(call)];
}

/** `Tag.1.Key`, `Tag.1.Value`, …: an instance must carry all of them; without a value, the key alone counts. */
function readTags(call: Call): readonly Filter[] {
  const numbers = [...call.parameters.keys()].flatMap((name) => /^Tag\.(\d+)\.Key$/.exec(name)?.[1] ?? []);
  if (numbers.length > MAX_TAGS) throw malformed('Tag');
  if (numbers.length > 0 && (call.parameters.get('RegionId') ?? '') === '')
    throw new ServiceError(400, 'MissingParameter', 'RegionId is mandatory for queries by tag.');
  return numbers.map((number) => {
    const key = call.parameters.get(`Tag.${number}.Key`) ?? '';
    const value = call.parameters.get(`Tag.${number}.Value`);
    return ({ spec }: Instance) => {
      const tags = spec.tags ?? {};
      return Object.hasOwn(tags, key) && (value === undefined || value === '' || tags[key] === value);
    };
  });
}
