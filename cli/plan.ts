import { Command } from 'commander';
import { systemClock } from '../functions/core/clock.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { planNamed, readEnvironment, type Plan } from '../functions/core/config.ts';
import { makeRunId } from '../functions/core/repository/keys.ts';
import { rehearse, rehearseAll } from '../functions/orchestrator/rehearse.ts';
import { loadPlans, type PlanOptions } from './bucket.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { rehearsalExitCode, showCoverage, showRehearsal } from './rehearsal-report.ts';
import { print, printJson } from './terminal.ts';

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
      const cloud = composeCloud(environment);
      const runIdOf = ({ name }: Plan): string => makeRunId(systemClock.now(), name);
      const sourceFor = cloud.sourceFor.bind(cloud);
      const all = [...plans.values()];
      if (options.plan !== undefined) {
        const plan = planNamed(plans, options.plan);
        const rehearsal = { runId: runIdOf(plan), plan, plans: all };
        const summary = await rehearse(rehearsal, sourceFor, systemClock, signal);
        if (options.json === true) printJson(summary);
        else print(showRehearsal(summary));
        finish(rehearsalExitCode(summary));
        return;
      }
      const rehearsals = await rehearseAll(all, runIdOf, sourceFor, systemClock, signal);
      if (options.json === true) printJson(rehearsals);
      else print([...rehearsals.plans.map(showRehearsal), showCoverage(rehearsals)].join('\n\n'));
      finish(exitCode(rehearsals.plans.map(rehearsalExitCode), rehearsals.unlisted.length === 0));
    });
}

function exitCode(plans: readonly ExitCode[], isAllListed: boolean): ExitCode {
  if (plans.every((code) => code === EXIT.error)) return EXIT.error;
  return plans.every((code) => code === EXIT.done) && isAllListed ? EXIT.done : EXIT.partial;
}
