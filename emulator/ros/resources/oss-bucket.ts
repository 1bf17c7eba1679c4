/** https://www.alibabacloud.com/help/en/ros/developer-reference/aliyun-oss-bucket */
import * as z from 'zod';
import { readPolicy } from '../../policy.ts';
import type { BucketSettings } from '../../world.ts';
import { ResourceFailure, type Made, type Place, type Properties, type ResourceType } from '../resource.ts';

const days = z.int().min(1);
const rule = z.strictObject({
  ID: z.string().optional(),
  Prefix: z.string(),
  Status: z.enum(['Enabled', 'Disabled']),
  Expiration: z.strictObject({ Days: days }).optional(),
  AbortMultipartUpload: z.strictObject({ Days: days }).optional(),
  Transition: z
    .array(
      z.strictObject({
        Days: days,
        StorageClass: z.enum(['IA', 'Archive', 'ColdArchive', 'DeepColdArchive']),
      }),
    )
    .max(10)
    .optional(),
});

/** What the emulated OSS holds, or tells. Another property is an error here, so that none is believed in vain. */
const bucketSchema = z.strictObject({
  BucketName: z.string(),
  AccessControl: z.literal('private').optional(),
  BlockPublicAccess: z.boolean().optional(),
  RedundancyType: z.enum(['LRS', 'ZRS']).optional(),
  StorageClass: z.enum(['Standard', 'IA']).optional(),
  Tags: z.unknown().optional(),
  DeletionForce: z.boolean().optional(),
  EnableOssHdfsService: z.literal(false).optional(),
  Policy: z.unknown().optional(),
  ServerSideEncryptionConfiguration: z
    .strictObject({ SSEAlgorithm: z.enum(['AES256', 'KMS', 'SM4']), KMSMasterKeyID: z.string().optional() })
    .optional(),
  VersioningConfiguration: z.strictObject({ Status: z.enum(['Enabled', 'Suspended']) }).optional(),
  LifecycleConfiguration: z.strictObject({ Rule: z.array(rule).min(1).max(1000) }).optional(),
});

export const ossBucket: ResourceType = {
  identityOf: ({ BucketName, RedundancyType, StorageClass }) => [BucketName, RedundancyType, StorageClass],
  async create(properties, place) {
    const { name, settings } = read(properties);
    const { oss, accountId, region, options } = place;
    const known = oss.bucket(name);
    const isOwn = known?.accountId === accountId && known.region === region;
    if (known !== undefined && !(isOwn && options.ownBuckets === 'adopted'))
      throw new ResourceFailure(
        'BucketAlreadyExists',
        `The requested bucket name ${name} is not available. The bucket namespace is shared by all users of the system.`,
      );
    await oss.createBucket({ name, region, accountId });
    await oss.configure(name, settings);
    return { ...made(name, place), wasThere: known !== undefined };
  },
  async update(_before, properties, place) {
    const { name, settings } = read(properties);
    await place.oss.configure(name, settings);
    return made(name, place);
  },
  async remove(properties, { oss }) {
    const { name, isForced } = read(properties);
    const bucket = oss.bucket(name);
    if (bucket === undefined) return;
    if (!isForced && (bucket.objects.size > 0 || bucket.uploads.size > 0))
      throw new ResourceFailure('BucketNotEmpty', `The bucket ${name} you tried to delete is not empty.`);
    await oss.deleteBucket(name);
  },
};

function made(name: string, { region }: Place): Made {
  return {
    physicalId: name,
    attributes: {
      Name: name,
      DomainName: `${name}.oss-${region}.aliyuncs.com`,
      InternalDomainName: `${name}.oss-${region}-internal.aliyuncs.com`,
    },
  };
}

function read(properties: Properties): {
  readonly name: string;
  readonly settings: BucketSettings;
  readonly isForced: boolean;
} {
  const parsed = bucketSchema.safeParse(properties);
  if (!parsed.success) throw new ResourceFailure('InvalidParameter', z.prettifyError(parsed.error));
  const { data } = parsed;
  const encryption = data.ServerSideEncryptionConfiguration;
  if (encryption?.KMSMasterKeyID !== undefined && encryption.SSEAlgorithm !== 'KMS')
    throw new ResourceFailure('InvalidArgument', 'KMSMasterKeyID goes with SSEAlgorithm KMS only.');
  return {
    name: data.BucketName,
    isForced: data.DeletionForce ?? false,
    settings: {
      blocksPublicAccess: data.BlockPublicAccess ?? false,
      lifecycle: (data.LifecycleConfiguration?.Rule ?? []).map(toRule),
      encryption:
        encryption === undefined
          ? undefined
          : { algorithm: encryption.SSEAlgorithm, keyId: encryption.KMSMasterKeyID },
      policy: data.Policy === undefined ? undefined : readPolicy(data.Policy, 'bucket'),
      ...(data.VersioningConfiguration === undefined
        ? {}
        : { versioning: data.VersioningConfiguration.Status }),
    },
  };
}

function toRule(given: z.infer<typeof rule>): NonNullable<BucketSettings['lifecycle']>[number] {
  const { ID, Prefix, Status, Expiration, AbortMultipartUpload, Transition = [] } = given;
  return {
    ...(ID === undefined ? {} : { id: ID }),
    prefix: Prefix,
    isEnabled: Status === 'Enabled',
    ...(Expiration === undefined ? {} : { expireAfterDays: Expiration.Days }),
    ...(AbortMultipartUpload === undefined ? {} : { abortUploadsAfterDays: AbortMultipartUpload.Days }),
    transitions: Transition.map((one) => ({ days: one.Days, storageClass: one.StorageClass })),
  };
}
