/** What the emulator and the host process of a function say to each other over the IPC channel. */

/** The part of the platform's context that can be sent as data; the host adds the logger. */
export interface ContextFields {
  readonly requestId: string;
  readonly credentials: {
    readonly accessKeyId: string;
    readonly accessKeySecret: string;
    readonly securityToken: string;
  };
  readonly function: {
    readonly name: string;
    readonly handler: string;
    /** Megabytes. */
    readonly memory: number;
    /** Seconds. */
    readonly timeout: number;
  };
  readonly service: {
    readonly name: string;
    readonly logProject: string;
    readonly logStore: string;
    readonly qualifier: string;
    readonly versionId: string;
  };
  readonly region: string;
  readonly accountId: string;
  /** 0 at the first delivery of an event. */
  readonly retryCount: number;
}

/** To the host: run the handler once. At most one invocation is under way at a time. */
export interface InvokeMessage {
  readonly kind: 'invoke';
  readonly event: Uint8Array;
  readonly context: ContextFields;
}

export type HostMessage =
  /** The code is loaded, or has failed to load, which the first invocation will tell. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'returned'; readonly body: Uint8Array; readonly maxRssKb: number }
  /** The handler threw, or there is no handler to call. */
  | { readonly kind: 'raised'; readonly error: RaisedError; readonly maxRssKb: number };

/** The body of the answer when code fails, as the platform shapes it. */
export interface RaisedError {
  readonly errorMessage: string;
  readonly errorType: string;
  readonly stackTrace: readonly string[];
}

/**
 * Written to both output streams after each invocation, so that the reader knows that it has all of its lines:
 * pipes and the IPC channel are not ordered among each other.
 */
export function endOfOutput(requestId: string): string {
  return `\0${requestId}\0`;
}
