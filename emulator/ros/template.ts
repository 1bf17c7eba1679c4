/**
 * A ROS template: read, checked, and worked out for one set of parameters.
 *
 * https://www.alibabacloud.com/help/en/ros/user-guide/structure
 * https://www.alibabacloud.com/help/en/ros/user-guide/functions
 */
import { parse } from 'yaml';
import { ServiceError } from '../http.ts';

export interface Template {
  readonly parameters: Readonly<Record<string, ParameterSpec>>;
  readonly conditions: Readonly<Record<string, unknown>>;
  readonly resources: Readonly<Record<string, ResourceSpec>>;
  readonly outputs: Readonly<Record<string, OutputSpec>>;
}

export interface ParameterSpec {
  readonly Type: string;
  readonly Default?: unknown;
  readonly AllowedPattern?: string;
  readonly AllowedValues?: readonly unknown[];
  readonly MinLength?: number;
  readonly MaxLength?: number;
  readonly MinValue?: number;
  readonly MaxValue?: number;
  readonly NoEcho?: boolean;
}

export interface ResourceSpec {
  readonly Type: string;
  readonly Properties?: unknown;
  readonly DependsOn?: string | readonly string[];
  readonly Condition?: string;
  readonly DeletionPolicy?: 'Delete' | 'Retain';
}

interface OutputSpec {
  readonly Value: unknown;
  readonly Description?: string;
  readonly Condition?: string;
}

/** What a parameter is in the template: text, number, truth, list or anything in JSON. */
export type Values = Readonly<Record<string, unknown>>;

const FORMAT = '2015-09-01';
const MAX_TEMPLATE_BYTES = 524_288;
const SECTIONS = [
  'ROSTemplateFormatVersion',
  'Description',
  'Metadata',
  'Parameters',
  'Conditions',
  'Resources',
  'Outputs',
];

/**
 * @param knownTypes the resource types that there are
 * @throws ServiceError StackValidationFailed
 */
export function readTemplate(body: string, knownTypes: ReadonlySet<string>): Template {
  if (Buffer.byteLength(body) > MAX_TEMPLATE_BYTES)
    throw invalid(`The template has more than ${MAX_TEMPLATE_BYTES} bytes.`);
  const document = readDocument(body);
  const unknown = Object.keys(document).find((section) => !SECTIONS.includes(section));
  if (unknown !== undefined) throw invalid(`The template section is invalid: ${unknown}.`);
  if (document['ROSTemplateFormatVersion'] !== FORMAT)
    throw invalid(`ROSTemplateFormatVersion must be ${FORMAT}.`);
  const template: Template = {
    // Checked below as far as a stack needs it.
    parameters: section(document, 'Parameters') as Template['parameters'],
    conditions: section(document, 'Conditions'),
    resources: section(document, 'Resources') as Template['resources'],
    outputs: section(document, 'Outputs') as Template['outputs'],
  };
  checkTemplate(template, knownTypes);
  return template;
}

function readDocument(body: string): Readonly<Record<string, unknown>> {
  try {
    // JSON is YAML.
    const document: unknown = parse(body);
    if (isRecord(document)) return document;
  } catch {
    // Said below, as the service says it.
  }
  throw invalid('The template is not a valid JSON or YAML object.');
}

function section(
  document: Readonly<Record<string, unknown>>,
  name: string,
): Readonly<Record<string, unknown>> {
  const content = document[name] ?? {};
  if (!isRecord(content)) throw invalid(`The section ${name} is not an object.`);
  return content;
}

function checkTemplate(template: Template, knownTypes: ReadonlySet<string>): void {
  const { parameters, conditions, resources, outputs } = template;
  if (Object.keys(resources).length === 0) throw invalid('The template has no resources.');
  for (const [id, { Type, Condition, DependsOn, Properties }] of Object.entries(resources)) {
    if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(id)) throw invalid(`The resource name (${id}) is invalid.`);
    if (id in parameters) throw invalid(`The name (${id}) is both a parameter and a resource.`);
    if (!knownTypes.has(Type)) throw invalid(`The Resource Type (${Type}) could not be found.`);
    for (const other of listOf(DependsOn).map(String))
      if (!(other in resources))
        throw invalid(`The resource (${id}) depends on (${other}), which is not there.`);
    checkCondition(Condition, conditions, id);
    checkReferences(Properties, template, id);
  }
  for (const [id, value] of Object.entries(conditions)) checkReferences(value, template, id);
  for (const [id, { Value, Condition }] of Object.entries(outputs)) {
    checkCondition(Condition, conditions, id);
    checkReferences(Value, template, id);
  }
  // Also finds a circle.
  orderOf(template);
}

function checkCondition(name: string | undefined, conditions: Template['conditions'], id: string): void {
  if (name !== undefined && !(name in conditions))
    throw invalid(`The condition (${name}) of (${id}) could not be found.`);
}

const PSEUDO = [
  'ALIYUN::AccountId',
  'ALIYUN::TenantId',
  'ALIYUN::Region',
  'ALIYUN::StackName',
  'ALIYUN::StackId',
  'ALIYUN::NoValue',
];

function checkReferences(value: unknown, { parameters, conditions, resources }: Template, id: string): void {
  for (const { name, isCondition } of referencesIn(value)) {
    const isThere = isCondition
      ? name in conditions
      : name in resources || name in parameters || PSEUDO.includes(name);
    if (!isThere) throw invalid(`(${id}) refers to (${name}), which could not be found.`);
  }
}

interface Reference {
  readonly name: string;
  readonly isCondition: boolean;
}

/** Everything that a value mentions by name. */
function* referencesIn(value: unknown): Generator<Reference> {
  if (Array.isArray(value)) {
    for (const item of value) yield* referencesIn(item);
    return;
  }
  if (!isRecord(value)) return;
  const [name, argument] = functionIn(value) ?? [];
  if (name === undefined) {
    for (const item of Object.values(value)) yield* referencesIn(item);
    return;
  }
  if (!FUNCTIONS.has(name)) throw invalid(`The function (${name}) is not supported.`);
  if (name === 'Ref') yield { name: String(argument), isCondition: false };
  else if (name === 'Condition') yield { name: String(argument), isCondition: true };
  else if (name === 'Fn::GetAtt') yield { name: String(listOf(argument)[0]), isCondition: false };
  else if (name === 'Fn::Sub') {
    const [text, own] = Array.isArray(argument) ? (argument as unknown[]) : [argument];
    for (const [, inner = ''] of String(text).matchAll(SUBSTITUTION))
      if (!isRecord(own) || !(inner in own)) yield { name: inner.split('.')[0] ?? '', isCondition: false };
    yield* referencesIn(own);
  } else {
    if (name === 'Fn::If') yield { name: String(listOf(argument)[0]), isCondition: true };
    yield* referencesIn(argument);
  }
}

const SUBSTITUTION = /\$\{([^!}][^}]*)\}/g;
const FUNCTIONS = new Set([
  'Ref',
  'Condition',
  'Fn::GetAtt',
  'Fn::Sub',
  'Fn::Join',
  'Fn::Split',
  'Fn::Select',
  'Fn::If',
  'Fn::Equals',
  'Fn::Not',
  'Fn::And',
  'Fn::Or',
]);

/** `Ref` and `Condition` are functions only when they stand alone, and only with a name behind them. */
function functionIn(value: Readonly<Record<string, unknown>>): readonly [string, unknown] | undefined {
  const [entry, ...others] = Object.entries(value);
  if (entry === undefined || others.length > 0) return undefined;
  const [name, argument] = entry;
  if (name.startsWith('Fn::')) return entry;
  return (name === 'Ref' || name === 'Condition') && typeof argument === 'string' ? entry : undefined;
}

/** The resources so that each comes after those that it needs. */
export function orderOf({ resources }: Template): readonly string[] {
  const order: string[] = [];
  const open = new Set<string>();
  const visit = (id: string): void => {
    if (order.includes(id)) return;
    if (open.has(id)) throw invalid(`Circular dependency: ${[...open, id].join(' -> ')}.`);
    open.add(id);
    const { Properties, DependsOn } = resources[id] ?? { Type: '' };
    const named = [...referencesIn(Properties)]
      .filter(({ isCondition }) => !isCondition)
      .map(({ name }) => name);
    for (const other of [...listOf(DependsOn).map(String), ...named]) if (other in resources) visit(other);
    open.delete(id);
    order.push(id);
  };
  for (const id of Object.keys(resources)) visit(id);
  return order;
}

/**
 * The parameters as the template has them, from what was given and what is left to the defaults.
 *
 * @throws ServiceError StackValidationFailed
 */
export function readParameters({ parameters }: Template, given: ReadonlyMap<string, string>): Values {
  for (const name of given.keys())
    if (!(name in parameters)) throw invalid(`The Parameter (${name}) was not defined in template.`);
  return Object.fromEntries(
    Object.entries(parameters).map(([name, spec]) => {
      const raw = given.get(name) ?? spec.Default;
      if (raw === undefined) throw invalid(`The Parameter (${name}) was not provided.`);
      return [name, readParameter(name, spec, raw)];
    }),
  );
}

function readParameter(name: string, spec: ParameterSpec, raw: unknown): unknown {
  const wrong = (what: string): ServiceError => invalid(`The Parameter (${name}) ${what}.`);
  const value = converted(spec.Type, raw);
  if (value === undefined) throw wrong(`is not of the type ${spec.Type}`);
  const text = String(raw);
  if (spec.AllowedPattern !== undefined && !new RegExp(spec.AllowedPattern).test(text))
    throw wrong(`does not match the pattern ${spec.AllowedPattern}`);
  if (spec.AllowedValues !== undefined && !spec.AllowedValues.map(String).includes(text))
    throw wrong(`is not one of ${spec.AllowedValues.join(', ')}`);
  if (text.length < (spec.MinLength ?? 0) || text.length > (spec.MaxLength ?? Infinity))
    throw wrong(`must have from ${spec.MinLength ?? 0} to ${spec.MaxLength ?? 'any number of'} characters`);
  if (
    typeof value === 'number' &&
    !(value >= (spec.MinValue ?? -Infinity) && value <= (spec.MaxValue ?? Infinity))
  )
    throw wrong(`must be from ${spec.MinValue ?? '-∞'} to ${spec.MaxValue ?? '∞'}`);
  return value;
}

function converted(type: string, raw: unknown): unknown {
  switch (type) {
    case 'String':
      return typeof raw === 'string' ? raw : String(raw);
    case 'Number': {
      const number = typeof raw === 'string' && raw.trim() === '' ? Number.NaN : Number(raw);
      return Number.isFinite(number) ? number : undefined;
    }
    case 'Boolean':
      if (/^(true|1)$/i.test(String(raw))) return true;
      return /^(false|0)$/i.test(String(raw)) ? false : undefined;
    case 'CommaDelimitedList':
      return Array.isArray(raw) ? raw : String(raw).split(',');
    case 'Json':
      try {
        return typeof raw === 'string' ? (JSON.parse(raw) as unknown) : raw;
      } catch {
        return undefined;
      }
    default:
      return undefined;
  }
}

/** What names stand for while a stack is made. */
export interface Scope {
  readonly parameters: Values;
  /** `ALIYUN::Region` and the like. */
  readonly pseudo: Values;
  /** The physical id of a resource that is there. */
  readonly refTo: (logicalId: string) => unknown;
  readonly attributeOf: (logicalId: string, attribute: string) => unknown;
}

/** Works values out. Throws a ServiceError that says what cannot be. */
export function createEvaluator({ conditions }: Template, scope: Scope) {
  function holds(name: string): boolean {
    return evaluate(conditions[name]) === true;
  }

  function lookUp(name: string): unknown {
    if (name === 'ALIYUN::NoValue') return NO_VALUE;
    if (name in scope.pseudo) return scope.pseudo[name];
    if (name in scope.parameters) return scope.parameters[name];
    const [id = '', ...attribute] = name.split('.');
    return attribute.length === 0 ? scope.refTo(id) : scope.attributeOf(id, attribute.join('.'));
  }

  function substitute(argument: unknown): string {
    const [text, own] = Array.isArray(argument) ? (argument as unknown[]) : [argument];
    return String(text)
      .replaceAll(SUBSTITUTION, (_whole, name: string) =>
        String(isRecord(own) && name in own ? evaluate(own[name]) : lookUp(name)),
      )
      .replaceAll('${!', '${');
  }

  function call(name: string, argument: unknown): unknown {
    if (name === 'Ref') return lookUp(String(argument));
    if (name === 'Condition') return holds(String(argument));
    if (name === 'Fn::Sub') return substitute(argument);
    if (name === 'Fn::If') {
      const [condition, yes, no] = listOf(argument);
      return evaluate(holds(String(condition)) ? yes : no);
    }
    const list = listOf(evaluate(argument));
    switch (name) {
      case 'Fn::GetAtt':
        return scope.attributeOf(String(list[0]), String(list[1]));
      case 'Fn::Join':
        return listOf(list[1]).map(String).join(String(list[0]));
      case 'Fn::Split':
        return String(list[1]).split(String(list[0]));
      case 'Fn::Select':
        return listOf(list[1])[Number(list[0])];
      case 'Fn::Equals':
        return JSON.stringify(list[0]) === JSON.stringify(list[1]);
      case 'Fn::Not':
        return list[0] !== true;
      case 'Fn::And':
        return list.every((one) => one === true);
      case 'Fn::Or':
        return list.includes(true);
      default:
        throw invalid(`The function (${name}) is not supported.`);
    }
  }

  function evaluate(value: unknown): unknown {
    if (Array.isArray(value)) return value.map(evaluate).filter((item) => item !== NO_VALUE);
    if (!isRecord(value)) return value;
    const found = functionIn(value);
    if (found !== undefined) return call(found[0], found[1]);
    const entries = Object.entries(value).map(([key, item]) => [key, evaluate(item)] as const);
    return Object.fromEntries(entries.filter(([, item]) => item !== NO_VALUE));
  }

  return {
    /** A resource or output without a condition is always there. */
    isThere: ({ Condition }: { readonly Condition?: string }): boolean =>
      Condition === undefined || holds(Condition),
    evaluate,
  };
}

/** `ALIYUN::NoValue`: takes the property away. */
const NO_VALUE = Symbol('ALIYUN::NoValue');

export const invalid = (message: string): ServiceError =>
  new ServiceError(400, 'StackValidationFailed', message);

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value];
}
