/** Resource Orchestration on loopback, over https: stacks of the resource types that tairlift uses. See docs/emulator/ros.md. */
import type { Service } from '../http.ts';
import { createRpcService } from '../openapi/rpc-service.ts';
import type { Oss } from '../oss/oss-service.ts';
import type { World } from '../world.ts';
import { createStack } from './actions/create-stack.ts';
import { deleteStack } from './actions/delete-stack.ts';
import { getStack } from './actions/get-stack.ts';
import { listStackEvents } from './actions/list-stack-events.ts';
import { listStackResources } from './actions/list-stack-resources.ts';
import { listStacks } from './actions/list-stacks.ts';
import { updateStack } from './actions/update-stack.ts';
import { validateTemplate } from './actions/validate-template.ts';
import type { RosOptions } from './resource.ts';
import { createRecords, type Recorded } from './resources/records.ts';
import { createStacks } from './stacks.ts';

const DEFAULTS: RosOptions = { ownBuckets: 'refused', retainedInRollback: 'kept' };

export interface Ros {
  readonly service: Service;
  describe(): readonly StackDescription[];
  /** Resources of services that are not emulated: log projects, queues, alarms. */
  recorded(): readonly Recorded[];
  /** Is there this logstore in the account? */
  hasLogstore(accountId: string, project: string, logstore: string): boolean;
  hasQueue(accountId: string, queue: string): boolean;
  /** Resolves when no stack is being worked on. */
  whenIdle(): Promise<void>;
}

interface StackDescription {
  readonly name: string;
  readonly region: string;
  readonly status: string;
  readonly reason: string;
  readonly resources: readonly { readonly id: string; readonly type: string; readonly physicalId: string }[];
}

export function createRos(world: World, oss: Oss, options: Partial<RosOptions> = {}): Ros {
  const records = createRecords();
  const stacks = createStacks({ world, oss, records, options: { ...DEFAULTS, ...options } });
  const has = (type: string, name: string, accountId: string): boolean =>
    records.find(type, name)?.accountId === accountId;
  return {
    service: createRpcService({
      name: 'ros',
      version: '2019-09-10',
      identity: world.identity,
      targetParameters: ['StackName', 'StackName.1', 'StackId'],
      actions: {
        ListStacks: listStacks(stacks),
        CreateStack: createStack(stacks),
        UpdateStack: updateStack(stacks),
        GetStack: getStack(stacks),
        ListStackEvents: listStackEvents(stacks),
        ListStackResources: listStackResources(stacks),
        DeleteStack: deleteStack(stacks),
        ValidateTemplate: validateTemplate,
      },
    }),
    describe: () =>
      stacks.all().map(({ name, region, status, reason, resources }) => ({
        name,
        region,
        status,
        reason,
        resources: [...resources.values()].map(({ logicalId: id, type, physicalId }) => ({
          id,
          type,
          physicalId,
        })),
      })),
    recorded: () => records.all(),
    hasLogstore: (accountId, project, logstore) =>
      has('ALIYUN::SLS::Logstore', `${project}/${logstore}`, accountId),
    hasQueue: (accountId, queue) => has('ALIYUN::MNS::Queue', queue, accountId),
    whenIdle: async () => stacks.whenIdle(),
  };
}
