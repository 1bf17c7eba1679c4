/** The resource types that the emulator's ROS knows: some it makes, some it only remembers. */
import type { ResourceType } from './resource.ts';
import { ossBucket } from './resources/oss-bucket.ts';
import { ossOverwriteConfig } from './resources/oss-overwrite-config.ts';
import { ramManagedPolicy } from './resources/ram-managed-policy.ts';
import { ramRole } from './resources/ram-role.ts';
import { recordedType } from './resources/records.ts';

/** By the properties that are their names. */
const REMEMBERED = {
  'ALIYUN::SLS::Project': ['Name'],
  'ALIYUN::SLS::Logstore': ['ProjectName', 'LogstoreName'],
  'ALIYUN::SLS::Index': ['ProjectName', 'LogstoreName'],
  'ALIYUN::SLS::Alert': ['Project', 'Detail.Name'],
  'ALIYUN::MNS::Queue': ['QueueName'],
  'ALIYUN::CMS::ResourceMetricRule': ['RuleName'],
  'ALIYUN::CMS::EventRule': ['RuleName'],
  'ALIYUN::CMS::EventRuleTargets': ['RuleName'],
} as const;

export const RESOURCE_TYPES: ReadonlyMap<string, ResourceType> = new Map<string, ResourceType>([
  ['ALIYUN::OSS::Bucket', ossBucket],
  ['ALIYUN::OSS::BucketOverwriteConfig', ossOverwriteConfig],
  ['ALIYUN::RAM::Role', ramRole],
  ['ALIYUN::RAM::ManagedPolicy', ramManagedPolicy],
  ...Object.entries(REMEMBERED).map(([type, names]) => [type, recordedType(type, names)] as const),
]);
