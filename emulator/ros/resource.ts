/** What a resource type of ROS is to the stack that has one of it. */
import type { Oss } from '../oss/oss-service.ts';
import type { World } from '../world.ts';
import type { Records } from './resources/records.ts';

export type Properties = Readonly<Record<string, unknown>>;

/** What nobody knows of the service, and what a deployment has to survive either way. */
export interface RosOptions {
  /** What becomes of a stack with a bucket that the account has already. Default refused. */
  readonly ownBuckets: 'refused' | 'adopted';
  /** What becomes of a resource with `DeletionPolicy: Retain` when a creation is undone. Default kept. */
  readonly retainedInRollback: 'kept' | 'removed';
}

export interface Place {
  readonly world: World;
  readonly oss: Oss;
  readonly records: Records;
  readonly options: RosOptions;
  /** Of the stack, and so of all that is in it. */
  readonly accountId: string;
  readonly region: string;
}

export interface Made {
  readonly physicalId: string;
  /** What `Fn::GetAtt` finds. */
  readonly attributes: Readonly<Record<string, unknown>>;
  /** It was there before: undoing must leave it there. */
  readonly wasThere?: boolean;
}

/** Every method throws a ResourceFailure, or a RangeError, that says why it cannot be done. */
export interface ResourceType {
  /** What cannot be changed: when it differs, a new one is made, and the old removed. */
  identityOf(properties: Properties): readonly unknown[];
  create(properties: Properties, place: Place): Promise<Made>;
  /** Afterwards it is as the properties say; what they do not mention any more is as if never mentioned. */
  update(before: Properties, after: Properties, place: Place): Promise<Made>;
  /** Does nothing when it is not there. */
  remove(properties: Properties, place: Place): Promise<void>;
}

/** Why a resource cannot be made, as the service behind it says it. */
export class ResourceFailure extends Error {
  override readonly name = 'ResourceFailure';
  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
  }
}
