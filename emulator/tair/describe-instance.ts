/** An instance in the words of DescribeInstances and DescribeInstanceAttribute. */
import type { Json } from '../openapi/rpc-service.ts';
import type { Instance } from './instance.ts';
import { formatTime } from './parameters.ts';

export const editionOf = ({ spec }: Instance): string => spec.edition ?? 'Community';

export const typeOf = ({ spec }: Instance): string => (spec.edition === 'Enterprise' ? 'Tair' : 'Redis');

/** The pair that tells cloud-native instances from classic ones. */
export function nodeTypeOf({ isCloudNative, isSingleNode }: Instance): string {
  if (isCloudNative) return isSingleNode ? 'STAND_ALONE' : 'MASTER_SLAVE';
  return isSingleNode ? 'single' : 'double';
}

export function instanceClassOf({ spec, architecture, isCloudNative, nodeIds }: Instance): string {
  if (spec.instanceClass !== undefined) return spec.instanceClass;
  if (spec.storageType !== undefined) return 'tair.essd.standard.xlarge';
  if (spec.edition === 'Enterprise') return 'tair.rdb.1g';
  if (isCloudNative) return 'redis.shard.small.2.ce';
  return architecture === 'cluster'
    ? `redis.logic.sharding.1g.${nodeIds.length}db.0rodb.4proxy.default`
    : 'redis.master.small.default';
}

/** Memory of a shard, in MB. */
const SHARD_CAPACITY_MB = 1024;

type Fields = { readonly [name: string]: Json };

/** What both actions say. */
function commonFields(instance: Instance): Fields {
  const { id, spec, architecture, isCloudNative, nodeIds } = instance;
  return {
    InstanceId: id,
    InstanceName: spec.name ?? id,
    InstanceStatus: instance.status,
    InstanceClass: instanceClassOf(instance),
    InstanceType: typeOf(instance),
    ArchitectureType: architecture,
    NodeType: nodeTypeOf(instance),
    EngineVersion: instance.engineVersion,
    RegionId: spec.region,
    ZoneId: `${spec.region}-h`,
    ResourceGroupId: spec.resourceGroupId ?? 'rg-default',
    Capacity: SHARD_CAPACITY_MB * nodeIds.length,
    Bandwidth: 96,
    Connections: 10_000,
    QPS: 100_000,
    ChargeType: 'PostPaid',
    NetworkType: 'VPC',
    ConnectionDomain: `${id}.redis.rds.aliyuncs.com`,
    Port: 6379,
    CreateTime: formatTime(instance.createdAt),
    EndTime: '',
    ReplicaCount: instance.isSingleNode ? 0 : 1,
    ComputingType: isCloudNative ? 'Ecs' : 'Machine',
    ...(isCloudNative && architecture !== 'standard' ? { ShardCount: nodeIds.length } : {}),
    Tags: { Tag: Object.entries(spec.tags ?? {}).map(([Key, Value]) => ({ Key, Value })) },
  };
}

export function describeInstance(instance: Instance): Fields {
  return {
    ...commonFields(instance),
    EditionType: editionOf(instance),
    IsRds: true,
    HasRenewChangeOrder: false,
  };
}

export function describeAttribute(instance: Instance): Fields {
  const { spec } = instance;
  return {
    ...commonFields(instance),
    Engine: 'Redis',
    RealInstanceClass: instanceClassOf(instance),
    HasRenewChangeOrder: 'false',
    ...(spec.storageType === undefined ? {} : { StorageType: spec.storageType, Storage: '20' }),
    InstanceReleaseProtection: false,
  };
}
