import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { systemClock } from '../functions/core/clock.ts';
import { composeCloud, composeFunctions, type Cloud, type FunctionsFor } from '../functions/core/compose.ts';
import { notActedOn, planNamed, readEnvironment, type Plan } from '../functions/core/config.ts';
import { BackupError } from '../functions/core/errors.ts';
import { createInProcessInvoker } from '../functions/core/in-process-invoker.ts';
import { toTaskId } from '../functions/core/invoker.ts';
import { createLog } from '../functions/core/log.ts';
import { runFolder, summaryKey } from '../functions/core/repository/keys.ts';
import type { ObjectStore } from '../functions/core/repository/object-store.ts';
import { orchestrate } from '../functions/orchestrator/orchestrate.ts';
import { parseEvent, type RunRequest } from '../functions/orchestrator/parse-event.ts';
import type { Summary } from '../functions/orchestrator/summary.ts';
import { runUpload } from '../functions/uploader/run-upload.ts';
import type { Progress } from '../functions/uploader/upload-backup.ts';
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
    .option('--run <id>', 'resume this run, or report it if it has finished')
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

const SUMMARY_POLL_MS = 2_000;
/** An invocation that has ended may have written its summary a moment ago. */
const SUMMARY_GRACE_MS = 10_000;

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
  const known = await summaryKeys(store, plan, request.runId, signal);
  if (known.length > 0) {
    const summary = await readSummary(store, known, signal);
    if (!request.retryFailed || summary.counts.failed === 0) return summary;
  }
  const taskId = toTaskId(`${request.runId}-cli-${randomUUID()}`);
  await functions.start(name, event, taskId, signal);
  note(`invoked ${name}; waiting for the summary`);
  const hasEnded = async (): Promise<boolean> => (await functions.stateOf(name, taskId, signal)) === 'ended';
  try {
    return await awaitSummary(request.runId, plan, store, known.length, hasEnded, signal);
  } finally {
    if (signal.aborted)
      note(
        `the run goes on without this process; to see it: tairlift backup --plan ${plan.name} --function ${name} --run ${request.runId}`,
      );
  }
}

async function awaitSummary(
  runId: string,
  plan: Plan,
  store: ObjectStore,
  known: number,
  hasEnded: () => Promise<boolean>,
  signal: AbortSignal,
): Promise<Summary> {
  let endedAtMs: number | undefined;
  for (;;) {
    const found = await summaryKeys(store, plan, runId, signal);
    if (found.length > known) return readSummary(store, found, signal);
    if (endedAtMs === undefined && (await hasEnded())) endedAtMs = Date.now();
    if (endedAtMs !== undefined && Date.now() - endedAtMs > SUMMARY_GRACE_MS) {
      const handedOverAtMs = await lastHandOver(store, plan, runId, signal);
      if (handedOverAtMs === undefined || Date.now() - handedOverAtMs > INVOCATION_LIMIT_MS) {
        throw new BackupError('INVOKE_FAILED', `run ${runId}: the function ended without a summary`, {
          hint: "look into the function's log; invoke it again with this run id to resume",
        });
      }
    }
    await delay(SUMMARY_POLL_MS, undefined, { signal });
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

/** Of all rounds, oldest first. */
async function summaryKeys(
  store: ObjectStore,
  plan: Plan,
  runId: string,
  signal: AbortSignal,
): Promise<string[]> {
  const first = summaryKey(plan.destination.prefix, runId);
  const keys: string[] = [];
  for await (const { key } of store.list(first.replace(/\.json$/, ''), signal)) keys.push(key);
  const round = (key: string): number => Number(/-(\d+)\.json$/.exec(key)?.[1] ?? 1);
  return keys.sort((a, b) => round(a) - round(b));
}

async function readSummary(
  store: ObjectStore,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<Summary> {
  const key = keys.at(-1) ?? '';
  const bytes = await store.get(key, signal);
  if (bytes === undefined) throw new BackupError('NOT_FOUND', `read ${store.name}/${key}: it is gone`);
  return JSON.parse(bytes.toString('utf8')) as Summary; // written by the orchestrator, from this very type
}

/** When one invocation last began where another one ended; undefined when the run needed only one so far. */
async function lastHandOver(
  store: ObjectStore,
  plan: Plan,
  runId: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  let last: number | undefined;
  const begun = `${runFolder(plan.destination.prefix, runId)}handover-`;
  for await (const { lastModifiedAt } of store.list(begun, signal))
    last = Math.max(last ?? 0, Date.parse(lastModifiedAt));
  return last;
}

function exitCode({ status, counts }: Summary): ExitCode {
  if (status === 'succeeded') return EXIT.done;
  return status === 'partial' && counts.stored > 0 ? EXIT.partial : EXIT.error;
}
