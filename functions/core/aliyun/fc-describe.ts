/**
 * What Function Compute says of a function that is deployed. Asked with the plain client: a function that never asks
 * must not carry the classes of these answers, and it would if the client for invocations named them.
 */
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { BackupError } from '../errors.ts';
import { PATIENT, retry, systemClock } from '../transfer/retry.ts';
import type { CredentialsProvider } from './credentials.ts';
import { toInvokeError } from './fc-answers.ts';
import { NO_RUNTIME_OPTIONS, abandonOnAbort, openApiConfig, toCallFailure } from './openapi.ts';

export interface FunctionOptions {
  readonly credentials: CredentialsProvider;
  readonly accountId: string;
  readonly region: string;
  /** `http(s)://host:port` in place of the account's public address. */
  readonly endpoint?: string | undefined;
}

export interface FunctionFacts {
  readonly memoryMb: number;
  readonly timeoutSeconds: number;
  readonly runtime: string;
  /** ARN; empty when it has none. */
  readonly role: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Of code or configuration, ISO 8601; empty when it is not told. */
  readonly modifiedAt: string;
  readonly isInVpc: boolean;
  /** Where its log goes; undefined when nowhere. */
  readonly log?: { readonly project: string; readonly logstore: string };
  /** Undefined when it may not be looked at. */
  readonly timers?: readonly TimerFacts[];
  /** Undefined when it may not be looked at. */
  readonly tries?: AsyncFacts;
  /** Why something is undefined, with the right that would be needed. */
  readonly denied: readonly BackupError[];
}

export interface TimerFacts {
  readonly name: string;
  readonly cron: string;
  readonly payload: string;
  readonly isEnabled: boolean;
}

/** How the platform treats asynchronous invocations. */
export interface AsyncFacts {
  /** Invocations are recognised by their task id, and can be asked for. */
  readonly isTask: boolean;
  /** After the first one. */
  readonly retries: number;
  /** ARN of where events go that are given up; undefined when nowhere. */
  readonly givenUpTo?: string;
}

/** The platform's own number of retries, where nothing is configured. */
const DEFAULT_RETRIES = 3;

type Json = Readonly<Record<string, unknown>>;

/** @throws BackupError as `toInvokeError` has it, when the function itself cannot be looked at */
export async function describeFunction(
  options: FunctionOptions,
  name: string,
  signal: AbortSignal,
): Promise<FunctionFacts> {
  const endpoint = options.endpoint ?? `https://${options.accountId}.${options.region}.fc.aliyuncs.com`;
  const client = new OpenApi(openApiConfig({ ...options, endpoint }));
  const denied: BackupError[] = [];

  async function get(action: string, below: string, query: Readonly<Record<string, string>>): Promise<Json> {
    const params = new $OpenApiUtil.Params({
      action,
      version: '2023-03-30',
      protocol: 'HTTPS',
      pathname: `/2023-03-30/functions/${encodeURIComponent(name)}${below}`,
      method: 'GET',
      authType: 'AK',
      style: 'ROA',
      reqBodyType: 'json',
      bodyType: 'json',
    });
    const look = async (): Promise<Json> => {
      try {
        const request = new $OpenApiUtil.OpenApiRequest({ query });
        const { body } = await abandonOnAbort(client.callApi(params, request, NO_RUNTIME_OPTIONS), signal);
        return record(body);
      } catch (error) {
        if (error instanceof BackupError) throw error;
        throw toInvokeError(toCallFailure(error), name, `fc:${action}`, options);
      }
    };
    return retry(look, PATIENT, signal, systemClock);
  }

  async function unlessDenied<T>(reading: Promise<T>): Promise<T | undefined> {
    try {
      return await reading;
    } catch (error) {
      if (!(error instanceof BackupError) || error.code !== 'PERMISSION_DENIED') throw error;
      denied.push(error);
      return undefined;
    }
  }

  /** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-getfunction */
  const facts = await get('GetFunction', '', {});
  const [timers, tries] = await Promise.all([
    /** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-listtriggers */
    unlessDenied(get('ListTriggers', '/triggers', { limit: '100' }).then(toTimers)),
    /** https://help.aliyun.com/zh/functioncompute/fc-3-0/developer-reference/api-fc-2023-03-30-getasyncinvokeconfig */
    unlessDenied(
      get('GetAsyncInvokeConfig', '/async-invoke-config', { qualifier: 'LATEST' }).then(toTries, noTries),
    ),
  ]);
  const log = record(facts['logConfig']);
  return {
    memoryMb: Number(facts['memorySize'] ?? 0),
    timeoutSeconds: Number(facts['timeout'] ?? 0),
    runtime: text(facts['runtime']),
    role: text(facts['role']),
    environment: Object.fromEntries(
      Object.entries(record(facts['environmentVariables'])).map(([variable, value]) => [
        variable,
        text(value),
      ]),
    ),
    modifiedAt: text(facts['lastModifiedTime']),
    isInVpc: text(record(facts['vpcConfig'])['vpcId']) !== '',
    ...(text(log['logstore']) === ''
      ? {}
      : { log: { project: text(log['project']), logstore: text(log['logstore']) } }),
    ...(timers === undefined ? {} : { timers }),
    ...(tries === undefined ? {} : { tries }),
    denied,
  };
}

function toTimers(answer: Json): readonly TimerFacts[] {
  const { triggers } = answer;
  const rows: readonly Json[] = Array.isArray(triggers) ? triggers.map(record) : [];
  return rows
    .filter((row) => row['triggerType'] === 'timer')
    .map((row) => {
      const config = record(parsed(text(row['triggerConfig'])));
      return {
        name: text(row['triggerName']),
        cron: text(config['cronExpression']),
        payload: text(config['payload']),
        isEnabled: config['enable'] === true,
      };
    });
}

function toTries(answer: Json): AsyncFacts {
  const givenUpTo = text(record(record(answer['destinationConfig'])['onFailure'])['destination']);
  return {
    isTask: answer['asyncTask'] === true,
    retries: Number(answer['maxAsyncRetryAttempts'] ?? DEFAULT_RETRIES),
    ...(givenUpTo === '' ? {} : { givenUpTo }),
  };
}

/** Nothing is configured, so the platform's own settings hold. */
function noTries(error: unknown): AsyncFacts {
  if (error instanceof BackupError && error.details['status'] === 404)
    return { isTask: false, retries: DEFAULT_RETRIES };
  throw error;
}

function record(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {}; // JSON, whose members are unknown
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parsed(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
