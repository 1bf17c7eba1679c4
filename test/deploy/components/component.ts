/** How the Serverless Devs CLI calls a component: one method a command, with what `s.yaml` says of the resource. */
export interface Inputs {
  readonly props: Readonly<Record<string, unknown>>;
  readonly args: readonly string[];
  readonly yaml: { readonly path: string };
  readonly resource: { readonly name: string };
  getCredential(): Promise<Credential>;
}

export interface Credential {
  readonly AccountID: string;
  readonly AccessKeyID: string;
  readonly AccessKeySecret: string;
  readonly SecurityToken?: string;
}

/** Where the double sends everything. Without it there is no double: it must never reach a real cloud. */
export function loopback(name: string, value: string | undefined): URL {
  const url = new URL(value?.includes('://') === true ? value : `https://${value}`);
  if (url.hostname !== '127.0.0.1') throw new Error(`${name} must be an address on 127.0.0.1, not ${value}`);
  return url;
}
