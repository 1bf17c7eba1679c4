/**
 * Stacks: a template applied to an account. Resources are made in the order in which they need each other; when one
 * cannot be made, what was done is undone. Work goes on after the call that asked for it was answered.
 *
 * https://www.alibabacloud.com/help/en/ros/user-guide/overview-of-stacks
 */
import { randomUUID } from 'node:crypto';
import { ServiceError } from '../http.ts';
import { RESOURCE_TYPES } from './resource-types.ts';
import type { Made, Place, Properties, ResourceType } from './resource.ts';
import {
  createEvaluator,
  invalid,
  isRecord,
  orderOf,
  readParameters,
  readTemplate,
  type Template,
  type Values,
} from './template.ts';

export interface StackResource extends Made {
  readonly logicalId: string;
  readonly type: string;
  readonly properties: Properties;
  /** It stays when the stack is deleted, or does not have it any more. */
  readonly isRetained: boolean;
}

export interface StackEvent {
  readonly eventId: string;
  readonly at: number;
  readonly logicalId: string;
  readonly physicalId: string;
  readonly type: string;
  readonly status: string;
  readonly reason: string;
}

export interface Stack {
  readonly id: string;
  readonly name: string;
  readonly accountId: string;
  readonly region: string;
  readonly createdAt: number;
  readonly updatedAt?: number;
  /** `CREATE_COMPLETE` and the like. */
  readonly status: string;
  readonly reason: string;
  readonly template: Template;
  /** As they were given: text. */
  readonly given: ReadonlyMap<string, string>;
  readonly body: string;
  readonly resources: ReadonlyMap<string, StackResource>;
  readonly outputs: readonly {
    readonly key: string;
    readonly value: unknown;
    readonly description: string;
  }[];
  /** Newest last. */
  readonly events: readonly StackEvent[];
}

export interface StackInput {
  readonly name: string;
  readonly body: string;
  readonly given: ReadonlyMap<string, string>;
}

export interface Stacks {
  all(): readonly Stack[];
  /** Those that were deleted too. */
  find(id: string): Stack | undefined;
  /** Throws a ServiceError when template or parameters are wrong, or the name is taken. */
  create(input: StackInput, owner: { readonly accountId: string; readonly region: string }): Stack;
  /** The same, and when nothing would change. With `isDryRun` nothing is done. */
  update(id: string, input: Omit<StackInput, 'name'>, options: { readonly isDryRun: boolean }): void;
  remove(id: string): void;
  /** Resolves when no stack is being worked on. */
  whenIdle(): Promise<void>;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type OpenStack = Mutable<Omit<Stack, 'resources' | 'events'>> & {
  readonly resources: Map<string, StackResource>;
  readonly events: StackEvent[];
};

const KNOWN_TYPES: ReadonlySet<string> = new Set(RESOURCE_TYPES.keys());
const MAX_EVENTS = 1000;

export function createStacks(place: Omit<Place, 'accountId' | 'region'>): Stacks {
  const { clock } = place.world;
  const stacks = new Map<string, OpenStack>();
  const working = new Set<Promise<void>>();

  function create({ name, body, given }: StackInput, owner: { accountId: string; region: string }): Stack {
    if (!/^[A-Za-z][\w-]{0,254}$/.test(name)) throw invalid(`The stack name (${name}) is invalid.`);
    const template = readTemplate(body, KNOWN_TYPES);
    readParameters(template, given);
    const isTaken = [...stacks.values()].some(
      (stack) => stack.name === name && sameOwner(stack, owner) && stack.status !== 'DELETE_COMPLETE',
    );
    if (isTaken) throw new ServiceError(409, 'StackExists', `The Stack (${name}) already exists.`);
    const stack: OpenStack = {
      id: randomUUID(),
      name,
      ...owner,
      createdAt: clock.now(),
      status: 'CREATE_IN_PROGRESS',
      reason: 'Stack CREATE started',
      template,
      given,
      body,
      resources: new Map(),
      outputs: [],
      events: [],
    };
    stacks.set(stack.id, stack);
    start(stack, 'CREATE', async () => apply(stack, template, given, 'CREATE'));
    return stack;
  }

  function update(
    id: string,
    { body, given }: Omit<StackInput, 'name'>,
    { isDryRun }: { readonly isDryRun: boolean },
  ): void {
    const stack = present(id);
    refuseWhenBusy(stack);
    const template = readTemplate(body, KNOWN_TYPES);
    readParameters(template, given);
    if (/^(CREATE|UPDATE)_COMPLETE$/.test(stack.status) && stack.body === body && sameMap(stack.given, given))
      throw new ServiceError(400, 'NotSupported', 'Update the completely same stack is not supported.');
    if (isDryRun) return;
    stack.updatedAt = clock.now();
    start(stack, 'UPDATE', async () => {
      await apply(stack, template, given, 'UPDATE');
      Object.assign(stack, { template, given, body });
    });
  }

  function remove(id: string): void {
    const stack = present(id);
    if (stack.status === 'DELETE_COMPLETE') return;
    refuseWhenBusy(stack);
    start(stack, 'DELETE', async () => {
      for (const resource of [...stack.resources.values()].reverse()) await drop(stack, resource);
      stack.outputs = [];
    });
  }

  function present(id: string): OpenStack {
    const stack = stacks.get(id);
    if (stack === undefined)
      throw new ServiceError(404, 'StackNotFound', `The Stack (${id}) could not be found.`);
    return stack;
  }

  /** Does the work after the present call, and says how it ended. */
  function start(stack: OpenStack, verb: 'CREATE' | 'UPDATE' | 'DELETE', work: () => Promise<void>): void {
    tell(stack, undefined, `${verb}_IN_PROGRESS`, `Stack ${verb} started`);
    const running = (async () => {
      await new Promise((resolve) => setImmediate(resolve));
      try {
        await work();
        tell(stack, undefined, `${verb}_COMPLETE`, `Stack ${verb} completed successfully`);
      } catch (error) {
        const status = error instanceof Undone ? error.status : `${verb}_FAILED`;
        tell(stack, undefined, status, reasonOf(error));
      }
    })();
    working.add(running);
    void running.finally(() => working.delete(running));
  }

  async function apply(
    stack: OpenStack,
    template: Template,
    given: ReadonlyMap<string, string>,
    verb: 'CREATE' | 'UPDATE',
  ): Promise<void> {
    const { isThere, evaluate } = createEvaluator(template, scopeOf(stack, readParameters(template, given)));
    const undo: (() => Promise<void>)[] = [];
    try {
      const wanted = orderOf(template).filter((id) => isThere(template.resources[id] ?? {}));
      for (const id of wanted) {
        const spec = template.resources[id];
        if (spec === undefined) continue;
        const properties = evaluate(spec.Properties ?? {});
        if (!isRecord(properties)) throw invalid(`The properties of (${id}) are not an object.`);
        await bring(
          stack,
          { id, type: spec.Type, properties, isRetained: spec.DeletionPolicy === 'Retain' },
          undo,
        );
      }
      const outputs = Object.entries(template.outputs)
        .filter(([, output]) => isThere(output))
        .map(([key, { Value, Description = '' }]) => ({
          key,
          value: evaluate(Value),
          description: Description,
        }));
      // Last, when nothing can fail any more that would need them again.
      for (const resource of [...stack.resources.values()].reverse())
        if (!wanted.includes(resource.logicalId)) await drop(stack, resource);
      stack.outputs = outputs;
    } catch (error) {
      const prefix = verb === 'CREATE' ? 'CREATE_ROLLBACK' : 'ROLLBACK';
      tell(stack, undefined, `${prefix}_IN_PROGRESS`, reasonOf(error));
      try {
        for (const step of undo.reverse()) await step();
      } catch (failure) {
        throw new Undone(`${prefix}_FAILED`, `${reasonOf(error)}; undoing failed: ${reasonOf(failure)}`);
      }
      throw new Undone(`${prefix}_COMPLETE`, reasonOf(error));
    }
  }

  /** Makes a resource be there and as it should, and notes how that is undone. */
  async function bring(
    stack: OpenStack,
    { id, type, properties, isRetained }: Wanted,
    undo: (() => Promise<void>)[],
  ): Promise<void> {
    const known = stack.resources.get(id);
    const handler = typeOf(type);
    const here = placeOf(stack);
    const isAnother =
      known !== undefined &&
      (known.type !== type || !same(handler.identityOf(known.properties), handler.identityOf(properties)));
    if (known !== undefined && !isAnother && same(known.properties, properties)) {
      stack.resources.set(id, { ...known, isRetained });
      return;
    }
    const verb = known === undefined || isAnother ? 'CREATE' : 'UPDATE';
    tell(
      stack,
      { logicalId: id, type, physicalId: known?.physicalId ?? '' },
      `${verb}_IN_PROGRESS`,
      'state changed',
    );
    try {
      const made =
        known === undefined || isAnother
          ? await handler.create(properties, here)
          : await handler.update(known.properties, properties, here);
      const resource: StackResource = { ...made, logicalId: id, type, properties, isRetained };
      stack.resources.set(id, resource);
      tell(stack, resource, `${verb}_COMPLETE`, 'state changed');
      if (verb === 'CREATE') {
        undo.push(async () => {
          const isKept = isRetained && place.options.retainedInRollback === 'kept';
          if (made.wasThere !== true && !isKept) await handler.remove(properties, here);
          if (known === undefined) stack.resources.delete(id);
          else stack.resources.set(id, known);
        });
        if (known !== undefined && !known.isRetained) await typeOf(known.type).remove(known.properties, here);
      } else if (known !== undefined) {
        undo.push(async () => {
          await handler.update(properties, known.properties, here);
          stack.resources.set(id, known);
        });
      }
    } catch (error) {
      tell(stack, { logicalId: id, type, physicalId: '' }, `${verb}_FAILED`, reasonOf(error));
      throw new Error(`Resource ${verb} failed: ${reasonOf(error)} (${id}, ${type})`, { cause: error });
    }
  }

  async function drop(stack: OpenStack, resource: StackResource): Promise<void> {
    if (!resource.isRetained) {
      tell(stack, resource, 'DELETE_IN_PROGRESS', 'state changed');
      try {
        await typeOf(resource.type).remove(resource.properties, placeOf(stack));
      } catch (error) {
        tell(stack, resource, 'DELETE_FAILED', reasonOf(error));
        throw error;
      }
      tell(stack, resource, 'DELETE_COMPLETE', 'state changed');
    }
    stack.resources.delete(resource.logicalId);
  }

  function placeOf({ accountId, region }: Stack): Place {
    return { ...place, accountId, region };
  }

  function scopeOf(stack: OpenStack, parameters: Values): Parameters<typeof createEvaluator>[1] {
    const resource = (id: string): StackResource => {
      const found = stack.resources.get(id);
      if (found === undefined) throw invalid(`The Referenced Resource (${id}) could not be found.`);
      return found;
    };
    return {
      parameters,
      pseudo: {
        'ALIYUN::AccountId': stack.accountId,
        'ALIYUN::TenantId': stack.accountId,
        'ALIYUN::Region': stack.region,
        'ALIYUN::StackName': stack.name,
        'ALIYUN::StackId': stack.id,
      },
      refTo: (id) => resource(id).physicalId,
      attributeOf(id, attribute) {
        const { attributes } = resource(id);
        if (!(attribute in attributes))
          throw invalid(`The Referenced Attribute (${id} ${attribute}) is incorrect.`);
        return attributes[attribute];
      },
    };
  }

  function tell(
    stack: OpenStack,
    about: Pick<StackResource, 'logicalId' | 'physicalId' | 'type'> | undefined,
    status: string,
    reason: string,
  ): void {
    if (about === undefined) Object.assign(stack, { status, reason });
    const { logicalId, physicalId, type } = about ?? {
      logicalId: stack.name,
      physicalId: stack.id,
      type: 'ALIYUN::ROS::Stack',
    };
    stack.events.push({
      eventId: randomUUID(),
      at: clock.now(),
      logicalId,
      physicalId,
      type,
      status,
      reason,
    });
    if (stack.events.length > MAX_EVENTS) stack.events.shift();
  }

  return {
    all: () => [...stacks.values()],
    find: (id) => stacks.get(id),
    create,
    update,
    remove,
    async whenIdle() {
      while (working.size > 0) await Promise.allSettled(working);
    },
  };
}

interface Wanted {
  readonly id: string;
  readonly type: string;
  readonly properties: Properties;
  readonly isRetained: boolean;
}

/** The work failed, and what it had done was undone, or could not be. */
class Undone extends Error {
  override readonly name = 'Undone';
  readonly status: string;
  constructor(status: string, message: string) {
    super(message);
    this.status = status;
  }
}

function typeOf(name: string): ResourceType {
  const type = RESOURCE_TYPES.get(name);
  if (type === undefined) throw invalid(`The Resource Type (${name}) could not be found.`);
  return type;
}

function refuseWhenBusy({ name, status }: Stack): void {
  if (status.endsWith('_IN_PROGRESS'))
    throw new ServiceError(
      409,
      'ActionInProgress',
      `Stack ${name} already has an action (${status}) in progress.`,
    );
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown reason');

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);

const sameMap = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([name, value]) => b.get(name) === value);

const sameOwner = (stack: Stack, owner: { readonly accountId: string; readonly region: string }): boolean =>
  stack.accountId === owner.accountId && stack.region === owner.region;
