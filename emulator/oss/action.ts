/** What the actions of OSS have in common: how they are called, and what they declare about themselves. */
import type { Reply, Request } from '../http.ts';
import type { Principal } from '../identity.ts';
import type { Address } from './address.ts';
import type { Bucket, Store } from './store.ts';

interface ServiceCall {
  readonly request: Request;
  readonly query: URLSearchParams;
  readonly principal: Principal;
  readonly store: Store;
  /** Milliseconds since 1970, by the emulator's clock. */
  readonly now: number;
  /** From the address; there need not be such a bucket. */
  readonly bucketName: string;
  /** The region that the request was sent to or signed for. */
  readonly region: string;
  /** Throws AccessDenied unless the caller may do this as well, with what the request is about or with something else. */
  readonly demand: (permission: string, other?: Address) => void;
}

/** The bucket is there, and belongs to the caller's account. */
interface BucketCall extends ServiceCall {
  readonly bucket: Bucket;
}

export interface ObjectCall extends BucketCall {
  readonly key: string;
}

interface Declared {
  /** As the API reference calls it. */
  readonly name: string;
  /** The RAM action that a caller's policy must have. */
  readonly permission: string;
}

export interface ServiceAction extends Declared {
  readonly on: 'service';
  perform(call: ServiceCall): Promise<Reply>;
}

export interface BucketAction extends Declared {
  readonly on: 'bucket';
  perform(call: BucketCall): Promise<Reply>;
}

export interface ObjectAction extends Declared {
  readonly on: 'object';
  perform(call: ObjectCall): Promise<Reply>;
}

export type Action = ServiceAction | BucketAction | ObjectAction;
