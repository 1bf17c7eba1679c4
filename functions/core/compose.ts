/**
 * Configuration in, wired clients out: the only importer of `aliyun/`. Everything here is made for one invocation and
 * holds no state of any run; nothing is called before it is used.
 */
import {
  assumeBySts,
  assumedRole,
  chainedCredentials,
  fixedCredentials,
  type Credentials,
  type CredentialsProvider,
} from './aliyun/credentials.ts';
import { readBucketSettings } from './aliyun/bucket-settings.ts';
import { callerOnce, getCaller, stsEndpoint, type Caller } from './aliyun/caller.ts';
import { createCmsEvents } from './aliyun/cms.ts';
import { describeFunction, type FunctionFacts } from './aliyun/fc-describe.ts';
import { createFc2Functions } from './aliyun/fc2.ts';
import { createFc3Functions } from './aliyun/fc3.ts';
import { readRole, type RoleFacts } from './aliyun/ram-roles.ts';
import { createOssStore, type OssStore } from './aliyun/oss.ts';
import { HOME_REGION, createTairSource, tairAddress } from './aliyun/tair.ts';
import type { Account, Destination, Environment, Plan, Variables } from './config.ts';
import type { WhoAmI } from './denials.ts';
import { BackupError } from './errors.ts';
import type { Events } from './events.ts';
import type { FunctionClient } from './invoker.ts';
import { createServerSource } from './redis/server-source.ts';
import type { BucketSettings } from './repository/bucket-settings.ts';
import type { Reach } from './source/select.ts';
import type { BackupPolicies, Source } from './source/source.ts';
import { createHttpClient, type HttpClient } from './transfer/http.ts';
import { createLeanHttpClient } from './transfer/lean-http.ts';

export type { Caller, FunctionFacts, RoleFacts };

/** What the platform tells a function about itself. The CLI knows none of it. */
export interface Platform {
  readonly region?: string;
  readonly accountId?: string;
  /** Of the function's role; valid longer than any invocation. */
  readonly credentials?: Credentials;
  /** The function's own name. */
  readonly functionName?: string;
}

export interface Cloud {
  storeFor(destination: Destination): OssStore;
  /** The instances of an account: the caller's own, or the one whose role is named; or the one server. */
  sourceFor(reach: Reach): Source;
  /** For downloads. */
  readonly http: HttpClient;
}

/** @param variables hold the passwords of servers, under the names that plans give */
export function composeCloud(
  environment: Environment,
  platform: Platform = {},
  variables: Variables = process.env,
): Cloud {
  const { endpoints } = environment;
  const credentials = ownCredentials(platform);
  const accounts = new Map<string, Source>();
  const whoAmI = nameOfCaller(environment, platform, credentials);

  const http = environment.http === 'node' ? createHttpClient() : createLeanHttpClient();

  return {
    http,

    storeFor: ({ region, bucket }) =>
      createOssStore({
        region,
        bucket,
        credentials,
        http,
        internal: platform.region === region,
        whoAmI,
        ...(endpoints.oss === undefined ? {} : { endpoint: endpoints.oss }),
      }),

    sourceFor: ({ account, server }) => {
      if (server !== undefined)
        return createServerSource({ servers: [server], secretOf: (name) => variables[name] });
      const id = account === undefined ? '' : `${account.roleArn} ${account.externalId ?? ''}`;
      const known = accounts.get(id);
      if (known !== undefined) return known;
      const source = createTairSource({
        credentials: credentialsOf(account, credentials, endpoints.sts, whoAmI),
        endpoint: endpoints.tair,
        internalIn: environment.downloads === 'internal' ? platform.region : undefined,
        whoAmI: account === undefined ? whoAmI : async () => account.roleArn,
      });
      accounts.set(id, source);
      return source;
    },
  };
}

/** A client for a function of this name; `service/function` is one of the older generation. */
export type FunctionsFor = (name: string) => FunctionClient;

/** Apart from the rest, so that functions that invoke no other do not carry the clients for it. */
export function composeFunctions(environment: Environment, platform: Platform): FunctionsFor {
  const credentials = ownCredentials(platform);
  const whoAmI = nameOfCaller(environment, platform, credentials);
  return (name) => {
    const options = {
      credentials,
      whoAmI,
      accountId: required(platform.accountId, 'account id', 'FC_ACCOUNT_ID'),
      region: required(platform.region, 'region', 'FC_REGION'),
      endpoint: environment.endpoints.fc,
    };
    return name.includes('/') ? createFc2Functions(options) : createFc3Functions(options);
  };
}

/** Where a run that did not succeed is told. Never throws: a run does not depend on it. */
export function composeEvents(environment: Environment, platform: Platform): Events {
  const credentials = ownCredentials(platform);
  return createCmsEvents({
    credentials,
    whoAmI: nameOfCaller(environment, platform, credentials),
    region: platform.region ?? '',
    endpoint: environment.endpoints.cms,
  });
}

/** What can be looked at before anything is relied upon; nothing of it changes anything. */
export interface Inspection {
  /** Of the caller, where it is known. */
  readonly accountId?: string;
  /** Throws when there are none. */
  findCredentials(): Promise<void>;
  whoAmI(signal: AbortSignal): Promise<Caller>;
  /** Throws when the account's role cannot be assumed. */
  assumeRole(account: Account): Promise<void>;
  bucketSettings(destination: Destination, signal: AbortSignal): Promise<BucketSettings>;
  policiesFor(account: Account | undefined): BackupPolicies;
  describeFunction(name: string, signal: AbortSignal): Promise<FunctionFacts>;
  /** A role of the caller's own account. */
  readRole(name: string, signal: AbortSignal): Promise<RoleFacts>;
  /** Everything that these plans and their functions talk to, each address once. */
  endpoints(plans: readonly Plan[]): readonly ServiceEndpoint[];
}

export interface ServiceEndpoint {
  /** For people. */
  readonly service: string;
  readonly url: string;
  /** A run needs it; not only the function that says how it ended, or doctor. */
  readonly isNeeded: boolean;
}

/** For the command line: no function carries it. */
export function composeInspection(environment: Environment, platform: Platform): Inspection {
  const { endpoints } = environment;
  const { region, accountId } = platform;
  const credentials = ownCredentials(platform);
  const http = createHttpClient();
  return {
    ...(accountId === undefined ? {} : { accountId }),
    findCredentials: async () => void (await credentials()),
    whoAmI: async (signal) => getCaller({ credentials, region, endpoint: endpoints.sts }, signal),
    assumeRole: async (account) => void (await credentialsOf(account, credentials, endpoints.sts)()),
    bucketSettings: async ({ region, bucket }, signal) =>
      readBucketSettings(
        {
          region,
          bucket,
          credentials,
          http,
          ...(endpoints.oss === undefined ? {} : { endpoint: endpoints.oss }),
        },
        signal,
      ),
    policiesFor: (account) =>
      createTairSource({
        credentials: credentialsOf(account, credentials, endpoints.sts),
        endpoint: endpoints.tair,
      }),
    describeFunction: async (name, signal) =>
      describeFunction(
        {
          credentials,
          accountId: required(accountId, 'account id', 'FC_ACCOUNT_ID'),
          region: required(region, 'region', 'FC_REGION'),
          endpoint: endpoints.fc,
        },
        name,
        signal,
      ),
    readRole: async (name, signal) =>
      readRole(
        {
          credentials,
          accountId: required(accountId, 'account id', 'FC_ACCOUNT_ID'),
          endpoint: endpoints.ram,
        },
        name,
        signal,
      ),
    endpoints: (plans) => endpointsOf(plans, environment, platform),
  };
}

function endpointsOf(
  plans: readonly Plan[],
  { endpoints }: Environment,
  { region, accountId }: Platform,
): readonly ServiceEndpoint[] {
  const found: ServiceEndpoint[] = [];
  const add = (service: string, isNeeded: boolean, url: string): void => {
    if (!found.some((known) => known.url === url)) found.push({ service, url, isNeeded });
  };
  const targets = plans.flatMap((plan) => plan.targets).filter(({ server }) => server === undefined);
  for (const target of targets) {
    const regions = target.region === '*' ? [HOME_REGION] : target.region;
    for (const one of regions) add(`r-kvstore of ${one}`, true, endpoints.tair ?? tairAddress(one));
  }
  for (const { destination } of plans)
    add(
      `OSS of ${destination.region}`,
      true,
      endpoints.oss ?? `https://oss-${destination.region}.aliyuncs.com`,
    );
  const hasAccounts = targets.some(({ account }) => account !== undefined);
  add('STS', hasAccounts, endpoints.sts ?? stsEndpoint(region));
  if (region === undefined) return found;
  if (endpoints.fc !== undefined || accountId !== undefined)
    add('Function Compute', true, endpoints.fc ?? `https://${accountId}.${region}.fc.aliyuncs.com`);
  add('CloudMonitor', false, endpoints.cms ?? `https://metrics.${region}.aliyuncs.com`);
  return found;
}

/** Asked for only when something is refused. */
function nameOfCaller(
  { endpoints }: Environment,
  { region, functionName }: Platform,
  credentials: CredentialsProvider,
): WhoAmI {
  const otherwise = functionName === undefined ? 'the caller' : `the role of function ${functionName}`;
  return callerOnce({ credentials, region, endpoint: endpoints.sts }, otherwise);
}

function ownCredentials(platform: Platform): CredentialsProvider {
  return platform.credentials === undefined ? chainedCredentials() : fixedCredentials(platform.credentials);
}

function credentialsOf(
  account: Account | undefined,
  own: CredentialsProvider,
  stsEndpoint: string | undefined,
  whoAmI?: WhoAmI,
): CredentialsProvider {
  if (account === undefined) return own;
  return assumedRole(own, assumeBySts(account, stsEndpoint, whoAmI));
}

function required(value: string | undefined, what: string, variable: string): string {
  if (value !== undefined && value !== '') return value;
  throw new BackupError('CONFIG_INVALID', `invoke a function: its ${what} is not known`, {
    hint: `set ${variable}`,
  });
}
