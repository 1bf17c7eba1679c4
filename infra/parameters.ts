/** What differs between deployments. `s.yaml` gives the values; a template by itself asks for them. */
import * as ros from '@alicloud/ros-cdk-core';
import { STAGE_PATTERN } from './names.ts';

export interface Parameters {
  readonly bucketName: string;
  readonly redundancy: string;
  readonly contactGroup: string;
  readonly kmsKeyId: string;
  readonly iaAfterDays: ros.IResolvable;
  readonly archiveAfterDays: ros.IResolvable;
  readonly coldArchiveAfterDays: ros.IResolvable;
  readonly expireAfterDays: ros.IResolvable;
  readonly abortUploadsAfterDays: ros.IResolvable;
  readonly logDays: ros.IResolvable;
  readonly lateRunHours: ros.IResolvable;
  readonly logAlertPolicy: string;
  readonly conditions: Readonly<
    Record<
      | 'WithNewBucket'
      | 'WithKms'
      | 'WithSourceRoles'
      | 'WithVpc'
      | 'WithArchive'
      | 'WithColdArchive'
      | 'WithLateRuns',
      ros.RosCondition
    >
  >;
}

const DAYS_OF_A_CENTURY = 36_500;

export function addParameters(stack: ros.Stack): Parameters {
  const text = (id: string, props: Omit<ros.RosParameterProps, 'type'>): ros.RosParameter =>
    new ros.RosParameter(stack, id, { type: ros.RosParameterType.STRING, ...props });
  const number = (
    id: string,
    defaultValue: number,
    range: readonly [number, number],
    description: string,
  ): ros.IResolvable =>
    new ros.RosParameter(stack, id, {
      type: ros.RosParameterType.NUMBER,
      defaultValue,
      minValue: range[0],
      maxValue: range[1],
      description,
    }).value;
  const isSet = (id: string, parameter: ros.RosParameter): ros.RosCondition =>
    new ros.RosCondition(stack, id, {
      expression: ros.Fn.conditionNot(ros.Fn.conditionEquals(parameter.value, '')),
    });
  const isAbove0 = (id: string, days: ros.IResolvable): ros.RosCondition =>
    new ros.RosCondition(stack, id, {
      // The deployment gives numbers as text, and nobody says which of the two is compared.
      expression: ros.Fn.conditionNot(
        ros.Fn.conditionOr(ros.Fn.conditionEquals(days, 0), ros.Fn.conditionEquals(days, '0')),
      ),
    });

  text('Stage', {
    description: 'Which deployment this is: dev, prod, … Part of every name.',
    allowedPattern: STAGE_PATTERN,
  });
  const bucket = text('BucketName', {
    description: 'Name of the bucket for the backups; unique over all accounts.',
    allowedPattern: '^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$',
  });
  const bucketIs = text('BucketIs', {
    description:
      'new: the bucket is made, and its settings are kept as they are declared. there: it exists already, such as one that stayed when its stack was removed; its settings are left alone.',
    defaultValue: 'new',
    allowedValues: ['new', 'there'],
  });
  text('Prefix', {
    description: 'What all keys in the bucket begin with; usually empty, or ending in a slash.',
    defaultValue: '',
    allowedPattern: '^([A-Za-z0-9_-][A-Za-z0-9_.-]*/)*([A-Za-z0-9_-][A-Za-z0-9_.-]*)?$',
  });
  const redundancy = text('Redundancy', {
    description:
      'ZRS keeps copies in several zones, where the region has them; LRS in one. Cannot be changed later.',
    defaultValue: 'LRS',
    allowedValues: ['LRS', 'ZRS'],
  });
  const contactGroup = text('ContactGroup', {
    description: 'The contact group of CloudMonitor that is told when something is wrong. It must exist.',
    minLength: 1,
    maxLength: 128,
  });
  const key = text('KmsKeyId', {
    description:
      'Id of the KMS key that encrypts the bucket; empty for AES256 with keys of OSS. The key must never be deleted while there are backups.',
    defaultValue: '',
    allowedPattern: '^[A-Za-z0-9-]{0,64}$',
  });
  const roles = text('SourceRoles', {
    description: 'ARNs of the roles that plans name in other accounts, with commas between them; or empty.',
    defaultValue: '',
    allowedPattern: '^(acs:ram::[0-9]+:role/[A-Za-z0-9.-]+(,acs:ram::[0-9]+:role/[A-Za-z0-9.-]+)*)?$',
  });
  const vpc = text('VpcId', {
    description:
      'Id of the VPC in which the functions are; or empty. The roles then may handle network interfaces.',
    defaultValue: '',
    allowedPattern: '^(vpc-[a-z0-9]+)?$',
  });
  const archiveAfterDays = number(
    'ArchiveAfterDays',
    0,
    [0, DAYS_OF_A_CENTURY],
    'Age at which backups move to Archive, which must be restored before it is read; 0 for never.',
  );
  const coldArchiveAfterDays = number(
    'ColdArchiveAfterDays',
    0,
    [0, DAYS_OF_A_CENTURY],
    'Age at which backups move to Cold Archive, which takes hours to be restored; 0 for never.',
  );
  const lateRunHours = number(
    'LateRunHours',
    2,
    [0, 168],
    'How many hours beyond a day may pass without a run that ended well, before an alarm is raised: 2 for daily runs, 146 for weekly ones, 0 for no such alarm.',
  );
  const logAlertPolicy = text('LogAlertPolicy', {
    description:
      'Id of the action policy of Log Service that says who hears of runs that did not happen. The built-in one has to be given receivers.',
    defaultValue: 'sls.builtin',
    minLength: 1,
    maxLength: 128,
  });
  return {
    bucketName: bucket.valueAsString,
    redundancy: redundancy.valueAsString,
    contactGroup: contactGroup.valueAsString,
    kmsKeyId: key.valueAsString,
    iaAfterDays: number(
      'IaAfterDays',
      30,
      [1, DAYS_OF_A_CENTURY],
      'Age at which backups move to Infrequent Access, which is read at once and costs something per read.',
    ),
    archiveAfterDays,
    coldArchiveAfterDays,
    conditions: {
      WithNewBucket: new ros.RosCondition(stack, 'WithNewBucket', {
        expression: ros.Fn.conditionEquals(bucketIs.value, 'new'),
      }),
      WithKms: isSet('WithKms', key),
      WithSourceRoles: isSet('WithSourceRoles', roles),
      WithVpc: isSet('WithVpc', vpc),
      WithArchive: isAbove0('WithArchive', archiveAfterDays),
      WithLateRuns: isAbove0('WithLateRuns', lateRunHours),
      WithColdArchive: isAbove0('WithColdArchive', coldArchiveAfterDays),
    },
    expireAfterDays: number(
      'ExpireAfterDays',
      3650,
      [1, DAYS_OF_A_CENTURY],
      'Age at which OSS deletes whatever is left, as a last resort; far beyond what the plans keep.',
    ),
    abortUploadsAfterDays: number(
      'AbortUploadsAfterDays',
      7,
      [2, 365],
      'Age at which unfinished multipart uploads are ended; longer than any run, and any retry of one.',
    ),
    logDays: number('LogDays', 30, [1, 3600], 'How long logs are kept.'),
    lateRunHours,
    logAlertPolicy: logAlertPolicy.valueAsString,
  };
}
