/** What is used of `@alicloud/fc2`, which has no types of its own. */
declare module '@alicloud/fc2' {
  interface Fc2Config {
    readonly accessKeyID: string;
    readonly accessKeySecret: string;
    readonly securityToken?: string;
    readonly region: string;
    readonly endpoint?: string;
    readonly secure?: boolean;
    /** Milliseconds. */
    readonly timeout?: number;
  }

  interface Fc2Answer {
    readonly headers: Readonly<Record<string, string | undefined>>;
    readonly data: unknown;
  }

  class Fc2Client {
    constructor(accountId: string, config: Fc2Config);
    invokeFunction(
      serviceName: string,
      functionName: string,
      event: Buffer,
      headers: Readonly<Record<string, string>>,
      qualifier: string | undefined,
      options: { readonly rawBuf?: boolean },
    ): Promise<Fc2Answer>;
    get(
      path: string,
      query?: Readonly<Record<string, string>>,
      headers?: Readonly<Record<string, string>>,
    ): Promise<Fc2Answer>;
  }

  export = Fc2Client;
}
