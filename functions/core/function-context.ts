/** What Function Compute hands to a handler beside the event, as far as it is used. */
import type { Platform } from './compose.ts';

/** https://help.aliyun.com/zh/functioncompute/fc-3-0/user-guide/context-1 */
export interface FunctionContext {
  readonly requestId: string;
  /** Of the function's role; empty texts when it has none. */
  readonly credentials: {
    readonly accessKeyId: string;
    readonly accessKeySecret: string;
    readonly securityToken: string;
  };
  readonly function: {
    readonly name: string;
    /** MB */
    readonly memory: number;
    /** Seconds. */
    readonly timeout: number;
  };
  readonly service?: { readonly name: string };
  readonly region: string;
  readonly accountId: string;
}

/** What the composition needs of it; without a role, the environment's own credentials are looked for. */
export function platformOf({ region, accountId, credentials, function: self }: FunctionContext): Platform {
  return {
    region,
    accountId,
    functionName: self.name,
    ...(credentials.accessKeyId === '' ? {} : { credentials: withoutEmptyToken(credentials) }),
  };
}

/** A permanent key has no token; an empty one would be sent, and refused. */
function withoutEmptyToken({
  accessKeyId,
  accessKeySecret,
  securityToken,
}: FunctionContext['credentials']): NonNullable<Platform['credentials']> {
  return { accessKeyId, accessKeySecret, ...(securityToken ? { securityToken } : {}) };
}
