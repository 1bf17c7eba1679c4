/** Sizes, retries, limits and networks of the functions, and what is deployed as them. */
import { readEnvironment } from '../../functions/core/config.ts';
import type { Findings } from './finding.ts';
import type { DeployedFunction } from './rendered.ts';

/** What lies in the folder that a function is made of. */
export interface Package {
  /** Undefined when there is no such folder. */
  readonly files?: Readonly<Record<string, number>>;
  /** The names that the handler's file exports as functions, or why it cannot be loaded. */
  readonly exported: readonly string[] | Error;
  /** The plans that go up with it. */
  readonly plans?: string;
}

type Named = readonly [name: string, deployed: DeployedFunction];

// https://www.alibabacloud.com/help/en/functioncompute/fc/product-overview/limits-of-usage
const MEMORY_MB = { min: 128, max: 32_768, step: 64 };
const CPU = { min: 0.05, max: 16, step: 0.05 };
const DISK_MB = [512, 10_240];
const MAX_TIMEOUT_SECONDS = 86_400;
const MAX_ENVIRONMENT_BYTES = 4096;
/** Of the zip; what lies in the folder is more, so this errs on the safe side. */
const MAX_PACKAGE_BYTES = 100_000_000;
const MAX_RETRIES = 8;
const MAX_EVENT_AGE_SECONDS = 604_800;
/** A new account may have 100 instances in a region, and give away nine tenths of them. */
const MAX_RESERVED = 90;

export function checkPackage(
  [name, { code, handler }]: Named,
  found: Package,
  plans: string,
  findings: Findings,
): void {
  if (code.split('/').at(-1) !== name)
    findings.error('handler', `${name}.code`, `${code} is not the ${name}; write ./dist/${name}`);
  if (found.files === undefined) {
    findings.error('handler', `${name}.code`, `there is no folder ${code}; run \`npm run build\``);
    return;
  }
  const [file = '', method = ''] = handler.split('.');
  if (found.files[`${file}.js`] === undefined)
    findings.error(
      'handler',
      `${name}.handler`,
      `${code} has no ${file}.js; run \`npm run build\`, or correct the name`,
    );
  else if (found.exported instanceof Error)
    findings.error(
      'handler',
      `${name}.code`,
      `${code}/${file}.js cannot be loaded (${found.exported.message}); run \`npm run build\``,
    );
  else if (!found.exported.includes(method))
    findings.error(
      'handler',
      `${name}.handler`,
      `${code}/${file}.js exports no function "${method}" (but ${found.exported.join(', ') || 'none'}); correct the name`,
    );
  const bytes = Object.values(found.files).reduce((sum, size) => sum + size, 0);
  if (bytes > MAX_PACKAGE_BYTES)
    findings.error(
      'package',
      `${name}.code`,
      `${code} holds ${bytes} bytes, and ${MAX_PACKAGE_BYTES} can be deployed; take out what the function does not need`,
    );
  if (found.plans !== plans)
    findings.error(
      'package',
      `${name}.code`,
      `${code}/plans.yaml is ${found.plans === undefined ? 'missing' : 'not the plans.yaml of this folder'}; run \`npm run build\``,
    );
}

export function checkSize([name, { memorySize, cpu, diskSize, timeout }]: Named, findings: Findings): void {
  const wrong = (key: string, message: string): void => findings.error('size', `${name}.${key}`, message);
  const { min, max, step } = MEMORY_MB;
  if (memorySize < min || memorySize > max || memorySize % step !== 0)
    wrong('memorySize', `${memorySize} MB cannot be had; choose ${min} to ${max} in steps of ${step}`);
  const steps = cpu / CPU.step;
  if (cpu < CPU.min || cpu > CPU.max || Math.abs(steps - Math.round(steps)) > 1e-6)
    wrong('cpu', `${cpu} vCPU cannot be had; choose ${CPU.min} to ${CPU.max} in steps of ${CPU.step}`);
  const gbPerCpu = memorySize / 1024 / cpu;
  if (gbPerCpu < 1 || gbPerCpu > 4)
    wrong(
      'cpu',
      `${cpu} vCPU and ${memorySize} MB do not go together: a vCPU comes with 1 to 4 GB, so choose ${lowest(memorySize)} to ${memorySize / 1024} vCPU`,
    );
  if (!DISK_MB.includes(diskSize))
    wrong('diskSize', `${diskSize} MB cannot be had; choose ${DISK_MB.join(' or ')}`);
  if (timeout < 1 || timeout > MAX_TIMEOUT_SECONDS)
    wrong('timeout', `${timeout} s cannot be had; choose 1 to ${MAX_TIMEOUT_SECONDS}`);
}

function lowest(memorySize: number): number {
  return Math.ceil(memorySize / 1024 / 4 / CPU.step - 1e-6) / (1 / CPU.step);
}

export function checkRetries([name, { asyncInvokeConfig, timeout }]: Named, findings: Findings): void {
  const { maxAsyncRetryAttempts: retries, maxAsyncEventAgeInSeconds: age } = asyncInvokeConfig;
  const wrong = (key: string, message: string): void =>
    findings.error('retries', `${name}.asyncInvokeConfig.${key}`, message);
  if (retries < 0 || retries > MAX_RETRIES)
    wrong('maxAsyncRetryAttempts', `${retries} cannot be had; choose 0 to ${MAX_RETRIES}`);
  if (age < 1 || age > MAX_EVENT_AGE_SECONDS)
    wrong('maxAsyncEventAgeInSeconds', `${age} s cannot be had; choose 1 to ${MAX_EVENT_AGE_SECONDS}`);
  else if (age < timeout * (1 + retries))
    wrong(
      'maxAsyncEventAgeInSeconds',
      `after ${age} s an event is dropped, but ${1 + retries} tries of ${timeout} s may take longer; give it ${timeout * (1 + retries)} at least, or a shorter timeout`,
    );
}

/** @param concurrencies `rate.concurrency` of each plan */
export function checkConcurrency(
  functions: readonly Named[],
  concurrencies: readonly number[],
  findings: Findings,
): void {
  const reserved = new Map(
    functions.map(([name, { concurrencyConfig }]) => [name, concurrencyConfig?.reservedConcurrency]),
  );
  const [runs, uploads] = [reserved.get('orchestrator'), reserved.get('uploader')];
  const at = (name: string): string => `${name}.concurrencyConfig.reservedConcurrency`;
  if ((runs ?? 0) + (uploads ?? 0) > MAX_RESERVED)
    findings.error(
      'concurrency',
      at('uploader'),
      `${runs ?? 0} and ${uploads ?? 0} are more than the ${MAX_RESERVED} of which a new account can be sure; lower them, or have the account's quota raised and this limit with it`,
    );
  if (runs !== undefined && runs < concurrencies.length)
    findings.warning(
      'concurrency',
      at('orchestrator'),
      `${runs} runs at once are fewer than the ${concurrencies.length} plans; the others wait, for a day at most`,
    );
  const most = Math.max(0, ...concurrencies);
  if (uploads !== undefined && uploads < most)
    findings.warning(
      'concurrency',
      at('uploader'),
      `${uploads} uploads at once are fewer than a plan's rate.concurrency of ${most}; the others wait in the queue: raise it, or lower the plan's`,
    );
}

/** @param needsSts some plan works for another account */
export function checkNetwork([name, deployed]: Named, needsSts: boolean, findings: Findings): void {
  const { vpcConfig, internetAccess, environmentVariables: variables } = deployed;
  const parts = {
    TAIRLIFT_VPC: vpcConfig.vpcId !== '',
    TAIRLIFT_VSWITCHES: vpcConfig.vSwitchIds.length > 0,
    TAIRLIFT_SECURITY_GROUP: vpcConfig.securityGroupId !== '',
  };
  const missing = Object.entries(parts).flatMap(([variable, isSet]) => (isSet ? [] : [variable]));
  if (missing.length > 0 && missing.length < 3)
    findings.error(
      'network',
      `${name}.vpcConfig`,
      `a network is named by all three of ${Object.keys(parts).join(', ')}; set ${missing.join(' and ')} too, or none of them`,
    );
  if (internetAccess) return;
  if (missing.length > 0)
    findings.error(
      'network',
      `${name}.internetAccess`,
      'without the Internet and without a network no service can be reached; set TAIRLIFT_INTERNET=true, or name a network',
    );
  const needed = [
    'TAIRLIFT_ENDPOINT_TAIR',
    ...(name === 'orchestrator' ? ['TAIRLIFT_ENDPOINT_FC', 'TAIRLIFT_ENDPOINT_CMS'] : []),
    ...(needsSts ? ['TAIRLIFT_ENDPOINT_STS'] : []),
  ].filter((variable) => (variables[variable] ?? '-') === '-');
  if (needed.length > 0)
    findings.error(
      'network',
      `${name}.environmentVariables`,
      `without the Internet the usual addresses cannot be reached; set ${needed.join(', ')} to private ones`,
    );
  if (name === 'uploader' && variables['TAIRLIFT_DOWNLOADS'] !== 'internal')
    findings.error(
      'network',
      `${name}.environmentVariables.TAIRLIFT_DOWNLOADS`,
      'without the Internet no backup can be downloaded from its public address; set TAIRLIFT_DOWNLOADS=internal',
    );
}

/** What code reads, wherever it runs. */
export const VARIABLES_READ = [
  'TAIRLIFT_BUCKET',
  'TAIRLIFT_OSS_REGION',
  'TAIRLIFT_PREFIX',
  'TAIRLIFT_UPLOADER',
  'TAIRLIFT_PLANS',
  'TAIRLIFT_HTTP',
  'TAIRLIFT_DOWNLOADS',
  'TAIRLIFT_ENDPOINT_TAIR',
  'TAIRLIFT_ENDPOINT_OSS',
  'TAIRLIFT_ENDPOINT_FC',
  'TAIRLIFT_ENDPOINT_STS',
  'TAIRLIFT_ENDPOINT_CMS',
  'TAIRLIFT_ENDPOINT_RAM',
];

/** An address of the cloud itself; emulators on loopback speak it too. */
const PLAIN_HTTP = /^http:\/\/[\w.-]+\.aliyuncs\.com(:|\/|$)/i;

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  orchestrator: ['TAIRLIFT_BUCKET', 'TAIRLIFT_OSS_REGION', 'TAIRLIFT_UPLOADER'],
};

/** @param ofPlans the variables that plans name, as `${env:NAME}`, `passwordFrom` or `keyFrom` */
export function checkVariables(
  [name, { environmentVariables: variables }]: Named,
  ofPlans: readonly string[],
  findings: Findings,
): void {
  const wrong = (variable: string, message: string): void =>
    findings.error('variable', `${name}.environmentVariables.${variable}`, message);
  for (const variable of Object.keys(variables)) {
    if (variable.startsWith('FC_'))
      wrong(variable, 'names that begin with FC_ are the platform’s own; choose another');
    else if (!/^[a-zA-Z]\w*$/.test(variable)) wrong(variable, 'this is no name of a variable; correct it');
    else if (!VARIABLES_READ.includes(variable) && !ofPlans.includes(variable))
      wrong(variable, 'neither the code nor a plan reads it; correct it, or take it out');
    // A bucket that is not set is said where the template asks for it.
    if (variables[variable] === '' && variable !== 'TAIRLIFT_BUCKET')
      wrong(
        variable,
        'it is empty, and Function Compute may drop or refuse it; write "-" for one that is not set',
      );
  }
  // The orchestrator's are read together with the plans.
  if (name !== 'orchestrator') {
    try {
      readEnvironment(variables);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      findings.error('variable', `${name}.environmentVariables`, `${message}; correct it`);
    }
  }
  for (const [variable, value] of Object.entries(variables))
    if (PLAIN_HTTP.test(value))
      wrong(
        variable,
        `"${value}" would carry signed requests in the clear, and the bucket refuses them; write https://`,
      );
  for (const variable of [...(NEEDED[name] ?? []), ...ofPlans])
    if ((variables[variable] ?? '-') === '-')
      wrong(variable, `${ofPlans.includes(variable) ? 'a plan names it' : 'the code needs it'}; set it`);
  const bytes = Object.entries(variables).reduce(
    (sum, [variable, value]) => sum + Buffer.byteLength(variable) + Buffer.byteLength(value),
    0,
  );
  if (bytes > MAX_ENVIRONMENT_BYTES)
    findings.error(
      'variable',
      `${name}.environmentVariables`,
      `they are ${bytes} bytes together, and Function Compute takes ${MAX_ENVIRONMENT_BYTES}; shorten them`,
    );
}
