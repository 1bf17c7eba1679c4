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

/** Throws when the caller's role does not allow the action. */
export function authorize(call: Call, action: string): void {
  if (isAllowed(call.principal, `kvstore:${action}`)) return;
  throw new ServiceError(
    403,
    'Forbidden.RAM',
    "User not authorized to operate on the specified resource, or this API doesn't support RAM.",
  );
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
