import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { systemClock } from '../functions/core/clock.ts';
import { composeCloud, composeFunctions, type Cloud, type FunctionsFor } from '../functions/core/compose.ts';
import { notActedOn, planNamed, readEnvironment, type Plan } from '../functions/core/config.ts';
import { BackupError } from '../functions/core/errors.ts';
import { createInProcessInvoker } from '../functions/core/in-process-invoker.ts';
import { toTaskId, type InvocationState } from '../functions/core/invoker.ts';
import { createLog } from '../functions/core/log.ts';
import { runFolder } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { orchestrate } from '../functions/orchestrator/orchestrate.ts';
import { parseEvent, type RunRequest } from '../functions/orchestrator/parse-event.ts';
import type { Summary } from '../functions/orchestrator/summary.ts';
import { runUpload } from '../functions/uploader/run-upload.ts';
import type { Progress } from '../functions/uploader/upload-backup.ts';
import { awaitSummary, readSummary, summaryKeys } from './await-summary.ts';
import { loadPlans, type PlanOptions } from './bucket.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { progressOf, readableLine } from './log-lines.ts';
import { rehearsalExitCode, showRehearsal } from './rehearsal-report.ts';
import { showSummary } from './summary-table.ts';
import { platformOf } from './platform.ts';
import { createBars, note, print, printJson, showFiles } from './terminal.ts';

interface BackupOptions extends PlanOptions {
  readonly plan: string;
  readonly instance?: string[];
  readonly run?: string;
  readonly retryFailed?: true;
  readonly dryRun?: true;
  readonly function?: string;
  readonly json?: true;
}

export function backupCommand({ signal, finish }: Invocation): Command {
  return new Command('backup')
    .description('Run a plan now: in this process, or by invoking the deployed orchestrator.')
    .requiredOption('--plan <name>', 'the plan to run')
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--instance <id...>', "only these of the plan's instances")
    .option('--dry-run', 'say what would be backed up; change nothing')
    .option(
      '--run <id>',
      'resume this run, or report it if it has finished; begin it under this id if it is new',
    )
    .option('--retry-failed', 'with --run: try the failed instances again')
    .option('--function <name>', 'invoke this orchestrator function instead, and wait for its summary')
    .option('--json', 'print the summary as one JSON document')
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift backup --plan nightly --dry-run\n  tairlift backup --plan nightly --instance r-bp1abc r-bp1def\n  tairlift backup --plan nightly --run 20261120T180000Z-nightly --retry-failed\n  tairlift backup --plan nightly --function tairlift-orchestrator',
    )
    .action(async (options: BackupOptions) => {
      const environment = readEnvironment(process.env);
      const plans = await loadPlans(options, environment);
      const plan = planNamed(plans, options.plan);
      const idle = notActedOn(plan);
      if (idle.length > 0)
        note(`plan ${plan.name} has keys that this version does not act on: ${idle.join(', ')}`);
      const request = toRequest(options);
      const cloud = composeCloud(environment);
      if (!request.dryRun) note(`run ${request.runId}`);
      if (options.run !== undefined && !request.dryRun) {
        const folder = runFolder(plan.destination.prefix, request.runId);
        const isKnown = await isAnythingBelow(cloud.storeFor(plan.destination), folder, signal);
        if (!isKnown) note('it is new: nothing of it is in the bucket');
      }
      const summary =
        options.function === undefined
          ? await runHere(request, plan, [...plans.values()], cloud, signal)
          : await runDeployed(
              options.function,
              request,
              plan,
              cloud,
              composeFunctions(environment, platformOf(process.env)),
              signal,
            );
      if (options.json === true) printJson(summary);
      else print(request.dryRun ? showRehearsal(summary) : showSummary(summary));
      finish(request.dryRun ? rehearsalExitCode(summary) : exitCode(summary));
    });
}

/** The command line asks as the console does, so that both are checked by the same rules. */
function toRequest(options: BackupOptions): RunRequest {
  const event = {
    plan: options.plan,
    ...(options.instance === undefined ? {} : { instances: options.instance }),
    ...(options.run === undefined ? {} : { runId: options.run }),
    ...(options.dryRun === undefined ? {} : { dryRun: true }),
    ...(options.retryFailed === undefined ? {} : { retryFailed: true }),
  };
  return parseEvent(JSON.stringify(event), Date.now());
}

async function isAnythingBelow(store: ObjectStore, prefix: string, signal: AbortSignal): Promise<boolean> {
  for await (const { key } of store.list(prefix, signal)) if (key !== prefix) return true;
  return false;
}

/** No invocation lasts longer. An upload in this process ends when it ends, but it is not waited for any longer either. */
const INVOCATION_LIMIT_MS = 24 * 3600 * 1000;

async function runHere(
  request: RunRequest,
  plan: Plan,
  plans: readonly Plan[],
  cloud: Cloud,
  signal: AbortSignal,
): Promise<Summary> {
  const store = cloud.storeFor(plan.destination);
  const bars = createBars();
  const log = createLog((line) => {
    // The bars show it already.
    if (progressOf(line) !== undefined) return;
    const readable = readableLine(line);
    if (readable !== undefined) bars.note(readable);
  });
  const invoker = createInProcessInvoker({
    concurrency: plan.rate.concurrency,
    signal,
    log,
    upload: async (upload, uploadSignal) => {
      const files = showFiles(bars);
      try {
        const parts = {
          source: cloud.sourceFor(upload),
          store,
          target: store,
          http: cloud.http,
          log: log.with({ instance: upload.instance.id }),
          onProgress: ({ file, ...progress }: Progress) =>
            files.update({ label: `${upload.instance.id} ${file}`, ...progress }),
        };
        await runUpload(upload, randomUUID(), parts, uploadSignal);
      } finally {
        files.end();
      }
    },
  });
  try {
    const result = await orchestrate(
      { ...request, plan, plans },
      {
        sourceFor: (reach) => cloud.sourceFor(reach),
        store,
        invoker,
        // Without a deadline there is nothing to hand over.
        invokeSelf: async () =>
          Promise.reject(new BackupError('INTERNAL', 'hand over: this process has no deadline')),
        uploaderLimitMs: INVOCATION_LIMIT_MS,
        clock: systemClock,
        log,
      },
      signal,
    );
    if (result.status === 'continued')
      throw new BackupError('INTERNAL', `run ${result.runId}: handed over without a deadline`);
    return result;
  } finally {
    await invoker.settled();
    bars.end();
    if (signal.aborted && !request.dryRun)
      note(`to go on: tairlift backup --plan ${plan.name} --run ${request.runId}`);
  }
}

/** Invokes the deployed orchestrator and waits for what it leaves in the bucket, through as many hand-overs as it takes. */
async function runDeployed(
  name: string,
  request: RunRequest,
  plan: Plan,
  cloud: Cloud,
  functionsFor: FunctionsFor,
  signal: AbortSignal,
): Promise<Summary> {
  const functions = functionsFor(name);
  const store = cloud.storeFor(plan.destination);
  const event = Buffer.from(JSON.stringify(toEvent(request)));
  if (request.dryRun) return JSON.parse((await functions.call(name, event, signal)).toString()) as Summary; // a dry run leaves nothing in the bucket
  const { prefix } = plan.destination;
  const known = await summaryKeys(store, prefix, request.runId, signal);
  if (known.length > 0) {
    const summary = await readSummary(store, known, signal);
    if (!request.retryFailed || summary.status === 'succeeded') return summary;
  }
  const taskId = toTaskId(`${request.runId}-cli-${randomUUID()}`);
  await functions.start(name, event, taskId, signal);
  note(`invoked ${name}; waiting for the summary`);
  const state = async (): Promise<InvocationState> => functions.stateOf(name, taskId, signal);
  const { runId } = request;
  try {
    return await awaitSummary(
      { runId, prefix, store, known: known.length, state, clock: systemClock },
      signal,
    );
  } finally {
    if (signal.aborted)
      note(
        `the run goes on without this process; to see it: tairlift backup --plan ${plan.name} --function ${name} --run ${request.runId}`,
      );
  }
}

function toEvent({ instances, dryRun, retryFailed, plan, runId }: RunRequest): unknown {
  return {
    plan,
    runId,
    ...(instances === undefined ? {} : { instances }),
    ...(dryRun ? { dryRun } : {}),
    ...(retryFailed ? { retryFailed } : {}),
  };
}

function exitCode({ status, counts }: Summary): ExitCode {
  if (status === 'succeeded') return EXIT.done;
  return status === 'partial' && counts.stored > 0 ? EXIT.partial : EXIT.error;
}
