/** What the template of `infra` asks for and makes, as far as the functions depend on it. */
import * as z from 'zod';

const parameterSchema = z.looseObject({
  Type: z.string(),
  Default: z.union([z.string(), z.number(), z.boolean()]).optional(),
  AllowedPattern: z.string().optional(),
  AllowedValues: z.array(z.union([z.string(), z.number(), z.boolean()])).optional(),
  MinLength: z.number().optional(),
  MaxLength: z.number().optional(),
  MinValue: z.number().optional(),
  MaxValue: z.number().optional(),
  Description: z.unknown(),
});

const templateSchema = z.looseObject({
  Parameters: z.record(z.string(), parameterSchema),
  Resources: z.record(
    z.string(),
    z.looseObject({ Type: z.string(), Properties: z.record(z.string(), z.unknown()).optional() }),
  ),
});

export type Template = z.infer<typeof templateSchema>;
export type TemplateParameter = z.infer<typeof parameterSchema>;

/** Throws when it is no template. */
export function parseTemplate(text: string): Template {
  return templateSchema.parse(JSON.parse(text));
}

export interface Made {
  readonly roles: readonly string[];
  readonly queues: readonly string[];
  readonly logProjects: readonly string[];
  readonly logstores: readonly string[];
  readonly buckets: readonly string[];
}

/** The names of what comes of the template with these parameters in this account. */
export function madeBy(
  template: Template,
  parameters: Readonly<Record<string, string | number>>,
  accountId: string,
): Made {
  const defaults = Object.entries(template.Parameters).map(([name, { Default }]) => [name, Default] as const);
  const values: Values = { ...Object.fromEntries(defaults), ...parameters, 'ALIYUN::AccountId': accountId };
  const named = (type: string, property: string): string[] =>
    Object.values(template.Resources)
      .filter(({ Type }) => Type === type)
      .map(({ Properties = {} }) => filledIn(Properties[property], values));
  return {
    roles: named('ALIYUN::RAM::Role', 'RoleName'),
    queues: named('ALIYUN::MNS::Queue', 'QueueName'),
    logProjects: named('ALIYUN::SLS::Project', 'Name'),
    logstores: named('ALIYUN::SLS::Logstore', 'LogstoreName'),
    buckets: named('ALIYUN::OSS::Bucket', 'BucketName'),
  };
}

type Values = Readonly<Record<string, string | number | boolean | undefined>>;

/** Names are texts, references, and texts with references in them; anything else stays as it is written. */
function filledIn(value: unknown, values: Values): string {
  if (typeof value === 'string') return value;
  const { Ref, 'Fn::Sub': sub } = (value ?? {}) as { Ref?: string; 'Fn::Sub'?: unknown };
  if (Ref !== undefined) return String(values[Ref] ?? `\${${Ref}}`);
  if (typeof sub === 'string')
    return sub.replaceAll(/\$\{([\w:]+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  return JSON.stringify(value);
}
