/**
 * Stands in for the component `ros` where it is not there: the calls that it makes, in its order, as seen in its
 * source. It waits less between them.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import OpenApi, { $OpenApiUtil } from '@alicloud/openapi-core';
import { loopback, type Inputs } from './component.ts';

interface RosProps {
  readonly region: string;
  readonly name: string;
  readonly template: string;
  readonly endpoint: string;
  readonly parameters?: Readonly<Record<string, string>>;
}

interface StackEvent {
  readonly ResourceType: string;
  readonly LogicalResourceId: string;
  readonly Status: string;
  readonly StatusReason: string;
}

interface StackAnswer {
  readonly StackId: string;
  readonly Status: string;
  readonly Outputs?: readonly { readonly OutputKey: string; readonly OutputValue: string }[];
}

const POLL_MS = 30;

export class Ros {
  async deploy(inputs: Inputs): Promise<Record<string, string>> {
    const ask = await caller(inputs);
    const { name, template, parameters = {} } = propsOf(inputs);
    const StackId = await stackNamed(name, ask);
    const content = {
      TemplateBody: readFileSync(template, 'utf8'),
      ...Object.fromEntries(
        Object.entries(parameters).flatMap(([key, value], index) => [
          [`Parameters.${index + 1}.ParameterKey`, key],
          [`Parameters.${index + 1}.ParameterValue`, value],
        ]),
      ),
    };
    if (StackId === undefined) {
      const created = await ask<StackAnswer>('CreateStack', { StackName: name, ...content });
      return settled(created.StackId, ask);
    }
    for (const DryRun of ['true', 'false'])
      await ask('UpdateStack', { StackId, DryRun, ...content }).catch(unlessTheSame);
    return settled(StackId, ask);
  }

  async info(inputs: Inputs): Promise<Record<string, string>> {
    const ask = await caller(inputs);
    const StackId = await stackNamed(propsOf(inputs).name, ask);
    return StackId === undefined ? {} : outputsOf(await ask('GetStack', { StackId }));
  }

  async remove(inputs: Inputs): Promise<void> {
    const ask = await caller(inputs);
    const StackId = await stackNamed(propsOf(inputs).name, ask);
    if (StackId === undefined) return;
    await ask('DeleteStack', { StackId });
    for (;;) {
      const { Status } = await ask<StackAnswer>('GetStack', { StackId });
      if (Status === 'DELETE_COMPLETE') return;
      if (Status === 'DELETE_FAILED') throw new Error(`fail to delete, status=${Status}`);
      await delay(POLL_MS);
    }
  }
}

// As `s.yaml` gives them; the check before a deployment has looked.
const propsOf = ({ props }: Inputs): RosProps => props as unknown as RosProps;

type Ask = <T>(action: string, query: Readonly<Record<string, string>>) => Promise<T>;

async function caller(inputs: Inputs): Promise<Ask> {
  const { region, endpoint } = propsOf(inputs);
  const { AccessKeyID, AccessKeySecret, SecurityToken } = await inputs.getCredential();
  const client = new OpenApi(
    new $OpenApiUtil.Config({
      accessKeyId: AccessKeyID,
      accessKeySecret: AccessKeySecret,
      ...(SecurityToken === undefined ? {} : { securityToken: SecurityToken }),
      endpoint: loopback('endpoint', endpoint).host,
      readTimeout: 20_000,
      connectTimeout: 20_000,
    }),
  );
  return async <T>(action: string, parameters: Readonly<Record<string, string>>): Promise<T> => {
    const { TemplateBody, ...rest } = parameters;
    const request = new $OpenApiUtil.OpenApiRequest({
      query: { RegionId: region, ...rest },
      ...(TemplateBody === undefined ? {} : { body: { TemplateBody } }),
    });
    const call = new $OpenApiUtil.Params({
      action,
      version: '2019-09-10',
      protocol: 'HTTPS',
      pathname: '/',
      method: 'POST',
      authType: 'AK',
      style: 'RPC',
      reqBodyType: 'formData',
      bodyType: 'json',
    });
    // Nothing is set for a single call; the client only reads plain fields of it.
    const options = {} as Parameters<OpenApi['callApi']>[2];
    const answer: unknown = await client.callApi(call, request, options);
    return (answer as { readonly body: T }).body;
  };
}

async function stackNamed(name: string, ask: Ask): Promise<string | undefined> {
  const { Stacks } = await ask<{ Stacks: readonly StackAnswer[] }>('ListStacks', { 'StackName.1': name });
  return Stacks[0]?.StackId;
}

/** Tells what happens until nothing does any more. */
async function settled(StackId: string, ask: Ask): Promise<Record<string, string>> {
  for (;;) {
    const { Events } = await ask<{ Events: readonly StackEvent[] }>('ListStackEvents', {
      StackId,
      PageNumber: '1',
      PageSize: '50',
    });
    const stack = await ask<StackAnswer>('GetStack', { StackId });
    if (stack.Status.endsWith('_IN_PROGRESS')) {
      await delay(POLL_MS);
      continue;
    }
    if (/^(CREATE|UPDATE)_COMPLETE$/.test(stack.Status)) return outputsOf(stack);
    for (const { ResourceType, LogicalResourceId, Status, StatusReason } of [...Events].reverse())
      if (Status.endsWith('_FAILED'))
        console.log(`${ResourceType} ${LogicalResourceId} ${Status} ${StatusReason}`);
    throw new Error(`fail to create/update complete, status=${stack.Status}`);
  }
}

function outputsOf({ StackId, Outputs = [] }: StackAnswer): Record<string, string> {
  return {
    stackId: StackId,
    ...Object.fromEntries(Outputs.map(({ OutputKey, OutputValue }) => [OutputKey, OutputValue])),
  };
}

function unlessTheSame(error: unknown): void {
  if (!(error instanceof Error && error.message.includes('Update the completely same stack'))) throw error;
}
