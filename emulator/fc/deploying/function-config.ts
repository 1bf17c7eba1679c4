/**
 * What CreateFunction and UpdateFunction take, and what of it the service refuses.
 *
 * https://www.alibabacloud.com/help/en/functioncompute/fc/developer-reference/api-fc-2023-03-30-createfunction
 * https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/limits-of-usage
 */
import * as z from 'zod';
import { ServiceError } from '../../http.ts';

const MAX_ENVIRONMENT_BYTES = 4096;
/** What the host process can stand in for. */
const RUNTIMES = ['nodejs20', 'nodejs18'];

const variables = z
  .record(z.string(), z.string())
  .superRefine((all, context) => {
    const refuse = (message: string): void => context.addIssue({ code: 'custom', message });
    for (const name of Object.keys(all)) {
      if (!/^[A-Za-z]\w*$/.test(name))
        refuse(`the name '${name}' must begin with a letter, then letters, digits, _`);
      if (name.startsWith('FC_')) refuse(`the name '${name}' is reserved: it begins with FC_`);
    }
    const bytes = Object.entries(all).reduce((sum, pair) => sum + Buffer.byteLength(pair.join('')), 0);
    if (bytes > MAX_ENVIRONMENT_BYTES)
      refuse(`${bytes} bytes are more than the ${MAX_ENVIRONMENT_BYTES} allowed`);
  })
  .optional();

const codeSchema = z.looseObject({
  ossBucketName: z.string().optional(),
  ossObjectName: z.string().optional(),
  zipFile: z.string().optional(),
  checksum: z.string().optional(),
});
export type CodeInput = z.infer<typeof codeSchema>;

/** What is kept, told on, and without effect here, is not looked into: VPC, NAS, layers, tracing and the like. */
const configSchema = z
  .looseObject({
    functionName: z
      .string()
      .regex(/^[A-Za-z_][A-Za-z0-9_-]{0,127}$/, 'letters, digits, _ and -, at most 128'),
    runtime: z.string().refine((name) => RUNTIMES.includes(name), 'the runtime is not supported'),
    handler: z.string().regex(/^[\w./-]+\.\w+$/, 'file.function, such as index.handler'),
    memorySize: z.int().min(128).max(32_768).multipleOf(64).default(512),
    cpu: z.number().min(0.05).max(16).default(0.35),
    diskSize: z.literal([512, 10_240]).default(512),
    timeout: z.int().min(1).max(86_400).default(3),
    role: z.string().default(''),
    description: z.string().max(256).default(''),
    environmentVariables: variables,
    logConfig: z
      .looseObject({ project: z.string().default(''), logstore: z.string().default('') })
      .optional(),
    internetAccess: z.boolean().default(true),
  })
  .superRefine(({ cpu, memorySize }, context) => {
    const gibibytesPerCore = memorySize / 1024 / cpu;
    if (gibibytesPerCore >= 1 && gibibytesPerCore <= 4) return;
    const message = `cpu ${cpu} with memorySize ${memorySize}: from 1 to 4 GB for each core`;
    context.addIssue({ code: 'custom', message });
  });
export type FunctionConfig = z.infer<typeof configSchema>;

/** The configuration and, apart from it, where the code is; undefined when the request says nothing of it. */
export function readFunction(body: Buffer): { config: FunctionConfig; code: CodeInput | undefined } {
  const { code, ...rest } = readJson(body);
  return { config: checked(configSchema, rest), code: checked(codeSchema.optional(), code) };
}

/** As it is after a change that names some of its fields. */
export function changeFunction(
  before: FunctionConfig,
  body: Buffer,
): { config: FunctionConfig; code: CodeInput | undefined } {
  const { code, ...rest } = readJson(body);
  const config = checked(configSchema, { ...before, ...rest, functionName: before.functionName });
  return { config, code: checked(codeSchema.optional(), code) };
}

/**
 * @throws ServiceError InvalidArgument, naming the field
 */
export function checked<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  const field = issue?.path.join('.') ?? '';
  throw invalidArgument(`${field === '' ? '' : `${field}: `}${issue?.message ?? 'not valid'}`);
}

export function readJson(body: Buffer): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(body.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Readonly<Record<string, unknown>>;
  } catch {
    // Falls through to the answer that the service gives to everything that is no object.
  }
  throw invalidArgument('the body is not a JSON object');
}

export const invalidArgument = (message: string): ServiceError =>
  new ServiceError(400, 'InvalidArgument', message);
