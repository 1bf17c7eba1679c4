/**
 * What a deployment needs beside its functions: the bucket, a role for each function, where logs and given-up events go,
 * and who is told when something is wrong. Synthesized to `infra/template.json`; what differs between deployments are
 * its parameters. The functions and their triggers are in `s.yaml`.
 */
import * as ros from '@alicloud/ros-cdk-core';
import * as oss from '@alicloud/ros-cdk-oss';
import * as ram from '@alicloud/ros-cdk-ram';
import * as sls from '@alicloud/ros-cdk-sls';
import type { Place, When, Who } from '../functions/core/permissions.ts';
import { addAlarms, type Logs } from './alarms.ts';
import { lifecycleRules } from './lifecycle-rules.ts';
import { namesOf } from './names.ts';
import { addParameters, type Parameters } from './parameters.ts';
import { statementsOf } from './policies.ts';

const ACCOUNT = '${ALIYUN::AccountId}';
const NAMES = namesOf('${Stage}', ACCOUNT);

/** With the placeholders of `Fn::Sub` in the place of what only the deployment knows. */
const PLACE: Place = {
  ...NAMES,
  region: '${ALIYUN::Region}',
  accountId: ACCOUNT,
  bucket: '${BucketName}',
  prefix: '${Prefix}',
  sourceRoles: ['${SourceRoles}'],
  key: '${KmsKeyId}',
};

export class TairliftStack extends ros.Stack {
  constructor(app: ros.App, id: string) {
    super(app, id, {
      description: 'tairlift: the bucket, the roles, the logs and the alarms of verified backups of Tair.',
    });
    const parameters = addParameters(this);
    addBucket(this, parameters);
    const roles = addRoles(this, parameters);
    const logs = addLogs(this, parameters);
    const deadLetters = addDeadLetters(this);
    addAlarms(this, NAMES, parameters, logs);
    const output = (name: string, value: unknown, description: string): void =>
      void new ros.RosOutput(this, name, { value, description });
    output('OrchestratorRoleArn', roles.orchestrator.attrArn, 'Role of the function that runs plans.');
    output('UploaderRoleArn', roles.uploader.attrArn, 'Role of the function that copies backups.');
    output('Bucket', parameters.bucketName, 'Where the backups are. It stays when the stack is removed.');
    output('LogProject', logs.project, 'Log project of the functions.');
    output('Logstore', logs.logstore, 'Logstore of the functions.');
    output('DeadLetterQueue', deadLetters, 'Queue of events that were given up after their retries.');
  }
}

function addBucket(stack: ros.Stack, parameters: Parameters): void {
  const { bucketName, redundancy, kmsKeyId } = parameters;
  const bucket = new oss.Bucket(stack, 'BackupBucket', {
    bucketName,
    accessControl: 'private',
    blockPublicAccess: true,
    redundancyType: redundancy,
    serverSideEncryptionConfiguration: {
      sseAlgorithm: ros.Fn.conditionIf('WithKms', 'KMS', 'AES256'),
      kmsMasterKeyId: ros.Fn.conditionIf('WithKms', kmsKeyId, ros.RosPseudo.noValue),
    },
    // Versioning stays off: OSS ignores x-oss-forbid-overwrite where it is on, and this type cannot expire old versions.
    lifecycleConfiguration: lifecycleRules(parameters),
    policy: {
      Version: '1',
      Statement: [
        {
          Effect: 'Deny',
          Principal: ['*'],
          Action: ['oss:*'],
          Resource: [sub('acs:oss:*:*:${BucketName}'), sub('acs:oss:*:*:${BucketName}/*')],
          Condition: { Bool: { 'acs:SecureTransport': ['false'] } },
        },
      ],
    },
  });
  // Every write asks OSS not to replace anything; here OSS also refuses those who do not ask.
  const writeOnce = new oss.BucketOverwriteConfig(stack, 'WriteOnce', {
    bucket: bucket.attrName,
    rule: [
      { identity: 'backups', action: 'forbid', prefix: sub('${Prefix}Backup_') },
      { identity: 'run-state', action: 'forbid', prefix: sub('${Prefix}.tairlift/') },
    ],
  });
  for (const { resource } of [bucket, writeOnce]) {
    // Removing the stack, or a change that would replace the bucket, must not take backups with it, nor what protects them.
    resource?.applyRemovalPolicy(ros.RemovalPolicy.RETAIN);
    if (resource !== undefined) resource.rosOptions.condition = parameters.conditions.WithNewBucket;
  }
}

function addRoles(
  stack: ros.Stack,
  parameters: Parameters,
): { readonly orchestrator: ram.Role; readonly uploader: ram.Role } {
  const orchestrator = addRole(stack, 'OrchestratorRole', 'orchestrator', NAMES.orchestratorRole);
  const uploader = addRole(stack, 'UploaderRole', 'uploader', NAMES.uploaderRole);
  const { WithSourceRoles, WithKms, WithVpc } = parameters.conditions;
  for (const [who, role] of [
    ['orchestrator', orchestrator],
    ['uploader', uploader],
  ] as const) {
    addPolicy(stack, role, who, 'other-accounts', WithSourceRoles);
    addPolicy(stack, role, who, 'kms', WithKms);
    addPolicy(stack, role, who, 'vpc', WithVpc);
  }
  return { orchestrator, uploader };
}

function addRole(stack: ros.Stack, id: string, who: Who, name: string): ram.Role {
  return new ram.Role(stack, id, {
    roleName: sub(name),
    description: `tairlift: what the ${who} may do. docs/permissions.md says why.`,
    assumeRolePolicyDocument: {
      version: '1',
      statement: [{ effect: 'Allow', action: 'sts:AssumeRole', principal: { service: ['fc.aliyuncs.com'] } }],
    },
    policies: [
      {
        policyName: sub(name),
        policyDocument: { version: '1', statement: rendered(statementsOf(who, PLACE)) },
      },
    ],
  });
}

/** A policy of its own, because a statement cannot be left out of one: what is not needed is not there at all. */
function addPolicy(
  stack: ros.Stack,
  role: ram.Role,
  who: Who,
  when: When,
  condition: ros.RosCondition,
): void {
  const name = `${who === 'orchestrator' ? NAMES.orchestratorRole : NAMES.uploaderRole}-${when}`;
  const policy = new ram.ManagedPolicy(stack, `${capitalized(who)}${POLICY_IDS[when]}`, {
    policyName: sub(name),
    description: `tairlift: what the ${who} may do beside. docs/permissions.md says why.`,
    roles: [role.attrRoleName],
    policyDocument: { version: '1', statement: rendered(statementsOf(who, PLACE, when)) },
  });
  if (policy.resource !== undefined) policy.resource.rosOptions.condition = condition;
}

const POLICY_IDS: Readonly<Record<When, string>> = {
  'other-accounts': 'OtherAccounts',
  kms: 'Kms',
  vpc: 'Vpc',
  fc2: 'Fc2',
};

/** With the placeholders as `Fn::Sub`, and the list of roles as a list. */
function rendered(statements: ReturnType<typeof statementsOf>): {
  effect: string;
  action: string[];
  resource: ros.IResolvable | (string | ros.IResolvable)[];
  condition?: { StringLike: Record<string, (string | ros.IResolvable)[]> };
}[] {
  return statements.map(({ effect, action, resource, condition }) => ({
    effect,
    action: [...action],
    resource:
      resource[0] === '${SourceRoles}' ? ros.Fn.split(',', ros.Fn.ref('SourceRoles')) : resource.map(sub),
    ...(condition === undefined
      ? {}
      : {
          condition: {
            StringLike: Object.fromEntries(
              Object.entries(condition.StringLike).map(([key, values]) => [key, values.map(sub)]),
            ),
          },
        }),
  }));
}

function addLogs(stack: ros.Stack, { logDays }: Parameters): Logs {
  const project = new sls.Project(stack, 'LogsProject', {
    name: sub(NAMES.logProject),
    description: 'Logs of tairlift.',
  });
  const logstore = new sls.Logstore(stack, 'LogsStore', {
    projectName: project.attrName,
    logstoreName: NAMES.logstore,
    ttl: logDays,
    shardCount: 1,
    autoSplit: false,
  });
  new sls.Index(stack, 'LogsIndex', {
    projectName: project.attrName,
    logstoreName: logstore.attrLogstoreName,
    // A line is JSON in one field; its quotes and braces are no part of its words.
    fullTextIndex: { enable: true, caseSensitive: false, includeChinese: true, delimiter: LOG_DELIMITERS },
    keyIndices: [
      { name: 'message', type: 'text', enableAnalytics: true, delimiter: LOG_DELIMITERS },
      { name: 'functionName', type: 'text', enableAnalytics: true, delimiter: LOG_DELIMITERS },
    ],
  });
  return { project: project.attrName, logstore: logstore.attrLogstoreName };
}

const LOG_DELIMITERS = ', \'";=()[]{}?@&<>/:\n\t\r';

/** The longest that the service keeps a message: https://help.aliyun.com/en/ros/developer-reference/aliyun-mns-queue */
const DEAD_LETTER_SECONDS = 604_800;

function addDeadLetters(stack: ros.Stack): ros.IResolvable {
  const queue = new ros.RosResource(stack, 'DeadLetters', {
    type: 'ALIYUN::MNS::Queue',
    properties: { QueueName: sub(NAMES.deadLetters), MessageRetentionPeriod: DEAD_LETTER_SECONDS },
  });
  return queue.getAtt('QueueName');
}

function sub(text: string): string {
  return text.includes('${') ? ros.Fn.sub(text) : text;
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1);
}
