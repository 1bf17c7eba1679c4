/** What a run relies on, looked at side by side and told in the order in which a run meets it. Nothing here changes anything. */
import {
  composeInspection,
  type FunctionFacts,
  type Inspection,
  type Platform,
} from '../../functions/core/compose.ts';
import type { Environment, Plan } from '../../functions/core/config.ts';
import type { BucketSettings } from '../../functions/core/repository/bucket-settings.ts';
import { rememberLists } from '../../functions/core/source/remember-lists.ts';
import type { SourceFor } from '../../functions/core/source/select.ts';
import { VERSION } from '../../functions/core/version.ts';
import { checkAccount } from './accounts.ts';
import { checkBucket } from './buckets.ts';
import { distinct, ok, type Check } from './check.ts';
import { checkFunction, type Deployed, type FunctionName, type LocalSide } from './functions.ts';
import { identify } from './identity.ts';
import { checkCoverage, checkInstances, selectAll } from './instances.ts';
import { checkNetwork } from './network.ts';
import { checkRole } from './roles.ts';

export interface Surroundings {
  readonly environment: Environment;
  readonly platform: Platform;
  readonly sourceFor: SourceFor;
  readonly deployed: Deployed;
  /** All plans of the file, also where one alone is looked at: the functions serve them all. */
  readonly allPlans: readonly Plan[];
  /** One plan alone was asked for: then nobody wants to know what none of them covers. */
  readonly isPart: boolean;
  readonly builtAtMs: LocalSide['builtAtMs'];
}

/** Without credentials nothing else is asked. Throws only when the signal aborts. */
export async function checkAll(
  plans: readonly Plan[],
  surroundings: Surroundings,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const { environment, platform, isPart } = surroundings;
  const identified = await identify(composeInspection(environment, platform), signal);
  if (!identified.isUsable) return identified.checks;
  const { caller } = identified;
  const inspection = composeInspection(environment, {
    ...(caller === undefined ? {} : { accountId: caller.accountId }),
    ...platform,
  });
  const sourceFor = rememberLists(surroundings.sourceFor);
  const accounts = distinct(plans.flatMap(({ targets }) => targets.flatMap(({ account }) => account ?? [])));

  const selecting = selectAll(plans, sourceFor, signal);
  const [network, deployment, ofAccounts, selected, coverage] = await Promise.all([
    checkNetwork(inspection.endpoints(plans), signal),
    checkDeployment(plans, surroundings, inspection, selecting, signal),
    Promise.all(accounts.map(async (account) => checkAccount(account, inspection, signal))),
    selecting.then(async ({ selections, checks }) => [
      ...checks,
      ...(await checkInstances(selections, inspection, sourceFor, signal)),
    ]),
    isPart ? [] : selecting.then(async ({ selections }) => checkCoverage(selections, sourceFor, signal)),
  ]);
  return [
    ok('versions', '', `tairlift ${VERSION}, Node ${process.version}`),
    ...identified.checks,
    ...network,
    ...deployment,
    ...ofAccounts.flat(),
    ...selected,
    ...coverage,
  ];
}

/** Buckets, functions, and the roles that go with both. */
async function checkDeployment(
  plans: readonly Plan[],
  { environment, platform, deployed, builtAtMs, allPlans }: Surroundings,
  inspection: Inspection,
  selecting: ReturnType<typeof selectAll>,
  signal: AbortSignal,
): Promise<readonly Check[]> {
  const destinations = distinct(plans.map((plan) => plan.destination));
  const settings: BucketSettings[] = [];
  const facts = new Map<FunctionName, FunctionFacts>();
  const local: LocalSide = { plans, allPlans, environment, builtAtMs };
  const both = ['orchestrator', 'uploader'] as const;
  const [buckets, functions] = await Promise.all([
    Promise.all(
      destinations.map(async (destination) =>
        checkBucket(
          destination,
          plans.filter((plan) => JSON.stringify(plan.destination) === JSON.stringify(destination)),
          inspection,
          (found) => settings.push(found),
          signal,
        ),
      ),
    ),
    Promise.all(
      both.map(async (who) =>
        checkFunction(who, deployed, inspection, local, (found) => facts.set(who, found), signal),
      ),
    ),
  ]);
  const { selections } = await selecting;
  const selected = selections.flatMap(({ selection }) => selection.selected);
  const sourceRoles = allPlans.flatMap(({ targets }) =>
    targets.flatMap(({ account }) => account?.roleArn ?? []),
  );
  const setting = {
    region: platform.region ?? '*',
    accountId: inspection.accountId ?? '*',
    deployed,
    destinations: distinct(allPlans.map((plan) => plan.destination)),
    encryption: settings.flatMap(({ encryption }) => encryption ?? []),
    sourceRoles: distinct(sourceRoles),
    instances: distinct(
      selected
        .filter(({ account, server }) => account === undefined && server === undefined)
        .map(({ instance: { region, id } }) => ({ region, id })),
    ),
  };
  const roles = await Promise.all(
    both.map(async (who) => {
      const found = facts.get(who);
      return found === undefined ? [] : checkRole(who, found, setting, inspection, signal);
    }),
  );
  return [...buckets.flat(), ...functions.flat(), ...roles.flat()];
}
