/** Functions and roles as a deployment leaves them, but for the log, made through the service's own API. */
import Fc, {
  CreateFunctionInput,
  CreateFunctionRequest,
  CreateTriggerInput,
  CreateTriggerRequest,
  InputCodeLocation,
  PutAsyncInvokeConfigInput,
  PutAsyncInvokeConfigRequest,
} from '@alicloud/fc20230330';
import { $OpenApiUtil } from '@alicloud/openapi-core';
import type { Emulator } from '../../../emulator/start-emulator.ts';
import type { Role } from '../../../emulator/identity.ts';
import { namesOf, type Names } from '../../../infra/names.ts';
import { statementsOf, type Statement } from '../../../infra/policies.ts';
import { zip } from '../../deploy/zip.ts';

export interface Wanted {
  readonly stage: string;
  readonly region: string;
  readonly bucket: string;
  readonly prefix: string;
  readonly sourceRoles: readonly string[];
  /** More statements for the role of each function. */
  readonly more?: readonly Statement[];
  /** Left out of the role of each function. */
  readonly without?: readonly string[];
  readonly trusts?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly timers?: readonly { readonly name: string; readonly payload: string; readonly enable: boolean }[];
}

const WHO = ['orchestrator', 'uploader'] as const;

export async function deploy(emulator: Emulator, wanted: Wanted): Promise<Names> {
  const { stage, region, bucket, prefix, timers = [] } = wanted;
  const { accountId, endpoints } = emulator.world;
  const names = namesOf(stage, accountId);
  const client = new Fc(
    new $OpenApiUtil.Config({
      ...emulator.accessKey,
      endpoint: new URL(endpoints.fc).host,
      protocol: 'http',
    }),
  );
  const queue = `acs:mns:${region}:${accountId}:/queues/${names.deadLetters}/messages`;
  for (const who of WHO) {
    const body = new CreateFunctionInput({
      functionName: names[who],
      runtime: 'nodejs20',
      handler: 'index.handler',
      memorySize: 512,
      cpu: 0.5,
      diskSize: 512,
      timeout: 3600,
      role: roleFor(who, emulator, names, wanted).arn,
      code: new InputCodeLocation({
        zipFile: zip({ 'index.js': 'exports.handler = async () => 1;' }).toString('base64'),
      }),
      environmentVariables: {
        TAIRLIFT_BUCKET: bucket,
        TAIRLIFT_OSS_REGION: region,
        TAIRLIFT_PREFIX: prefix,
        TAIRLIFT_UPLOADER: names.uploader,
        ...wanted.environment,
      },
    });
    await client.createFunction(new CreateFunctionRequest({ body }));
    const tries = new PutAsyncInvokeConfigInput({
      asyncTask: true,
      maxAsyncRetryAttempts: 3,
      destinationConfig: { onFailure: { destination: queue } },
    });
    await client.putAsyncInvokeConfig(
      names[who],
      new PutAsyncInvokeConfigRequest({ qualifier: 'LATEST', body: tries }),
    );
  }
  for (const { name, payload, enable } of timers) {
    const triggerConfig = JSON.stringify({ cronExpression: '0 0 2 * * *', enable, payload });
    const body = new CreateTriggerInput({
      triggerName: name,
      triggerType: 'timer',
      triggerConfig,
      qualifier: 'LATEST',
    });
    await client.createTrigger(names.orchestrator, new CreateTriggerRequest({ body }));
  }
  return names;
}

/** With the policies that infra declares, and what is wanted to be wrong with them. */
function roleFor(
  who: (typeof WHO)[number],
  { world: { identity, accountId } }: Emulator,
  names: Names,
  { region, bucket, prefix, sourceRoles, more = [], without = [], trusts = ['fc.aliyuncs.com'] }: Wanted,
): Role {
  const place = { ...names, region, accountId, bucket, prefix, sourceRoles, key: '' };
  const wanted: readonly Statement[] = [
    ...statementsOf(who, place),
    ...statementsOf(who, place, 'other-accounts'),
    ...more,
  ];
  const statements = wanted.flatMap(({ effect, action, resource, condition }) => {
    const left = action.filter((name) => !without.includes(name));
    if (left.length === 0 || resource.length === 0) return [];
    const given = { Effect: effect, Action: left, Resource: resource };
    return [condition === undefined ? given : { ...given, Condition: condition }];
  });
  return identity.addRole({
    accountId,
    name: names[who],
    trusts,
    allow: [],
    policies: [{ name: names[who], type: 'Custom', document: { Version: '1', Statement: statements } }],
  });
}
