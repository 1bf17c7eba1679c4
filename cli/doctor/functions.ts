/** The functions as they are deployed: how they are set up, and whether a timer starts each plan. */
import type { FunctionFacts, Inspection } from '../../functions/core/compose.ts';
import { readEnvironment, type Environment, type Plan } from '../../functions/core/config.ts';
import { attempt, bad, failed, note, ok, type Check } from './check.ts';

/** What is to be deployed under which name; the older generation is not looked at. */
export interface Deployed {
  readonly orchestrator?: string;
  readonly uploader?: string;
}

export type FunctionName = 'orchestrator' | 'uploader';

export interface LocalSide {
  readonly plans: readonly Plan[];
  /** Those that are not looked at too: timers start them all. */
  readonly allPlans: readonly Plan[];
  readonly environment: Environment;
  /** When the bundle of a function was built here, in milliseconds since 1970; undefined when there is none. */
  readonly builtAtMs: (name: FunctionName) => Promise<number | undefined>;
}

/** @param known gets what was found, for the checks that need it too */
export async function checkFunction(
  who: FunctionName,
  deployed: Deployed,
  inspection: Inspection,
  local: LocalSide,
  known: (facts: FunctionFacts) => void,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const name = deployed[who];
  if (name === undefined)
    return who === 'uploader'
      ? [note('uploader', '', 'TAIRLIFT_UPLOADER is not set: the command line uploads by itself')]
      : [];
  if (name.includes('/'))
    return [note(who, name, 'a function of the older generation, which is not looked at')];
  return attempt(who, name, signal, async (limited) => {
    const facts = await inspection.describeFunction(name, limited);
    known(facts);
    return [
      ok(who, name, `is deployed, with ${facts.memoryMb} MB and ${facts.timeoutSeconds} s`),
      ...checkSetting(who, name, facts),
      ...checkEnvironment(who, name, facts, deployed, local),
      ...(await checkAge(who, name, facts, local)),
      ...(who === 'orchestrator' ? checkTimers(name, facts, local) : []),
      ...facts.denied.map((error) => failed(who, name, error, 'warn')),
    ];
  });
}

/** Built for it, and tested with it. */
const RUNTIME = 'nodejs20';
/** Shorter ones hand over more often than they work, and a run may hand over 200 times. */
const MIN_TIMEOUT_SECONDS = 300;
/** With less, an uploader has one lane; docs/bench.md has the figures. */
const MIN_MEMORY_MB = { orchestrator: 256, uploader: 256 } as const;

function checkSetting(who: FunctionName, name: string, facts: FunctionFacts): readonly Check[] {
  const checks: Check[] = [];
  const add = (status: 'warn' | 'error', says: string, todo: string): void =>
    void checks.push(bad(status, who, name, says, todo));
  if (facts.role === '')
    add('error', 'has no role, so it may do nothing', 'deploy it with the role of infra/template.json');
  if (facts.runtime !== '' && facts.runtime !== RUNTIME)
    add('error', `runs on ${facts.runtime}`, `deploy it with runtime ${RUNTIME}`);
  if (facts.timeoutSeconds < MIN_TIMEOUT_SECONDS)
    add(
      'warn',
      `ends after ${facts.timeoutSeconds} s`,
      `give it ${MIN_TIMEOUT_SECONDS} s at least; s.yaml says how much is good`,
    );
  if (facts.memoryMb < MIN_MEMORY_MB[who])
    add(
      'warn',
      `has ${facts.memoryMb} MB of memory`,
      `give it ${MIN_MEMORY_MB[who]} MB at least; s.yaml says how much is good`,
    );
  if (facts.log === undefined)
    checks.push(
      note(
        who,
        name,
        'writes its log nowhere, so no alarm can be set on it',
        'set logConfig, as s.yaml has it',
      ),
    );
  const { tries } = facts;
  if (tries === undefined) return checks;
  if (!tries.isTask)
    add(
      'warn',
      'its invocations are no tasks: one that comes twice is not recognised, and what became of it cannot be asked',
      'set asyncInvokeConfig.asyncTask to true',
    );
  if (who === 'orchestrator' && tries.retries < 1)
    add(
      'warn',
      'is not tried again by the platform: a run whose invocation is killed stays where it is',
      'set asyncInvokeConfig.maxAsyncRetryAttempts to 3',
    );
  if (tries.givenUpTo === undefined)
    checks.push(
      note(
        who,
        name,
        'events that are given up go nowhere',
        'set asyncInvokeConfig.destinationConfig.onFailure, as s.yaml has it',
      ),
    );
  return checks;
}

/** Values of variables are never shown: they may be passwords. Those that are named here are none. */
function checkEnvironment(
  who: FunctionName,
  name: string,
  { environment }: FunctionFacts,
  { uploader }: Deployed,
  { environment: here }: LocalSide,
): readonly Check[] {
  let there: Environment;
  try {
    there = readEnvironment(environment);
  } catch (error) {
    return [failed(who, name, error)];
  }
  const checks: Check[] = [];
  if (who === 'orchestrator' && there.uploader !== uploader)
    checks.push(
      bad(
        'error',
        who,
        name,
        there.uploader === undefined
          ? 'has no TAIRLIFT_UPLOADER: it would have nobody to invoke'
          : `invokes ${there.uploader}, not ${uploader ?? 'an uploader that is looked at here'}`,
        `set its TAIRLIFT_UPLOADER to ${uploader ?? 'the name of the uploader'}`,
      ),
    );
  for (const [variable, key] of [
    ['TAIRLIFT_BUCKET', 'bucket'],
    ['TAIRLIFT_OSS_REGION', 'region'],
    ['TAIRLIFT_PREFIX', 'prefix'],
  ] as const) {
    const [mine, theirs] = [here.destination[key], there.destination[key]];
    // The uploader is told with each request where to write.
    if (who === 'uploader' && theirs === undefined) continue;
    if (mine !== undefined && (theirs ?? '') !== mine)
      checks.push(
        bad(
          'warn',
          who,
          name,
          `its ${variable} is "${theirs ?? ''}", here it is "${mine}": what is looked at here is not where it writes`,
          'deploy again, or look with the variables of the deployment',
        ),
      );
  }
  return checks;
}

const SAME_BUILD_MS = 60_000;

async function checkAge(
  who: FunctionName,
  name: string,
  { modifiedAt }: FunctionFacts,
  { builtAtMs }: LocalSide,
): Promise<readonly Check[]> {
  const deployedAtMs = Date.parse(modifiedAt);
  const builtMs = await builtAtMs(who);
  if (Number.isNaN(deployedAtMs) || builtMs === undefined || builtMs - deployedAtMs < SAME_BUILD_MS)
    return [];
  return [
    note(
      'version',
      name,
      `what is deployed is of ${modifiedAt}, the build here is newer (${new Date(builtMs).toISOString()})`,
      'deploy it: `npx s deploy -y`',
    ),
  ];
}

function checkTimers(
  name: string,
  { timers }: FunctionFacts,
  { plans, allPlans }: LocalSide,
): readonly Check[] {
  if (timers === undefined) return [];
  const started = timers.map((timer) => ({ ...timer, plan: planIn(timer.payload) }));
  const known = new Set(allPlans.map((plan) => plan.name));
  return [
    ...plans.map((plan): Check => {
      const mine = started.filter((timer) => timer.plan === plan.name);
      const running = mine.filter(({ isEnabled }) => isEnabled);
      if (running.length > 0)
        return ok('timer', plan.name, running.map(({ name: timer, cron }) => `${timer}: ${cron}`).join(', '));
      return mine.length > 0
        ? bad(
            'warn',
            'timer',
            plan.name,
            `its timer ${mine.map((timer) => timer.name).join(', ')} is switched off: it runs by hand only`,
            'switch it on when the plan is to run by itself (`enable` in s.yaml)',
          )
        : bad(
            'warn',
            'timer',
            plan.name,
            `no timer of ${name} starts it: it runs by hand only`,
            `add a timer with the payload {"plan":"${plan.name}"} to s.yaml`,
          );
    }),
    ...started
      .filter(({ plan, isEnabled }) => isEnabled && !known.has(plan ?? ''))
      .map(({ name: timer, plan }) =>
        bad(
          'warn',
          'timer',
          timer,
          plan === undefined
            ? 'carries no plan in its payload: every firing ends in an error'
            : `starts the plan ${plan}, which is not in plans.yaml here`,
          'correct its payload, or take the timer away',
        ),
      ),
  ];
}

/** Undefined when the payload is none of ours. */
function planIn(payload: string): string | undefined {
  try {
    const event = JSON.parse(payload) as { readonly plan?: unknown } | null;
    return typeof event?.plan === 'string' ? event.plan : undefined;
  } catch {
    return undefined;
  }
}
