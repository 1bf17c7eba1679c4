/** A template with its parameters filled in, as far as ours goes: what the service would make of it. */

type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, Json>>;
  readonly Condition?: string;
  readonly DeletionPolicy?: string;
}

export interface Template {
  readonly Parameters: Readonly<Record<string, { readonly Default?: string | number }>>;
  readonly Conditions: Readonly<Record<string, Json>>;
  readonly Resources: Readonly<Record<string, Resource>>;
  readonly Outputs: Readonly<Record<string, { readonly Value: Json }>>;
}

const PSEUDO = { 'ALIYUN::AccountId': '1111111111111111', 'ALIYUN::Region': 'cn-hangzhou' };

/** Left out by `ALIYUN::NoValue`. */
const NO_VALUE = Symbol('no value');

/** The resources that there are with these parameters, with nothing left to be resolved but attributes of others. */
export function resolve(
  template: Template,
  parameters: Readonly<Record<string, string | number>>,
): Readonly<Record<string, Resource>> {
  const defaults = Object.entries(template.Parameters).flatMap(([name, { Default }]) =>
    Default === undefined ? [] : [[name, Default] as const],
  );
  const values: Readonly<Record<string, string | number>> = {
    ...Object.fromEntries(defaults),
    ...PSEUDO,
    ...parameters,
  };
  const valueOf = (name: string): string | number => {
    const value = values[name];
    if (value === undefined) throw new Error(`${name}: no such parameter, or no value for it`);
    return value;
  };
  const holds = (condition: string): boolean => walk(template.Conditions[condition] ?? '') === true;

  function walk(value: Json): unknown {
    if (Array.isArray(value)) return value.map((item: Json) => walk(item));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value);
    const [name, argument = ''] = entries[0] ?? [''];
    const text = typeof argument === 'string' ? argument : '';
    if (name === 'Ref') return text === 'ALIYUN::NoValue' ? NO_VALUE : valueOf(text);
    if (name === 'Fn::Sub')
      return text.replaceAll(/\$\{([\w:]+)\}/g, (_all, of: string) => String(valueOf(of)));
    if (name === 'Fn::GetAtt') return (argument as readonly string[]).join('.');
    if (name === 'Fn::If') {
      const [condition, yes, no] = argument as readonly [string, Json, Json];
      return walk(holds(condition) ? yes : no);
    }
    const items = (): readonly unknown[] => walk(argument) as readonly unknown[];
    if (name === 'Fn::Equals') return String(items()[0]) === String(items()[1]);
    if (name === 'Fn::Not') return items()[0] !== true;
    if (name === 'Fn::Split') return String(items()[1]).split(String(items()[0]));
    if (name.startsWith('Fn::')) throw new Error(`${name}: not known here`);
    return Object.fromEntries(
      entries.map(([key, item]) => [key, walk(item)] as const).filter(([, item]) => item !== NO_VALUE),
    );
  }

  return Object.fromEntries(
    Object.entries(template.Resources)
      .filter(([, { Condition }]) => Condition === undefined || holds(Condition))
      .map(([id, resource]) => [
        id,
        // The shape is the template's; only values are replaced.
        { ...resource, Properties: walk(resource.Properties) as Resource['Properties'] },
      ]),
  );
}
