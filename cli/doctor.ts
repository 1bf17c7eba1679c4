import { Command } from 'commander';
import { composeCloud, composeInspection } from '../functions/core/compose.ts';
import { planNamed, readEnvironment, type Environment, type Plan } from '../functions/core/config.ts';
import { asBackupError, describe, type BackupError } from '../functions/core/errors.ts';
import { loadPlans, type PlanOptions } from './bucket.ts';
import { checkAll, type Check, type CheckStatus } from './doctor-checks.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { platformOf } from './platform.ts';
import { note, print, printJson, table } from './terminal.ts';

interface DoctorOptions extends PlanOptions {
  readonly json?: true;
}

export function doctorCommand({ signal, finish }: Invocation): Command {
  return new Command('doctor')
    .description('Look at everything that a run relies on, and say what to do about it. Changes nothing.')
    .option('--plan <name>', 'only this plan')
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--json', 'print one JSON document')
    .addHelpText(
      'after',
      '\nExits with 0 when nothing is wrong, with 3 when there are warnings only, with 1 when a run would fail.\n\nExamples:\n  tairlift doctor\n  tairlift doctor --plan nightly --json',
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
  let environment: Environment;
  let plans: readonly Plan[];
  try {
    environment = readEnvironment(process.env);
    const all = await loadPlans(options, environment);
    plans = options.plan === undefined ? [...all.values()] : [planNamed(all, options.plan)];
  } catch (error) {
    return [unreadable(asBackupError(error))];
  }
  const cloud = composeCloud(environment);
  const inspection = composeInspection(environment, platformOf(process.env));
  const checks = await checkAll(
    plans,
    {
      inspection,
      sourceFor: (reach) => cloud.sourceFor(reach),
      ...(environment.uploader === undefined ? {} : { uploader: environment.uploader }),
    },
    signal,
  );
  const names = plans.map(({ name }) => name).join(', ');
  return [{ check: 'configuration', subject: names, status: 'ok', says: 'is valid' }, ...checks];
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
