/** That what the functions are told to use is what the template makes, and that both are called as the code expects. */
import { namesOf } from '../names.ts';
import type { Findings } from './finding.ts';
import type { Rendered } from './rendered.ts';
import { madeBy, type Template, type TemplateParameter } from './template-facts.ts';

/** Where the value of a parameter comes from, for whoever has to correct it. */
const SET_BY: Readonly<Record<string, string>> = {
  Stage: 'TAIRLIFT_STAGE',
  BucketName: 'TAIRLIFT_BUCKET',
  BucketIs: 'TAIRLIFT_BUCKET_IS',
  Prefix: 'TAIRLIFT_PREFIX',
  ContactGroup: 'TAIRLIFT_CONTACT_GROUP',
  KmsKeyId: 'TAIRLIFT_KMS_KEY',
  SourceRoles: 'TAIRLIFT_SOURCE_ROLES',
  VpcId: 'TAIRLIFT_VPC',
  LogAlertPolicy: 'TAIRLIFT_LOG_ALERT_POLICY',
};

export function checkParameters({ resources }: Rendered, template: Template, findings: Findings): void {
  const { parameters } = resources.infra.props;
  const wrong = (name: string, message: string): void =>
    findings.error('parameter', `infra.parameters.${name}`, message);
  for (const [name, value] of Object.entries(parameters)) {
    const parameter = template.Parameters[name];
    if (parameter === undefined) {
      wrong(name, `the template has no parameter "${name}"; take it out, or run \`npm run synth\``);
      continue;
    }
    const from = SET_BY[name] ?? `infra.parameters.${name} in s.yaml or env.yaml`;
    if (value === '' && parameter.Default === undefined) wrong(name, `it is not set; set ${from}`);
    else {
      const form = misfit(value, parameter);
      if (form !== undefined)
        wrong(name, `${JSON.stringify(value)} is not allowed: ${form}; correct ${from}`);
    }
  }
  for (const [name, { Default }] of Object.entries(template.Parameters))
    if (Default === undefined && parameters[name] === undefined)
      wrong(name, 'the template asks for it, and it is not given; add it to infra.parameters in s.yaml');
}

/** What the value should be like; undefined when it is. */
function misfit(value: string | number, parameter: TemplateParameter): string | undefined {
  const { Type, AllowedPattern, AllowedValues, MinLength, MaxLength, MinValue, MaxValue } = parameter;
  const length = String(value).length;
  if (Type === 'Number') {
    const number = Number(value);
    if (String(value).trim() === '' || !Number.isFinite(number)) return 'a number';
    if (MinValue !== undefined && number < MinValue) return `at least ${MinValue}`;
    if (MaxValue !== undefined && number > MaxValue) return `at most ${MaxValue}`;
  }
  if (MinLength !== undefined && length < MinLength) return `at least ${MinLength} characters`;
  if (MaxLength !== undefined && length > MaxLength) return `at most ${MaxLength} characters`;
  if (AllowedValues !== undefined && !AllowedValues.some((allowed) => String(allowed) === String(value)))
    return AllowedValues.join(' or ');
  if (AllowedPattern !== undefined && !new RegExp(AllowedPattern).test(String(value)))
    return `it has to match ${AllowedPattern}`;
  return undefined;
}

export function checkNames(
  { resources }: Rendered,
  template: Template,
  accountId: string,
  findings: Findings,
): void {
  const { infra, orchestrator, uploader } = resources;
  const { region, parameters } = infra.props;
  const names = namesOf(String(parameters['Stage']), accountId);
  const made = madeBy(template, parameters, accountId);
  const same = (at: string, found: string | undefined, expected: string): void => {
    if (found !== expected)
      findings.error('name', at, `it is ${found ?? 'nothing'}; the code calls it ${expected}: correct it`);
  };
  const exists = (at: string, what: string, name: string, there: readonly string[]): void => {
    if (!there.includes(name))
      findings.error(
        'name',
        at,
        `the template makes no ${what} ${name} (but ${there.join(', ') || 'none'}); correct one of the two`,
      );
  };

  same('infra.name', infra.props.name, names.stack);
  same('orchestrator.functionName', orchestrator.props.functionName, names.orchestrator);
  same('uploader.functionName', uploader.props.functionName, names.uploader);
  exists('infra.parameters.BucketName', 'bucket', String(parameters['BucketName']), made.buckets);
  for (const [name, { props }] of Object.entries({ orchestrator, uploader })) {
    const role = name === 'orchestrator' ? names.orchestratorRole : names.uploaderRole;
    same(`${name}.role`, props.role, `acs:ram::${accountId}:role/${role}`);
    exists(`${name}.role`, 'role', props.role.split('/').at(-1) ?? '', made.roles);
    same(`${name}.logConfig.project`, props.logConfig.project, names.logProject);
    exists(`${name}.logConfig.project`, 'log project', props.logConfig.project, made.logProjects);
    same(`${name}.logConfig.logstore`, props.logConfig.logstore, names.logstore);
    exists(`${name}.logConfig.logstore`, 'logstore', props.logConfig.logstore, made.logstores);
    const { destination } = props.asyncInvokeConfig.destinationConfig.onFailure;
    const at = `${name}.asyncInvokeConfig.destinationConfig.onFailure.destination`;
    same(at, destination, `acs:mns:${region}:${accountId}:/queues/${names.deadLetters}/messages`);
    exists(at, 'queue', /\/queues\/([^/]+)/.exec(destination)?.[1] ?? destination, made.queues);
  }
}

/** One region for all, and variables that say the same as the template is told. */
export function checkAgreement({ resources }: Rendered, findings: Findings): void {
  const { infra, orchestrator, uploader } = resources;
  const { region, parameters } = infra.props;
  for (const [name, { props }] of Object.entries({ orchestrator, uploader }))
    if (props.region !== region)
      findings.error(
        'region',
        `${name}.region`,
        `it is ${props.region}, and infra is made in ${region}; set one TAIRLIFT_REGION`,
      );
  if (!/^[a-z]{2}-[a-z]+[a-z0-9-]*$/.test(region))
    findings.error(
      'region',
      'infra.region',
      `"${region}" is no region such as cn-hangzhou; correct TAIRLIFT_REGION`,
    );
  const variables = orchestrator.props.environmentVariables;
  const agree = (variable: string, what: string, expected: string | number = ''): void => {
    const value = variables[variable] === '-' ? '' : variables[variable];
    if (value !== undefined && value !== String(expected))
      findings.error(
        'variable',
        `orchestrator.environmentVariables.${variable}`,
        `it is "${value}", and ${what} is "${String(expected)}"; make them the same`,
      );
  };
  agree('TAIRLIFT_BUCKET', 'the bucket that is made', parameters['BucketName']);
  agree('TAIRLIFT_PREFIX', 'the prefix under which the roles may write', parameters['Prefix']);
  agree('TAIRLIFT_OSS_REGION', 'the region of the bucket', region);
  agree('TAIRLIFT_UPLOADER', 'the name of the uploader', uploader.props.functionName);
  if (orchestrator.props.vpcConfig.vpcId !== '' && parameters['VpcId'] !== orchestrator.props.vpcConfig.vpcId)
    findings.error(
      'network',
      'infra.parameters.VpcId',
      'the functions are in a network, and their roles may not join it; give infra the same VpcId',
    );
}

export function checkActions({ actions }: Rendered, findings: Findings): void {
  if (!actions['pre-deploy'].some(({ run }) => run.includes('check:deploy') && run.includes('--strict')))
    findings.error(
      'pre-deploy',
      'actions.pre-deploy',
      'nothing checks the deployment before it begins; let it run `npm run check:deploy --silent -- --strict`',
    );
}
