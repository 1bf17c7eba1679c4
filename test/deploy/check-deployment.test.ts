import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Surroundings } from '../../infra/check/check-deployment.ts';
import { VARIABLES_READ } from '../../infra/check/check-functions.ts';
import { RULES } from '../../infra/check/finding.ts';
import { ROOT, checkSample, renderSample, sampleSurroundings, type Sample } from './sample-deployment.ts';

let sound: Sample;
beforeAll(async () => {
  sound = await renderSample();
});

interface Case {
  /** Breaks the deployment in exactly one way. */
  readonly change?: (sample: Sample) => void;
  readonly with?: Partial<Surroundings> | (() => Partial<Surroundings>);
  /** The level, the rule and the place of all that is found. */
  readonly found: readonly string[];
  /** What somebody is told. */
  readonly said: RegExp;
}

const functionsOf = ({ resources }: Sample): Sample['resources']['orchestrator']['props'][] => [
  resources.orchestrator.props,
  resources.uploader.props,
];
const triggerOf = ({
  resources,
}: Sample): NonNullable<Sample['resources']['orchestrator']['props']['triggers']>[0] => {
  const [trigger] = resources.orchestrator.props.triggers ?? [];
  if (trigger === undefined) throw new Error('the sample has no trigger');
  return trigger;
};
const plan = (lines: string): Partial<Surroundings> => ({
  plans: `plans:\n  nightly:\n    targets: [{ region: cn-hangzhou }]\n${lines}`,
});
const packageWith = (changes: object): Partial<Surroundings> => {
  const { packages } = sampleSurroundings();
  return {
    packages: (code, handler) => ({
      ...packages(code, handler),
      ...(code === './dist/uploader' ? changes : {}),
    }),
  };
};
const withoutInternet = (sample: Sample, variables: Readonly<Record<string, string>>): void => {
  sample.resources.infra.props.parameters['VpcId'] = 'vpc-1';
  for (const props of functionsOf(sample)) {
    Object.assign(props, { internetAccess: false });
    props.vpcConfig = { vpcId: 'vpc-1', vSwitchIds: ['vsw-1'], securityGroupId: 'sg-1' };
    Object.assign(props.environmentVariables, variables);
  }
};

const CASES: readonly (readonly [what: string, Case])[] = [
  [
    'a misspelt setting, which the component would pass over',
    {
      change: ({ resources }) => Object.assign(resources.uploader.props, { memorysize: 1024 }),
      found: ['error schema uploader.memorysize'],
      said: /"memorysize" is nothing that is known here.*did you mean "memorySize"/,
    },
  ],
  [
    'a setting that is missing',
    {
      change: ({ resources }) => Reflect.deleteProperty(resources.uploader.props, 'role'),
      found: ['error schema uploader.role'],
      said: /it is missing; put it in/,
    },
  ],
  [
    'a resource that is called otherwise',
    {
      change: ({ resources }) => Object.assign(resources, { uplaoder: resources.uploader }),
      found: ['error schema uplaoder'],
      said: /did you mean "uploader"/,
    },
  ],
  [
    'another runtime',
    {
      change: ({ resources }) => Object.assign(resources.uploader.props, { runtime: 'nodejs22' }),
      found: ['error schema uploader.runtime'],
      said: /it is "nodejs22"; write "nodejs20"/,
    },
  ],
  [
    'a number in quotes',
    {
      change: ({ resources }) => Object.assign(resources.uploader.props, { timeout: '600' }),
      found: ['error schema uploader.timeout'],
      said: /"600" is no whole number; correct it/,
    },
  ],
  [
    'a text where a list has to be',
    {
      change: ({ resources }) => Object.assign(resources.uploader.props.vpcConfig, { vSwitchIds: 'vsw-1' }),
      found: ['error schema uploader.vpcConfig.vSwitchIds'],
      said: /"vsw-1" is no array; correct it/,
    },
  ],
  [
    'a name with what no name may have',
    {
      change: ({ resources }) => {
        for (const trigger of resources.orchestrator.props.triggers ?? []) trigger.triggerName = '7 days';
      },
      found: ['error schema orchestrator.triggers.0.triggerName'],
      said: /"7 days" is no name: a letter, then letters, digits, - and _; correct it/,
    },
  ],
  [
    'a variable that is no text, without what it may keep secret',
    {
      change: ({ resources }) =>
        Object.assign(resources.uploader.props.environmentVariables, { ORDERS_PASSWORD: 12345678 }),
      found: ['error schema uploader.environmentVariables.ORDERS_PASSWORD'],
      said: /^(?!.*12345678)its value is no string; correct it$/,
    },
  ],
  [
    'switches with blanks between them, and what is no security group',
    {
      change: (sample) => {
        sample.resources.uploader.props.vpcConfig = {
          vpcId: 'vpc-1',
          vSwitchIds: ['vsw-1', ' vsw-2'],
          securityGroupId: 'default',
        };
      },
      found: [
        'error schema uploader.vpcConfig.vSwitchIds.1',
        'error schema uploader.vpcConfig.securityGroupId',
      ],
      said: /" vsw-2" is no switch such as .*\n"default" is no security group/,
    },
  ],
  [
    'a template other than the one that is looked at here',
    {
      change: ({ resources }) =>
        Object.assign(resources.infra.props, { template: './infra/source-account/template.yaml' }),
      found: ['error schema infra.template'],
      said: /it is ".*template.yaml"; write ".\/infra\/template.json"/,
    },
  ],
  [
    'an address where a host has to be',
    {
      change: ({ resources }) => void (resources.infra.props.endpoint = 'https://ros.aliyuncs.com'),
      found: ['error schema infra.endpoint'],
      said: /"https:..ros.aliyuncs.com" is no host such as ros.aliyuncs.com, which is written without https/,
    },
  ],
  [
    'a parameter that is a list',
    {
      change: ({ resources }) => Object.assign(resources.infra.props.parameters, { Prefix: ['a'] }),
      found: ['error schema infra.parameters.Prefix'],
      said: /\["a"\] cannot stand here/,
    },
  ],
  [
    'asynchronous invocations without tasks, whose ids are how a duplicate is recognised',
    {
      change: ({ resources }) =>
        Object.assign(resources.uploader.props.asyncInvokeConfig, { asyncTask: false }),
      found: ['error schema uploader.asyncInvokeConfig.asyncTask'],
      said: /it is false; write true/,
    },
  ],
  [
    'a deployment that nothing checks before it begins',
    {
      change: ({ actions }) => void (actions['pre-deploy'] = [{ run: 'npm run build', path: './' }]),
      found: ['error pre-deploy actions.pre-deploy'],
      said: /nothing checks the deployment before it begins; let it run/,
    },
  ],
  [
    'a parameter that the template does not have',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['KmsKey'] = 'x'),
      found: ['error parameter infra.parameters.KmsKey'],
      said: /the template has no parameter "KmsKey"; take it out/,
    },
  ],
  [
    'a parameter that the template asks for',
    {
      change: ({ resources }) => Reflect.deleteProperty(resources.infra.props.parameters, 'ContactGroup'),
      found: ['error parameter infra.parameters.ContactGroup'],
      said: /the template asks for it, and it is not given; add it/,
    },
  ],
  [
    'a variable that is not set',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['ContactGroup'] = ''),
      found: ['error parameter infra.parameters.ContactGroup'],
      said: /it is not set; set TAIRLIFT_CONTACT_GROUP/,
    },
  ],
  [
    'a bucket that is not set, once',
    {
      change: ({ resources }) => {
        resources.infra.props.parameters['BucketName'] = '';
        resources.orchestrator.props.environmentVariables['TAIRLIFT_BUCKET'] = '';
      },
      found: ['error parameter infra.parameters.BucketName'],
      said: /it is not set; set TAIRLIFT_BUCKET/,
    },
  ],
  [
    'a bucket with a name that cannot be',
    {
      change: ({ resources }) => {
        resources.infra.props.parameters['BucketName'] = 'My_Backups';
        resources.orchestrator.props.environmentVariables['TAIRLIFT_BUCKET'] = 'My_Backups';
      },
      found: ['error parameter infra.parameters.BucketName'],
      said: /"My_Backups" is not allowed: it has to match .*; correct TAIRLIFT_BUCKET/,
    },
  ],
  [
    'a number beyond what is allowed',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['LogDays'] = '0'),
      found: ['error parameter infra.parameters.LogDays'],
      said: /"0" is not allowed: at least 1; correct infra.parameters.LogDays/,
    },
  ],
  [
    'a value that is none of those allowed',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['Redundancy'] = 'GRS'),
      found: ['error parameter infra.parameters.Redundancy'],
      said: /"GRS" is not allowed: LRS or ZRS/,
    },
  ],
  [
    'a function by another name than the code calls it',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.functionName = 'tairlift-prod-orchestrater'),
      found: ['error name orchestrator.functionName'],
      said: /it is tairlift-prod-orchestrater; the code calls it tairlift-prod-orchestrator: correct it/,
    },
  ],
  [
    'a role that the template does not make',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.role = 'acs:ram::1234567890123456:role/tairlift-prod-upload'),
      found: ['error name uploader.role', 'error name uploader.role'],
      said: /the template makes no role tairlift-prod-upload \(but .*tairlift-prod-uploader\)/,
    },
  ],
  [
    'logs that go elsewhere',
    {
      change: ({ resources }) => void (resources.uploader.props.logConfig.logstore = 'function'),
      found: ['error name uploader.logConfig.logstore', 'error name uploader.logConfig.logstore'],
      said: /the code calls it functions/,
    },
  ],
  [
    'a queue that nobody makes',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.asyncInvokeConfig.destinationConfig.onFailure.destination =
          'acs:mns:cn-hangzhou:1234567890123456:/queues/failed/messages'),
      found: [
        'error name uploader.asyncInvokeConfig.destinationConfig.onFailure.destination',
        'error name uploader.asyncInvokeConfig.destinationConfig.onFailure.destination',
      ],
      said: /the template makes no queue failed \(but tairlift-prod-failed\)/,
    },
  ],
  [
    'a function in another region than its bucket',
    {
      change: ({ resources }) => void (resources.uploader.props.region = 'cn-shanghai'),
      found: ['error region uploader.region'],
      said: /it is cn-shanghai, and infra is made in cn-hangzhou/,
    },
  ],
  [
    'a region that is none',
    {
      change: ({ resources }) => {
        for (const { props } of Object.values(resources)) props.region = 'hangzhou';
        resources.orchestrator.props.environmentVariables['TAIRLIFT_OSS_REGION'] = 'hangzhou';
        for (const props of functionsOf({ resources } as Sample)) {
          const { onFailure } = props.asyncInvokeConfig.destinationConfig;
          onFailure.destination = onFailure.destination.replace('cn-hangzhou', 'hangzhou');
        }
      },
      found: ['error region infra.region'],
      said: /"hangzhou" is no region such as cn-hangzhou; correct TAIRLIFT_REGION/,
    },
  ],
  [
    'a bucket other than the one that is made',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.environmentVariables['TAIRLIFT_BUCKET'] = 'other-backups'),
      found: [
        'error variable orchestrator.environmentVariables.TAIRLIFT_BUCKET',
        'error destination plans.yaml: nightly.destination.bucket',
      ],
      said: /it is "other-backups", and the bucket that is made is "sample-backups"/,
    },
  ],
  [
    'an uploader other than the one that is deployed',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.environmentVariables['TAIRLIFT_UPLOADER'] = 'uploader'),
      found: ['error variable orchestrator.environmentVariables.TAIRLIFT_UPLOADER'],
      said: /it is "uploader", and the name of the uploader is "tairlift-prod-uploader"/,
    },
  ],
  [
    'a variable that nothing reads',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['TAIRLIFT_DOWNLOAD'] = 'internal'),
      found: ['error variable uploader.environmentVariables.TAIRLIFT_DOWNLOAD'],
      said: /neither the code nor a plan reads it/,
    },
  ],
  [
    'a variable of the platform’s own',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['FC_REGION'] = 'cn-beijing'),
      found: ['error variable uploader.environmentVariables.FC_REGION'],
      said: /names that begin with FC_ are the platform’s own/,
    },
  ],
  [
    'a variable that is empty',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['TAIRLIFT_ENDPOINT_OSS'] = ''),
      found: ['error variable uploader.environmentVariables.TAIRLIFT_ENDPOINT_OSS'],
      said: /it is empty.*write "-"/,
    },
  ],
  [
    'a variable that the code needs',
    {
      change: ({ resources }) =>
        Reflect.deleteProperty(resources.orchestrator.props.environmentVariables, 'TAIRLIFT_UPLOADER'),
      found: ['error variable orchestrator.environmentVariables.TAIRLIFT_UPLOADER'],
      said: /the code needs it; set it/,
    },
  ],
  [
    'an address that is none',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.environmentVariables['TAIRLIFT_ENDPOINT_OSS'] = 'oss.local'),
      found: ['error variable orchestrator.environmentVariables'],
      said: /TAIRLIFT_ENDPOINT_OSS: an address such as/,
    },
  ],
  [
    'a word that is none of those that the uploader knows',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['TAIRLIFT_DOWNLOADS'] = 'private'),
      found: ['error variable uploader.environmentVariables'],
      said: /TAIRLIFT_DOWNLOADS: public or internal, not "private".*; correct it/,
    },
  ],
  [
    'an address of the cloud without TLS, which the bucket refuses',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['TAIRLIFT_ENDPOINT_OSS'] =
          'http://oss-cn-hangzhou-internal.aliyuncs.com'),
      found: ['error variable uploader.environmentVariables.TAIRLIFT_ENDPOINT_OSS'],
      said: /would carry signed requests in the clear, and the bucket refuses them; write https:/,
    },
  ],
  [
    'more variables than the platform takes',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.environmentVariables['TAIRLIFT_ENDPOINT_OSS'] =
          `https://${'o'.repeat(4096)}`),
      found: ['error variable uploader.environmentVariables'],
      said: /they are \d+ bytes together, and Function Compute takes 4096/,
    },
  ],
  [
    'a function that was not built',
    {
      with: () => packageWith({ files: undefined }),
      found: ['error handler uploader.code'],
      said: /there is no folder .\/dist\/uploader; run `npm run build`/,
    },
  ],
  [
    'the code of the other function, whose handler is called the same',
    {
      change: ({ resources }) => void (resources.uploader.props.code = './dist/orchestrator'),
      found: ['error handler uploader.code'],
      said: /.\/dist\/orchestrator is not the uploader; write .\/dist\/uploader/,
    },
  ],
  [
    'a handler in a file that is not there',
    {
      change: ({ resources }) => void (resources.uploader.props.handler = 'main.handler'),
      found: ['error handler uploader.handler'],
      said: /has no main.js/,
    },
  ],
  [
    'a handler that is not exported',
    {
      change: ({ resources }) => void (resources.uploader.props.handler = 'index.main'),
      found: ['error handler uploader.handler'],
      said: /exports no function "main" \(but handler\)/,
    },
  ],
  [
    'a handler that cannot be loaded',
    {
      with: () => packageWith({ exported: new Error('Unexpected token') }),
      found: ['error handler uploader.code'],
      said: /cannot be loaded \(Unexpected token\)/,
    },
  ],
  [
    'a package that is too large',
    {
      with: () => packageWith({ files: { 'index.js': 1e6, 'plans.yaml': 1, 'core.dump': 1e8 } }),
      found: ['error package uploader.code'],
      said: /holds 101000001 bytes, and 100000000 can be deployed/,
    },
  ],
  [
    'plans that were changed since the functions were built',
    {
      with: () => packageWith({ plans: 'plans: {}' }),
      found: ['error package uploader.code'],
      said: /plans.yaml is not the plans.yaml of this folder; run `npm run build`/,
    },
  ],
  [
    'memory that cannot be had',
    {
      change: ({ resources }) => void (resources.uploader.props.memorySize = 513),
      found: ['error size uploader.memorySize'],
      said: /513 MB cannot be had; choose 128 to 32768 in steps of 64/,
    },
  ],
  [
    'more cores than go with the memory',
    {
      change: ({ resources }) => void (resources.uploader.props.cpu = 1),
      found: ['error size uploader.cpu'],
      said: /1 vCPU and 512 MB do not go together.*choose 0.15 to 0.5 vCPU/,
    },
  ],
  [
    'part of a core that cannot be had',
    {
      change: ({ resources }) => void (resources.uploader.props.cpu = 0.33),
      found: ['error size uploader.cpu'],
      said: /0.33 vCPU cannot be had/,
    },
  ],
  [
    'a disk that cannot be had',
    {
      change: ({ resources }) => void (resources.uploader.props.diskSize = 1024),
      found: ['error size uploader.diskSize'],
      said: /choose 512 or 10240/,
    },
  ],
  [
    'a time limit beyond a day',
    {
      change: ({ resources }) => {
        resources.uploader.props.timeout = 90_000;
        resources.uploader.props.asyncInvokeConfig.maxAsyncEventAgeInSeconds = 90_000;
      },
      found: ['error size uploader.timeout'],
      said: /90000 s cannot be had; choose 1 to 86400/,
    },
  ],
  [
    'retries that would come too late to be made',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.asyncInvokeConfig.maxAsyncEventAgeInSeconds = 7200),
      found: ['error retries orchestrator.asyncInvokeConfig.maxAsyncEventAgeInSeconds'],
      said: /after 7200 s an event is dropped, but 4 tries of 3600 s may take longer; give it 14400/,
    },
  ],
  [
    'more retries than there are',
    {
      change: ({ resources }) =>
        void (resources.orchestrator.props.asyncInvokeConfig.maxAsyncRetryAttempts = 9),
      found: ['error retries orchestrator.asyncInvokeConfig.maxAsyncRetryAttempts'],
      said: /9 cannot be had; choose 0 to 8/,
    },
  ],
  [
    'more instances kept than a new account can give away',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.concurrencyConfig = { reservedConcurrency: 81 }),
      found: ['error concurrency uploader.concurrencyConfig.reservedConcurrency'],
      said: /10 and 81 are more than the 90/,
    },
  ],
  [
    'fewer uploads at once than a plan wants',
    {
      change: ({ resources }) =>
        void (resources.uploader.props.concurrencyConfig = { reservedConcurrency: 9 }),
      found: ['warning concurrency uploader.concurrencyConfig.reservedConcurrency'],
      said: /9 uploads at once are fewer than a plan's rate.concurrency of 10/,
    },
  ],
  [
    'a network that is named in part',
    {
      change: ({ resources }) => void (resources.uploader.props.vpcConfig.vSwitchIds = ['vsw-1']),
      found: ['error network uploader.vpcConfig'],
      said: /set TAIRLIFT_VPC and TAIRLIFT_SECURITY_GROUP too, or none of them/,
    },
  ],
  [
    'a network that the roles may not join',
    {
      change: (sample) => {
        for (const props of functionsOf(sample))
          props.vpcConfig = { vpcId: 'vpc-1', vSwitchIds: ['vsw-1'], securityGroupId: 'sg-1' };
      },
      found: ['error network infra.parameters.VpcId'],
      said: /give infra the same VpcId/,
    },
  ],
  [
    'functions off the Internet with the usual addresses',
    {
      change: (sample) => withoutInternet(sample, { TAIRLIFT_ENDPOINT_TAIR: 'https://tair.internal' }),
      found: [
        'error network orchestrator.environmentVariables',
        'error network uploader.environmentVariables.TAIRLIFT_DOWNLOADS',
      ],
      said: /set TAIRLIFT_ENDPOINT_FC, TAIRLIFT_ENDPOINT_CMS to private ones/,
    },
  ],
  [
    'instances of other regions, whose backups functions off the Internet cannot reach',
    {
      change: (sample) =>
        withoutInternet(sample, {
          TAIRLIFT_ENDPOINT_TAIR: 'https://tair.internal',
          TAIRLIFT_ENDPOINT_FC: 'https://fc.internal',
          TAIRLIFT_ENDPOINT_CMS: 'https://cms.internal',
          TAIRLIFT_DOWNLOADS: 'internal',
        }),
      with: { plans: 'plans:\n  nightly:\n    targets: [{ region: [cn-hangzhou, cn-shanghai] }]\n' },
      found: ['warning network plans.yaml: nightly'],
      said: /it takes instances of cn-shanghai, whose backups .* cannot be reached; deploy in that region/,
    },
  ],
  [
    'a line of a schedule that is none',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.cronExpression = '0 2 * * *'),
      found: ['error cron orchestrator.triggers.0.triggerConfig.cronExpression'],
      said: /"0 2 \* \* \*" is no schedule: it has 5 fields instead of six/,
    },
  ],
  [
    'a day of the week that is one in some kinds of cron only',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.cronExpression = '0 0 2 * * 1-7'),
      found: ['error cron orchestrator.triggers.0.triggerConfig.cronExpression'],
      said: /"0 0 2 \* \* 1-7" is no schedule: days of the week are 0 \(SUN\) to 6 \(SAT\)/,
    },
  ],
  [
    'a sign that is one in some kinds of cron only',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.cronExpression = '0 0 2 L * *'),
      found: ['error cron orchestrator.triggers.0.triggerConfig.cronExpression'],
      said: /"0 0 2 L \* \*" is no schedule: only numbers, names such as MON or JAN/,
    },
  ],
  [
    'a payload that is not JSON',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.payload = 'nightly'),
      found: [
        'error payload orchestrator.triggers.0.triggerConfig.payload',
        'warning plan orchestrator.triggers',
      ],
      said: /nightly is not JSON; write \{"plan":"<name>"\}/,
    },
  ],
  [
    'a payload for a plan that there is not',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.payload = '{"plan":"nightli"}'),
      found: [
        'error payload orchestrator.triggers.0.triggerConfig.payload',
        'warning plan orchestrator.triggers',
      ],
      said: /plans.yaml has no plan "nightli"; did you mean "nightly"/,
    },
  ],
  [
    'a payload that asks for the same run each night',
    {
      change: (sample) =>
        void (triggerOf(sample).triggerConfig.payload =
          '{"plan":"nightly","runId":"20261120T180000Z-nightly"}'),
      found: ['error payload orchestrator.triggers.0.triggerConfig.payload'],
      said: /"runId" does not belong into what comes again each time/,
    },
  ],
  [
    'a payload that the orchestrator would refuse each night',
    {
      change: (sample) =>
        void (triggerOf(sample).triggerConfig.payload = '{"plan":"nightly","instances":"r-bp1abc"}'),
      found: ['error payload orchestrator.triggers.0.triggerConfig.payload'],
      said: /"instances" is no list of ids, and every run would fail; write \["r-bp1abc"\]/,
    },
  ],
  [
    'two timers of one name',
    {
      change: (sample) =>
        void sample.resources.orchestrator.props.triggers?.push(structuredClone(triggerOf(sample))),
      found: ['error cron orchestrator.triggers.1'],
      said: /two triggers are called nightly/,
    },
  ],
  [
    'a timer that sets the uploader to work',
    {
      change: (sample) => void (sample.resources.uploader.props.triggers = [triggerOf(sample)]),
      found: ['error payload uploader.triggers'],
      said: /the uploader is set to work by the orchestrator/,
    },
  ],
  [
    'a plan that no timer runs',
    {
      with: plan('  hourly:\n    targets: [{ region: cn-hangzhou }]\n'),
      found: ['warning plan orchestrator.triggers'],
      said: /no timer runs the plan hourly/,
    },
  ],
  [
    'plans that cannot be read',
    {
      with: plan('    rates: { concurrency: 5 }\n'),
      found: ['error plan plans.yaml'],
      said: /line 4: plans.nightly.rates: unknown key; did you mean "rate"\?; correct it/,
    },
  ],
  [
    'a timer that leaves more hours than the alarm waits for',
    {
      change: (sample) =>
        void (triggerOf(sample).triggerConfig.cronExpression = 'CRON_TZ=Asia/Shanghai 0 0 2 * * 1'),
      found: ['error schedule infra.parameters.LateRunHours'],
      said: /timers leave 168 hours between two runs, and after 26 without one an alarm is raised; set it to 146/,
    },
  ],
  [
    'a timer that leaves more hours than the alarm can wait for',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.cronExpression = '0 0 2 1 * *'),
      found: ['error schedule infra.parameters.LateRunHours'],
      said: /timers leave 744 hours between two runs, .*; set it to 0, because it can be 168 at most/,
    },
  ],
  [
    'an alarm for runs that do not happen where no timer is on',
    {
      change: (sample) => void (triggerOf(sample).triggerConfig.enable = false),
      found: ['error schedule infra.parameters.LateRunHours'],
      said: /no timer is on, so an alarm would be raised after 26 hours and ever since/,
    },
  ],
  [
    'timers without that alarm',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['LateRunHours'] = '0'),
      found: ['warning schedule infra.parameters.LateRunHours'],
      said: /nobody would hear of a run that does not happen/,
    },
  ],
  [
    'ages at which a storage class is left before it is paid for',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['ArchiveAfterDays'] = '20'),
      found: ['error lifecycle infra.parameters'],
      said: /backups move to Infrequent Access after 30 days, but they move to Archive after 20/,
    },
  ],
  [
    'a last resort that comes before what a plan keeps',
    {
      change: ({ resources }) => void (resources.infra.props.parameters['ExpireAfterDays'] = '365'),
      with: plan('    retention: { yearly: 3 }\n'),
      found: ['error lifecycle infra.parameters'],
      said: /the plan nightly keeps backups for up to 1098 days, but the bucket deletes them after 365/,
    },
  ],
  [
    'a last resort that comes before what a plan of seldom runs keeps',
    {
      change: (sample) => {
        triggerOf(sample).triggerConfig.cronExpression = '0 0 2 * * SUN';
        sample.resources.infra.props.parameters['LateRunHours'] = '146';
      },
      with: plan('    retention: { last: 600 }\n'),
      found: ['error lifecycle infra.parameters'],
      said: /the plan nightly keeps backups for up to 4200 days, but the bucket deletes them after 3650/,
    },
  ],
  [
    'a plan that stores where the roles may not write',
    {
      with: plan('    destination: { bucket: elsewhere, prefix: b/ }\n'),
      found: [
        'error destination plans.yaml: nightly.destination.bucket',
        'error destination plans.yaml: nightly.destination.prefix',
      ],
      said: /it is "elsewhere", and the functions may write to "sample-backups" only/,
    },
  ],
  [
    'a role of another account that the functions may not assume',
    {
      with: {
        plans:
          'plans:\n  nightly:\n    targets:\n      - { region: cn-hangzhou, account: { roleArn: "acs:ram::22:role/source" } }\n',
      },
      found: ['error source-role infra.parameters.SourceRoles'],
      said: /a plan assumes acs:ram::22:role\/source, and the functions may not; add it to TAIRLIFT_SOURCE_ROLES/,
    },
  ],
  [
    'a role that no plan assumes',
    {
      change: ({ resources }) =>
        void (resources.infra.props.parameters['SourceRoles'] = 'acs:ram::22:role/source'),
      found: ['warning source-role infra.parameters.SourceRoles'],
      said: /no plan assumes acs:ram::22:role\/source; take it out/,
    },
  ],
  [
    'a password that a plan names and no function has',
    {
      with: {
        plans:
          'plans:\n  nightly:\n    targets: [{ redis: "redis://host:6379", id: orders, passwordFrom: ORDERS_PASSWORD }]\n',
      },
      found: [
        'error plan plans.yaml',
        'error variable orchestrator.environmentVariables.ORDERS_PASSWORD',
        'error variable uploader.environmentVariables.ORDERS_PASSWORD',
      ],
      said: /the variable ORDERS_PASSWORD is not set/,
    },
  ],
];

describe('the checker of a deployment', () => {
  it('has nothing to say about the repository’s own, in any environment', async () => {
    for (const environment of ['dev', 'prod'])
      expect(checkSample(await renderSample(environment))).toEqual([]);
  });

  it.each(CASES)('names %s', (_what, { change, with: changes = {}, found, said }) => {
    const sample = structuredClone(sound);
    change?.(sample);

    const findings = checkSample(sample, typeof changes === 'function' ? changes() : changes);

    expect(findings.map(({ level, rule, at }) => `${level} ${rule} ${at}`)).toEqual(found);
    expect(findings.map(({ message }) => message).join('\n')).toMatch(said);
    for (const { message } of findings) expect(message).toMatch(/; .+|: .+/); // and what to do
  });

  it('has a case for each of its rules', () => {
    const byCase = CASES.flatMap(([, { found }]) => found.map((line) => line.split(' ')[1]));
    // These are found before there is a rendered deployment: s-deploy.test.ts.
    const before = ['render', 'overlay', 'credentials'];

    expect(new Set([...byCase, ...before])).toEqual(new Set(RULES));
  });

  it('names everything at once', () => {
    const sample = structuredClone(sound);
    sample.resources.infra.props.parameters['Stage'] = 'Prod';
    sample.resources.orchestrator.props.cpu = 4;
    sample.resources.uploader.props.timeout = 0;
    triggerOf(sample).triggerConfig.cronExpression = 'at night';

    const rules = new Set(checkSample(sample).map(({ rule }) => rule));
    expect([...rules].sort((a, b) => a.localeCompare(b))).toEqual(['cron', 'name', 'parameter', 'size']);
  });

  it.each([
    ['0 0 2 * * *', '0 0 4 * * SUN', '2'],
    ['0 0 */4 * * *', '0 0 4 1 * *', '2'],
    ['0 0 2 * * MON', '0 0 2 * * THU', '74'],
    ['0 0 2 * * SUN', '0 0 2 * * SUN', '146'],
  ])('accepts the timers %s and %s, whose alarm waits %s hours', (first, second, LateRunHours) => {
    const sample = structuredClone(sound);
    Object.assign(sample.resources.infra.props.parameters, { LateRunHours });
    const other = structuredClone(triggerOf(sample));
    triggerOf(sample).triggerConfig.cronExpression = first;
    Object.assign(other, { triggerName: 'other' });
    Object.assign(other.triggerConfig, { cronExpression: second, payload: '{"plan":"other"}' });
    sample.resources.orchestrator.props.triggers?.push(other);

    expect(checkSample(sample, plan('  other:\n    targets: [{ region: cn-hangzhou }]\n'))).toEqual([]);
  });

  it('accepts functions for which no instances are kept free', () => {
    const sample = structuredClone(sound);
    for (const props of functionsOf(sample)) delete props.concurrencyConfig;

    expect(checkSample(sample)).toEqual([]);
  });

  it('accepts what a plan and its functions have in common', () => {
    const sample = structuredClone(sound);
    sample.resources.infra.props.parameters['SourceRoles'] = 'acs:ram::22:role/Source';
    for (const props of functionsOf(sample)) props.environmentVariables['ORDERS_PASSWORD'] = 'secret';
    const plans = [
      'plans:',
      '  nightly:',
      '    targets:',
      '      - { redis: "redis://host:6379", id: orders, passwordFrom: ORDERS_PASSWORD }',
      '      - { region: cn-hangzhou, account: { roleArn: "acs:ram::22:role/source" } }',
    ].join('\n');

    expect(checkSample(sample, { plans })).toEqual([]);
  });

  it('knows the variables that the code reads', () => {
    const code = readFileSync(join(ROOT, 'functions', 'core', 'config.ts'), 'utf8');
    const read = [...code.matchAll(/(?:variables\[|endpoint\()'(TAIRLIFT_\w+)'/g)].map(
      ([, name = '']) => name,
    );

    expect([...VARIABLES_READ].sort((a, b) => a.localeCompare(b))).toEqual(
      [...new Set(read)].sort((a, b) => a.localeCompare(b)),
    );
  });
});
