/** The template that a source account deploys, as the role that comes of it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { Role } from '../../emulator/identity.ts';

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
  readonly Resource?: string;
  readonly Principal?: { readonly RAM?: readonly unknown[] };
  readonly Condition?: unknown;
}

interface Template {
  readonly Parameters: Readonly<
    Record<string, { readonly Default?: string; readonly AllowedPattern: string }>
  >;
  readonly Resources: {
    readonly SourceRole: {
      readonly Type: string;
      readonly Properties: {
        readonly RoleName: unknown;
        readonly AssumeRolePolicyDocument: { readonly Statement: readonly Statement[] };
        readonly Policies: readonly {
          readonly PolicyDocument: { readonly Statement: readonly Statement[] };
        }[];
      };
    };
  };
}

const FILE = join(__dirname, '..', '..', 'infra', 'source-account', 'template.yaml');

export const sourceAccountTemplate = (): Template => parse(readFileSync(FILE, 'utf8')) as Template;

/** What the role may do, statement by statement. */
export function grants(template = sourceAccountTemplate()): readonly Statement[] {
  return template.Resources.SourceRole.Properties.Policies.flatMap(
    ({ PolicyDocument }) => PolicyDocument.Statement,
  );
}

/** The role that the template makes of these parameters in an account. */
export function deploySourceRole(
  accountId: string,
  parameters: { readonly BackupAccountId: string; readonly ExternalId: string },
): Omit<Role, 'arn'> {
  const template = sourceAccountTemplate();
  const defaults = Object.entries(template.Parameters).flatMap(([name, { Default }]) =>
    Default === undefined ? [] : [[name, Default] as const],
  );
  const values: Readonly<Record<string, string>> = { ...Object.fromEntries(defaults), ...parameters };
  for (const [name, { AllowedPattern }] of Object.entries(template.Parameters))
    if (!new RegExp(AllowedPattern).test(values[name] ?? ''))
      throw new Error(`parameter ${name}: "${values[name]}" does not match ${AllowedPattern}`);
  const { RoleName, AssumeRolePolicyDocument } = resolved(
    template.Resources.SourceRole.Properties,
    values,
  ) as Template['Resources']['SourceRole']['Properties'];
  const [trust] = AssumeRolePolicyDocument.Statement;
  const condition = trust?.Condition as { StringEquals: { 'sts:ExternalId': string } };
  return {
    accountId,
    name: String(RoleName),
    trusts: (trust?.Principal?.RAM ?? []).map(String),
    externalId: condition.StringEquals['sts:ExternalId'],
    allow: grants(template).flatMap(({ Effect, Action }) => (Effect === 'Allow' ? Action : [])),
  };
}

/** With `Ref` of parameters and `Fn::Join` carried out, which is all that the template uses. */
function resolved(value: unknown, values: Readonly<Record<string, string>>): unknown {
  if (Array.isArray(value)) return value.map((item) => resolved(item, values));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [key, resolved(item, values)] as const);
  const [first] = entries;
  if (first?.[0] === 'Ref') return values[String(first[1])];
  if (first?.[0] === 'Fn::Join') {
    const [glue, parts] = first[1] as [string, string[]];
    return parts.join(glue);
  }
  return Object.fromEntries(entries);
}
