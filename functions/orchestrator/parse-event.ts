/** From what the platform, the console or the command line hands over to what is asked of the orchestrator. */
import { suggestion } from '../core/config.ts';
import { BackupError } from '../core/errors.ts';
import { makeRunId, parseRunId } from '../core/repository/keys.ts';

export interface RunRequest {
  readonly plan: string;
  /** A run that has begun is resumed, one that has finished is reported. */
  readonly runId: string;
  /** The event itself names the run: it is gone on with as it was asked for first. */
  readonly isNamed?: boolean;
  /** Only these of the plan's instances; all when left out. */
  readonly instances?: readonly string[];
  /** Says what would be done; changes nothing. */
  readonly dryRun: boolean;
  /** Opens a finished run again for the instances that failed. */
  readonly retryFailed: boolean;
}

const FIELDS = ['plan', 'instances', 'dryRun', 'runId', 'retryFailed'];
const EXPECTED = 'expected {"plan":"<name>"}, optionally with "instances", "dryRun", "runId", "retryFailed"';

/**
 * Reads a timer event (its payload is JSON in a string) or the same request by hand. A timer's run is named after the
 * time for which it was triggered, so that the event, delivered again, means the same run.
 * @throws BackupError `CONFIG_INVALID` with everything that is wrong with the event
 */
export function parseEvent(event: Buffer | string, nowMs: number): RunRequest {
  const outer = parseObject(event.toString(), 'the event');
  if (!('payload' in outer || 'triggerTime' in outer || 'triggerName' in outer))
    return toRequest(outer, nowMs);

  const name = typeof outer['triggerName'] === 'string' ? ` "${outer['triggerName']}"` : '';
  const { payload, triggerTime } = outer;
  const triggeredAtMs = typeof triggerTime === 'string' ? Date.parse(triggerTime) : Number.NaN;
  if (Number.isNaN(triggeredAtMs)) throw invalid(`the timer${name} event has no usable triggerTime`);
  const where = `the payload of the timer${name}`;
  return toRequest(
    typeof payload === 'string' ? parseObject(payload, where) : asObject(payload, where),
    triggeredAtMs,
  );
}

function toRequest(fields: Readonly<Record<string, unknown>>, startedAtMs: number): RunRequest {
  const problems = Object.keys(fields)
    .filter((key) => !FIELDS.includes(key))
    .map((key) => `unknown field "${key}"${suggestion(key, FIELDS)}`);
  const { plan, runId, instances, dryRun = false, retryFailed = false } = fields;
  const parsedRunId = typeof runId === 'string' ? parseRunId(runId) : undefined;

  if (runId !== undefined && parsedRunId === undefined)
    problems.push('"runId" must look like 20261120T180000Z-nightly');
  if (typeof plan !== 'string' || plan === '') {
    if (parsedRunId === undefined || plan !== undefined) problems.push('"plan" must be the name of a plan');
  } else if (parsedRunId !== undefined && parsedRunId.plan !== plan)
    problems.push(`"runId" belongs to the plan "${parsedRunId.plan}", not to "${plan}"`);
  if (instances !== undefined && !isIdList(instances))
    problems.push('"instances" must be a list of at least one instance id');
  if (typeof dryRun !== 'boolean') problems.push('"dryRun" must be true or false');
  if (typeof retryFailed !== 'boolean') problems.push('"retryFailed" must be true or false');
  else if (retryFailed && runId === undefined) problems.push('"retryFailed" needs the "runId" of the run');
  if (problems.length > 0) throw invalid(problems.join('; '));

  const name = typeof plan === 'string' ? plan : (parsedRunId?.plan ?? '');
  return {
    plan: name,
    runId: typeof runId === 'string' ? runId : makeRunId(startedAtMs, name),
    isNamed: typeof runId === 'string',
    ...(isIdList(instances) ? { instances: [...new Set(instances)] } : {}),
    dryRun: dryRun === true,
    retryFailed: retryFailed === true,
  };
}

function parseObject(text: string, where: string): Readonly<Record<string, unknown>> {
  if (text.trim() === '') throw invalid(`${where} is empty`);
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(`${where} is not JSON`, cause);
  }
  return asObject(json, where);
}

function asObject(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid(`${where} is ${value === undefined ? 'missing' : 'not a JSON object'}`);
  return value as Readonly<Record<string, unknown>>; // an object that JSON.parse made
}

function isIdList(value: unknown): value is readonly string[] {
  return (
    Array.isArray(value) &&
    value.length > 0 &&
    value.every((id) => typeof id === 'string' && /^[\w-]+$/.test(id))
  );
}

function invalid(problem: string, cause?: unknown): BackupError {
  return new BackupError('CONFIG_INVALID', `read the orchestrator event: ${problem}`, {
    hint: EXPECTED,
    cause,
  });
}
