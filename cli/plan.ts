import { Command } from 'commander';
import { systemClock } from '../functions/core/clock.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { notActedOn, planNamed, readEnvironment, type Plan } from '../functions/core/config.ts';
import { makeRunId } from '../functions/core/repository/keys.ts';
import type { SourceFor } from '../functions/core/source/select.ts';
import { rehearse, rehearseAll } from '../functions/orchestrator/rehearse.ts';
import { loadPlans, type PlanOptions } from './bucket.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { rehearsalExitCode, showCoverage, showRehearsal } from './rehearsal-report.ts';
import { note, print, printJson } from './terminal.ts';

interface PlanCommandOptions extends PlanOptions {
  readonly json?: true;
}

export function planCommand({ signal, finish }: Invocation): Command {
  return new Command('plan')
    .description('Show what the plans would take, by which rule, what they leave out, and what none covers.')
    .option('--plan <name>', 'only this plan; all plans if left out')
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--json', "print one JSON document; with --plan, what the orchestrator's dry run returns")
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift plan\n  tairlift plan --plan nightly\n  tairlift plan --json | jq .uncovered\n\nOf the exit codes: 0 when every target takes something and everything could be listed, 3 when not,\nand 1 when no instance would be backed up at all.',
    )
    .action(async (options: PlanCommandOptions) => {
      const environment = readEnvironment(process.env);
      const plans = await loadPlans(options, environment);
      for (const plan of plans.values()) noteIdleKeys(plan);
      const cloud = composeCloud(environment);
      const sourceFor: SourceFor = (reach) => cloud.sourceFor(reach);
      finish(
        options.plan === undefined
          ? await showAll([...plans.values()], sourceFor, options, signal)
          : await showOne(planNamed(plans, options.plan), [...plans.values()], sourceFor, options, signal),
      );
    });
}

async function showOne(
  plan: Plan,
  plans: readonly Plan[],
  sourceFor: SourceFor,
  { json }: PlanCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const summary = await rehearse({ runId: runIdOf(plan), plan, plans }, sourceFor, systemClock, signal);
  if (json === true) printJson(summary);
  else print(showRehearsal(summary));
  return rehearsalExitCode(summary);
}

async function showAll(
  plans: readonly Plan[],
  sourceFor: SourceFor,
  { json }: PlanCommandOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  const rehearsals = await rehearseAll(plans, runIdOf, sourceFor, systemClock, signal);
  if (json === true) printJson(rehearsals);
  else print([...rehearsals.plans.map(showRehearsal), ...showCoverage(rehearsals)].join('\n\n'));
  return exitCode(rehearsals.plans.map(rehearsalExitCode), (rehearsals.unlisted ?? []).length === 0);
}

/** What a run that began now would be called. */
function runIdOf({ name }: Plan): string {
  return makeRunId(systemClock.now(), name);
}

function noteIdleKeys(plan: Plan): void {
  const idle = notActedOn(plan);
  if (idle.length > 0)
    note(`plan ${plan.name} has keys that this version does not act on: ${idle.join(', ')}`);
}

function exitCode(plans: readonly ExitCode[], isAllListed: boolean): ExitCode {
  if (plans.every((code) => code === EXIT.error)) return EXIT.error;
  return plans.every((code) => code === EXIT.done) && isAllListed ? EXIT.done : EXIT.partial;
}
