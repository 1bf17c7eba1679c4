/** https://www.alibabacloud.com/help/en/ros/developer-reference/aliyun-oss-bucketoverwriteconfig */
import * as z from 'zod';
import { ResourceFailure, type Made, type Place, type Properties, type ResourceType } from '../resource.ts';

const schema = z.strictObject({
  Bucket: z.string(),
  Rule: z
    .array(
      z.strictObject({
        Id: z.string().optional(),
        Action: z.literal('forbid'),
        Prefix: z.string().optional(),
        Suffix: z.string().optional(),
      }),
    )
    .min(1)
    .max(100),
});

export const ossOverwriteConfig: ResourceType = {
  identityOf: ({ Bucket }) => [Bucket],
  create: apply,
  update: async (_before, after, place) => apply(after, place),
  async remove(properties, { oss }) {
    const { Bucket } = read(properties);
    if (oss.bucket(Bucket) !== undefined) await oss.configure(Bucket, { overwriteRules: [] });
  },
};

async function apply(properties: Properties, { oss, accountId }: Place): Promise<Made> {
  const { Bucket, Rule } = read(properties);
  if (oss.bucket(Bucket)?.accountId !== accountId)
    throw new ResourceFailure('NoSuchBucket', `The specified bucket ${Bucket} does not exist.`);
  await oss.configure(Bucket, {
    overwriteRules: Rule.map(({ Id, Prefix, Suffix }) => ({
      ...(Id === undefined ? {} : { id: Id }),
      ...(Prefix === undefined ? {} : { prefix: Prefix }),
      ...(Suffix === undefined ? {} : { suffix: Suffix }),
    })),
  });
  return { physicalId: Bucket, attributes: { Bucket } };
}

function read(properties: Properties): z.infer<typeof schema> {
  const parsed = schema.safeParse(properties);
  if (!parsed.success) throw new ResourceFailure('InvalidParameter', z.prettifyError(parsed.error));
  return parsed.data;
}
