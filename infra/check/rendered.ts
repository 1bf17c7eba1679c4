/**
 * What `s.yaml` may hold once everything is filled in. Stricter than the components themselves, which pass over what
 * they do not know: a misspelt setting would be off, and nobody would hear of it.
 *
 * https://github.com/devsapp/fc3/blob/master/docs/zh/yaml.md and https://github.com/devsapp/ros
 */
import * as z from 'zod';
import { suggestion } from '../../functions/core/config.ts';
import type { Findings } from './finding.ts';

const text = z.string().min(1, 'is empty');
const whole = z.int('is no whole number');

const actionSchema = z.strictObject({ run: text, path: text });

const infraSchema = z.strictObject({
  component: z.literal('ros'),
  props: z.strictObject({
    region: text,
    endpoint: z
      .string()
      .regex(/^[\w.-]+(:\d+)?$/, 'is no host such as ros.aliyuncs.com, which is written without https://'),
    name: text,
    /** The one that is checked. */
    template: z.literal('./infra/template.json'),
    /** What is allowed for each stands in the template itself. */
    parameters: z.record(z.string(), z.union([z.string(), z.number()])),
  }),
});

const timerSchema = z.strictObject({
  triggerName: z
    .string()
    .regex(/^[a-zA-Z_][\w-]{0,127}$/, 'is no name: a letter, then letters, digits, - and _'),
  triggerType: z.literal('timer'),
  description: z.string().optional(),
  qualifier: z.literal('LATEST'),
  triggerConfig: z.strictObject({
    cronExpression: text,
    enable: z.boolean('is neither true nor false'),
    payload: text,
  }),
});

const functionSchema = z.strictObject({
  component: z.literal('fc3'),
  props: z.strictObject({
    region: text,
    functionName: z
      .string()
      .regex(/^[a-zA-Z_][\w-]{0,63}$/, 'is no name: a letter, then letters, digits, - and _, 64 at most'),
    description: z.string().max(256).optional(),
    /** The newest one there is. */
    runtime: z.literal('nodejs20'),
    handler: z.string().regex(/^[\w-]+\.[\w$]+$/, 'is no handler such as index.handler'),
    code: text,
    role: text,
    memorySize: whole,
    cpu: z.number(),
    diskSize: whole,
    timeout: whole,
    environmentVariables: z.record(z.string(), z.string()),
    logConfig: z.strictObject({
      project: text,
      logstore: text,
      enableRequestMetrics: z.boolean(),
      enableInstanceMetrics: z.boolean(),
      logBeginRule: z.enum(['None', 'DefaultRegex']),
    }),
    internetAccess: z.boolean(),
    vpcConfig: z.strictObject({
      vpcId: z.string(),
      vSwitchIds: z.array(
        z
          .string()
          .regex(/^vsw-[a-z0-9]+$/, 'is no switch such as vsw-bp1abc; between several is a comma alone'),
      ),
      securityGroupId: z.string().regex(/^(sg-[a-z0-9]+)?$/, 'is no security group such as sg-bp1abc'),
    }),
    asyncInvokeConfig: z.strictObject({
      /** Task ids are how a second invocation is recognised. */
      asyncTask: z.literal(true),
      maxAsyncRetryAttempts: whole,
      maxAsyncEventAgeInSeconds: whole,
      destinationConfig: z.strictObject({ onFailure: z.strictObject({ destination: text }) }),
    }),
    /** Left out, the account's own limit holds. */
    concurrencyConfig: z.strictObject({ reservedConcurrency: whole.positive() }).optional(),
    triggers: z.array(timerSchema).optional(),
  }),
});

const renderedSchema = z.strictObject({
  edition: z.literal('3.0.0'),
  name: text,
  access: text,
  vars: z.record(z.string(), z.unknown()),
  actions: z.strictObject({
    'pre-deploy': z.array(actionSchema),
    'pre-remove': z.array(actionSchema).optional(),
  }),
  resources: z.strictObject({ infra: infraSchema, orchestrator: functionSchema, uploader: functionSchema }),
});

export type Rendered = z.infer<typeof renderedSchema>;
export type DeployedFunction = z.infer<typeof functionSchema>['props'];
export type Timer = z.infer<typeof timerSchema>;

/** Undefined when it is so far from what it should be that nothing else can be asked about it. */
export function parseRendered(json: unknown, findings: Findings): Rendered | undefined {
  const parsed = renderedSchema.safeParse(json, { reportInput: true });
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) explain(issue, findings);
  return undefined;
}

function explain(issue: z.core.$ZodIssue, findings: Findings): void {
  const at = placeOf(issue.path);
  // A variable may hold a password.
  const shown = (value: unknown): string =>
    issue.path.includes('environmentVariables') ? 'its value' : asJson(value);
  const wrong = (message: string): void => findings.error('schema', at, message);
  if (issue.code === 'unrecognized_keys')
    for (const key of issue.keys)
      findings.error(
        'schema',
        placeOf([...issue.path, key]),
        `"${key}" is nothing that is known here, and would be passed over in silence${suggestion(key, KNOWN)}; correct it, or take it out`,
      );
  else if (issue.input === undefined) wrong('it is missing; put it in');
  else if (issue.code === 'invalid_value')
    wrong(`it is ${shown(issue.input)}; write ${issue.values.map(shown).join(' or ')}`);
  else if (issue.message.startsWith('is ')) wrong(`${shown(issue.input)} ${issue.message}; correct it`);
  else if (issue.code === 'invalid_type') wrong(`${shown(issue.input)} is no ${issue.expected}; correct it`);
  else wrong(`${shown(issue.input)} cannot stand here (${issue.message}); correct it`);
}

function asJson(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}

/** As people name it: without the levels that every resource has. */
function placeOf(path: readonly PropertyKey[]): string {
  const place = path.map(String).join('.');
  return place.replace(/^resources\.(\w+)\.props\b/, '$1').replace(/^resources\./, '') || 's.yaml';
}

const KNOWN = [renderedSchema, infraSchema, functionSchema, timerSchema].flatMap(keysOf);

function keysOf(schema: z.core.$ZodType): string[] {
  if (!(schema instanceof z.ZodObject)) return [];
  return Object.entries(schema.shape).flatMap(([key, inner]) => [
    key,
    ...keysOf(inner instanceof z.ZodOptional ? inner.unwrap() : (inner as z.core.$ZodType)),
  ]);
}
