/**
 * What to protect and where to put it: `plans.yaml` and the environment, read and checked before any call is made.
 * Every problem is reported at once, by name and line; a key that nobody knows is a problem too, because it is a
 * typing mistake that would otherwise switch something off in silence.
 */
import { distance } from 'fastest-levenshtein';
import { LineCounter, isSeq, parseDocument } from 'yaml';
import * as z from 'zod';
import { BackupError } from './errors.ts';
import { SELF_MANAGED, serverSchema, type RedisServer } from './redis/server.ts';
import { parseWindow } from './window.ts';

/** At most this many errors, or this share of the selected instances, before no new instance is started. */
export type MaxErrors =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'share'; readonly share: number };

const REGION_ID = /^[a-z]{2}-[a-z]+[a-z0-9-]*$/;
const region = z.string().regex(REGION_ID, 'a region id such as cn-hangzhou');
const instanceId = z.string().regex(/^[a-z0-9][\w-]{1,63}$/i, 'an instance id such as r-bp1abc');
const maxErrorsForm = 'a whole number of instances, or a percentage such as "10%"';
const maxErrors = z
  .union([z.number().int().nonnegative(), z.string().regex(/^(\d{1,2}(\.\d+)?|100)%$/, maxErrorsForm)], {
    error: maxErrorsForm,
  })
  .transform((value): MaxErrors =>
    typeof value === 'number'
      ? { kind: 'count', count: value }
      : { kind: 'share', share: Number(value.slice(0, -1)) / 100 },
  );

const windowForm = 'two times of the day such as "01:00-05:00"; leave it out for the whole day';
const window = z.string().transform((text, context) => {
  const parsed = parseWindow(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom', message: windowForm });
  return z.NEVER;
});

const BYTES = { kB: 1e3, MB: 1e6, GB: 1e9 } as const;

const bandwidth = z
  .string()
  .regex(/^\d+(\.\d+)? ?[kMG]B\/s$/, 'a rate such as "200MB/s"')
  .transform((text) => Number.parseFloat(text) * BYTES[text.slice(-4, -2) as keyof typeof BYTES]) // as the pattern has it
  .refine((bytesPerSecond) => bytesPerSecond >= 1e5, 'at least 100kB/s');

const accountSchema = z.strictObject({
  roleArn: z
    .string()
    .regex(/^acs:ram::\d+:role\/[\w.-]+$/i, 'a role such as acs:ram::1234:role/tairlift-source'),
  externalId: z.string().min(2).max(1224).optional(),
});

/** One of a thing is written without brackets. */
function oneOrMore<T extends z.ZodType>(thing: T, whatIfNone: string) {
  return z.preprocess(
    (value) => (value === undefined || Array.isArray(value) ? value : [value]),
    z.array(thing).min(1, whatIfNone),
  );
}

const regionsForm = 'a region id such as cn-hangzhou, a list of them, or "*" alone for all regions';
const regions = oneOrMore(
  z.string().refine((value) => value === '*' || REGION_ID.test(value), regionsForm),
  'at least one region',
)
  .refine((list) => list.length === 1 || !list.includes('*'), regionsForm)
  .transform((list): '*' | readonly string[] => (list[0] === '*' ? '*' : [...new Set(list)]));

const tagValue = z
  .union([z.string(), z.number(), z.boolean()], { error: 'a text; "" for a tag without a value' })
  .transform(String);

const engineVersionForm =
  'an engine version in quotes, such as "7.0", or "7" for all of 7; without quotes YAML reads 7.0 as 7';

/** What an instance is recognised by. In a target an instance must meet all of it. */
const traits = {
  tags: z
    .record(z.string().min(1), tagValue)
    .refine((tags) => Object.keys(tags).length > 0, 'at least one tag; leave it out for any')
    .optional(),
  name: oneOrMore(z.string().min(1), 'at least one pattern').optional(),
  resourceGroup: z.string().min(1).optional(),
  engineVersions: oneOrMore(
    z.string({ error: engineVersionForm }).regex(/^\d+(\.\d+)*$/, engineVersionForm),
    'at least one version; leave it out for any',
  ).optional(),
};

/** An instance is left out when it meets any of it. */
const exclusionSchema = z
  .strictObject({ instances: oneOrMore(instanceId, 'at least one instance id').optional(), ...traits })
  .refine((exclusion) => Object.keys(exclusion).length > 0, 'at least one thing to leave out');
const exclude = oneOrMore(exclusionSchema, 'at least one exclusion').optional();

const targetSchema = z
  .strictObject({
    region: regions,
    instances: oneOrMore(instanceId, 'at least one instance id; leave it out for all instances').optional(),
    ...traits,
    account: accountSchema.optional(),
    exclude,
    /** It may match nothing. */
    optional: z.boolean().optional(),
  })
  .refine(
    ({ instances, tags, name, resourceGroup, engineVersions }) =>
      instances === undefined ||
      [tags, name, resourceGroup, engineVersions].every((trait) => trait === undefined),
    {
      message:
        'either instances, or what they have in common (tags, name, resourceGroup, engineVersions): an instance that is named is taken whatever it is like',
    },
  );

const { id: serverIdSchema, url: serverUrlSchema, ...reachedBy } = serverSchema.shape;

/** A server of one's own is a target by itself, and its only instance. */
const serverTargetSchema = z
  .strictObject({
    redis: serverUrlSchema,
    id: serverIdSchema,
    ...reachedBy,
    optional: z.boolean().optional(),
  })
  .refine(({ username, passwordFrom }) => username === undefined || passwordFrom !== undefined, {
    message: 'a username needs passwordFrom, the name of the environment variable with its password',
  })
  .refine(({ cert, keyFrom }) => (cert === undefined) === (keyFrom === undefined), {
    message: 'cert and keyFrom, the name of the environment variable with its key, need each other',
  })
  .transform(({ redis, optional, ...server }) => ({
    region: [SELF_MANAGED],
    instances: [server.id],
    server: { ...server, url: redis },
    ...(optional === undefined ? {} : { optional }),
  }));

const anyTargetSchema = z.unknown().transform((value, context): Target => {
  const isServer = typeof value === 'object' && value !== null && 'redis' in value;
  const parsed = (isServer ? serverTargetSchema : targetSchema).safeParse(value, { reportInput: true });
  if (parsed.success) return parsed.data;
  // Issues of a schema inside are the same as those of this one: they only get a longer path.
  for (const issue of parsed.error.issues) context.issues.push(issue as z.core.$ZodRawIssue);
  return z.NEVER;
});

const keepCount = z.number().int().nonnegative().optional();

const planSchema = z.strictObject({
  targets: z
    .array(anyTargetSchema)
    .min(1, 'at least one target')
    .superRefine((targets, context) => {
      const ids = targets.flatMap(({ server }) => server?.id ?? []);
      const again = ids.find((id, index) => ids.indexOf(id) !== index);
      if (again !== undefined)
        context.addIssue({
          code: 'custom',
          message: `two servers are called ${again}: their backups would be mixed up`,
        });
    }),
  /** Holds for all targets. */
  exclude,
  backup: z
    .strictObject({
      /** A finished backup that is at most this old is taken instead of a new one. 0: always a new one. */
      adoptWithinHours: z.number().nonnegative().max(168).default(0),
      /** From the start of the run on this instance until its backup must be finished at the source. */
      timeoutMinutes: z.number().positive().max(1440).default(360),
      /** Backups are started in this part of the day only, by the clocks of the plan's time zone. */
      window: window.optional(),
    })
    .prefault({}),
  rate: z
    .strictObject({
      concurrency: z.number().int().positive().max(1000).default(10),
      maxErrors: maxErrors.default({ kind: 'share', share: 1 }),
      /** Backups that are started in a minute, on average; as many as there is room for if left out. */
      startsPerMinute: z.number().positive().max(6000).optional(),
      /** What a run does while another run of the plan is at work: wait for it, or end at once and say so. */
      overlap: z.enum(['wait', 'skip'], { error: '"wait" or "skip"' }).default('wait'),
      /** Bytes per second of all uploads of a run together. */
      bandwidth: bandwidth.optional(),
    })
    .prefault({}),
  destination: z
    .strictObject({
      region: region.optional(),
      bucket: z.string().min(3).max(63).optional(),
      prefix: z.string().optional(),
    })
    .prefault({}),
  retention: z
    .strictObject({
      last: keepCount,
      hourly: keepCount,
      daily: keepCount,
      weekly: keepCount,
      monthly: keepCount,
      yearly: keepCount,
    })
    .optional(),
  objective: z.strictObject({ rpoHours: z.number().positive() }).optional(),
  timeZone: z.string().refine(isTimeZone, 'an IANA time zone such as Asia/Shanghai').default('UTC'),
  notify: z
    .array(
      z
        .strictObject({
          dingtalk: z.string().optional(),
          feishu: z.string().optional(),
          wecom: z.string().optional(),
          webhook: z.string().optional(),
        })
        .refine((channel) => Object.keys(channel).length === 1, 'one channel an entry'),
    )
    .optional(),
});

const plansSchema = z.strictObject({
  plans: z
    .record(
      z.string().regex(/^(?!\.+$)[\w.-]{1,64}$/, 'a plan name of letters, digits, _ . and -'),
      planSchema,
    )
    .refine((plans) => Object.keys(plans).length > 0, 'at least one plan'),
});

export type Target = z.infer<typeof targetSchema> & {
  /** A server of one's own; then region and instances name it, and nothing else is said. */
  readonly server?: RedisServer;
};
export type Exclusion = z.infer<typeof exclusionSchema>;
export type Account = z.infer<typeof accountSchema>;

export interface Destination {
  /** Without `oss-`. */
  readonly region: string;
  readonly bucket: string;
  /** Put before every key as it stands; usually empty or ending in `/`. */
  readonly prefix: string;
}

export type Plan = Omit<z.infer<typeof planSchema>, 'destination'> & {
  readonly name: string;
  readonly destination: Destination;
};

/** Overrides of the services' addresses: the emulator, or private endpoints. */
export interface Endpoints {
  readonly tair?: string;
  readonly oss?: string;
  readonly fc?: string;
  readonly sts?: string;
  readonly cms?: string;
  /** For the command line alone: no function looks at roles. */
  readonly ram?: string;
}

export interface Environment {
  readonly endpoints: Endpoints;
  /** Name of the uploader function; `service/function` for one of the older generation. */
  readonly uploader?: string;
  readonly destination: Partial<Destination>;
  /** Backups of instances in the function's own region are downloaded from their internal addresses. */
  readonly downloads: 'public' | 'internal';
  /** `node` transfers over `node:http` instead of plain sockets. */
  readonly http: 'lean' | 'node';
  /** Where `plans.yaml` is; beside the function's `index.js` if not given. */
  readonly plansPath?: string;
}

export type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Stands for a variable that is not set where one cannot be left out: a deployment sets them all, and it is not known
 * whether Function Compute keeps one that is empty.
 */
const NOT_SET = '-';

/** Reads the environment. Throws `CONFIG_INVALID` naming every variable that is wrong. */
export function readEnvironment(given: Variables): Environment {
  const variables: Variables = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, value === NOT_SET ? undefined : value]),
  );
  const problems: string[] = [];
  const endpoint = (name: string): string | undefined => {
    const value = variables[name];
    if (value === undefined || value === '') return undefined;
    if (!/^https?:\/\/[^/?#@\s]+\/?$/.test(value))
      problems.push(`${name}: an address such as http://127.0.0.1:9000, not "${value}"`);
    return value.replace(/\/$/, '');
  };
  const endpoints = defined({
    tair: endpoint('TAIRLIFT_ENDPOINT_TAIR'),
    oss: endpoint('TAIRLIFT_ENDPOINT_OSS'),
    fc: endpoint('TAIRLIFT_ENDPOINT_FC'),
    sts: endpoint('TAIRLIFT_ENDPOINT_STS'),
    cms: endpoint('TAIRLIFT_ENDPOINT_CMS'),
    ram: endpoint('TAIRLIFT_ENDPOINT_RAM'),
  });
  // The vendor's client for sessions speaks no plain HTTP: it would ask the wrong port of the right host.
  if (endpoints.sts?.startsWith('http:') === true)
    problems.push(`TAIRLIFT_ENDPOINT_STS: an https address, not "${endpoints.sts}"`);
  const ossRegion = variables['TAIRLIFT_OSS_REGION']?.replace(/^oss-/, '');
  const prefix = variables['TAIRLIFT_PREFIX'];
  problems.push(...prefixProblems('TAIRLIFT_PREFIX', prefix ?? ''));
  const http = variables['TAIRLIFT_HTTP'] || 'lean';
  if (http !== 'lean' && http !== 'node') problems.push(`TAIRLIFT_HTTP: lean or node, not "${http}"`);
  const downloads = variables['TAIRLIFT_DOWNLOADS'] || 'public';
  if (downloads !== 'public' && downloads !== 'internal')
    problems.push(`TAIRLIFT_DOWNLOADS: public or internal, not "${downloads}"`);
  if (problems.length > 0) throw invalid('read the environment', problems);
  return {
    endpoints,
    http: http === 'node' ? 'node' : 'lean',
    downloads: downloads === 'internal' ? 'internal' : 'public',
    destination: defined({
      region: ossRegion || undefined,
      bucket: variables['TAIRLIFT_BUCKET'] || undefined,
      prefix,
    }),
    ...defined({
      uploader: variables['TAIRLIFT_UPLOADER'] || undefined,
      plansPath: variables['TAIRLIFT_PLANS'] || undefined,
    }),
  };
}

/**
 * Reads `plans.yaml`. `${env:NAME}` in any text is replaced by that variable, so that secrets stay out of the file.
 * @param text the file's content
 * @param fileName for messages
 * @param environment gives the destination where a plan names none of its own
 * @throws BackupError `CONFIG_INVALID` with every problem of the file
 */
export function readPlans(
  text: string,
  fileName: string,
  environment: Environment,
  variables: Variables,
): ReadonlyMap<string, Plan> {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  if (document.errors.length > 0) {
    throw invalid(
      `read ${fileName}`,
      document.errors.map((error) => (error.message.split('\n')[0] ?? 'not YAML').replace(/:$/, '')),
    );
  }
  const problems: string[] = [];
  const json = replaceVariables(document.toJS(), variables, problems, []);
  const parsed = plansSchema.safeParse(json, { reportInput: true });
  // What is written without brackets is a list of one inside, and has no number in the file.
  const asWritten = (path: readonly PropertyKey[]): readonly PropertyKey[] =>
    path.reduce<readonly PropertyKey[]>(
      (above, key) =>
        typeof key === 'number' && !isSeq(document.getIn(above, true)) ? above : [...above, key],
      [],
    );
  const where = (checked: readonly PropertyKey[]): string => {
    const path = asWritten(checked);
    const node = document.getIn(path, true) as { range?: readonly [number, number, number] } | undefined;
    const line = node?.range === undefined ? undefined : lines.linePos(node.range[0]).line;
    return `${line === undefined ? '' : `line ${line}: `}${path.map(String).join('.') || 'the file'}`;
  };
  if (!parsed.success) for (const issue of parsed.error.issues) problems.push(...explain(issue, where));
  if (!parsed.success || problems.length > 0) throw invalid(`read ${fileName}`, problems);

  const plans = new Map<string, Plan>();
  for (const [name, plan] of Object.entries(parsed.data.plans)) {
    const destination = { ...environment.destination, ...defined(plan.destination) };
    const { region: ossRegion, bucket, prefix = '' } = destination;
    const at = `plans.${name}.destination`;
    if (ossRegion === undefined) problems.push(`${at}.region: missing; set it there, or TAIRLIFT_OSS_REGION`);
    if (bucket === undefined) problems.push(`${at}.bucket: missing; set it there, or TAIRLIFT_BUCKET`);
    problems.push(...prefixProblems(`${at}.prefix`, prefix));
    for (const [index, { server }] of plan.targets.entries()) {
      for (const key of ['passwordFrom', 'keyFrom'] as const) {
        const variable = server?.[key];
        if (variable !== undefined && (variables[variable] ?? '') === '')
          problems.push(`plans.${name}.targets.${index}.${key}: the variable ${variable} is not set`);
      }
    }
    plans.set(name, {
      ...plan,
      name,
      destination: { region: ossRegion ?? '', bucket: bucket ?? '', prefix },
    });
  }
  if (problems.length > 0) throw invalid(`read ${fileName}`, problems);
  return plans;
}

/** The plan of that name. Throws `CONFIG_INVALID` that lists the names there are. */
export function planNamed(plans: ReadonlyMap<string, Plan>, name: string): Plan {
  const plan = plans.get(name);
  if (plan !== undefined) return plan;
  const names = [...plans.keys()];
  throw new BackupError('CONFIG_INVALID', `find plan "${name}": no such plan${suggestion(name, names)}`, {
    hint: `plans.yaml has: ${names.join(', ')}`,
  });
}

/** Keys of the plan that are understood and checked, and that nothing acts on yet. Said at each run, so that nobody relies on them. */
export function notActedOn(plan: Plan): readonly string[] {
  return (['retention', 'objective', 'notify'] as const).filter((key) => plan[key] !== undefined);
}

/** How many errors a run of this many instances tolerates before it stops starting new ones. */
export function toleratedErrors(limit: MaxErrors, selected: number): number {
  // 29% of 100 are 29, although 0.29 * 100 is a little less.
  return limit.kind === 'count' ? limit.count : Math.floor(limit.share * selected + 1e-9);
}

function invalid(attempt: string, problems: readonly string[]): BackupError {
  return new BackupError('CONFIG_INVALID', `${attempt}: ${problems.join('; ')}`, {
    details: { problems: problems.length },
  });
}

type Issue = z.core.$ZodIssue;

function explain(issue: Issue, where: (path: readonly PropertyKey[]) => string): string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${where([...issue.path, key])}: unknown key${suggestion(key, KNOWN_KEYS)}`,
    );
  }
  if (issue.code === 'invalid_type' && issue.input === undefined) {
    const parent = issue.path.slice(0, -1);
    return [`${where(parent)}: ${String(issue.path.at(-1) ?? 'plans')} is missing`];
  }
  if (issue.code === 'invalid_key')
    return [`${where(issue.path)}: ${issue.issues.map((inner) => inner.message).join('; ')}`];
  return [`${where(issue.path)}: ${issue.message}`];
}

const KNOWN_KEYS = [
  'plans',
  ...Object.keys(planSchema.shape),
  ...Object.keys(targetSchema.shape),
  'redis',
  ...Object.keys(serverSchema.shape),
  ...Object.keys(accountSchema.shape),
  'adoptWithinHours',
  'timeoutMinutes',
  'window',
  'concurrency',
  'maxErrors',
  'startsPerMinute',
  'overlap',
  'bandwidth',
  'bucket',
  'prefix',
  'rpoHours',
  'last',
  'hourly',
  'daily',
  'weekly',
  'monthly',
  'yearly',
  'dingtalk',
  'feishu',
  'wecom',
  'webhook',
];

/** `; did you mean "plan"?`, or nothing when no candidate is near. */
export function suggestion(word: string, candidates: readonly string[]): string {
  const near = candidates
    .map((candidate) => ({ candidate, edits: distance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, edits }) => edits <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.edits - b.edits)[0];
  return near === undefined ? '' : `; did you mean "${near.candidate}"?`;
}

function replaceVariables(
  value: unknown,
  variables: Variables,
  problems: string[],
  path: readonly string[],
): unknown {
  if (typeof value === 'string') {
    return value.replaceAll(/\$\{env:(\w+)\}/g, (_whole, name: string) => {
      const found = variables[name];
      if (found === undefined || found === '')
        problems.push(`${path.join('.')}: the variable ${name} is not set`);
      return found ?? '';
    });
  }
  if (Array.isArray(value))
    return value.map((item, index) => replaceVariables(item, variables, problems, [...path, String(index)]));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      replaceVariables(item, variables, problems, [...path, key]),
    ]),
  );
}

/** OSS object keys have no leading slash, and the console cannot show empty or dotted folders. */
function prefixProblems(name: string, prefix: string): string[] {
  return prefix.startsWith('/') ||
    prefix.startsWith('\\') ||
    prefix.includes('//') ||
    /(^|\/)\.\.?\//.test(prefix)
    ? [`${name}: "${prefix}" must not start with a slash or contain empty or dotted folders`]
    : [];
}

function isTimeZone(name: string): boolean {
  try {
    return Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** The same record without its undefined members. */
function defined<T extends Record<string, unknown>>(record: T): Defined<T> {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Defined<T>;
}
