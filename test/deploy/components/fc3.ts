/**
 * Stands in for the component `fc3` where it is not there: the calls that it makes, in its order and through the same
 * clients, as recorded and as seen in its source. It neither asks nor compares: `-y` is taken to be given.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import FcOlder from '@alicloud/fc2';
import Fc, {
  CreateFunctionInput,
  CreateFunctionRequest,
  CreateTriggerInput,
  CreateTriggerRequest,
  DeleteAsyncInvokeConfigRequest,
  GetAsyncInvokeConfigRequest,
  GetFunctionRequest,
  GetScalingConfigRequest,
  InputCodeLocation,
  InvokeFunctionHeaders,
  InvokeFunctionRequest,
  ListAliasesRequest,
  ListAsyncInvokeConfigsRequest,
  ListFunctionVersionsRequest,
  ListProvisionConfigsRequest,
  ListTriggersRequest,
  PutAsyncInvokeConfigInput,
  PutAsyncInvokeConfigRequest,
  PutConcurrencyConfigRequest,
  PutConcurrencyInput,
  UpdateFunctionInput,
  UpdateFunctionRequest,
  UpdateTriggerInput,
  UpdateTriggerRequest,
} from '@alicloud/fc20230330';
import { $OpenApiUtil } from '@alicloud/openapi-core';
import { RuntimeOptions } from '@darabonba/typescript';
import OSS from 'ali-oss';
import { createCRC64 } from 'hash-wasm';
import { zip } from '../zip.ts';
import { loopback, type Credential, type Inputs } from './component.ts';

interface FcProps {
  readonly region: string;
  readonly functionName: string;
  readonly code: string;
  readonly role: string;
  readonly triggers?: readonly TriggerProps[];
  readonly asyncInvokeConfig?: Readonly<Record<string, unknown>>;
  readonly concurrencyConfig?: { readonly reservedConcurrency: number };
}

interface TriggerProps {
  readonly triggerName: string;
  readonly triggerType: string;
  readonly qualifier?: string;
  readonly description?: string;
  readonly triggerConfig: unknown;
}

const LATEST = 'LATEST';
const TIMEOUT_MS = 600_000;

export class Fc3 {
  async deploy(inputs: Inputs): Promise<unknown> {
    const {
      region,
      functionName,
      code,
      role,
      triggers = [],
      asyncInvokeConfig,
      concurrencyConfig,
      ...rest
    } = propsOf(inputs);
    const credential = await inputs.getCredential();
    const client = clientOf(credential);

    const known = await client.getFunction(functionName, new GetFunctionRequest({})).catch(notFound);
    const knownTriggers = new Set<string>();
    for (const { triggerName } of triggers)
      if ((await client.getTrigger(functionName, triggerName).catch(notFound)) !== undefined)
        knownTriggers.add(triggerName);
    await lookAround(client, functionName);

    const archive = zip(filesOf(join(dirname(inputs.yaml.path), code)));
    const isSame = known?.body?.codeChecksum === (await checksumOf(archive));
    const config = {
      ...EMPTY,
      ...rest,
      functionName,
      role: role.toLowerCase(),
      ...(isSame ? {} : { code: new InputCodeLocation(await upload(archive, region, credential)) }),
    };
    if (known === undefined)
      await client.createFunction(new CreateFunctionRequest({ body: new CreateFunctionInput(config) }));
    else
      await client.updateFunction(
        functionName,
        new UpdateFunctionRequest({ body: new UpdateFunctionInput(config) }),
      );

    for (const trigger of triggers) {
      const body = { ...trigger, triggerConfig: JSON.stringify(trigger.triggerConfig) };
      if (knownTriggers.has(trigger.triggerName))
        await client.updateTrigger(
          functionName,
          trigger.triggerName,
          new UpdateTriggerRequest({ body: new UpdateTriggerInput(body) }),
        );
      else
        await client.createTrigger(
          functionName,
          new CreateTriggerRequest({ body: new CreateTriggerInput(body) }),
        );
    }
    if (asyncInvokeConfig !== undefined)
      await client.putAsyncInvokeConfig(
        functionName,
        new PutAsyncInvokeConfigRequest({
          qualifier: LATEST,
          body: new PutAsyncInvokeConfigInput(asyncInvokeConfig),
        }),
      );
    if (concurrencyConfig !== undefined)
      await client.putConcurrencyConfig(
        functionName,
        new PutConcurrencyConfigRequest({ body: new PutConcurrencyInput(concurrencyConfig) }),
      );
    return this.info(inputs);
  }

  async info(inputs: Inputs): Promise<unknown> {
    const { functionName, region, triggers = [] } = propsOf(inputs);
    const client = clientOf(await inputs.getCredential());
    const { body } = await client.getFunction(functionName, new GetFunctionRequest({}));
    for (const { triggerName } of triggers) await client.getTrigger(functionName, triggerName);
    await lookAround(client, functionName);
    return { region, functionName, role: body?.role, handler: body?.handler, runtime: body?.runtime };
  }

  /** `s orchestrator invoke -e '{"plan":"nightly"}'` */
  async invoke(inputs: Inputs): Promise<unknown> {
    const { functionName } = propsOf(inputs);
    const client = clientOf(await inputs.getCredential());
    const event = inputs.args[inputs.args.findIndex((arg) => arg === '-e' || arg === '--event') + 1] ?? '';
    const response = await client.invokeFunctionWithOptions(
      functionName,
      new InvokeFunctionRequest({ qualifier: LATEST, body: Readable.from([Buffer.from(event)]) }),
      new InvokeFunctionHeaders({ xFcLogType: 'Tail', xFcInvocationType: 'Sync' }),
      new RuntimeOptions({ readTimeout: TIMEOUT_MS, connectTimeout: TIMEOUT_MS }),
    );
    const pieces: Buffer[] = [];
    for await (const piece of response.body ?? []) pieces.push(piece as Buffer);
    const body = Buffer.concat(pieces).toString('utf8');
    const errorType = response.headers?.['x-fc-error-type'];
    if (errorType !== undefined) throw new Error(`${errorType}: ${body}`);
    return { body };
  }

  async remove(inputs: Inputs): Promise<void> {
    const { functionName } = propsOf(inputs);
    const client = clientOf(await inputs.getCredential());
    const known = await client.getFunction(functionName, new GetFunctionRequest({})).catch(notFound);
    if (known === undefined) return;
    await client.listVpcBindings(functionName);
    await client.listProvisionConfigs(new ListProvisionConfigsRequest({ functionName, limit: 100 }));
    const concurrency = await client.getConcurrencyConfig(functionName).catch(notFound);
    await client.listAliases(functionName, new ListAliasesRequest({ limit: 100 }));
    await client.listFunctionVersions(functionName, new ListFunctionVersionsRequest({ limit: 100 }));
    const { body } = await client.listTriggers(functionName, new ListTriggersRequest({ limit: 100 }));
    const configs = await client.listAsyncInvokeConfigs(
      new ListAsyncInvokeConfigsRequest({ functionName, limit: 100 }),
    );

    if ((configs.body?.configs ?? []).length > 0)
      await client.deleteAsyncInvokeConfig(
        functionName,
        new DeleteAsyncInvokeConfigRequest({ qualifier: LATEST }),
      );
    for (const { triggerName = '' } of body?.triggers ?? [])
      await client.deleteTrigger(functionName, triggerName);
    if (concurrency !== undefined) await client.deleteConcurrencyConfig(functionName);
    await client.deleteFunction(functionName);
  }
}

// As `s.yaml` gives them; the check before a deployment has looked.
const propsOf = ({ props }: Inputs): FcProps => props as unknown as FcProps;

function clientOf({ AccessKeyID, AccessKeySecret, SecurityToken }: Credential): Fc {
  return new Fc(
    new $OpenApiUtil.Config({
      accessKeyId: AccessKeyID,
      accessKeySecret: AccessKeySecret,
      ...(SecurityToken === undefined ? {} : { securityToken: SecurityToken }),
      endpoint: fcEndpoint().host,
      protocol: fcEndpoint().protocol.replace(':', ''),
      readTimeout: TIMEOUT_MS,
      connectTimeout: TIMEOUT_MS,
    }),
  );
}

const fcEndpoint = (): URL => loopback('FC_CLIENT_CUSTOM_ENDPOINT', process.env['FC_CLIENT_CUSTOM_ENDPOINT']);

/** What is asked for before and after a deployment, and need not be there. */
async function lookAround(client: Fc, functionName: string): Promise<void> {
  const request = new GetAsyncInvokeConfigRequest({ qualifier: LATEST });
  await client.getAsyncInvokeConfig(functionName, request).catch(notFound);
  await client.listVpcBindings(functionName).catch(notFound);
  await client
    .getScalingConfig(functionName, new GetScalingConfigRequest({ qualifier: LATEST }))
    .catch(notFound);
  await client.getConcurrencyConfig(functionName).catch(notFound);
}

function notFound(error: unknown): undefined {
  if ((error as { readonly statusCode?: number }).statusCode !== 404) throw error;
}

/** In an order of their own, so that the same files are the same archive. */
function filesOf(folder: string): Record<string, Buffer> {
  const names = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort((a, b) => (a < b ? -1 : 1));
  return Object.fromEntries(names.map((name) => [name.slice(folder.length + 1), readFileSync(name)]));
}

async function checksumOf(archive: Buffer): Promise<string> {
  const hasher = await createCRC64();
  return BigInt(`0x${hasher.init().update(archive).digest('hex')}`).toString();
}

interface Token {
  readonly credentials: {
    readonly AccessKeyId: string;
    readonly AccessKeySecret: string;
    readonly SecurityToken: string;
  };
  readonly ossBucket: string;
  readonly objectName: string;
}

async function upload(
  archive: Buffer,
  region: string,
  { AccountID, AccessKeyID, AccessKeySecret, SecurityToken }: Credential,
): Promise<{ ossBucketName: string; ossObjectName: string }> {
  const older = new FcOlder(AccountID, {
    accessKeyID: AccessKeyID,
    accessKeySecret: AccessKeySecret,
    ...(SecurityToken === undefined ? {} : { securityToken: SecurityToken }),
    region,
    endpoint: fcEndpoint().origin,
    timeout: TIMEOUT_MS,
  });
  // The method is there; the published types lack it.
  const { data } = await (older as unknown as { get(path: string): Promise<{ readonly data: Token }> }).get(
    '/tempBucketToken',
  );
  const {
    AccessKeyId: accessKeyId,
    AccessKeySecret: accessKeySecret,
    SecurityToken: stsToken,
  } = data.credentials;
  const bucket = new OSS({
    accessKeyId,
    accessKeySecret,
    stsToken,
    bucket: data.ossBucket,
    endpoint: loopback('FC_CODE_TEMP_OSS_ENDPOINT', process.env['FC_CODE_TEMP_OSS_ENDPOINT']).origin,
    refreshSTSToken: async () => ({ accessKeyId, accessKeySecret, stsToken }),
    refreshSTSTokenInterval: TIMEOUT_MS,
  });
  const ossObjectName = `${AccountID}/${data.objectName}`;
  await bucket.put(ossObjectName, archive);
  return { ossBucketName: data.ossBucket, ossObjectName };
}

/** What the component sends where `s.yaml` says nothing. */
const EMPTY = {
  layers: [],
  tracingConfig: {},
  nasConfig: { groupId: -1, userId: -1, mountPoints: [] },
  ossMountConfig: { mountPoints: [] },
  instanceIsolationMode: 'SHARE',
  sessionAffinity: 'NONE',
};
