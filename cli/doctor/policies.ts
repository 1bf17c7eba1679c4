/**
 * What RAM policies say of an action on a resource, judged without asking the service: documents in, a verdict out. A
 * condition that is not understood is never taken for met or unmet: then the verdict is that nobody can tell from here.
 * https://help.aliyun.com/en/ram/user-guide/policy-elements
 */

/** One of a thing is written without brackets. */
type OneOrMore = string | readonly string[];

export interface Statement {
  readonly Effect?: string;
  readonly Action?: OneOrMore;
  readonly NotAction?: OneOrMore;
  readonly Resource?: OneOrMore;
  readonly NotResource?: OneOrMore;
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

export interface Policy {
  readonly name: string;
  readonly statements: readonly Statement[];
}

/** Something that is to be allowed. */
export interface Need {
  readonly action: string;
  /** An ARN. A `*` in it stands for all that it matches: all of it is needed. */
  readonly resource: string;
  /** What the request tells, by condition key; a key that is not here is not known. A `*` stands for anything again. */
  readonly context?: Readonly<Record<string, string>>;
}

export type Verdict =
  | { readonly kind: 'allowed' }
  /** No statement allows it, or not all of it. */
  | { readonly kind: 'missing' }
  /** A statement of this policy denies it, or a part of it. */
  | { readonly kind: 'denied'; readonly by: string }
  /** It depends on these conditions. */
  | { readonly kind: 'unclear'; readonly conditions: readonly string[] };

/**
 * The statements of a document as RAM returns it.
 * @throws SyntaxError when it is none
 */
export function parsePolicy(name: string, text: string): Policy {
  const document = JSON.parse(text) as { readonly Statement?: Statement | readonly Statement[] } | null; // checked next
  const statements = document?.Statement;
  if (statements === undefined) throw new SyntaxError(`policy ${name} has no statement`);
  return { name, statements: isList(statements) ? statements : [statements] };
}

/** A Deny wins over every Allow. */
export function judge(policies: readonly Policy[], need: Need): Verdict {
  const unclear: string[] = [];
  for (const { name, statements } of policies) {
    for (const statement of statements.filter(({ Effect }) => Effect === 'Deny')) {
      if (!touches(statement, need)) continue;
      const conditions = meet(statement, need);
      if (conditions === 'met') return { kind: 'denied', by: name };
      if (conditions !== 'unmet') unclear.push(...conditions);
    }
  }
  if (unclear.length > 0) return { kind: 'unclear', conditions: distinct(unclear) };
  for (const { statements } of policies) {
    for (const statement of statements.filter(({ Effect }) => Effect === 'Allow')) {
      if (!covers(statement, need)) continue;
      const conditions = meet(statement, need);
      if (conditions === 'met') return { kind: 'allowed' };
      if (conditions !== 'unmet') unclear.push(...conditions);
    }
  }
  return unclear.length > 0 ? { kind: 'unclear', conditions: distinct(unclear) } : { kind: 'missing' };
}

/** Something that is allowed and that nothing needs. */
export interface Excess {
  readonly policy: string;
  /** As the statement has it. */
  readonly action: string;
  /** Those of the statement that reach beyond what is needed; all of them when the action itself does. */
  readonly resources: readonly string[];
  /** With it backups can be removed, replaced, or the bucket that keeps them be changed. */
  readonly isDangerous: boolean;
}

/** What the policies allow beyond these needs. Conditions are taken for met: they may end tomorrow. */
export function excessOf(policies: readonly Policy[], needs: readonly Need[]): readonly Excess[] {
  return policies.flatMap(({ name, statements }) =>
    statements
      .filter(({ Effect }) => Effect === 'Allow')
      .flatMap((statement) =>
        actionsIn(statement).flatMap((action): readonly Excess[] => {
          const resources = resourcesIn(statement).filter(
            (resource) =>
              !needs.some((need) => isSameAction(need.action, action) && covered(resource, need.resource)),
          );
          return resources.length === 0
            ? []
            : [{ policy: name, action, resources, isDangerous: isDangerous(action, resources) }];
        }),
      ),
  );
}

/** May this service take the role? `undefined` when the trust policy cannot be read. */
export function trusts(document: string, service: string): boolean | undefined {
  try {
    const { Statement: statements = [] } = JSON.parse(document) as {
      readonly Statement?: readonly {
        readonly Effect?: string;
        readonly Principal?: { readonly Service?: OneOrMore };
      }[];
    }; // each member is looked at as unknown
    return statements.some(
      ({ Effect, Principal }) => Effect === 'Allow' && list(Principal?.Service).includes(service),
    );
  } catch {
    return undefined;
  }
}

/** Who else than this service the trust policy names. */
export function othersTrusted(document: string, service: string): readonly string[] {
  const { Statement: statements = [] } = JSON.parse(document) as {
    readonly Statement?: readonly {
      readonly Effect?: string;
      readonly Principal?: Readonly<Record<string, OneOrMore>>;
    }[];
  }; // each member is looked at as unknown
  return statements
    .filter(({ Effect }) => Effect === 'Allow')
    .flatMap(({ Principal = {} }) => Object.values(Principal).flatMap(list))
    .filter((name) => name !== service);
}

const DANGEROUS = [
  'oss:DeleteObject',
  'oss:DeleteObjectVersion',
  'oss:DeleteMultipleObjects',
  'oss:DeleteBucket',
  'oss:PutBucketLifecycle',
  'oss:PutBucketPolicy',
  'oss:DeleteBucketPolicy',
  'oss:PutBucketVersioning',
  'oss:DeleteBucketOverwriteConfig',
  'kvstore:DeleteInstance',
  'kvstore:FlushInstance',
  'kvstore:RestoreInstance',
  'kvstore:DeleteBackup',
  'ram:CreateAccessKey',
];

function isDangerous(action: string, resources: readonly string[]): boolean {
  // Putting objects is needed; wherever else they may be put, backups can be covered over.
  return DANGEROUS.some(
    (dangerous) =>
      covered(dangerous.toLowerCase(), action.toLowerCase()) &&
      resources.some(
        (resource) => resource === '*' || resource.startsWith(`acs:${dangerous.split(':')[0] ?? ''}`),
      ),
  );
}

/** Does it speak of all that is needed? */
function covers(statement: Statement, { action, resource }: Need): boolean {
  return hasAction(statement, action) && hasResource(statement, within(resource), touching(resource));
}

/** Does it speak of a part of what is needed? */
function touches(statement: Statement, { action, resource }: Need): boolean {
  return hasAction(statement, action) && hasResource(statement, touching(resource), within(resource));
}

type Fits = (pattern: string) => boolean;

function within(resource: string): Fits {
  return (pattern) => covered(resource, pattern);
}

function touching(resource: string): Fits {
  return (pattern) => overlap(resource, pattern);
}

function hasAction({ Action, NotAction }: Statement, action: string): boolean {
  const isIn = (patterns: OneOrMore | undefined): boolean =>
    list(patterns).some((pattern) => covered(action.toLowerCase(), pattern.toLowerCase()));
  return NotAction === undefined ? isIn(Action) : !isIn(NotAction);
}

/** @param isLeftOut by one of `NotResource`: a statement speaks of all of a thing only if no part of it is left out there */
function hasResource({ Resource, NotResource }: Statement, fits: Fits, isLeftOut: Fits): boolean {
  return NotResource === undefined ? list(Resource).some(fits) : !list(NotResource).some(isLeftOut);
}

function actionsIn({ Action, NotAction }: Statement): readonly string[] {
  return NotAction === undefined ? list(Action) : ['*'];
}

function resourcesIn({ Resource, NotResource }: Statement): readonly string[] {
  return NotResource === undefined ? list(Resource) : ['*'];
}

function isSameAction(needed: string, given: string): boolean {
  return needed.toLowerCase() === given.toLowerCase();
}

/** `met`, `unmet`, or the conditions that cannot be judged. All of a statement's conditions have to be met. */
function meet({ Condition = {} }: Statement, { context = {} }: Need): 'met' | 'unmet' | readonly string[] {
  const unclear: string[] = [];
  for (const [operator, keys] of Object.entries(Condition)) {
    for (const [key, wanted] of Object.entries(keys)) {
      const actual = valueOf(context, key);
      const test = OPERATORS.get(operator.toLowerCase());
      const known =
        actual === undefined
          ? undefined
          : test?.(actual, (Array.isArray(wanted) ? wanted : [wanted]).map(String));
      if (known === false) return 'unmet';
      if (known === undefined) unclear.push(`${operator} ${key}`);
    }
  }
  return unclear.length === 0 ? 'met' : unclear;
}

/** Condition keys are not told apart by case. */
function valueOf(context: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.entries(context).find(([name]) => name.toLowerCase() === key.toLowerCase())?.[1];
}

type Test = (actual: string, wanted: readonly string[]) => boolean;

const isEqual: Test = (actual, wanted) => wanted.includes(actual);
const isLike: Test = (actual, wanted) => wanted.some((pattern) => covered(actual, pattern));
const lower = (texts: readonly string[]): readonly string[] => texts.map((text) => text.toLowerCase());
const OPERATORS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ['stringequals', isEqual],
  ['stringnotequals', (actual, wanted) => !isEqual(actual, wanted)],
  ['stringequalsignorecase', (actual, wanted) => isEqual(actual.toLowerCase(), lower(wanted))],
  ['stringnotequalsignorecase', (actual, wanted) => !isEqual(actual.toLowerCase(), lower(wanted))],
  ['stringlike', isLike],
  ['stringnotlike', (actual, wanted) => !isLike(actual, wanted)],
  ['bool', (actual, wanted) => isEqual(actual.toLowerCase(), lower(wanted))],
]);

/**
 * Does the pattern match everything that `text` stands for? A `*` of the text is a character like any other: only a
 * `*` of the pattern takes it.
 */
function covered(text: string, pattern: string): boolean {
  const expression = inOneWay(pattern)
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '[^]*')
    .replaceAll('?', '[^*]');
  return new RegExp(`^${expression}$`).test(inOneWay(text));
}

/** Is there anything that both match? No name of a region or an account has a colon in it. */
function overlap(one: string, other: string): boolean {
  const [left, right] = [segmentsOf(inOneWay(one)), segmentsOf(inOneWay(other))];
  if (left === undefined || right === undefined) return overlapWhole(one, other);
  return left.every((segment, index) => overlapWhole(segment, right[index] ?? ''));
}

/** Of an ARN: `acs`, the service, region, account, and the rest. Undefined for any other text. */
function segmentsOf(arn: string): readonly string[] | undefined {
  const [, ...segments] = /^(acs):([^:]*):([^:]*):([^:]*):([^]*)$/.exec(arn) ?? [];
  return segments.length === 0 ? undefined : segments;
}

function overlapWhole(left: string, right: string): boolean {
  const known = new Map<number, boolean>();
  const from = (a: number, b: number): boolean => {
    const at = a * (right.length + 1) + b;
    const before = known.get(at);
    if (before !== undefined) return before;
    const [x, y] = [left[a], right[b]];
    let found: boolean;
    if (x === '*') found = from(a + 1, b) || (y !== undefined && from(a, b + 1));
    else if (y === '*') found = from(a, b + 1) || (x !== undefined && from(a + 1, b));
    else if (x === undefined || y === undefined) found = x === y;
    else found = (x === y || x === '?' || y === '?') && from(a + 1, b + 1);
    known.set(at, found);
    return found;
  };
  return from(0, 0);
}

/** The region of an ARN of OSS is written with `oss-` in front and without. */
function inOneWay(arn: string): string {
  return arn.replace(/^acs:oss:oss-/, 'acs:oss:');
}

function list(value: OneOrMore | undefined): readonly string[] {
  return value === undefined ? [] : typeof value === 'string' ? [value] : [...value];
}

function isList(value: Statement | readonly Statement[]): value is readonly Statement[] {
  return Array.isArray(value);
}

function distinct(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)];
}
