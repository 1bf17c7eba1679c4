/** What the actions of r-kvstore work on. */
import { ServiceError } from '../http.ts';
import { isAllowed } from '../identity.ts';
import { required, type Action, type Call } from '../openapi/rpc-service.ts';
import type { World } from '../world.ts';
import type { BackupSet, BackupStore, ShardBackup } from './backup-set.ts';
import type { Backups } from './backups.ts';
import type { Instance } from './instance.ts';
import type { TairOptions } from './options.ts';

export interface TairState {
  readonly world: World;
  readonly options: TairOptions;
  readonly instances: ReadonlyMap<string, Instance>;
  readonly store: BackupStore;
  readonly backups: Backups;
  /** Shards that the backup lists leave out, by instance. */
  readonly droppedShards: ReadonlyMap<string, ReadonlySet<string>>;
  /** Calls of CreateBackup that got as far as the instance, refused ones included. */
  readonly createBackupCalls: Map<string, number>;
  /** A fresh signed URL; empty when the shard has no file, or URLs are withheld. */
  downloadUrl(set: BackupSet, shard: ShardBackup): string;
}

export type TairAction = (state: TairState) => Action;

/** Actions that work on no single instance: only a statement on `*` allows them. */
const ON_NO_INSTANCE = new Set(['DescribeRegions', 'DescribeInstances']);

/** Throws when the caller's policies do not allow the action on the instance that the call names. */
export function authorize(state: TairState, call: Call, action: string): void {
  const resource = ON_NO_INSTANCE.has(action) ? '*' : resourceOf(state, call);
  if (isAllowed(call.principal, { action: `kvstore:${action}`, resource })) return;
  throw new ServiceError(
    403,
    'Forbidden.RAM',
    "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
  );
}

/** An instance that is not there is asked about as one of the caller's. */
function resourceOf({ instances }: TairState, { principal, parameters }: Call): string {
  const id = parameters.get('InstanceId') ?? '';
  const instance = instances.get(id);
  const region = instance?.spec.region ?? parameters.get('RegionId') ?? '';
  return `acs:kvstore:${region}:${instance?.accountId ?? principal.accountId}:instance/${id}`;
}

/**
 * The instance that `InstanceId` names: one of the caller's account, and of the region, when the call names one.
 *
 * @throws ServiceError MissingParameter, InvalidInstanceId.NotFound
 */
export function findInstance(state: TairState, call: Call): Instance {
  const instance = state.instances.get(required(call, 'InstanceId'));
  const region = call.parameters.get('RegionId');
  if (
    instance === undefined ||
    instance.accountId !== call.principal.accountId ||
    (region !== undefined && region !== '' && region !== instance.spec.region)
  )
    throw new ServiceError(404, 'InvalidInstanceId.NotFound', 'The specified instance does not exist.');
  return instance;
}

/** The shards of a set that the lists show. */
export function shownShards(
  state: TairState,
  set: { instanceId: string; shards: readonly ShardBackup[] },
): readonly ShardBackup[] {
  const dropped = state.droppedShards.get(set.instanceId);
  return dropped === undefined ? set.shards : set.shards.filter((shard) => !dropped.has(shard.nodeId));
}
