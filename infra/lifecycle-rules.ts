/** The lifecycle of what is in the bucket. What days make sense together is checked in lifecycle.ts. */
import * as ros from '@alicloud/ros-cdk-core';
import type { RosBucket } from '@alicloud/ros-cdk-oss';
import type { Parameters } from './parameters.ts';

/**
 * https://help.aliyun.com/en/oss/developer-reference/putbucketlifecycle
 *
 * Files and manifests lie side by side, and a rule for the age of objects can tell them apart neither by name nor, in
 * this resource type, by size. So whatever moves backups moves manifests too: Infrequent Access keeps both readable at
 * once, and the archive classes are off unless somebody asks for them.
 */
export function lifecycleRules(parameters: Parameters): RosBucket.LifecycleConfigurationProperty {
  const { expireAfterDays, abortUploadsAfterDays } = parameters;
  return {
    rule: [
      {
        id: 'backups',
        prefix: ros.Fn.sub('${Prefix}Backup_'),
        status: 'Enabled',
        transition: transitions(parameters),
        expiration: { days: expireAfterDays },
        abortMultipartUpload: { days: abortUploadsAfterDays },
      },
      {
        // Small objects that are read again and again while a run is at work, and seldom after: no class is cheaper.
        id: 'run-state',
        prefix: ros.Fn.sub('${Prefix}.tairlift/'),
        status: 'Enabled',
        expiration: { days: expireAfterDays },
      },
    ],
  };
}

/** A list cannot lose single items by a condition, so there is one list for each case. */
function transitions(parameters: Parameters): ros.IResolvable {
  const { iaAfterDays, archiveAfterDays, coldArchiveAfterDays } = parameters;
  const ia = { Days: iaAfterDays, StorageClass: 'IA' };
  const archive = { Days: archiveAfterDays, StorageClass: 'Archive' };
  const cold = { Days: coldArchiveAfterDays, StorageClass: 'ColdArchive' };
  return ifThen(
    'WithColdArchive',
    ifThen('WithArchive', [ia, archive, cold], [ia, cold]),
    ifThen('WithArchive', [ia, archive], [ia]),
  );
}

function ifThen(condition: keyof Parameters['conditions'], yes: unknown, no: unknown): ros.IResolvable {
  return ros.Fn.conditionIf(condition, yes, no) as ros.IResolvable; // typed `any` by the library
}
