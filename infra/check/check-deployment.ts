/**
 * Whether what `s.yaml` declares can work: against what the services take, the built functions, the template of `infra`,
 * the plans and the code that reads the variables. Looks at everything, so that all there is to say is said at once.
 */
import {
  checkConcurrency,
  checkNetwork,
  checkPackage,
  checkRetries,
  checkSize,
  checkVariables,
  type Package,
} from './check-functions.ts';
import { checkActions, checkAgreement, checkNames, checkParameters } from './check-names.ts';
import {
  checkDestinations,
  checkExpectation,
  checkLifecycle,
  checkPlans,
  checkReach,
  checkSourceRoles,
  checkTriggers,
  variablesOf,
} from './check-plans.ts';
import { createFindings, type Finding } from './finding.ts';
import { parseRendered } from './rendered.ts';
import type { Template } from './template-facts.ts';

/** What is there besides `s.yaml`. */
export interface Surroundings {
  readonly template: Template;
  /** Of `plans.yaml`. */
  readonly plans: string;
  /** By the path of the folder, as `s.yaml` writes it. */
  readonly packages: (code: string, handler: string) => Package;
  readonly accountId: string;
  readonly now: Date;
}

/** @param json `s.yaml`, rendered */
export function checkDeployment(json: unknown, surroundings: Surroundings): readonly Finding[] {
  const findings = createFindings();
  const rendered = parseRendered(json, findings);
  if (rendered === undefined) return findings.all;
  const { template, plans: text, accountId, now } = surroundings;
  const { orchestrator, uploader } = rendered.resources;
  const functions = [['orchestrator', orchestrator.props] as const, ['uploader', uploader.props] as const];

  checkActions(rendered, findings);
  checkParameters(rendered, template, findings);
  checkNames(rendered, template, accountId, findings);
  checkAgreement(rendered, findings);

  const ofPlans = variablesOf(text);
  const plans = checkPlans(text, rendered, findings);
  const needsSts = plans.some(({ targets }) => targets.some(({ account }) => account !== undefined));
  for (const each of functions) {
    const [name, { code, handler }] = each;
    checkPackage(each, surroundings.packages(code, handler), text, findings);
    checkSize(each, findings);
    checkRetries(each, findings);
    checkNetwork(each, needsSts, findings);
    const { texts, secrets } = ofPlans;
    checkVariables(each, name === 'orchestrator' ? [...new Set([...texts, ...secrets])] : secrets, findings);
  }
  checkConcurrency(
    functions,
    plans.map(({ rate }) => rate.concurrency),
    findings,
  );
  checkLifecycle(plans, rendered, template, now, findings);
  if (plans.length > 0) {
    const names = plans.map(({ name }) => name);
    checkTriggers(names, rendered, findings);
    checkDestinations(plans, rendered, findings);
    checkSourceRoles(plans, rendered, findings);
    checkReach(plans, rendered, findings);
    checkExpectation(rendered, template, now, findings);
  }
  return findings.all;
}
