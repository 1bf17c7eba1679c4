/**
 * The orchestrator as Function Compute runs it: a timer event or a request by hand in, the run's summary out. A run
 * that did not succeed ends in an error, so that the platform's own metrics, alarms and retries see it.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '../core/clock.ts';
import {
  composeCloud,
  composeEvents,
  composeFunctions,
  type Cloud,
  type FunctionsFor,
} from '../core/compose.ts';
import {
  notActedOn,
  planNamed,
  readEnvironment,
  readPlans,
  type Environment,
  type Plan,
} from '../core/config.ts';
import { BackupError, asBackupError, toFunctionError } from '../core/errors.ts';
import { platformOf, type FunctionContext } from '../core/function-context.ts';
import { createFunctionInvoker, encodeEvent } from '../core/invoker.ts';
import { createLog } from '../core/log.ts';
import { orchestrate, type OrchestratorParts } from './orchestrate.ts';
import { parseEvent } from './parse-event.ts';
import { toRunError, type Continued, type Summary } from './summary.ts';

/**
 * Longest time from an uploader's invocation to its outcome. Function Compute ends a function after 24 hours at most;
 * a shorter time-out is noticed earlier, from the state of the asynchronous task.
 */
const UPLOADER_LIMIT_MS = 24 * 3600_000;

export async function handler(event: Buffer, context: FunctionContext): Promise<Summary | Continued> {
  const enteredAtMs = Date.now();
  const log = createLog((line) => void process.stdout.write(`${line}\n`), { requestId: context.requestId });
  try {
    const request = parseEvent(event, enteredAtMs);
    const environment = readEnvironment(process.env);
    const plans = await loadPlans(environment);
    const plan = planNamed(plans, request.plan);
    const idle = notActedOn(plan);
    if (idle.length > 0)
      log.warn('the plan has keys that this version does not act on', { plan: plan.name, keys: idle });
    const platform = platformOf(context);
    const cloud = composeCloud(environment, platform);
    const functionsFor = composeFunctions(environment, platform);
    const parts = composeParts(plan, environment, cloud, functionsFor, context, log);
    const events = composeEvents(environment, platform);
    const deadlineMs = enteredAtMs + context.function.timeout * 1000;
    const all = [...plans.values()];
    const run = { ...request, plan, plans: all, deadlineMs, requestId: context.requestId };
    const result = await orchestrate(run, { ...parts, events }, new AbortController().signal);
    if (result.status === 'partial' || result.status === 'failed') throw toRunError(result);
    return result;
  } catch (thrown) {
    const error = asBackupError(thrown);
    log.error('the invocation ended in an error', { error });
    throw toFunctionError(error);
  }
}

function composeParts(
  plan: Plan,
  environment: Environment,
  cloud: Cloud,
  functionsFor: FunctionsFor,
  context: FunctionContext,
  log: OrchestratorParts['log'],
): OrchestratorParts {
  const { uploader } = environment;
  if (uploader === undefined)
    throw new BackupError('CONFIG_INVALID', 'read the environment: TAIRLIFT_UPLOADER is not set', {
      hint: "set it to the uploader function's name",
    });
  // A function of the older generation lives in a service and is called by both names.
  const isOlder = uploader.includes('/') && context.service?.name !== undefined;
  const self = isOlder ? `${context.service?.name}/${context.function.name}` : context.function.name;
  return {
    sourceFor: (reach) => cloud.sourceFor(reach),
    store: cloud.storeFor(plan.destination),
    invoker: createFunctionInvoker(functionsFor(uploader), uploader),
    invokeSelf: async (handOver, taskId, signal) => {
      await functionsFor(self).start(self, encodeEvent(handOver), taskId, signal);
    },
    uploaderLimitMs: UPLOADER_LIMIT_MS,
    self: context.function.name,
    clock: systemClock,
    log,
  };
}

async function loadPlans(environment: Environment): Promise<ReadonlyMap<string, Plan>> {
  const path = environment.plansPath ?? join(__dirname, 'plans.yaml');
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new BackupError('CONFIG_INVALID', `read ${path}: the file is missing or cannot be read`, {
      cause,
      hint: 'package plans.yaml beside index.js, or name its place in TAIRLIFT_PLANS',
    });
  }
  return readPlans(text, path, environment, process.env);
}
