/** That the plans of `plans.yaml` and the deployment go together. */
import { parse } from 'yaml';
import {
  readEnvironment,
  readPlans,
  suggestion,
  type Environment,
  type Plan,
} from '../../functions/core/config.ts';
import { lifecycleProblems, type LifecycleDays } from '../../functions/core/lifecycle.ts';
import type { Findings } from './finding.ts';
import type { Rendered, Timer } from './rendered.ts';
import { parseSchedule } from './schedule.ts';
import type { Template } from './template-facts.ts';

/** Stands for a bucket that is not set: that is said where the template asks for it. */
const ANY_BUCKET = 'bucket-is-not-set';

/** As the orchestrator will read them, with the variables that it will have; none when it could not. */
export function checkPlans(text: string, { resources }: Rendered, findings: Findings): readonly Plan[] {
  const given = resources.orchestrator.props.environmentVariables;
  const variables = { ...given, TAIRLIFT_BUCKET: given['TAIRLIFT_BUCKET'] || ANY_BUCKET };
  let environment: Environment;
  try {
    environment = readEnvironment(variables);
  } catch (error) {
    findings.error('variable', 'orchestrator.environmentVariables', `${messageOf(error)}; correct it`);
    return [];
  }
  try {
    return [...readPlans(text, 'plans.yaml', environment, variables).values()];
  } catch (error) {
    findings.error('plan', 'plans.yaml', `${messageOf(error)}; correct it`);
    return [];
  }
}

/** Variables that plans name: those of which they take the text, and those that hold a server's secrets. */
export interface PlanVariables {
  readonly texts: readonly string[];
  readonly secrets: readonly string[];
}

/** Also of plans that cannot be read yet, because one of these is missing. */
export function variablesOf(text: string): PlanVariables {
  const texts: string[] = [];
  const secrets: string[] = [];
  const visit = (value: unknown): void => {
    if (typeof value === 'string')
      texts.push(...[...value.matchAll(/\$\{env:(\w+)\}/g)].map(([, name = '']) => name));
    else if (typeof value === 'object' && value !== null)
      for (const [key, inner] of Object.entries(value)) {
        if ((key === 'passwordFrom' || key === 'keyFrom') && typeof inner === 'string') secrets.push(inner);
        visit(inner);
      }
  };
  try {
    visit(parse(text));
  } catch {
    // That it is no YAML is said where it is read.
  }
  return { texts: [...new Set(texts)], secrets: [...new Set(secrets)] };
}

/** The template's roles may write into one bucket, under one prefix. */
export function checkDestinations(plans: readonly Plan[], { resources }: Rendered, findings: Findings): void {
  const { region, parameters } = resources.infra.props;
  const allowed = { region, bucket: parameters['BucketName'], prefix: parameters['Prefix'] ?? '' };
  for (const { name, destination } of plans)
    for (const key of ['region', 'bucket', 'prefix'] as const)
      if (destination[key] !== String(allowed[key]) && destination[key] !== ANY_BUCKET)
        findings.error(
          'destination',
          `plans.yaml: ${name}.destination.${key}`,
          `it is "${destination[key]}", and the functions may write to "${allowed[key]}" only; leave it out, or deploy a stage of its own for it`,
        );
}

/** Off the Internet, only backups of the functions' own region have an address that can be reached. */
export function checkReach(plans: readonly Plan[], { resources }: Rendered, findings: Findings): void {
  const { internetAccess, region } = resources.uploader.props;
  if (internetAccess) return;
  for (const { name, targets } of plans) {
    const regions = targets.flatMap((target): readonly string[] =>
      target.region === '*' ? ['any region'] : target.region,
    );
    const others = [...new Set(regions)].filter((other) => other !== region && other !== SELF_MANAGED);
    if (others.length > 0)
      findings.warning(
        'network',
        `plans.yaml: ${name}`,
        `it takes instances of ${others.join(', ')}, whose backups (if not of ${region}) cannot be reached; deploy in that region, or set TAIRLIFT_INTERNET=true`,
      );
  }
}

/** Stands for a region where a plan names a server of one's own. */
const SELF_MANAGED = 'self-managed';

const AGES: Readonly<Record<keyof LifecycleDays, string>> = {
  ia: 'IaAfterDays',
  archive: 'ArchiveAfterDays',
  coldArchive: 'ColdArchiveAfterDays',
  expire: 'ExpireAfterDays',
  abortUploads: 'AbortUploadsAfterDays',
};

/** Whether the bucket's rules agree with each other, with what the classes charge, and with what the plans keep. */
export function checkLifecycle(
  plans: readonly Plan[],
  { resources }: Rendered,
  template: Template,
  now: Date,
  findings: Findings,
): void {
  const { parameters } = resources.infra.props;
  const triggers = resources.orchestrator.props.triggers ?? [];
  const days = Object.fromEntries(
    Object.entries(AGES).flatMap(([age, name]) => {
      const value = Number(parameters[name] ?? template.Parameters[name]?.Default);
      return value > 0 ? [[age, value]] : []; // 0 is never; what is no number is said where parameters are checked
    }),
  );
  const scheduled = plans.map(({ name, retention }) => ({
    name,
    retention,
    everyDays: everyDays(triggers, name, now),
  }));
  for (const problem of lifecycleProblems(days, scheduled))
    findings.error('lifecycle', 'infra.parameters', problem);
}

/** Days between two runs of the plan, on average, by the timer that runs it most often; 1 where none is known, or more often. */
function everyDays(triggers: readonly Timer[], plan: string, now: Date): number {
  const averages = triggers
    .filter(({ triggerConfig }) => isFor(plan, triggerConfig.payload))
    .map(({ triggerConfig }) => instantsOf(triggerConfig.cronExpression, now))
    .filter((instants) => instants.length > 1)
    .map((instants) => ((instants.at(-1) ?? 0) - (instants[0] ?? 0)) / (instants.length - 1) / DAY_MS);
  // An hour more or less, when clocks are changed, is no day.
  return averages.length === 0 ? 1 : Math.max(1, Math.round(Math.min(...averages) * 100) / 100);
}

function isFor(plan: string, payload: string): boolean {
  try {
    return parsePayload(payload).plan === plan;
  } catch {
    return false; // said where it is checked
  }
}

/** Roles of other accounts: what plans need has to be allowed, and nothing else should be. */
export function checkSourceRoles(plans: readonly Plan[], { resources }: Rendered, findings: Findings): void {
  const allowed = String(resources.infra.props.parameters['SourceRoles'] ?? '')
    .split(',')
    .filter((role) => role !== '');
  const needed = [
    ...new Set(plans.flatMap(({ targets }) => targets.flatMap((target) => target.account?.roleArn ?? []))),
  ];
  const has = (roles: readonly string[], role: string): boolean =>
    roles.some((other) => other.toLowerCase() === role.toLowerCase());
  for (const role of needed)
    if (!has(allowed, role))
      findings.error(
        'source-role',
        'infra.parameters.SourceRoles',
        `a plan assumes ${role}, and the functions may not; add it to TAIRLIFT_SOURCE_ROLES`,
      );
  for (const role of allowed)
    if (!has(needed, role))
      findings.warning(
        'source-role',
        'infra.parameters.SourceRoles',
        `no plan assumes ${role}; take it out of TAIRLIFT_SOURCE_ROLES`,
      );
}

const PAYLOAD = 'write {"plan":"<name>"}';

export function checkTriggers(plans: readonly string[], { resources }: Rendered, findings: Findings): void {
  const triggers = resources.orchestrator.props.triggers ?? [];
  const at = (index: number): string => `orchestrator.triggers.${index}`;
  const triggered = triggers.map((trigger, index) => {
    const again = triggers.findIndex(({ triggerName }) => triggerName === trigger.triggerName);
    if (again !== index)
      findings.error(
        'cron',
        at(index),
        `two triggers are called ${trigger.triggerName}; name each as its plan`,
      );
    checkCron(trigger, at(index), findings);
    return checkPayload(trigger, at(index), plans, findings);
  });
  for (const plan of plans)
    if (!triggered.includes(plan))
      findings.warning(
        'plan',
        'orchestrator.triggers',
        `no timer runs the plan ${plan}; add one to s.yaml, unless it is run by hand`,
      );
  if (resources.uploader.props.triggers !== undefined)
    findings.error(
      'payload',
      'uploader.triggers',
      'the uploader is set to work by the orchestrator; take them out',
    );
}

function checkCron({ triggerConfig }: Timer, at: string, findings: Findings): void {
  try {
    parseSchedule(triggerConfig.cronExpression);
  } catch (error) {
    findings.error(
      'cron',
      `${at}.triggerConfig.cronExpression`,
      `"${triggerConfig.cronExpression}" is no schedule: ${messageOf(error)}; write one such as "CRON_TZ=Asia/Shanghai 0 0 2 * * *" (TAIRLIFT_SCHEDULE)`,
    );
  }
}

/** The plan that it names. A payload with a `runId` would ask for one and the same run every night. */
function checkPayload(
  { triggerConfig }: Timer,
  where: string,
  plans: readonly string[],
  findings: Findings,
): string | undefined {
  const at = `${where}.triggerConfig.payload`;
  let payload: Payload;
  try {
    payload = parsePayload(triggerConfig.payload);
  } catch {
    findings.error('payload', at, `${triggerConfig.payload} is not JSON; ${PAYLOAD}`);
    return undefined;
  }
  const { plan, instances, ...others } = payload;
  if (typeof plan !== 'string') {
    findings.error('payload', at, `${triggerConfig.payload} names no plan; ${PAYLOAD}`);
    return undefined;
  }
  if (!plans.includes(plan))
    findings.error(
      'payload',
      at,
      `plans.yaml has no plan "${plan}"${suggestion(plan, plans)}; it has ${plans.join(', ')}`,
    );
  if (instances !== undefined && !isIdList(instances))
    findings.error(
      'payload',
      at,
      '"instances" is no list of ids, and every run would fail; write ["r-bp1abc"]',
    );
  for (const key of Object.keys(others))
    findings.error('payload', at, `"${key}" does not belong into what comes again each time; ${PAYLOAD}`);
  return plan;
}

interface Payload {
  readonly plan?: unknown;
  readonly instances?: unknown;
}

/** As the orchestrator reads it. */
function isIdList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((id) => typeof id === 'string' && /^[\w-]+$/.test(id))
  );
}

/** Throws when it is not JSON. */
function parsePayload(text: string): Payload {
  const payload: unknown = JSON.parse(text);
  return typeof payload === 'object' && payload !== null ? payload : {};
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
/** Of each timer: two months of one that fires every hour. */
const LOOKED_AT = 1500;
/** The alarm looks this far back, and waits for so many hours more as the template's parameter says. */
const LOOKS_BACK_HOURS = 24;
/** A run may end later than the one before it. */
const SPARE_HOURS = 2;

/** The alarm for runs that did not happen must not ring between two that do, nor where none is expected. */
export function checkExpectation(
  { resources }: Rendered,
  template: Template,
  now: Date,
  findings: Findings,
): void {
  const given = resources.infra.props.parameters['LateRunHours'];
  const lateHours = Number(given ?? template.Parameters['LateRunHours']?.Default);
  const timers = (resources.orchestrator.props.triggers ?? [])
    .filter(({ triggerConfig }) => triggerConfig.enable)
    .map(({ triggerConfig }) => instantsOf(triggerConfig.cronExpression, now));
  // Of a timer that cannot be is said where it is checked.
  if (timers.some((instants) => instants.length === 0)) return;
  // As far as all of them were looked at: beyond, those that fire often seem to have stopped.
  const until = Math.min(...timers.map((instants) => instants.at(-1) ?? Infinity));
  const instants = timers
    .flat()
    .filter((instant) => instant <= until)
    .sort((a, b) => a - b);
  if (!(lateHours > 0)) {
    if (instants.length > 0)
      findings.warning(
        'schedule',
        'infra.parameters.LateRunHours',
        'timers are on, and nobody would hear of a run that does not happen; set it to 2 for daily runs',
      );
    return;
  }
  const longestHours = longestGap(instants) / HOUR_MS;
  const late = LOOKS_BACK_HOURS + lateHours;
  if (instants.length === 0)
    findings.error(
      'schedule',
      'infra.parameters.LateRunHours',
      `no timer is on, so an alarm would be raised after ${late} hours and ever since; set it to 0, or switch a timer on`,
    );
  else if (longestHours >= late) {
    const enough = Math.ceil(longestHours) - LOOKS_BACK_HOURS + SPARE_HOURS;
    const most = template.Parameters['LateRunHours']?.MaxValue ?? Infinity;
    findings.error(
      'schedule',
      'infra.parameters.LateRunHours',
      `timers leave ${Math.round(longestHours * 10) / 10} hours between two runs, and after ${late} without one an alarm is raised; set it to ${enough <= most ? enough : `0, because it can be ${most} at most`}`,
    );
  }
}

/** In milliseconds; 0 where there are no two of them. */
function longestGap(instants: readonly number[]): number {
  return instants
    .slice(1)
    .reduce((longest, instant, index) => Math.max(longest, instant - (instants[index] ?? instant)), 0);
}

function instantsOf(cronExpression: string, now: Date): readonly number[] {
  try {
    return parseSchedule(cronExpression).next(LOOKED_AT, now);
  } catch {
    return []; // said where it is checked
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message.replace(/^CronPattern: /, '') : String(error);
}
