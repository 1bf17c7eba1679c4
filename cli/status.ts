import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { readEnvironment, type Environment } from '../functions/core/config.ts';
import { composeCloud } from '../functions/core/compose.ts';
import { BackupError } from '../functions/core/errors.ts';
import { parseRunId } from '../functions/core/repository/keys.ts';
import {
  createStatusReader,
  type InstanceStatus,
  type RunBrief,
  type RunState,
  type RunStatus,
  type StatusReader,
  type Step,
} from '../functions/orchestrator/run-status.ts';
import { findDestination, loadPlans, type PlanOptions } from './bucket.ts';
import { EXIT, type ExitCode } from './exit-codes.ts';
import type { Invocation } from './invocation.ts';
import { positiveInteger } from './options.ts';
import { duration, note, print, size, table } from './terminal.ts';

interface StatusOptions extends PlanOptions {
  readonly limit: number;
  readonly watch?: true;
  readonly json?: true;
}

/** Between two looks. Each lists the run's folder; records that were read once are not read again. */
const WATCH_MS = 5_000;
const NEWEST = 10;

export function statusCommand({ signal, finish }: Invocation): Command {
  return new Command('status')
    .description('Show a run as it is now, from the bucket alone; without RUN, the newest runs of the plan.')
    .argument('[run]', 'such as 20261120T180000Z-nightly')
    .option('--plan <name>', "the plan whose runs are meant; otherwise the run's, or the only one there is")
    .option('--plans <file>', 'where the plans are (TAIRLIFT_PLANS, plans.yaml)')
    .option('--limit <n>', 'without RUN: at most this many', positiveInteger, NEWEST)
    .option('--watch', 'look again every few seconds, until the run has ended')
    .option('--json', 'print one JSON document; with --watch, one line for each look')
    .addHelpText(
      'after',
      '\nExamples:\n  tairlift status --plan nightly\n  tairlift status 20261120T180000Z-nightly --watch',
    )
    .action(async (run: string | undefined, options: StatusOptions) => {
      const environment = readEnvironment(process.env);
      const plan = options.plan ?? (run === undefined ? undefined : parseRunId(run)?.plan);
      const destination = await findDestination(await withPlan(options, plan, environment), environment);
      const store = composeCloud(environment).storeFor(destination);
      const reader = createStatusReader(store, destination.prefix, Date.now);
      if (run === undefined) finish(await showNewest(reader, options, environment, signal));
      else if (options.watch === true) finish(await watch(reader, run, options, signal));
      else finish(show(await reader.read(run, signal), options));
    });
}

/** A run names its plan, and the plan its bucket; where there are no plans to look into, the environment does. */
async function withPlan(
  options: StatusOptions,
  plan: string | undefined,
  environment: Environment,
): Promise<PlanOptions> {
  const { region, bucket } = environment.destination;
  const isNamed = options.plan !== undefined || region === undefined || bucket === undefined;
  return plan === undefined || !isNamed ? options : { ...options, plan };
}

async function showNewest(
  reader: StatusReader,
  options: StatusOptions,
  environment: Environment,
  signal: AbortSignal,
): Promise<ExitCode> {
  const plan = options.plan ?? (await onlyPlan(options, environment));
  const runs = await reader.newest(plan, options.limit, signal);
  if (options.json === true) print(JSON.stringify({ plan, runs }, null, 2));
  else if (runs.length === 0) print(`no runs of ${plan} yet`);
  else print(table(['RUN', 'STATE', 'STORED', 'FAILED', 'SKIPPED', 'TOOK', 'LAST SIGN'], runs.map(toRow)));
  return EXIT.done;
}

async function onlyPlan(options: PlanOptions, environment: Environment): Promise<string> {
  const names = [...(await loadPlans(options, environment)).keys()];
  const [only, ...others] = names;
  if (only !== undefined && others.length === 0) return only;
  throw new BackupError('CONFIG_INVALID', 'show the newest runs: there are several plans', {
    hint: `choose one with --plan (${names.join(', ')})`,
  });
}

function toRow({ runId, state, counts, startedAt, finishedAt, lastSignAt }: RunBrief): readonly string[] {
  const count = (of: number | undefined): string => (of === undefined ? '-' : String(of));
  return [
    runId,
    state,
    counts === undefined ? '-' : `${counts.stored}/${counts.selected}`,
    count(counts?.failed),
    count(counts?.skipped),
    finishedAt === undefined ? '-' : duration(Date.parse(finishedAt) - Date.parse(startedAt)),
    lastSignAt === undefined ? '-' : `${ago(lastSignAt)} ago`,
  ];
}

const CLEAR_SCREEN = '\u001B[2J\u001B[H';

async function watch(
  reader: StatusReader,
  run: string,
  options: StatusOptions,
  signal: AbortSignal,
): Promise<ExitCode> {
  for (;;) {
    const status = await reader.read(run, signal);
    if (options.json !== true && process.stdout.isTTY) process.stdout.write(CLEAR_SCREEN);
    const code = show(status, options);
    if (status.state !== 'running') return code;
    await delay(WATCH_MS, undefined, { signal });
  }
}

function show(status: RunStatus, options: StatusOptions): ExitCode {
  if (options.json === true) print(JSON.stringify(status, null, options.watch === true ? undefined : 2));
  else print(toText(status, options.watch === true ? atWork(status) : status.instances));
  return exitCode(status);
}

function exitCode({ state, counts }: RunStatus): ExitCode {
  if (state === 'succeeded' || state === 'running') return EXIT.done;
  return state === 'partial' && (counts?.stored ?? 0) > 0 ? EXIT.partial : EXIT.error;
}

/** More than these would scroll away what one watches. */
const MAX_WATCHED = 40;
const AT_REST: readonly Step[] = ['stored', 'skipped', 'waiting'];

/** Of a large run, the instances on which something happens, and those that failed; the others are counted. */
function atWork({ state, instances }: RunStatus): readonly InstanceStatus[] {
  if (state !== 'running' || instances.length <= MAX_WATCHED) return instances;
  return instances.filter(({ step }) => !AT_REST.includes(step)).slice(0, MAX_WATCHED);
}

function toText(status: RunStatus, shown: readonly InstanceStatus[]): string {
  const { runId, state, instances, problems, steps, finishedAt } = status;
  for (const problem of problems) note(`${problem.code}: ${problem.message}`);
  const took = duration(
    (finishedAt === undefined ? Date.now() : Date.parse(finishedAt)) - Date.parse(status.startedAt),
  );
  const rate = status.bytesPerSecond > 0 ? `, ${size(status.bytesPerSecond)}/s` : '';
  const counted = Object.entries(steps)
    .sort(([a], [b]) => ORDER.indexOf(a as Step) - ORDER.indexOf(b as Step)) // keys of the very record
    .map(([step, count]) => `${count} ${step}`);
  return [
    ...(shown.length === 0
      ? []
      : [
          table(
            ['REGION', 'INSTANCE', 'STEP', 'DONE', 'OF', 'RATE', 'LEFT', 'TRIES', ''],
            shown.map(instanceRow),
          ),
        ]),
    `run ${runId} ${SAID[state]}, ${finishedAt === undefined ? 'for' : 'in'} ${took}${counted.length === 0 ? '' : `: ${counted.join(', ')}`}`,
    `${size(status.doneBytes)} of ${size(status.bytes)}${rate}${instances.some(({ bytes }) => bytes === undefined) && finishedAt === undefined ? ', as far as files are opened' : ''}`,
    [
      ...(status.lastSignAt === undefined ? [] : [`last sign of life ${ago(status.lastSignAt)} ago`]),
      ...(status.doing === undefined ? [] : [`its orchestrator ${status.doing}`]),
      ...(status.handOvers === 0 ? [] : [`handed over ${status.handOvers} times`]),
      ...(status.round === 1 ? [] : [`round ${status.round}`]),
      ...(status.lockedBy === undefined || status.lockedBy === runId
        ? []
        : [`the lock of the plan is with ${status.lockedBy}`]),
    ].join('; '),
    ...(state === 'dead'
      ? [`nobody works on it any more; to go on: tairlift backup --plan ${status.plan} --run ${runId}`]
      : []),
  ].join('\n');
}

const SAID: Readonly<Record<RunState, string>> = {
  succeeded: 'succeeded',
  partial: 'ended partial',
  failed: 'failed',
  running: 'is at work',
  dead: 'is dead',
};

const ORDER: readonly Step[] = [
  'stored',
  'checking',
  'uploading',
  'queued',
  'backing up',
  'asked for',
  'waiting',
  'selected',
  'skipped',
  'failed',
  'unclear',
];

function instanceRow(one: InstanceStatus): readonly string[] {
  const { step, since, doneBytes, bytes, bytesPerSecond, etaSeconds, error, reason } = one;
  const isTimed = since !== undefined && (step === 'backing up' || step === 'asked for' || step === 'queued');
  return [
    one.region,
    one.instanceId,
    isTimed ? `${step} ${ago(since)}` : step,
    doneBytes === undefined ? '' : size(doneBytes),
    bytes === undefined ? '' : size(bytes),
    bytesPerSecond === undefined ? '' : `${size(bytesPerSecond)}/s`,
    etaSeconds === undefined ? '' : duration(etaSeconds * 1000),
    String(one.attempts),
    error === undefined ? (reason ?? '') : `${error.code}: ${error.message}`,
  ];
}

/** By this machine's clock: what is said to be in the future was just now. */
function ago(at: string): string {
  return duration(Math.max(0, Date.now() - Date.parse(at)));
}
