import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Command } from 'commander';
import { composeCloud } from '../functions/core/compose.ts';
import { planNamed, readEnvironment, type Environment, type Plan } from '../functions/core/config.ts';
import { asBackupError, describe, type BackupError } from '../functions/core/errors.ts';
import { loadPlans, type PlanOptions } from './bucket.ts';
import { namesOf } from '../infra/names.ts';
import { checkAll } from './doctor/check-all.ts';
import type { Check, CheckStatus } from './doctor/check.ts';
import type { Deployed, FunctionName } from './doctor/functions.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { platformOf } from './platform.ts';
import { note, print, printJson, table } from './terminal.ts';

interface DoctorOptions extends PlanOptions {
  readonly stage?: string;
  readonly json?: true;
}

export function doctorCommand({ signal, finish }: Invocation): Command {
  return new Command('doctor')
    .description('Look at everything that a run relies on, and say what to do about it. Changes nothing.')
    .option('--plan <name>', 'only this plan')
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--stage <name>', 'the deployment to look at (TAIRLIFT_STAGE); without one, TAIRLIFT_UPLOADER')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExits with 0 when nothing is wrong, with 3 when there are warnings only, with 1 when a run would fail.\n\nExamples:\n  tairlift doctor\n  tairlift doctor --stage prod\n  tairlift doctor --plan nightly --json',
    )
    .action(async (options: DoctorOptions) => {
      const checks = await examine(options, signal);
      if (options.json === true) printJson({ ...countsOf(checks), checks });
      else show(checks);
      finish(exitCode(checks));
    });
}

/** Without a valid configuration there is nothing else that could be looked at. */
async function examine(options: DoctorOptions, signal: AbortSignal): Promise<readonly Check[]> {
  const variables = withDeployment(process.env);
  let environment: Environment;
  let allPlans: readonly Plan[];
  let plans: readonly Plan[];
  try {
    environment = readEnvironment(variables);
    const all = await loadPlans(options, environment);
    allPlans = [...all.values()];
    plans = options.plan === undefined ? allPlans : [planNamed(all, options.plan)];
  } catch (error) {
    return [unreadable(asBackupError(error))];
  }
  const cloud = composeCloud(environment);
  const checks = await checkAll(
    plans,
    {
      environment,
      platform: platformOf(variables),
      sourceFor: (reach) => cloud.sourceFor(reach),
      deployed: deployedAs(options.stage ?? variables['TAIRLIFT_STAGE'], environment.uploader),
      allPlans,
      isPart: options.plan !== undefined,
      builtAtMs,
    },
    signal,
  );
  const names = plans.map(({ name }) => name).join(', ');
  return [{ check: 'configuration', subject: names, status: 'ok', says: 'is valid' }, ...checks];
}

/** The variables of a deployment say where the bucket is too: s.yaml has one region for everything. */
function withDeployment(variables: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const region = variables['TAIRLIFT_REGION'];
  if (region === undefined || region === '') return variables;
  return {
    ...variables,
    TAIRLIFT_OSS_REGION: variables['TAIRLIFT_OSS_REGION'] || region,
    FC_REGION: variables['FC_REGION'] || region,
  };
}

/** By the stage, from which all names come; or by the uploader that is named, which may be named after a stage too. */
function deployedAs(stage: string | undefined, uploader: string | undefined): Deployed {
  const [, named] = /^tairlift-([a-z][a-z0-9-]{0,15})-uploader$/.exec(uploader ?? '') ?? [];
  const known = stage || named;
  if (known === undefined) return uploader === undefined ? {} : { uploader };
  const names = namesOf(known, '');
  return { orchestrator: names.orchestrator, uploader: uploader ?? names.uploader };
}

/** Beside the command line lie the functions, where it was built from the sources. */
async function builtAtMs(name: FunctionName): Promise<number | undefined> {
  try {
    return (await stat(join(__dirname, '..', name, 'index.js'))).mtimeMs;
  } catch {
    return undefined;
  }
}

function unreadable(error: BackupError): Check {
  return {
    check: 'configuration',
    subject: '',
    status: 'error',
    says: describe(error),
    ...(error.hint === undefined ? {} : { todo: error.hint }),
  };
}

const STATUSES: readonly CheckStatus[] = ['ok', 'note', 'warn', 'error'];

function countsOf(checks: readonly Check[]): { readonly counts: Readonly<Record<string, number>> } {
  return {
    counts: Object.fromEntries(
      STATUSES.map((status) => [status, checks.filter((check) => check.status === status).length]),
    ),
  };
}

function show(checks: readonly Check[]): void {
  print(
    table(
      ['', 'CHECK', 'OF', 'SAYS'],
      checks.map(({ status, check, subject, says }) => [status, check, subject, says]),
    ),
  );
  for (const { status, check, subject, todo } of checks)
    if (todo !== undefined) note(`${status}: ${check}${subject === '' ? '' : ` of ${subject}`}: ${todo}`);
  const { counts } = countsOf(checks);
  print(STATUSES.map((status) => `${counts[status]} ${status}`).join(', '));
}

function exitCode(checks: readonly Check[]): ExitCode {
  if (checks.some(({ status }) => status === 'error')) return EXIT.error;
  return checks.some(({ status }) => status === 'warn') ? EXIT.partial : EXIT.done;
}
