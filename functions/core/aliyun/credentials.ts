/** Where the keys of a call come from. Asked for at each use: keys of a role change while a long backup runs. */

export interface Credentials {
  readonly accessKeyId: string;
  readonly accessKeySecret: string;
  /** Of a temporary session; absent for a permanent key. */
  readonly securityToken?: string;
}

/** Gives credentials that are valid now. Cheap to call often: a provider that has to ask a service keeps the answer. */
export type CredentialsProvider = () => Promise<Credentials>;

/** Always the same keys: those of a function's context, which outlive every invocation. */
export function fixedCredentials(credentials: Credentials): CredentialsProvider {
  return async () => credentials;
}
