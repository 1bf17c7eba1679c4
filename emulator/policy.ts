/**
 * RAM policies and bucket policies: what their statements say of one request.
 *
 * https://www.alibabacloud.com/help/en/ram/policy-structure-and-syntax
 */

type OneOrMany = string | readonly string[];

export interface Statement {
  readonly Effect: 'Allow' | 'Deny';
  readonly Action: OneOrMany;
  readonly Resource: OneOrMany;
  /** Bucket policies only: account ids, ARNs, or `*`. */
  readonly Principal?: OneOrMany;
  /** By operator, then by key. All must be met; of several values one suffices. */
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, OneOrMany>>>>;
}

export interface PolicyDocument {
  readonly Version: '1';
  readonly Statement: readonly Statement[];
}

/** What a service asks before it acts. */
export interface Question {
  /** `oss:PutObject` */
  readonly action: string;
  /** An ARN, `acs:oss:oss-cn-hangzhou:1234:bucket/key`, or `*` when the action works on nothing in particular. */
  readonly resource: string;
  /** Condition keys with their values in this request: `acs:SecureTransport`, `oss:Prefix`. */
  readonly context?: Readonly<Record<string, string>>;
}

/** `silent`: no statement speaks of it, which is a refusal unless another policy allows it. */
export type Verdict = 'allowed' | 'denied' | 'silent';

/** A statement that denies wins over all that allow. */
export function decide(statements: readonly Statement[], question: Question): Verdict {
  const speaking = statements.filter((statement) => speaksOf(statement, question));
  if (speaking.some(({ Effect }) => Effect === 'Deny')) return 'denied';
  return speaking.length > 0 ? 'allowed' : 'silent';
}

function speaksOf(
  { Action, Resource, Condition = {} }: Statement,
  { action, resource, context = {} }: Question,
): boolean {
  return (
    many(Action).some((pattern) => matches(pattern.toLowerCase(), action.toLowerCase())) &&
    many(Resource).some((pattern) => matches(pattern, resource)) &&
    Object.entries(Condition).every(([operator, keys]) =>
      Object.entries(keys).every(([key, values]) => isMet(operator, context[key], many(values))),
    )
  );
}

/** `*` stands for any characters, slashes and colons too, `?` for one. */
export function matches(pattern: string, text: string): boolean {
  const expression = pattern
    .replaceAll(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${expression}$`, 's').test(text);
}

type Test = (actual: string, wanted: string) => boolean;

const POSITIVE: Readonly<Record<string, Test>> = {
  StringEquals: (actual, wanted) => actual === wanted,
  StringEqualsIgnoreCase: (actual, wanted) => actual.toLowerCase() === wanted.toLowerCase(),
  StringLike: (actual, wanted) => matches(wanted, actual),
  Bool: (actual, wanted) => actual.toLowerCase() === wanted.toLowerCase(),
  NumericEquals: (actual, wanted) => Number(actual) === Number(wanted),
  NumericLessThan: (actual, wanted) => Number(actual) < Number(wanted),
  NumericLessThanEquals: (actual, wanted) => Number(actual) <= Number(wanted),
  NumericGreaterThan: (actual, wanted) => Number(actual) > Number(wanted),
  NumericGreaterThanEquals: (actual, wanted) => Number(actual) >= Number(wanted),
};
const NEGATIVE: Readonly<Record<string, Test>> = {
  StringNotEquals: POSITIVE['StringEquals'] ?? never,
  StringNotEqualsIgnoreCase: POSITIVE['StringEqualsIgnoreCase'] ?? never,
  StringNotLike: POSITIVE['StringLike'] ?? never,
  NumericNotEquals: POSITIVE['NumericEquals'] ?? never,
};

function never(): boolean {
  return false;
}

/** A key that the request does not have meets nothing. */
function isMet(operator: string, actual: string | undefined, wanted: readonly string[]): boolean {
  if (actual === undefined) return false;
  const positive = POSITIVE[operator];
  if (positive !== undefined) return wanted.some((value) => positive(actual, value));
  const negative = NEGATIVE[operator] ?? never;
  return !wanted.some((value) => negative(actual, value));
}

const MAX_POLICY_CHARACTERS = 6144;
const ELEMENTS = new Set(['Sid', 'Effect', 'Action', 'Resource', 'Principal', 'Condition']);

/**
 * A policy as a client sends it, checked as the service checks it: what is not understood is refused, never ignored.
 *
 * @throws RangeError that says what is wrong
 */
export function readPolicy(value: unknown, kind: 'identity' | 'bucket' = 'identity'): PolicyDocument {
  const document = record(value, 'the policy');
  if (String(document['Version']) !== '1') throw new RangeError('Version must be "1"');
  const statements = document['Statement'];
  if (!Array.isArray(statements) || statements.length === 0)
    throw new RangeError('Statement must be a list with at least one statement');
  if (JSON.stringify(value).length > MAX_POLICY_CHARACTERS)
    throw new RangeError(`the policy is longer than ${MAX_POLICY_CHARACTERS} characters`);
  return { Version: '1', Statement: statements.map((one) => readStatement(one, kind)) };
}

function readStatement(value: unknown, kind: 'identity' | 'bucket'): Statement {
  const statement = record(value, 'a statement');
  for (const name of Object.keys(statement))
    if (!ELEMENTS.has(name)) throw new RangeError(`a statement has an element ${name}`);
  const { Effect, Action, Resource, Principal, Condition = {} } = statement;
  if (Effect !== 'Allow' && Effect !== 'Deny') throw new RangeError('Effect must be Allow or Deny');
  if ((Principal !== undefined) !== (kind === 'bucket'))
    throw new RangeError(kind === 'bucket' ? 'Principal is missing' : 'Principal has no place here');
  return {
    Effect,
    Action: texts(Action, 'Action', /^(\*|[a-z0-9-]+:[\w*?]+)$/i),
    Resource: texts(Resource, 'Resource', /^(\*|acs:[^\s]+)$/),
    ...(Principal === undefined ? {} : { Principal: texts(Principal, 'Principal', /^\S+$/) }),
    Condition: readConditions(Condition),
  };
}

function readConditions(value: unknown): NonNullable<Statement['Condition']> {
  const conditions = record(value, 'Condition');
  return Object.fromEntries(
    Object.entries(conditions).map(([operator, keys]) => {
      if (POSITIVE[operator] === undefined && NEGATIVE[operator] === undefined)
        throw new RangeError(`Condition has an operator ${operator}`);
      const values = Object.entries(record(keys, operator)).map(
        ([key, wanted]) => [key, texts(wanted, key, /^.*$/s)] as const,
      );
      return [operator, Object.fromEntries(values)];
    }),
  );
}

function record(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new RangeError(`${what} must be an object`);
  return value as Readonly<Record<string, unknown>>;
}

function texts(value: unknown, what: string, form: RegExp): readonly string[] {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value];
  const read = list.map((item) => (typeof item === 'boolean' || typeof item === 'number' ? `${item}` : item));
  if (read.length === 0 || !read.every((item): item is string => typeof item === 'string' && form.test(item)))
    throw new RangeError(`${what} is not as it must be: ${JSON.stringify(value)}`);
  return read;
}

export function many(value: OneOrMany): readonly string[] {
  return typeof value === 'string' ? [value] : value;
}
