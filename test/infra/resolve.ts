/** A template with its parameters filled in, as the emulator's Resource Orchestration would make it. */
import { RESOURCE_TYPES } from '../../emulator/ros/resource-types.ts';
import { createEvaluator, isRecord, readParameters, readTemplate } from '../../emulator/ros/template.ts';

export interface Resource {
  readonly Type: string;
  readonly Properties: Readonly<Record<string, unknown>>;
}

const PSEUDO = { 'ALIYUN::AccountId': '1111111111111111', 'ALIYUN::Region': 'cn-hangzhou' };

/**
 * The resources that there are with these parameters, by their ids in the template. Attributes of other resources stay
 * as `<id>.<attribute>`.
 * @param numbers what a parameter that is a number is in an expression: one, or its text as it was given
 */
export function resolve(
  text: string,
  parameters: Readonly<Record<string, string>>,
  numbers: 'numbers' | 'texts' = 'numbers',
): Readonly<Record<string, Resource>> {
  const template = readTemplate(text, new Set(RESOURCE_TYPES.keys()));
  const { isThere, evaluate } = createEvaluator(template, {
    parameters: Object.fromEntries(
      Object.entries(readParameters(template, new Map(Object.entries(parameters)))).map(([name, value]) => [
        name,
        numbers === 'texts' && typeof value === 'number' ? String(value) : value,
      ]),
    ),
    pseudo: PSEUDO,
    refTo: (id) => id,
    attributeOf: (id, attribute) => `${id}.${attribute}`,
  });
  return Object.fromEntries(
    Object.entries(template.resources)
      .filter(([, resource]) => isThere(resource))
      .map(([id, { Type, Properties = {} }]) => {
        const properties = evaluate(Properties);
        return [id, { Type, Properties: isRecord(properties) ? properties : {} }];
      }),
  );
}
