/** Resources of services that are not emulated: they are checked for their names, kept, and shown. */
import { isRecord } from '../template.ts';
import { ResourceFailure, type Made, type Properties, type ResourceType } from '../resource.ts';

export interface Recorded {
  readonly type: string;
  /** What tells it from others of its type. */
  readonly name: string;
  readonly accountId: string;
  readonly region: string;
  readonly properties: Properties;
}

export interface Records {
  all(): readonly Recorded[];
  find(type: string, name: string): Recorded | undefined;
  put(recorded: Recorded): void;
  remove(type: string, name: string): void;
}

export function createRecords(): Records {
  const records = new Map<string, Recorded>();
  const keyOf = (type: string, name: string): string => `${type} ${name}`;
  return {
    all: () => [...records.values()],
    find: (type, name) => records.get(keyOf(type, name)),
    put: (recorded) => void records.set(keyOf(recorded.type, recorded.name), recorded),
    remove: (type, name) => void records.delete(keyOf(type, name)),
  };
}

/** @param names the properties that together are the name; a dot leads into one: `Detail.Name` */
export function recordedType(type: string, names: readonly string[]): ResourceType {
  const nameOf = (properties: Properties): string =>
    names.map((path) => textAt(properties, path.split('.'))).join('/');
  const made = (properties: Properties): Made => ({ physicalId: nameOf(properties), attributes: properties });
  return {
    identityOf: (properties) => [nameOf(properties)],
    async create(properties, { records, accountId, region }) {
      const name = nameOf(properties);
      if (records.find(type, name) !== undefined)
        throw new ResourceFailure('AlreadyExists', `There is a ${type} named ${name} already.`);
      records.put({ type, name, accountId, region, properties });
      return made(properties);
    },
    async update(_before, properties, { records, accountId, region }) {
      records.put({ type, name: nameOf(properties), accountId, region, properties });
      return made(properties);
    },
    async remove(properties, { records }) {
      records.remove(type, nameOf(properties));
    },
  };
}

/** Throws a ResourceFailure when there is no text. */
function textAt(properties: Properties, [name = '', ...rest]: readonly string[]): string {
  const value = properties[name];
  if (rest.length > 0 && isRecord(value)) return textAt(value, rest);
  if (rest.length === 0 && typeof value === 'string' && value !== '') return value;
  throw new ResourceFailure(
    'InvalidParameter',
    `The property ${name} must be a text, not ${JSON.stringify(value)}.`,
  );
}
